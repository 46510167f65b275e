"""Programs that end, fork, or run in odd surroundings."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time

import pytest

from firstock_ws import State
from firstock_ws.simulator import Simulator
from tests.faults.children import Script
from tests.faults.conftest import Fault
from tests.faults.servers import black_hole
from tests.support import closed_port, connect

PROMISE = 1.0
BUSY_MACHINE = 3.0
"""Seconds that the interpreter may take for its own end while others use the machine."""
posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


PATIENCE = 0.7
"""A program that is still open at its end gets 0.8 s for its goodbye: on a busy machine that may not be enough."""


def ended_in_time(fault: Fault, script: Script, since: float, what: str) -> tuple[int, bool]:
    """Wait for the end of `script`; return its exit code, and whether it had the time for a goodbye."""
    code, ended = script.wait()
    assert ended - since < PROMISE + BUSY_MACHINE
    fault.measured(f"{what}: {{}} s", ended - since)
    return code, ended - since < PATIENCE


def said_goodbye(sim: Simulator) -> bool:
    return sim.wait_for(lambda sim: sim.session_count() == 0) and sim.close_codes == [1000]


# --- the end of a program ----------------------------------------------------------------------------------------

LAST_WORDS = "say('end', time.monotonic())"


def last_words(script: Script) -> float:
    while not (line := script.line()).startswith("end "):
        assert line
    return float(line.split()[1])


@pytest.mark.faults("exit")
@pytest.mark.parametrize(("ending", "code"), [("", 0), ("sys.exit(3)", 3)], ids=["return", "sys.exit"])
def test_a_program_that_just_ends_says_goodbye(fault: Fault, sim: Simulator, ending: str, code: int) -> None:
    script = fault.script(sim, f"client.connect(10)\n{LAST_WORDS}\n{ending}")
    ended, in_time = ended_in_time(fault, script, last_words(script), "return")
    assert (ended, script.errors) == (code, "")
    if in_time:
        # Whether the callback or the main thread says its word first is open.
        assert script.output.removeprefix("up\n") == "closed 1000\n", (script.output, sim.close_codes)
        assert said_goodbye(sim)


@pytest.mark.faults("exit")
def test_a_program_that_raises(fault: Fault, sim: Simulator) -> None:
    script = fault.script(sim, f"client.connect(10)\n{LAST_WORDS}\nraise RuntimeError('mine')")
    ended, in_time = ended_in_time(fault, script, last_words(script), "exception")
    assert ended == 1
    assert script.errors.startswith("Traceback")
    assert script.errors.endswith("RuntimeError: mine\n")
    assert script.errors.count("Traceback") == 1
    assert "firstock_ws" not in script.errors, "nothing of ours in it"
    assert said_goodbye(sim) or not in_time


@posix
@pytest.mark.faults("exit")
@pytest.mark.parametrize(
    # In slices: the interpreter can miss a signal that comes just before an endless wait.
    "run",
    ["client.connect(10)\nsay('on')\nwhile True:\n threading.Event().wait(0.5)", "client.run_forever()"],
)
def test_ctrl_c(fault: Fault, sim: Simulator, run: str) -> None:
    script = fault.script(sim, run)
    heard = {script.line()}
    if "say('on')" in run:
        # connect() has returned when it says so; which of the two lines comes first is open.
        heard.add(script.line())
    assert heard <= {"up", "on"}
    pressed = time.monotonic()
    script.signal(signal.SIGINT)
    code, in_time = ended_in_time(fault, script, pressed, "Ctrl-C")
    if "run_forever" in run:
        assert (script.errors, code) == ("", 0)
    else:
        assert script.errors.count("Traceback") == 1
        assert script.errors.endswith("KeyboardInterrupt\n")
        assert "firstock_ws" not in script.errors
    assert said_goodbye(sim) or not in_time


@posix
@pytest.mark.faults("exit")
def test_ctrl_c_again_and_again_while_it_closes(fault: Fault, sim: Simulator) -> None:
    # The last callback reads a line from the test: all signals but the first come while it closes.
    last = "client.on_close = lambda *a: (say('closing'), input(), say('closed', a[0]))"
    script = fault.script(sim, f"{last}\nclient.run_forever()\nsay('returned', client.state.value)")
    assert script.line() == "up"
    script.signal(signal.SIGINT)
    assert script.line() == "closing"
    pause = threading.Event()
    for _ in range(2):
        script.signal(signal.SIGINT)
        pause.wait(0.2)
    script.tell("")
    assert script.wait()[0] == 0
    assert (script.output, script.errors) == ("closed 1000\nreturned stopped\n", "")
    assert sim.wait_for(lambda sim: sim.close_codes == [1000])


@posix
@pytest.mark.faults("exit")
def test_ctrl_c_while_connecting_leaves_nothing(fault: Fault, sim: Simulator) -> None:
    sim.go_silent()
    run = "\n".join(
        (
            "try:",
            "    say('connecting')",
            "    client.connect(None)",
            "except KeyboardInterrupt:",
            # Ctrl-C inside Thread.start leaves one on the list that the system never made: it has no identity.
            "    say([thread.name for thread in threading.enumerate() if thread.ident is not None])",
        )
    )
    script = fault.script(sim, run)
    assert script.line() == "connecting"
    pressed = time.monotonic()
    script.signal(signal.SIGINT)
    assert ended_in_time(fault, script, pressed, "Ctrl-C")[0] == 0
    assert (script.output, script.errors) == ("['MainThread']\n", "")


TERM = {
    "default": ("pass", -signal.SIGTERM, True),
    "sys.exit": ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))", 0, True),
    "close": ("signal.signal(signal.SIGTERM, lambda *_: client.close())", 0, True),
}


@posix
@pytest.mark.faults("exit")
@pytest.mark.parametrize(("handler", "code", "polite"), TERM.values(), ids=TERM.keys())
def test_sigterm(fault: Fault, sim: Simulator, handler: str, code: int, polite: bool) -> None:
    script = fault.script(sim, f"{handler}\nclient.run_forever()")
    assert script.line() == "up"
    sent = time.monotonic()
    script.signal(signal.SIGTERM)
    ended, in_time = ended_in_time(fault, script, sent, "SIGTERM")
    assert (ended, script.errors) == (code, "")
    assert sim.wait_for(lambda sim: sim.session_count() == 0)
    assert sim.close_codes == ([1000] if polite else []) or not in_time


@posix
@pytest.mark.faults("exit", "close")
def test_close_in_a_signal_handler_at_a_bad_moment(fault: Fault, sim: Simulator) -> None:
    # The handler runs on the main thread between any two steps of what it does: here, as it looks at the state.
    client, _ = fault.client(sim)
    took: list[float] = []
    main = threading.main_thread().ident
    assert main is not None
    sent = threading.Event()

    def send(state: State) -> None:
        if threading.get_ident() == main and state is State.CONNECTED and not sent.is_set():
            sent.set()
            signal.raise_signal(signal.SIGUSR1)

    def send_late() -> None:
        if not sent.wait(2.0):
            sent.set()
            signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: took.append(fault.close(client)))
    try:
        fault.on_look_at_state(send)
        late = threading.Thread(target=send_late)
        late.start()
        client.run_forever()
        late.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert took[0] < PROMISE + BUSY_MACHINE
    fault.measured("in a signal handler: {} s", took[0])


@pytest.mark.faults("exit")
@pytest.mark.parametrize("trouble", ["mute server", "stuck callback", "nobody there", "dialling"])
def test_a_program_that_ends_in_trouble(fault: Fault, sim: Simulator, trouble: str) -> None:
    stuck = "client.on_quote = lambda quote: (say('stuck'), threading.Event().wait())"
    begin = "threading.Thread(target=client.run_forever, daemon=True).start()"
    with contextlib.ExitStack() as stack:
        url = sim.url
        if trouble == "nobody there":
            url = f"ws://127.0.0.1:{closed_port()}/ws"
        elif trouble == "dialling":
            url = stack.enter_context(black_hole())
        script = fault.script(
            url,
            f"{stuck if trouble == 'stuck callback' else ''}\n"
            f"client.on_reconnect = lambda *a: say('waiting')\n{begin}\ninput()\n{LAST_WORDS}",
        )
        if trouble in ("mute server", "stuck callback"):
            assert script.line() == "up"
        if trouble == "stuck callback":
            assert script.line() == "stuck"
        if trouble == "nobody there":
            assert script.line() == "waiting"
        if trouble == "mute server":
            sim.go_silent()
        script.tell("")
        assert ended_in_time(fault, script, last_words(script), trouble)[0] == 0
        assert script.errors == ""


# --- fork --------------------------------------------------------------------------------------------------------

FORK = """
import gc, warnings
warnings.simplefilter("ignore", DeprecationWarning)
client.on_close = lambda code, reason: say("closed", os.getpid() == parent, code)
client.on_quote = lambda quote: quotes.release()
parent, quotes = os.getpid(), threading.Semaphore(0)
client.connect(10)
quotes.acquire()
pid = os.fork()
if pid == 0:
    calls = [client.connect, client.run_forever, client.close, lambda: client.subscribe("NSE:1")]
    calls += [lambda: client.unsubscribe("NSE:26000"), lambda: client.subscribe_option_greeks("NFO:1")]
    calls += [lambda: client.__exit__(None, None, None)]
    texts = []
    for call in calls:
        try:
            call()
        except UsageError as error:
            texts.append(str(error))
    say("refused", len(texts), all("after a fork" in text for text in texts))
    {child}
    del calls, call
    client = None
    gc.collect()
    sys.exit(0)  # by way of the functions registered for the end of the program
say("child ended", os.waitpid(pid, 0)[1])
input()
say("more quotes", quotes.acquire(timeout=10))
say(client.state.value, client.stats.connections)
"""
NEW_CLIENT = (
    'other = FirstockWS("AB1234", os.environ["FIRSTOCK_TEST_KEY"], url=sys.argv[1]); '
    'other.connect(10); say("new", other.is_connected); other.close()'
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.faults("fork")
@pytest.mark.parametrize("new", [False, True])
def test_a_forked_child_cannot_touch_the_parents_connection(fault: Fault, sim: Simulator, new: bool) -> None:
    script = fault.script(sim, FORK.replace("{child}", NEW_CLIENT if new else "pass"), clients=2 if new else 1)
    assert script.line() == "up"
    assert script.line() == "refused 7 True"
    if new:
        assert script.line() == "new True"
    assert script.line() == "child ended 0"
    assert sim.close_codes == ([1000] if new else []), "nothing was said in the parent's name"
    assert sim.session_count() == 1
    sim.tick("NSE:26000")
    script.tell("")
    assert script.line() == "more quotes True"
    assert script.line() == "connected 1"
    code, _ = script.wait()
    assert (script.errors, code) == ("", 0)
    # Nothing, if the machine was too busy for a goodbye.
    assert script.output in ("closed True 1000\n", "")
    fault.measured("{} calls refused with UsageError in the child", 7)
    fault.measured("the parent's next quote came over the same connection")


# --- surroundings ------------------------------------------------------------------------------------------------


@pytest.mark.faults("proxy-variables")
def test_proxy_variables_do_not_apply(fault: Fault, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []
    proxy = fault.server(lambda sock: heard.append(sock.recv(1000)))
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy"):
        for spelling in (name, name.upper()):
            monkeypatch.setenv(spelling, f"http://user:password@127.0.0.1:{proxy.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    client, watched = fault.client(sim, tokens="NSE:26000")
    connect(client, sim)
    watched.wait("on_quote")
    assert sim.session_count() == 1
    assert (heard, proxy.accepted) == ([], 0)
    fault.measured("{} connections at the proxy", proxy.accepted)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets the limit on descriptors")
@pytest.mark.faults("descriptors")
@pytest.mark.parametrize("wire", ["ws", "wss"])
def test_a_descriptor_above_1024_works(fault: Fault, sim: Simulator, wire: str) -> None:
    import resource

    if wire == "wss":
        import ssl

        import trustme

        authority = trustme.CA()
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(serving)
        sim = fault.simulator(ssl_context=serving)
    trust = ssl.create_default_context() if wire == "wss" else None
    if trust is not None:
        authority.configure_trust(trust)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        stack.callback(os.close, writer)
        for _ in range(1100):
            stack.callback(os.close, os.dup(reader))
        client, watched = fault.client(
            sim, tokens="NSE:26000", ssl_context=trust, ping_interval=0.1, ping_timeout=10
        )
        connect(client, sim)
        watched.wait("on_quote")
        sim.drop(1001)
        watched.wait("on_quote", 2)
        descriptor = connection_descriptor(client)
        assert descriptor > 1024
        client.close()
    fault.measured("connected on descriptor {}", descriptor)


def connection_descriptor(client: object) -> int:
    sock = client._lifecycle.supervisor._connection._sock  # type: ignore[attr-defined]
    descriptor: int = sock.fileno()
    return descriptor
