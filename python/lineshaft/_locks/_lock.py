"""`app.lock()`: a lock of the engine, for every program of a home.

The extension's I/O thread renews what is held, whatever the GIL does.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from .._errors import LockError, LockTimeout
from .._guard import refuse_import_side_effect
from .._options import duration, flag, wrong
from ._holds import Hold, owner_here, party

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .. import _native
    from .._app import App
    from .._options import Duration
    from ._holds import Owner

TTL_MIN_S, TTL_MAX_S = 2.0, 86_400.0
WAIT_S = 3_600.0
"""One step of a wait without end."""


class Lock:
    """A lock that one program of a home holds at a time: `app.lock(key)`, for `with` and `async with`.

    An object may be used by any threads and coroutines; each is a holder by itself.
    """

    _kind = "lock"
    _permits = 1
    _refused = "{name} was not given{took}: others hold it"

    def __init__(
        self, app: App, key: str, ttl: Duration = "30s", timeout: Duration | None = None, reentrant: bool = False
    ) -> None:
        self._app = app
        self.key = key_of(key)
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

        Raises `LockTimeout` when that is over, `LockError` if this thread or coroutine has it already, and `Deadlock`
        if it holds what others wait for who would have to give back this one first.
        """
        self._acquire()

    async def aacquire(self) -> None:
        """`acquire` for coroutines."""
        await self._aacquire()

    def _acquire(self) -> Hold:
        owner, hold = self._begin()
        if hold is not None:
            return hold
        lock = self._ask(self._app._connection.client(), owner)
        try:
            # Who asks once is answered at once.
            deadline = time.monotonic() + self._timeout_s if self._timeout_s else None
            while (held := lock.wait(_left(deadline))) is None:
                if _left(deadline) <= 0:
                    break
            return self._take(lock, held, owner)
        except BaseException:
            self._undo(lock)
            raise

    async def _aacquire(self) -> Hold:
        owner, hold = self._begin()
        if hold is not None:
            return hold
        from .._loop import ready

        lock = self._ask(await self._app._connection.aclient(), owner)
        try:
            await ready(lock, self._timeout_s or None)
            return self._take(lock, lock.wait(0.0), owner)
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
        from .._loop import ready

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

    def _begin(self) -> tuple[Owner, Hold | None]:
        """Who asks, and its hold if it has the lock already and may have it again."""
        refuse_import_side_effect(f"app.{self._kind}()")
        owner = owner_here()
        hold = self._app._holders.find(owner, self._kind, self.key)
        if hold is None or not self._may_have_again(hold):
            return owner, None
        hold.check()
        hold.count += 1
        self._holds.append(hold)
        return owner, hold

    def _may_have_again(self, hold: Hold) -> bool:
        """Whether who has this hold gets it once more, not another one. Raises `LockError` if it gets neither."""
        if self._is_reentrant or self._permits > 1:
            return self._is_reentrant
        raise LockError(
            f"this {hold.who} holds {self._name} already, and would wait for itself",
            hint="ask for it with reentrant=True where that is meant",
        )

    def _ask(self, client: _native.Client, owner: Owner) -> _native.Lock:
        waits = self._timeout_s is None or self._timeout_s > 0
        return client.acquire(self._kind, self.key, self._permits, party(owner), self._ttl_s, waits, _program())

    def _take(self, lock: _native.Lock, held: bool | None, owner: Owner) -> Hold:
        if not held:
            took = "" if not self._timeout_s else f" within {self._timeout_s:g} s"
            raise LockTimeout(self._refused.format(name=self._name, took=took), hint="`lineshaft locks` says who")
        hold = Hold(lock, self._name, owner, self._permits)
        self._app._holders.add(hold, self._kind, self.key)
        self._holds.append(hold)
        return hold

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
        owner, holds = owner_here(), [hold for hold in self._holds if hold.count > 0]
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


def key_of(key: object) -> str:
    """A name, if it is one. Raises `OptionError`."""
    if (
        not isinstance(key, str)
        or not 1 <= len(key.encode(errors="surrogatepass")) <= 255
        or any(ord(char) < 32 or 127 <= ord(char) < 160 for char in key)
    ):
        raise wrong("key", key, "1 to 255 bytes of text without control characters")
    return key


def _left(deadline: float | None) -> float:
    return WAIT_S if deadline is None else max(0.0, deadline - time.monotonic())


def _program() -> str:
    """What this program is called, for whoever looks at locks."""
    name = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""
    return (name or "python").encode(errors="replace")[:255].decode(errors="ignore")
