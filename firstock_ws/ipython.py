"""What is known of the IPython that runs the program, if one does. It is not imported by being looked for.

IPython keeps what a cell showed, and the frames of the last error, in places that no user thinks of. An object
that is to go when its last name goes has to be taken out of them.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

_HIDDEN_NAME = re.compile(r"_{1,3}|_\d+")


def find_shell() -> Any:
    """Return the shell of IPython, None where the program does not run in one."""
    module = sys.modules.get("IPython")
    get = getattr(module, "get_ipython", None)
    return None if get is None else get()


def find_kernel() -> Any:
    """Return the kernel of Jupyter, None in a terminal's IPython and outside of any."""
    return getattr(find_shell(), "kernel", None)


def display(bundle: dict[str, str]) -> Any:
    """Show `bundle` in the cell that runs; return the handle by which it can be updated.

    Args:
        bundle: one picture of something, by MIME type.
    """
    return importlib.import_module("IPython.display").display(bundle, raw=True, display_id=True)


def after_cell(work: Callable[[], None]) -> None:
    """Call `work` once, when the cell that runs has ended."""
    events = find_shell().events

    def once(*args: object) -> None:
        events.unregister("post_run_cell", once)
        work()

    events.register("post_run_cell", once)


def let_go_of(kind: type, *, but: object) -> None:
    """Take objects of `kind` that no name is bound to out of IPython's caches of results and of the last error.

    In ``Out``, ``_`` and the like stands what they were, as a text, from then on. Frames of the last error that
    hold one, and this package's own, are cleared, which costs ``%debug`` their variables. What is in containers
    stays.

    Args:
        but: one that stays.
    """
    shell = find_shell()
    if shell is None:
        return
    names: dict[str, Any] = shell.user_ns
    bound = {id(value) for name, value in names.items() if not _HIDDEN_NAME.fullmatch(name)} | {id(but)}
    texts: dict[int, str] = {}

    def goes(value: object) -> bool:
        return isinstance(value, kind) and id(value) not in bound

    def text(value: object) -> str:
        # The same text everywhere: IPython compares by identity whether a name is still its own.
        return texts.setdefault(id(value), repr(value))

    for cache in (names, getattr(shell, "user_ns_hidden", {}), names.get("_oh", {})):
        for key, value in list(cache.items()):
            if goes(value):
                cache[key] = text(value)
    hook = getattr(shell, "displayhook", None)
    results = (getattr(shell, "last_execution_result", None), getattr(hook, "exec_result", None))
    places = [(hook, "_"), (hook, "__"), (hook, "___"), *((result, "result") for result in results)]
    for owner, name in places:
        value = getattr(owner, name, None)
        if goes(value):
            setattr(owner, name, text(value))
    del value
    for frame in _frames_of_last_error():
        # Ours may hold one in ways that are not looked for: as a method, in a closure.
        ours = str(frame.f_globals.get("__name__")).partition(".")[0] == __package__
        if frame.f_locals is not names and (ours or any(map(goes, frame.f_locals.values()))):
            try:
                frame.clear()
            except RuntimeError:
                continue  # It still runs, in another thread or in a debugger.


def _frames_of_last_error() -> Iterator[FrameType]:
    waiting: list[BaseException | None] = [getattr(sys, "last_exc", None), getattr(sys, "last_value", None)]
    tracebacks: list[TracebackType | None] = [getattr(sys, "last_traceback", None)]
    seen: set[int] = set()
    while waiting:
        error = waiting.pop()
        if error is not None and id(error) not in seen:
            seen.add(id(error))
            tracebacks.append(error.__traceback__)
            waiting += [error.__cause__, error.__context__]
    for trace in tracebacks:
        while trace is not None:
            yield trace.tb_frame
            trace = trace.tb_next
