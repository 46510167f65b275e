"""Work on a thread of its own, and Ctrl-C in the moments that a test of the whole can't hit."""

from __future__ import annotations

import threading

import pytest

from firstock_ws import worker
from firstock_ws.state import State, StateHolder
from tests.support import DEADLINE


def interrupted(monkeypatch: pytest.MonkeyPatch, method: str, *, before: bool) -> None:
    """Have Ctrl-C pressed once, before or after `method` of a thread has done its work."""
    original = getattr(threading.Thread, method)

    def press(thread: threading.Thread, *args: object) -> None:
        if thread.name != "work":
            return original(thread, *args)
        if not before:
            original(thread, *args)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, method, press)


def test_ctrl_c_before_the_thread_began_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_SETTLE", 10 * DEADLINE)
    interrupted(monkeypatch, "start", before=True)
    done: list[str] = []
    caught: list[BaseException] = []

    def user() -> None:
        try:
            worker.run_aside(lambda: done.append("work"), "work")
        except KeyboardInterrupt as error:
            caught.append(error)

    thread = threading.Thread(target=user, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert len(caught) == 1
    assert done == []


def test_ctrl_c_just_after_the_thread_began_finds_the_work_done_or_never_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interrupted(monkeypatch, "start", before=False)
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        assert go_on.wait(DEADLINE)
        done.append("work")

    original = worker.Worker.call_off

    def call_off(late: worker.Worker) -> bool:
        assert begun.wait(DEADLINE)
        answer = original(late)
        go_on.set()
        return answer

    monkeypatch.setattr(worker.Worker, "call_off", call_off)
    with pytest.raises(KeyboardInterrupt):
        worker.run_aside(work, "work")
    assert done == ["work"]


def test_work_that_was_called_off_is_never_done() -> None:
    done: list[str] = []
    late = worker.Worker(lambda: done.append("work"), "late")
    assert late.call_off()
    late.start()
    assert late.wait(DEADLINE)
    assert done == []


def test_who_is_not_in_charge_of_the_state_changes_nothing() -> None:
    holder, earlier, later = StateHolder(), object(), object()
    told: list[State] = []

    def tell() -> None:
        told.append(holder.now)

    holder.take_charge(earlier)
    assert holder.set(earlier, State.CONNECTED, before=tell, after=tell)
    assert told == [State.CONNECTING, State.CONNECTED]
    holder.take_charge(later)
    assert not holder.set(earlier, State.CONNECTED, before=tell, after=tell)
    assert holder.set(later, State.STOPPED)
    assert not holder.set(later, State.CONNECTED, before=tell, after=tell)
    assert (holder.now, len(told)) == (State.STOPPED, 2)
