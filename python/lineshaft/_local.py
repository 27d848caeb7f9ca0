"""Workers inside of this very process, for tasks that no other process can import: those of notebooks and interactive
sessions.

They run in threads, `async def` tasks on a loop in a thread of its own. A task that a cell declares again, also as one
of an app that the cell makes again, is replaced at once. When a cell declares new ones, the next wait starts slots that
know them, and what runs in the old ones goes on.
"""

from __future__ import annotations

import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from . import _native
from ._current import _running
from ._names import MAINS, main_file
from ._slots import Loop, Routed, interruptions
from ._started import watch
from ._threads import belong_to_attempts

if TYPE_CHECKING:
    from ._app import App
    from ._task import BaseTask

__all__ = ["LocalCrew", "ensure_for", "has_no_source", "joined", "newest"]

GRACE_S = 30.0
"""What an attempt that was asked to stop gets before it is talked about; nothing can kill it here."""
CLOSE_S = 1.0
"""What running attempts get when the process ends."""


def has_no_source(name: str) -> bool:
    """Whether a task of this name was declared in an interactive session, a notebook or `python -c`."""
    return name.partition(".")[0] in MAINS and main_file() is None


apps: list[weakref.ref[App]] = []
"""The apps of this session, oldest first."""
crews: dict[str, LocalCrew] = {}
"""By home."""


def joined(app: App) -> None:
    """An app was made in a session without a source file."""
    apps.append(weakref.ref(app))


def newest(url: str, name: str) -> BaseTask[..., Any] | None:
    """The task of this name as it was declared last."""
    return tasks_at(url).get(name)


def tasks_at(url: str) -> dict[str, BaseTask[..., Any]]:
    """The tasks of the session's apps with this home; of two with one name the newer one."""
    living = [app for app in (ref() for ref in apps) if app is not None and app.url == url]
    return {name: task for app in living for name, task in app._declared.items()}


def ensure_for(app: App) -> None:
    """Before a wait: lets slots of this process run that know the tasks as they are declared now."""
    if any(has_no_source(name) for name in app._declared):
        crew = crews.get(app.url)
        if crew is None:
            crew = crews[app.url] = LocalCrew(app)
        crew.ensure()


class LocalCrew:
    """The slots of this process for one home; made when somebody first waits."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._slots: _native.Slots | None = None
        self._names: list[str] = []

    def ensure(self) -> None:
        """Starts slots if there are none yet, or tasks that they do not know."""
        if not isinstance(sys.stdout, Routed):
            sys.stdout = Routed(sys.stdout)
        if not isinstance(sys.stderr, Routed):
            sys.stderr = Routed(sys.stderr)
        tasks = list(tasks_at(self._app.url).items())
        names = [name for name, _ in tasks]
        if names == self._names:
            return
        if self._slots is None:
            self._begin()
        else:
            self._retire(self._slots)
        self._names = names
        self._slots = self._start(tasks)

    def _begin(self) -> None:
        import atexit

        from ._settings import slots_of

        for task in self._app._declared.values():
            task.check_uses()
        atexit.register(self._at_exit)
        belong_to_attempts()
        watch()
        print(
            f"lineshaft: tasks of this session have no source file, so they run in this process, "
            f"{slots_of(None, 'thread').per_child} at a time (they end with it; a file and `lineshaft worker` would "
            f"let them run elsewhere)",
            file=sys.stderr,
            flush=True,
        )

    def _start(self, tasks: list[tuple[str, Any]]) -> _native.Slots:
        from ._settings import slots_of

        count = slots_of(None, "thread").per_child
        slots = _native.Slots.local(
            self._app.url, self._app, tasks, _running, interruptions(), kind="thread", count=count, grace=GRACE_S
        )
        threading.Thread(target=lambda: Loop(slots, None).run(), name="lineshaft-loop", daemon=True).start()
        return slots

    def _retire(self, slots: _native.Slots) -> None:
        """What runs there goes on; what has not begun goes to the new ones."""
        slots.drain()
        threading.Thread(target=slots.close, args=(3_600.0,), name="lineshaft-retired", daemon=True).start()

    def _at_exit(self) -> None:
        if self._slots is not None:
            self._slots.close(CLOSE_S)
