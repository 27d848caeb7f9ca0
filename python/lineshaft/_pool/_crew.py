"""What drives a pool: a lock, and a thread that takes what workers report, gives them more and replaces who has ended.

What the lock is for is a `State`, a `Feeder` gives out what is to be done, and what comes of it is delivered here.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

from . import _warm
from ._feeding import Feeder
from ._state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from ._agenda import Outcome
    from ._call import Call
    from ._hand import Hand, Workers
    from ._report import Report

__all__ = ["Crew"]

_STAY_S = 0.2
"""So long those who have nothing to do may take to say so, before they are ended instead of kept."""
_END_S = 0.5
"""So long the thread may take to see that it is over."""
_logger = logging.getLogger("lineshaft.pool")


class Crew:
    """Workers of one kind, with what they have to do.

    A pool *leases* a crew. When it has ended, one that has a kind may be kept for the next pool; who comes with an old
    lease then does nothing.
    """

    def __init__(
        self,
        workers: Workers,
        size: int,
        *,
        name: str,
        kind: Hashable | None = None,
        tasks_max: int | None = None,
        is_eager: bool = True,
        among: weakref.WeakSet[Crew] | None = None,
    ) -> None:
        _all.add(self)
        if among is not None:
            among.add(self)  # before it has workers, so that none of them is there without it
        self._maker = os.getpid()
        self._workers = workers
        self._lock = threading.RLock()
        self._state = State(workers, size, kind=kind, tasks_max=tasks_max, is_eager=is_eager)
        self._feeder = Feeder(self._lock, self._state.agenda)
        self._kept_at = 0.0
        self._ended: list[Hand] = []
        """Those that `terminate` has ended."""
        self.released = threading.Event()
        """The lease: set when nothing is left to be done of it."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        try:
            with self._lock:
                self._state.staff.fill()
            # After the workers, since those that are forked have none of it.
            self._thread.start()
        except BaseException:
            self.terminate(self.released)
            raise

    @property
    def kind(self) -> Hashable | None:
        """What pools that may use it one after the other have in common; None if there is to be but one."""
        return self._state.kind

    @property
    def broken(self) -> str | None:
        """Why nothing can be done any more."""
        return self._state.broken

    @property
    def encode(self) -> Callable[[Callable[..., Any]], Any]:
        """Makes of a function what its workers are given."""
        return self._workers.encode

    @property
    def members(self) -> list[Any]:
        """The processes or threads of the workers."""
        return [hand.member for hand in list(self._state.staff.hands.values())]

    def lease(self, size: int, *, is_eager: bool) -> bool:
        """Has a crew that was kept work for another pool; whether it can."""
        with self._lock:
            if not self._state.begin_again(size, is_eager=is_eager):
                return False
            self.released = threading.Event()
            self._state.staff.fill()
            return True

    def refill(self) -> None:
        """Starts workers where some are missing, as is done now and then anyway."""
        with self._lock:
            if not self._state.staff.is_leaving and not self._state.is_ended:
                self._state.staff.fill()

    def add(self, call: Call) -> None:
        """Has it done. `BrokenProcessPool` if that is not possible any more."""
        if self._maker != os.getpid():
            raise RuntimeError("the pool is that of the process that made it, and not of one that it forked")
        call.context = self._workers.context()
        with self._lock:
            state = self._state
            if state.broken is not None:
                raise BrokenProcessPool(state.broken)
            if state.is_closing or state.is_kept:
                raise RuntimeError("cannot schedule new futures after shutdown")
            state.agenda.add(call)
            try:
                state.grow()
                # The caller may hold what it takes to pickle: then the thread does it, when the caller has let go.
                is_now = not self._workers.encodes or state.agenda.is_plain
                outcomes = self._feeder.feed() if is_now else []
            except BaseException:
                state.agenda.drop(call)
                raise
        if not is_now:
            self._workers.poke()
        self._deliver(outcomes)

    def has(self, call: Call) -> bool:
        """Whether something of it is to be done."""
        with self._lock:
            return call.number in self._state.agenda.calls

    def extend(self, call: Call, items: Sequence[Any]) -> bool:
        """More items of an open call; whether it is not over."""
        with self._lock:
            if not self._state.agenda.extend(call, items):
                return False
            self._state.grow()
        self._deliver(self._feeder.feed())
        return True

    def complete(self, call: Call) -> None:
        """No more items of an open call will come."""
        with self._lock:
            self._state.agenda.complete(call)
            self._poke_if_closing()

    def calls(self) -> list[Call]:
        """What is to be done."""
        with self._lock:
            return list(self._state.agenda.calls.values())

    def cancel(self, call: Call) -> int:
        """Takes back what nobody has begun of it; how many items."""
        with self._lock:
            cancelled = self._state.agenda.cancel(call)
            self._poke_if_closing()
            return cancelled

    def _poke_if_closing(self) -> None:
        """It may be that nothing is left to be done."""
        if self._state.is_closing:
            self._workers.poke()

    def is_begun(self, call: Call) -> bool:
        """Whether somebody is at an item of it."""
        with self._lock:
            return bool(self._state.foreman.workers_of(call.number))

    def kill(self, call: Call) -> bool:
        """Kills who is at an item of it; whether somebody was, and can be."""
        with self._lock:
            hands = [self._state.staff.hands[number] for number in self._state.foreman.workers_of(call.number)]
            # Each of them, not only the first.
            return [hand.kill() for hand in hands].count(True) > 0

    def close(self, lease: threading.Event) -> None:
        """Nothing more will be added; the workers end when all is done, or are kept."""
        if self._maker != os.getpid():
            return
        with self._lock:
            if lease is self.released and not lease.is_set():
                self._state.is_closing = True
        self._workers.poke()

    def join(self, lease: threading.Event, timeout: float | None = None) -> None:
        """Waits until all is done of a crew that was closed, and its workers have ended or are kept."""
        if self._maker == os.getpid() and self._thread is not threading.current_thread():
            lease.wait(timeout)
            self._workers.join(self._ended, timeout)

    def terminate(self, lease: threading.Event) -> None:
        """Ends the workers now, whatever they do. If they do nothing, they may be kept."""
        with self._lock:
            is_mine = lease is self.released and not lease.is_set()
            may_stay = is_mine and not self._state.agenda.calls and self._state.may_stay() and not self._state.is_ended
        if may_stay and self._thread is not threading.current_thread():
            self.close(lease)
            lease.wait(_STAY_S)
        with self._lock:
            if self._state.is_ended or lease is not self.released or lease.is_set():
                return
            self._state.is_ended = self._state.is_closing = True
            self._ended = list(self._state.staff.hands.values())
            outcomes = self._state.agenda.give_up(BrokenProcessPool("the pool was terminated"))
        try:
            self._workers.poke()
            if self._thread.ident is not None and self._thread is not threading.current_thread():
                self._thread.join(_END_S)
        finally:  # after another Ctrl-C too
            self._workers.end(self._ended)
            self._state.staff.hands.clear()
            lease.set()
            self._deliver(outcomes)

    def dismiss(self) -> None:
        """Ends a crew that is kept."""
        with self._lock:
            if self._state.is_kept:
                _warm.let_go(self)
                self._state.is_kept = False
                self._state.is_closing = True
                self._state.kind = None
                self.released = threading.Event()
        self._workers.poke()

    def expire(self) -> None:
        """Has one that is kept dismissed by its thread, which the caller need not wait for."""
        self._kept_at = -math.inf

    # The thread.

    def _run(self) -> None:
        try:
            dead: list[Hand] = []
            while not self._state.is_ended:
                dead = dead or self._look()
                with self._lock:
                    pause = 0.0 if dead else self._state.pause()
                reports = self._workers.reports(pause)
                outcomes = self._turn(reports, dead)
                if not reports:
                    dead = []  # What they had reported was there before they were seen to be dead.
                self._deliver(outcomes)
                # Nothing that the program lets go of shall stay here while this waits.
                del reports, outcomes
        except BaseException as error:
            _logger.exception("the thread of a pool ended")
            with self._lock:
                outcomes = self._state.break_off(f"the thread of the pool ended: {error!r}")
                self._state.is_ended = True
            self._deliver(outcomes)
        self.released.set()

    def _look(self) -> list[Hand]:
        if self._state.is_kept and time.monotonic() - self._kept_at > _warm.IDLE_S:
            self.dismiss()
        with self._lock:
            return self._state.staff.look()

    def _turn(self, reports: list[Report], dead: list[Hand]) -> list[Outcome]:
        with self._lock:
            if self._state.is_ended:
                return []
            outcomes = self._state.turn(reports, dead)
        outcomes += self._feeder.feed()
        with self._lock:
            self._move_on()
        return outcomes

    def _move_on(self) -> None:
        """A closed crew that has done everything is kept, or ends."""
        state = self._state
        if state.is_closing and not state.agenda.calls and not state.staff.is_leaving:
            if not state.may_stay():
                state.staff.leave()
            elif state.foreman.is_idle():
                self._stay()
        if state.staff.is_leaving and not state.staff.hands:
            state.is_ended = True

    def _stay(self) -> None:
        """Waits for another pool."""
        self._kept_at = time.monotonic()
        self._state.is_kept = _warm.keep(self)
        if not self._state.is_kept:
            self._state.staff.leave()
            return
        self._state.is_closing = False
        self._state.staff.wanted = 0
        self.released.set()

    def _deliver(self, outcomes: list[Outcome]) -> None:
        """Without the lock, since callbacks of the program may be called. What one raises keeps nothing from others."""
        interrupt = None
        for outcome in outcomes:
            try:
                outcome()
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) and self._thread is not threading.current_thread():
                    interrupt = error
                else:
                    _logger.exception("a callback raised")
        if interrupt is not None:
            raise interrupt

    def _leave_to_parent(self) -> None:
        """After a fork: the workers are the parent's, and what they have to do is not this process' to take back."""
        self._lock = threading.RLock()
        self._state.leave_to_parent()
        self._feeder = Feeder(self._lock, self._state.agenda)


_all: weakref.WeakSet[Crew] = weakref.WeakSet()


def _leave_all_to_parent() -> None:
    for crew in list(_all):
        crew._leave_to_parent()
    _all.clear()


os.register_at_fork(after_in_child=_leave_all_to_parent)
