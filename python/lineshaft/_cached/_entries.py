"""Entries of the engine's cache: how values are written and read, and who computes one that is not there."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _native
from .._errors import Deadlock, LineshaftError, SerializationError, ServerError, StoreFull
from .._locks._holds import owner_here, party
from .._locks._lock import _program
from ._flows import Asked, Called, Connected, Flow, Locked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._app import App

_VALUE, _ERROR = b"\0", b"\1"
"""Before an encoded value: what it is."""
_DEADLINE_S = 60.0
_LOCK_TTL_S = 30.0
_PAUSE_S = 5.0
"""How long nothing is asked after the engine did not answer."""

DOWN = (ServerError, StoreFull)
"""What is raised where the engine cannot be asked, or stores nothing."""


class Found(NamedTuple):
    """An entry that was looked up."""

    value: Any
    """A value, or an exception."""
    is_error: bool
    is_stale: bool

    def given(self) -> Any:
        """The value; raises the exception."""
        if self.is_error:
            raise self.value
        return self.value


class Terms(NamedTuple):
    """How an entry lives. Durations are milliseconds."""

    ttl_ms: int | None = None
    idle_ms: int | None = None
    stale_ms: int = 0
    negative_ms: int | None = None
    """How long an exception is kept; not at all by default."""
    tags: Sequence[str] = ()


class Entries:
    """The engine's cache as one app uses it."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._asked_again = 0.0
        self._said: set[str] = set()

    @property
    def is_down(self) -> bool:
        """Whether the engine did not answer a moment ago."""
        return time.monotonic() < self._asked_again

    def look(self, key: str, peek: bool = False) -> Flow[tuple[Found | None, int]]:
        """The entry of a key, and a ticket for what is computed now."""
        values, ticket = yield Asked(lambda client: client.cache_get([key], peek, _DEADLINE_S))
        return self._read(values[0]), ticket

    def _read(self, found: tuple[bytes, bool] | None) -> Found | None:
        """What cannot be read in this process is as good as not there."""
        if found is None:
            return None
        payload, is_stale = found
        is_error = payload[:1] == _ERROR
        if is_error and is_stale:
            return None  # an exception is not served beyond its time
        try:
            value = _native.decode(payload[1:], self.app._types.registry)
        except Exception:
            return None
        return Found(value, is_error, is_stale)

    def store(self, key: str, value: Any, terms: Terms, ticket: int | None, is_error: bool = False) -> Flow[bool]:
        """Stores a value; whether it is there: not if it was invalidated since its ticket was given."""
        payload = (_ERROR if is_error else _VALUE) + _native.encode(value, self.app._types.registry)
        ttl_ms, idle_ms, tags = (terms.negative_ms if is_error else terms.ttl_ms), terms.idle_ms, list(terms.tags)
        answer = yield Asked(
            lambda client: client.cache_set(
                key,
                payload,
                ttl_ms=ttl_ms,
                idle_ms=None if is_error else idle_ms,
                stale_ms=0 if is_error else terms.stale_ms,
                tags=tags,
                ticket=ticket,
                deadline=_DEADLINE_S,
            )
        )
        return bool(answer[2])

    def filled(self, key: str, compute: Callable[[], Any], terms: Callable[[], Terms], waits: bool = True) -> Flow[Any]:
        """The value of a key that has none, computed by one of those who ask for it together, wherever they are.

        Without `waits` nothing happens where somebody is at it.
        """
        goes_on, lock = yield from self._right(key, waits)
        if not goes_on:
            return None
        try:
            found, ticket = yield from self._looked(key)
            # Somebody may have been done since this one looked.
            if found is not None and not found.is_stale:
                return found.given()
            return (yield from self._computed(key, compute, terms, ticket))
        finally:
            _close(lock)

    def _right(self, key: str, waits: bool) -> Flow[tuple[bool, _native.Lock | None]]:
        """Whether this one computes the value of a key, and the lock for that, unless it does so without one."""
        if self.is_down:
            return True, None
        lock: _native.Lock | None = None
        try:
            client = yield Connected()
            owner = party(owner_here())
            lock = client.acquire("lock", f"cache:{key}", 1, owner, _LOCK_TTL_S, waits, _program())
            held = yield Locked(lock)
        except Deadlock:
            # Whoever computes it waits for this one, which may be itself.
            _close(lock)
            return True, None
        except DOWN as error:
            _close(lock)
            self.down(error)
            return True, None
        except BaseException:
            _close(lock)
            raise
        if held:
            return True, lock
        _close(lock)
        return waits, None

    def _looked(self, key: str) -> Flow[tuple[Found | None, int | None]]:
        if self.is_down:
            return None, None
        try:
            return (yield from self.look(key, peek=True))
        except DOWN as error:
            self.down(error)
            return None, None

    def _computed(
        self, key: str, compute: Callable[[], Any], terms: Callable[[], Terms], ticket: int | None
    ) -> Flow[Any]:
        try:
            value = yield Called(compute)
        except Exception as error:
            if ticket is not None and (of := terms()).negative_ms is not None:
                yield from self._kept(key, error, of, ticket, is_error=True)
            raise
        if ticket is not None:
            yield from self._kept(key, value, terms(), ticket)
        return value

    def _kept(self, key: str, value: Any, terms: Terms, ticket: int, is_error: bool = False) -> Flow[None]:
        """Stores it if that can be; says once for each reason that it cannot."""
        try:
            yield from self.store(key, value, terms, ticket, is_error)
        except SerializationError as error:
            self._say(f"the value of {key} is not cached: {error}")
        except DOWN as error:
            self.down(error)
        except LineshaftError as error:
            self._say(f"the value of {key} is not cached: {error}")

    def down(self, error: Exception) -> None:
        """The engine does not answer: values are computed without it for some seconds."""
        if not self.is_down:
            logging.getLogger("lineshaft").warning(
                "the cache of the engine does not answer, so values are computed: %s", error
            )
        self._asked_again = time.monotonic() + _PAUSE_S

    def _say(self, what: str) -> None:
        if what not in self._said and len(self._said) < 1_000:
            self._said.add(what)
            logging.getLogger("lineshaft").warning("%s", what)


def _close(lock: _native.Lock | None) -> None:
    if lock is not None:
        lock.close()
