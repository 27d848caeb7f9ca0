"""The main program of a worker's child: imports the app that its TARGET names and runs attempts until told to stop.

Started by a supervisor as ``python -m lineshaft._child TARGET``; everything else it needs comes with the process. The
loop itself is in the extension.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _current, _native
from ._current import _running
from ._errors import Cancelled, TimedOut
from ._guard import importing
from ._settings import garbage_setting
from ._slots import interruptions, route_output, run_slots
from ._started import watch
from ._threads import belong_to_attempts

if TYPE_CHECKING:
    from ._app import App
    from ._opening import Kept

__all__ = ["begin_work", "load_app", "main"]

NOT_A_CHILD = 2
CANNOT_LOAD = 1
CLOSE_AFTER_S = 10.0
"""How long the server may take to confirm the last ends."""


def main(load: Callable[[str, str | None], tuple[App, Kept]] | None = None) -> int:
    """Runs until the worker stops; gives the exit code. `load` begins the work of a TARGET in a home."""
    try:
        child = _native.Child()
    except RuntimeError as error:
        print(f"lineshaft: {error}", file=sys.stderr)
        return NOT_A_CHILD
    _settle_in()
    if child.kind != "process":
        route_output()
        watch()
    loaded = _load(child, load or begin_work, sys.argv[1] if len(sys.argv) > 1 else "")
    if loaded is None:
        return CANNOT_LOAD
    app, kept = loaded
    # What the app printed while it was imported is not the first attempt's.
    sys.stdout.flush()
    _work(child, app, kept)
    kept.close()
    sys.stdout.flush()
    child.close(CLOSE_AFTER_S)
    return 0


def _work(child: _native.Child, app: App, kept: Kept) -> None:
    tasks = list(app._declared.items())
    tidy = garbage_setting(app) == "between"
    if tidy:
        child.settle()
    if child.kind == "process":
        signal.signal(signal.SIGUSR1, child.interrupt)
        child.run(app, tasks, _running, (Cancelled, TimedOut), tidy)
        return
    has_loop = child.kind == "async" or any(task.is_async for _, task in tasks)
    run_slots(child.slots(app, tasks, _running, interruptions()), has_loop, kept)


def _settle_in() -> None:
    """What a child does differently from the program that it imports."""
    os.environ.pop(_native.CHILD_VARIABLE, None)
    _current.in_worker = True
    _native.log_attempts(_running)
    belong_to_attempts()
    # The terminal's Ctrl-C is the supervisor's business, and would be an error of a random attempt here. A handler
    # rather than SIG_IGN, which the programs that bodies start would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    _let_copies_go()
    # Standard output is a pipe, but what a body printed must be there when it is killed.
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True, errors="backslashreplace")


def _let_copies_go() -> None:
    """A copy that a body forks is none of the worker's: signals do there what they do in other programs.

    With the worker's handlers it would not end when it is told to, for which `multiprocessing.Pool` waits for ever, and
    would pass the word on to the worker. A signal that comes before it has its own handlers waits for them.
    """
    own: dict[int, Any] = {
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGUSR1: signal.SIG_DFL,
        signal.SIGINT: signal.default_int_handler,
    }
    blocked = threading.local()

    def before() -> None:
        blocked.before = signal.pthread_sigmask(signal.SIG_BLOCK, own)

    def after() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked.before)

    def in_copy() -> None:
        for number, handler in own.items():
            signal.signal(number, handler)
        after()

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=in_copy)


def load_app(target: str) -> App:
    """The app that `target` names, with all that it includes."""
    from ._target import load_target

    app = load_target(target)
    with importing():
        app._includes.load()
    return app


def begin_work(target: str, home: str | None) -> tuple[App, Kept]:
    """The app that `target` names, and what it keeps open while it works for `home`."""
    app = load_app(target)
    return app, app._begin_work(home)


def _load(
    child: _native.Child, load: Callable[[str, str | None], tuple[App, Kept]], target: str
) -> tuple[App, Kept] | None:
    """The app and what it keeps open; None if it does not load, which the supervisor says once for all children."""
    from ._target import report_of

    try:
        return load(target, child.home)
    except BaseException as error:
        report = report_of(error)
    sys.stdout.flush()
    child.fail(report)
    return None


if __name__ == "__main__":
    sys.exit(main())
