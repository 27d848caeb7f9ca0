"""Entries of the engine's cache: how values are written and read, and who computes one that is not there."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _native
from .._errors import Deadlock, LineshaftError, ServerError, StoreFull
from .._locks._holds import owner_here, party
from .._locks._lock import _program
from .._options import wrong
from ._flows import Asked, Called, Connected, Flow, Locked, computing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._app import App

_VALUE, _ERROR = b"\0", b"\1"
"""Before an encoded value: what it is."""
_DEADLINE_S = 60.0
TAGS_MAX = 16
_PATIENCE_S = 10.0
"""How long a call that can compute for itself waits for the engine."""
_LOCK_TTL_S = 5.0
"""How long others wait for one that was killed. Who loses the lock though it lives has others compute too, no more."""
_PAUSE_S, _PAUSE_S_MAX = 5.0, 60.0
"""How long nothing is asked after the engine did not answer, the first time and at most."""


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
    tags: Sequence[str] = ()
    sources: Sequence[str] = ()
    """The keys that it is made of."""


class Entries:
    """The engine's cache as one app uses it."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._asked_again, self._pause_s = 0.0, _PAUSE_S
        self._said: set[tuple[str, str]] = set()

    @property
    def is_down(self) -> bool:
        """Whether the engine did not answer a moment ago."""
        return time.monotonic() < self._asked_again

    def look(self, key: str, peek: bool = False, patience_s: float = _DEADLINE_S) -> Flow[tuple[Found | None, int]]:
        """The entry of a key, and a ticket for what is computed now."""
        values, ticket = yield Asked(lambda client: client.cache_get([key], peek, patience_s))
        self._pause_s = _PAUSE_S
        return self._read(values[0]), ticket

    def looked(self, key: str, peek: bool = False) -> Flow[tuple[Found | None, int | None]]:
        """The same for a call that can compute for itself; nothing where the engine does not answer."""
        if self.is_down:
            return None, None
        try:
            return (yield from self.look(key, peek, _PATIENCE_S))
        except ServerError as error:
            self.down(error)
            return None, None

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
        ttl_ms, idle_ms, stale_ms, tags, sources = terms
        patience_s = _DEADLINE_S if ticket is None else _PATIENCE_S
        answer = yield Asked(
            lambda client: client.cache_set(
                key,
                payload,
                ttl_ms=ttl_ms,
                idle_ms=idle_ms,
                stale_ms=stale_ms,
                tags=list(tags),
                sources=list(sources),
                ticket=ticket,
                deadline=patience_s,
            )
        )
        return bool(answer[2])

    def filled(
        self, key: str, compute: Callable[[], Any], terms: Callable[[bool], Terms | None], name: str, waits: bool = True
    ) -> Flow[Found | None]:
        """The value of a key that has none, computed by one of those who ask for it together, wherever they are.

        `terms` says how it is kept, or an exception, if at all; `name` is what it is called where it cannot be kept.
        Without `waits` nothing happens where somebody is at it.
        """
        goes_on, lock = yield from self._right(key, waits)
        if not goes_on:
            return None
        try:
            found, ticket = yield from self.looked(key, peek=True)
            # Somebody may have been done since this one looked.
            if found is not None and not found.is_stale:
                return found
            return (yield from self._computed(key, compute, terms, ticket, name))
        finally:
            _close(lock)

    def _right(self, key: str, waits: bool) -> Flow[tuple[bool, _native.Lock | None]]:
        """Whether this one computes the value of a key, and the lock for that, unless it does so without one."""
        if self.is_down or key in computing.get():
            return True, None
        lock: _native.Lock | None = None
        try:
            client = yield Connected()
            owner = party(owner_here())
            lock = client.acquire("lock", f"cache:{key}", 1, owner, _LOCK_TTL_S, waits, _program())
            held = yield Locked(lock)
        except (Deadlock, StoreFull):
            # Whoever computes it waits for this one, which may be itself; or the disk has no room for locks.
            _close(lock)
            return True, None
        except ServerError as error:
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

    def _computed(
        self, key: str, compute: Callable[[], Any], terms: Callable[[bool], Terms | None], ticket: int | None, name: str
    ) -> Flow[Found]:
        value, error = yield Called(compute, key)
        found = Found(value if error is None else error, error is not None, False)
        if ticket is not None:
            yield from self._kept(key, found, terms, ticket, name)
        return found

    def _kept(
        self, key: str, found: Found, terms: Callable[[bool], Terms | None], ticket: int, name: str
    ) -> Flow[None]:
        """Stores it if that can be; says once for each reason that it cannot."""
        try:
            of = terms(found.is_error)
            if of is not None:
                yield from self.store(key, found.value, of, ticket, found.is_error)
        except ServerError as error:
            self.down(error)
        except LineshaftError as error:
            # How much room a full disk lacks is another number each time.
            self._say(name, str(error).partition(" until ")[0])

    def down(self, error: Exception) -> None:
        """The engine does not answer: values are computed without it for some time."""
        if not self.is_down:
            logging.getLogger("lineshaft").warning(
                "the cache of the engine does not answer, so values are computed: %s", error
            )
        self._asked_again = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _PAUSE_S_MAX)

    def _say(self, name: str, why: str) -> None:
        if (name, why) not in self._said and len(self._said) < 1_000:
            self._said.add((name, why))
            logging.getLogger("lineshaft").warning("what %s gives is not cached: %s", name, why)


def checked_tags(tags: Any, option: str = "tags", count_max: int = TAGS_MAX) -> list[str]:
    """Tags, of which one may be a text by itself. Raises `OptionError` for what is none."""
    listed = [tags] if isinstance(tags, str) else list(tags) if isinstance(tags, Iterable) else None
    if listed is not None and len(listed) <= count_max and all(is_text(tag, 255) for tag in listed):
        return listed
    raise wrong(option, tags, f"up to {count_max} texts of 1 to 255 bytes each without control characters")


def is_text(text: Any, bytes_max: int) -> bool:
    """Whether it can name something in the engine."""
    return (
        isinstance(text, str)
        and 1 <= len(text.encode(errors="surrogatepass")) <= bytes_max
        and not any(ord(char) < 32 or 127 <= ord(char) < 160 or 0xD800 <= ord(char) < 0xE000 for char in text)
    )


def _close(lock: _native.Lock | None) -> None:
    if lock is not None:
        lock.close()
