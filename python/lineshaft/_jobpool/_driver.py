"""The thread of a pool: makes jobs of what the verbs want, follows them, and tells how they ended."""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING, Any

from .._current import _running
from .._errors import TaskCancelled
from .._waiting import Patience
from ._bell import Bell
from ._follower import Follower
from ._leaving import Leaving
from ._maker import Maker
from ._room import Room
from ._telling import Telling

if TYPE_CHECKING:
    from .._app import App
    from .._task import BaseTask
    from ._lent import Lent
    from ._source import Source

__all__ = ["SLICE_S", "Driver"]


class Driver:
    """Takes items from sources in turns, so many ahead of what has ended. Most of it is its thread's."""

    def __init__(self, app: App, *, is_durable: bool, ahead: int) -> None:
        self._app = app
        self._is_durable = is_durable
        self.bell = Bell()
        self._room = Room(ahead, is_durable=is_durable)
        self._telling = Telling()
        self._follower = Follower(app, self.bell, self._room, self._telling)
        self._maker = Maker(app, self.bell, self._room, self._telling, self._follower.add)
        self._is_closing = False
        self._leaving: Leaving | None = None
        self._lent: dict[str, Lent] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="lineshaft-jobs", daemon=True)

    # For other threads.

    def add(self, source: Source) -> None:
        """Has its items done. ValueError if nothing can be added any more."""
        if os.getpid() != self._process:
            raise RuntimeError("the pool is that of the process that made it, and not of one that it forked")
        with self._lock:
            if self._is_closing or self._leaving is not None:
                raise ValueError("Pool not running") from (None if self._leaving is None else self._leaving.error)
            self._telling.live.add(source)
            self._maker.add(source)
            if self._thread.ident is None:
                # After what ends the workers of a script, so before it when the time comes.
                self._app._attendance.mind_exit()
                atexit.register(self._at_exit)
                self._thread.start()
            if _running.get() is not None:
                self._lend(source.bound.task)
        self.bell.ring()

    @property
    def is_here(self) -> bool:
        """Whether the caller is its thread, which cannot wait for itself."""
        return threading.current_thread() is self._thread

    def poke(self) -> None:
        """The program has taken results."""
        if self._room.is_held:
            self.bell.ring()

    def close(self) -> None:
        """Nothing more will be added; the thread ends when all is done."""
        with self._lock:
            self._is_closing = True
        self.bell.ring()

    def free(self) -> None:
        """Whether the program takes results does not matter any more: it waits for the end."""
        self._room.is_waited_for = True
        for source in list(self._telling.live):
            source.free()
        self.bell.ring()

    def leave(self, *, is_hurried: bool) -> None:
        """The thread ends, whatever is left to do; in a hurry if somebody wants to get away."""
        leaving = Leaving(self._last_word(), is_cancelling=not self._is_durable, is_hurried=is_hurried)
        with self._lock:
            self._leaving = self._leaving or leaving
        self.bell.ring()

    def wait(self) -> bytes:
        """Until the thread has ended; gives the ids of jobs that were asked to stop."""
        while self._thread.ident is not None and not self.is_here and self._thread.is_alive():
            self._thread.join(SLICE_S)
        return b"" if self._leaving is None else bytes(self._leaving.stopping)

    def _lend(self, task: BaseTask[..., Any]) -> None:
        """An attempt is going to wait: from here on, until the pool ends, its process does jobs of `task` too."""
        from ._lent import Lent

        if task.name not in self._lent:
            self._lent[task.name] = Lent(self._app, task)

    def _last_word(self) -> Exception:
        if self._is_durable:
            return RuntimeError("the pool was left before this was done; its jobs go on")
        return TaskCancelled("the pool was left before this was done, and its jobs were cancelled")

    def _at_exit(self) -> None:
        if os.getpid() == self._process:
            self.leave(is_hurried=self._app._attendance.is_interrupted)
            self.wait()

    # The thread.

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            with self._lock:
                self._leaving = self._leaving or Leaving(error, is_cancelling=not self._is_durable)
        leaving = self._leaving
        try:
            if leaving is not None:
                leaving.carry_out(self._app, self.bell, self._maker, self._follower, self._telling)
        finally:
            for lent in self._lent.values():
                lent.end(is_hurried=leaving is not None and leaving.is_hurried)
            atexit.unregister(self._at_exit)

    def _work(self) -> None:
        patience = Patience(self._app._attendance, None)
        while self._leaving is None and not self._is_finished():
            self._room.is_held = False
            self._maker.send()
            self._follower.follow()
            is_silent = not self._is_finished() and not self.bell.wait(patience.slice())
            patience.is_over()
            if is_silent and patience.is_time_to_warn() and (job := self._follower.any()) is not None:
                self._app._attendance.complain(job, self._app._attendance.look(job), patience.said)

    def _is_finished(self) -> bool:
        return self._is_closing and not self._telling.live and not self._maker.on_their_way


SLICE_S = 0.25
"""How long a thread waits without a step of the interpreter, between two of which it is asked to stop."""
