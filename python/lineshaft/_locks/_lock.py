"""`app.lock()` and `app.semaphore()`: locks of the engine, for every program of a home.

The extension's I/O thread renews what is held, whatever the GIL does. Here is who holds what: threads and coroutines
are owners, each of its own holds.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING

from ._errors import LockError, LockLost, LockTimeout
from ._guard import refuse_import_side_effect
from ._options import duration, flag, wrong

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self

    from . import _native
    from ._app import App
    from ._options import Duration

__all__ = ["Holders", "Lock", "Semaphore", "refuse_lost"]

TTL_MIN_S, TTL_MAX_S = 2.0, 86_400.0
PERMITS_MAX = 1 << 20
WAIT_S = 3_600.0
"""One step of a wait without end."""

Owner = tuple[int, int]
"""A thread, and the task of its event loop or 0."""


class Hold:
    """One lock that is held. A re-entrant one counts how often. Where nobody has it any more the lock is given back."""

    __slots__ = ("__weakref__", "attempt", "count", "fence", "lock", "name", "owner", "process")

    def __init__(self, lock: _native.Lock, name: str, owner: Owner) -> None:
        self.lock = lock
        self.name = name
        self.owner = owner
        self.fence = lock.fence
        self.count = 1
        """How often it was taken; 0 when it is given back."""
        self.process = os.getpid()
        self.attempt = _attempt()

    def check(self) -> None:
        """Raises `LockLost` if the lock is not held for certain."""
        # The parent's threads may have held the lock around the native object when it was forked.
        forked = self.process != os.getpid()
        why = "it is held by the process that this one was forked from" if forked else self.lock.why_lost()
        if why is not None:
            raise self.lost(why)

    def lost(self, why: str) -> LockLost:
        return LockLost(
            f"{self.name} with fence {self.fence} is lost: {why}",
            fence=self.fence,
            hint="others may hold it by now: what it protected must not be touched any more, and its writes be refused "
            "by their fence",
        )


class Holders:
    """Who in this program holds what: of an app. It keeps nothing alive."""

    def __init__(self) -> None:
        self._by_owner: weakref.WeakValueDictionary[tuple[Owner, str, str], Hold] = weakref.WeakValueDictionary()

    def find(self, owner: Owner, kind: str, key: str) -> Hold | None:
        hold = self._by_owner.get((owner, kind, key))
        return hold if hold is not None and hold.count > 0 and hold.process == os.getpid() else None

    def add(self, hold: Hold, kind: str, key: str) -> None:
        self._by_owner[hold.owner, kind, key] = hold
        if hold.attempt is not None:
            _forget_later(hold)


_of_attempts: dict[int, weakref.ref[Hold]] = {}
"""What attempts hold, by the address of each hold."""


def _forget_later(hold: Hold) -> None:
    number = id(hold)
    _of_attempts[number] = weakref.ref(hold, lambda _: _of_attempts.pop(number, None))


def refuse_lost(attempt: _native.RunningAttempt) -> None:
    """Raises `LockLost` if this attempt holds a lock that is lost."""
    for known in tuple(_of_attempts.values()):
        hold = known()
        if hold is not None and hold.count > 0 and hold.attempt is attempt:
            hold.check()


class Lock:
    """A lock that one program of a home holds at a time: `app.lock(key)`, for `with` and `async with`.

    An object may be used by any threads and coroutines; each is a holder by itself.
    """

    _kind = "lock"
    _permits = 1

    def __init__(
        self, app: App, key: str, ttl: Duration = "30s", timeout: Duration | None = None, reentrant: bool = False
    ) -> None:
        self._app = app
        self.key = _key(key)
        """The name of the lock: the same one everywhere in the home."""
        self._ttl_s = duration("ttl", ttl)
        if not TTL_MIN_S <= self._ttl_s <= TTL_MAX_S:
            raise wrong("ttl", ttl, "2 s to a day")
        self._timeout_s = None if timeout is None else duration("timeout", timeout)
        self._is_reentrant = flag("reentrant", reentrant)
        self._holds: list[Hold] = []

    def __repr__(self) -> str:
        return f"<{self._name}, held {len(self._holds)} times here>" if self._holds else f"<{self._name}>"

    @property
    def _name(self) -> str:
        return f"{self._kind} {self.key!r}"

    @property
    def fence(self) -> int:
        """The fence of the holder: greater than that of every holder of any lock of the home before it.

        Hand it to whatever the lock protects, and have that refuse a smaller one than the greatest it has seen. Raises
        `LockError` where the lock is not held.
        """
        return self._held().fence

    def check(self) -> None:
        """Raises `LockLost` if the lock is not held for certain any more; asks nobody, and takes two microseconds.

        A lock is lost when the server was not heard of for its `ttl`, when this program was stopped for as long, and
        when an operator broke it. It stays lost, and in a job the next `current.checkpoint()` or `current.progress()`
        raises, too.
        Raises `LockError` where the lock is not held.
        """
        self._held().check()

    def acquire(self) -> None:
        """Waits for the lock, in the order in which it was asked for, at most `timeout`.

        Raises `LockTimeout` when that is over, and `LockError` if this thread or coroutine has it already.
        """
        owner, again = self._begin()
        if again:
            return
        lock = self._ask(self._app._connection.client())
        try:
            # Who asks once is answered at once.
            deadline = time.monotonic() + self._timeout_s if self._timeout_s else None
            while (held := lock.wait(_left(deadline))) is None:
                if _left(deadline) <= 0:
                    break
            self._take(lock, held, owner)
        except BaseException:
            self._undo(lock)
            raise

    async def aacquire(self) -> None:
        """`acquire` for coroutines."""
        owner, again = self._begin()
        if again:
            return
        from ._loop import ready

        lock = self._ask(await self._app._connection.aclient())
        try:
            await ready(lock, self._timeout_s or None)
            self._take(lock, lock.wait(0.0), owner)
        except BaseException:
            self._undo(lock)
            raise

    def release(self) -> None:
        """Gives the lock back; durable when this returns.

        Raises `LockLost` if it was lost before, and `LockError` where it is not held.
        """
        hold = self._end()
        if hold is None:
            return
        reply = hold.lock.release()
        self._forget(hold)
        if reply is not None and not reply.wait():
            raise hold.lost("others were given it before it was given back")

    async def arelease(self) -> None:
        """`release` for coroutines."""
        hold = self._end()
        if hold is None:
            return
        from ._loop import ready

        reply = hold.lock.release()
        self._forget(hold)
        if reply is None:
            return
        await ready(reply)
        if not reply.wait():
            raise hold.lost("others were given it before it was given back")

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ends = self._last()
        try:
            self.release()
        except Exception:
            # What the body raised says more.
            if error is None:
                raise
        finally:
            self._undo(ends)

    async def __aenter__(self) -> Self:
        await self.aacquire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ends = self._last()
        try:
            await self.arelease()
        except Exception:
            if error is None:
                raise
        finally:
            self._undo(ends)

    # Small parts.

    def _begin(self) -> tuple[Owner, bool]:
        """Who asks, and whether it has the lock already and may have it again."""
        refuse_import_side_effect(f"app.{self._kind}()")
        owner = _owner()
        hold = self._app._holders.find(owner, self._kind, self.key)
        if hold is None:
            return owner, False
        if self._is_reentrant:
            hold.check()
            hold.count += 1
            self._holds.append(hold)
            return owner, True
        if self._permits == 1:
            who = "coroutine" if owner[1] else "thread"
            raise LockError(
                f"this {who} holds {self._name} already, and would wait for itself",
                hint="ask for it with reentrant=True where that is meant",
            )
        return owner, False

    def _ask(self, client: _native.Client) -> _native.Lock:
        waits = self._timeout_s is None or self._timeout_s > 0
        return client.acquire(self._kind, self.key, self._permits, self._ttl_s, waits, _program())

    def _take(self, lock: _native.Lock, held: bool | None, owner: Owner) -> None:
        if not held:
            took = "" if not self._timeout_s else f" within {self._timeout_s:g} s"
            raise LockTimeout(
                f"{self._name} was not given{took}: others hold it",
                hint="`lineshaft locks` says who",
            )
        hold = Hold(lock, self._name, owner)
        self._app._holders.add(hold, self._kind, self.key)
        self._holds.append(hold)

    def _undo(self, lock: _native.Lock | None) -> None:
        """Nothing of it stays, wherever something was raised."""
        if lock is not None:
            for hold in [hold for hold in self._holds if hold.lock is lock]:
                self._forget(hold)
            lock.close()

    def _last(self) -> _native.Lock | None:
        """What is given back when the innermost block ends."""
        hold = self._find()
        return None if hold is None or hold.count > 1 or hold.process != os.getpid() else hold.lock

    def _held(self) -> Hold:
        """The hold of whoever asks. Raises `LockError` if there is none."""
        hold = self._find()
        if hold is not None:
            return hold
        raise LockError(f"{self._name} is not held here", hint=f"use it with `with app.{self._kind}(...) as it:`")

    def _find(self) -> Hold | None:
        """The newest hold of whoever asks; in helping threads, the only one that there is."""
        owner, holds = _owner(), [hold for hold in self._holds if hold.count > 0]
        for hold in reversed(holds):
            if hold.owner == owner:
                return hold
        return holds[0] if len(holds) == 1 else None

    def _end(self) -> Hold | None:
        """The hold that ends; None if it goes on, being held more than once."""
        hold = self._held()
        if hold.process != os.getpid():
            self._forget(hold)
            return None
        if hold.count > 1:
            hold.count -= 1
            self._holds.remove(hold)
            return None
        return hold

    def _forget(self, hold: Hold) -> None:
        hold.count = 0
        if hold in self._holds:
            self._holds.remove(hold)


class Semaphore(Lock):
    """A lock that several hold at a time: `app.semaphore(key, n)`, for `with` and `async with`."""

    _kind = "semaphore"

    def __init__(
        self,
        app: App,
        key: str,
        n: int,
        ttl: Duration = "30s",
        timeout: Duration | None = None,
        reentrant: bool = False,
    ) -> None:
        if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= PERMITS_MAX:
            raise wrong("n", n, f"how many may hold it, 1 to {PERMITS_MAX:,}")
        super().__init__(app, key, ttl, timeout, reentrant)
        self._permits = n


def _key(key: object) -> str:
    if (
        not isinstance(key, str)
        or not 1 <= len(key.encode(errors="surrogatepass")) <= 255
        or any(ord(char) < 32 or 127 <= ord(char) < 160 for char in key)
    ):
        raise wrong("key", key, "1 to 255 bytes of text without control characters")
    return key


def _left(deadline: float | None) -> float:
    return WAIT_S if deadline is None else max(0.0, deadline - time.monotonic())


def _owner() -> Owner:
    asyncio: Any = sys.modules.get("asyncio")
    loop = None if asyncio is None else asyncio._get_running_loop()
    task = None if loop is None else asyncio.current_task(loop)
    return threading.get_ident(), 0 if task is None else id(task)


def _attempt() -> _native.RunningAttempt | None:
    from ._current import _running

    return _running.get()


def _program() -> str:
    """What this program is called, for whoever looks at locks."""
    name = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""
    return (name or "python").encode(errors="replace")[:255].decode(errors="ignore")
