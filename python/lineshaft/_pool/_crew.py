"""The workers of a pool, and what they have to do.

One lock, and one thread that takes what workers report, gives them more and replaces those that ended. Who does what is
decided in Rust (`_native.Foreman`), what there is to do stands on an `Agenda`, a `Feeder` gives it out, and a `Staff`
looks after the workers.
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

from .._native import Foreman
from . import _report, _warm
from ._agenda import Agenda, Outcome
from ._feeding import Feeder
from ._staff import LOOK_S, Staff

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from ._call import Call
    from ._hand import Hand, Workers

__all__ = ["Crew"]

_UNEVEN_S = 0.005
"""So soon somebody who has nothing to do may get a part of what others have."""
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
        self._size = size
        self.kind = kind
        """What pools that may use it one after the other have in common; None if there is to be but one."""
        self._lock = threading.RLock()
        self._foreman = Foreman()
        self._staff = Staff(workers, self._foreman, size if is_eager else 0, tasks_max)
        self._agenda = Agenda(self._foreman, self._staff)
        self._feeder = Feeder(self._lock, self._agenda)
        self._kept_at = 0.0
        self._is_kept = False
        self._is_closing = False
        self._is_ended = False
        self._ended: list[Hand] = []
        """Those that `terminate` has ended."""
        self.broken: str | None = None
        """Why nothing can be done any more."""
        self.released = threading.Event()
        """The lease: set when nothing is left to be done of it."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        try:
            with self._lock:
                self._staff.fill()
        except BaseException:
            self.terminate(self.released)
            raise
        self._thread.start()

    @property
    def encode(self) -> Callable[[Callable[..., Any]], Any]:
        """Makes of a function what its workers are given."""
        return self._workers.encode

    @property
    def members(self) -> list[Any]:
        """The processes or threads of the workers."""
        return [hand.member for hand in list(self._staff.hands.values())]

    def lease(self, size: int, *, is_eager: bool) -> bool:
        """Has a crew that was kept work for another pool; whether it can."""
        with self._lock:
            if self._is_ended or not self._is_kept:
                return False
            self._is_kept = False
            self._size = size
            self._staff.wanted = size if is_eager else len(self._staff.hands)
            self.released = threading.Event()
            self._staff.fill()
            return True

    def refill(self) -> None:
        """Starts workers where some are missing, as is done now and then anyway."""
        with self._lock:
            if not self._staff.is_leaving and not self._is_ended:
                self._staff.fill()

    def add(self, call: Call) -> None:
        """Has it done. `BrokenProcessPool` if that is not possible any more."""
        if self._maker != os.getpid():
            raise RuntimeError("the pool is that of the process that made it, and not of one that it forked")
        with self._lock:
            if self.broken is not None:
                raise BrokenProcessPool(self.broken)
            if self._is_closing or self._is_kept:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._agenda.add(call)
            try:
                self._grow()
                # The caller may hold what it takes to pickle: then the thread does it, when the caller has let go.
                is_now = not self._workers.encodes or self._agenda.is_plain
                outcomes = self._feeder.feed() if is_now else []
            except BaseException:
                self._agenda.drop(call)
                raise
        if not is_now:
            self._workers.poke()
        self._deliver(outcomes)

    def has(self, call: Call) -> bool:
        """Whether something of it is to be done."""
        with self._lock:
            return call.number in self._agenda.calls

    def extend(self, call: Call, items: Sequence[Any]) -> bool:
        """More items of an open call; whether it is not over."""
        with self._lock:
            if not self._agenda.extend(call, items):
                return False
            self._grow()
        self._deliver(self._feeder.feed())
        return True

    def complete(self, call: Call) -> None:
        """No more items of an open call will come."""
        with self._lock:
            self._agenda.complete(call)
            self._poke_if_closing()

    def calls(self) -> list[Call]:
        """What is to be done."""
        with self._lock:
            return list(self._agenda.calls.values())

    def cancel(self, call: Call) -> int:
        """Takes back what nobody has begun of it; how many items."""
        with self._lock:
            cancelled = self._agenda.cancel(call)
            self._poke_if_closing()
            return cancelled

    def _poke_if_closing(self) -> None:
        """It may be that nothing is left to be done."""
        if self._is_closing:
            self._workers.poke()

    def is_begun(self, call: Call) -> bool:
        """Whether somebody is at an item of it."""
        with self._lock:
            return bool(self._foreman.workers_of(call.number))

    def kill(self, call: Call) -> bool:
        """Kills who is at an item of it; whether somebody was, and can be."""
        with self._lock:
            hands = [self._staff.hands[number] for number in self._foreman.workers_of(call.number)]
            # Each of them, not only the first.
            return [hand.kill() for hand in hands].count(True) > 0

    def close(self, lease: threading.Event) -> None:
        """Nothing more will be added; the workers end when all is done, or are kept."""
        if self._maker != os.getpid():
            return
        with self._lock:
            if lease is self.released and not lease.is_set():
                self._is_closing = True
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
            may_stay = is_mine and not self._agenda.calls and self._may_stay() and not self._is_ended
        if may_stay and self._thread is not threading.current_thread():
            self.close(lease)
            lease.wait(_STAY_S)
        with self._lock:
            if self._is_ended or lease is not self.released or lease.is_set():
                return
            self._is_ended = self._is_closing = True
            self._ended = list(self._staff.hands.values())
            outcomes = self._agenda.give_up(BrokenProcessPool("the pool was terminated"))
        try:
            self._workers.poke()
            if self._thread.ident is not None and self._thread is not threading.current_thread():
                self._thread.join(_END_S)
        finally:  # after another Ctrl-C too
            self._workers.end(self._ended)
            self._staff.hands.clear()
            lease.set()
            self._deliver(outcomes)

    def dismiss(self) -> None:
        """Ends a crew that is kept."""
        with self._lock:
            if self._is_kept:
                _warm.let_go(self)
                self._is_kept = False
                self._is_closing = True
                self.kind = None
                self.released = threading.Event()
        self._workers.poke()

    def expire(self) -> None:
        """Has one that is kept dismissed by its thread, which the caller need not wait for."""
        self._kept_at = -math.inf

    # The thread.

    def _run(self) -> None:
        try:
            dead: list[Hand] = []
            while not self._is_ended:
                dead = dead or self._look()
                reports = self._workers.reports(0.0 if dead else self._pause())
                outcomes = self._turn(reports, dead)
                if not reports:
                    dead = []  # What they had reported was there before they were seen to be dead.
                self._deliver(outcomes)
                # Nothing that the program lets go of shall stay here while this waits.
                del reports, outcomes
        except BaseException as error:
            _logger.exception("the thread of a pool ended")
            with self._lock:
                outcomes = self._break(f"the thread of the pool ended: {error!r}")
                self._is_ended = True
            self._deliver(outcomes)
        self.released.set()

    def _pause(self) -> float:
        with self._lock:
            if self._staff.is_leaving or self._foreman.is_uneven():
                return _UNEVEN_S
            return 10 * LOOK_S if self._is_kept else LOOK_S

    def _look(self) -> list[Hand]:
        if self._is_kept and time.monotonic() - self._kept_at > _warm.IDLE_S:
            self.dismiss()
        with self._lock:
            return self._staff.look()

    def _turn(self, reports: list[_report.Report], dead: list[Hand]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        with self._lock:
            if self._is_ended:
                return outcomes
            for report in reports:
                self._take(report, outcomes)
            if not reports:
                for hand in dead:
                    self._bury(hand, outcomes)
            self._staff.dismiss_retired()
            if not self._staff.is_leaving:
                self._refill(outcomes)
        outcomes += self._feeder.feed()
        with self._lock:
            self._move_on()
        return outcomes

    def _take(self, report: _report.Report, outcomes: list[Outcome]) -> None:
        if report.tag == _report.RESULTS:
            outcomes += self._agenda.take(report)
        elif report.tag == _report.READY:
            self._staff.welcome(report.worker)
        elif report.tag == _report.FAILED_TO_START:
            outcomes += self._break(f"the initializer raised {report.body}")

    def _bury(self, hand: Hand, outcomes: list[Outcome]) -> None:
        """A worker has ended. What it had not begun is done by others."""
        losses, why = self._staff.bury(hand)
        outcomes += self._agenda.lose(losses)
        if why is not None:
            outcomes += self._break(why)

    def _refill(self, outcomes: list[Outcome]) -> None:
        try:
            self._staff.refill()
        except Exception as error:
            outcomes += self._break(f"workers cannot be started: {error!r}")

    def _break(self, why: str) -> list[Outcome]:
        """Nothing can be done any more."""
        if self.broken is None:
            self.broken = why
        outcomes = self._agenda.give_up(BrokenProcessPool(why))
        self._staff.give_up()
        return outcomes

    def _move_on(self) -> None:
        """A closed crew that has done everything is kept, or ends."""
        if self._is_closing and not self._agenda.calls and not self._staff.is_leaving:
            if not self._may_stay():
                self._staff.leave()
            elif self._foreman.is_idle():
                self._stay()
        if self._staff.is_leaving and not self._staff.hands:
            self._is_ended = True

    def _may_stay(self) -> bool:
        """Whether it is fit for another pool, as soon as it has nothing to do."""
        return self.kind is not None and self.broken is None and self._staff.is_fit()

    def _stay(self) -> None:
        """Waits for another pool."""
        self._kept_at = time.monotonic()
        self._is_kept = _warm.keep(self)
        if not self._is_kept:
            self._staff.leave()
            return
        self._is_closing = False
        self._staff.wanted = 0
        self.released.set()

    def _grow(self) -> None:
        """Something was added: starts workers for it, up to the size."""
        staff = self._staff
        if staff.wanted < self._size:
            staff.wanted = min(self._size, max(staff.wanted, self._agenda.left()))
            if staff.hands:
                staff.refill()
            else:
                staff.fill()

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
        self._foreman = Foreman()
        self._staff = Staff(self._workers, self._foreman, 0, None)
        self._agenda = Agenda(self._foreman, self._staff)
        self._feeder = Feeder(self._lock, self._agenda)
        self._is_ended, self._is_kept = True, False


_all: weakref.WeakSet[Crew] = weakref.WeakSet()


def _leave_all_to_parent() -> None:
    for crew in list(_all):
        crew._leave_to_parent()
    _all.clear()


os.register_at_fork(after_in_child=_leave_all_to_parent)
