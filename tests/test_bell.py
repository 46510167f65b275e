"""The bell that wakes the callback thread."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

import pytest

from firstock_ws import ConnectError, FirstockWS
from firstock_ws.bell import Bell
from firstock_ws.simulator import Simulator
from tests.conftest import ClientMaker
from tests.support import DEADLINE, Watched


def test_a_ring_is_kept_for_who_comes_later() -> None:
    bell = Bell()
    bell.ring()
    bell.wait()
    heard = threading.Event()

    def listen() -> None:
        bell.wait()
        heard.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert not heard.is_set()
    bell.ring()
    assert heard.wait(DEADLINE)
    listener.join(DEADLINE)
    bell.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_ring_its_parents_bell() -> None:
    bell = Bell()
    child = os.fork()
    if not child:
        bell.ring()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    os.set_blocking(bell._listening, False)
    with pytest.raises(BlockingIOError):
        bell.wait()
    bell.close()


def pipes() -> int:
    """How many ends of pipes this process has open."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("pipe:")
    return count


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts files in /proc, and limits them")
def test_without_files_connecting_says_so_and_a_client_gives_its_own_back(
    sim: Simulator, make_client: ClientMaker
) -> None:
    import resource

    client: FirstockWS = make_client(tokens="NSE:26000")
    watched = Watched(client)
    client.connect(DEADLINE)
    client.close()
    before = pipes()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(ConnectError, match="raise their limit"):
            client.connect(DEADLINE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for number in range(2, 5):
        client.connect(DEADLINE)
        watched.wait("on_connect", number)
        client.close()
    assert pipes() == before
