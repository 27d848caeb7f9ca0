"""Profiles that attempts left, as the engine keeps them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from . import _native
from ._options import attempt_number, duration, version_number, wrong
from ._profile._profile import Profile

if TYPE_CHECKING:
    from typing import TypeAlias

    from ._app import App
    from ._connection import Connection
    from ._options import Duration
    from ._task import Enqueues

    _Answer: TypeAlias = tuple[list[tuple[bytes, int, bytes]], int | None, bool]
    _Request: TypeAlias = Callable[[int | None, _native.Client], _native.Reply[_Answer]]

__all__ = ["KeepsProfiles", "aprofile_of", "profile_of"]


class KeepsProfiles:
    """An app, as far as it finds profiles."""

    _connection: Connection

    def profiles(
        self,
        task: str | Enqueues[..., object],
        *,
        version: int | None = None,
        since: Duration | datetime | None = None,
        limit: int = 100,
    ) -> list[Profile]:
        """Where the time of attempts of a task went that were profiled, the newest first; at most `limit` of them.

        `version` takes those whose code was of that version, `since` those of the last so many seconds or since a time.
        To see them as one: `whole = lineshaft.Profile()`, and `whole.merge(one)` for each.
        """
        found = _Found(limit)
        request = _of_task(task, version, since)
        while not found.is_whole:
            found.add(self._connection.ask(partial(request, found.before), _same))
        return found.profiles

    async def aprofiles(
        self,
        task: str | Enqueues[..., object],
        *,
        version: int | None = None,
        since: Duration | datetime | None = None,
        limit: int = 100,
    ) -> list[Profile]:
        """`profiles` for coroutines."""
        found = _Found(limit)
        request = _of_task(task, version, since)
        while not found.is_whole:
            found.add(await self._connection.aask(partial(request, found.before), _same))
        return found.profiles


def profile_of(app: App, key: bytes, attempt: int | None) -> Profile | None:
    """That of the newest attempt of a job that has one, or of the one with this number."""
    found = _Found(1)
    while not found.is_whole:
        found.add(
            app._connection.ask(partial(_ask, key, attempt_number(attempt), None, None, None, found.before), _same)
        )
    return found.profiles[0] if found.profiles else None


async def aprofile_of(app: App, key: bytes, attempt: int | None) -> Profile | None:
    """`profile_of` for coroutines."""
    found = _Found(1)
    while not found.is_whole:
        found.add(
            await app._connection.aask(
                partial(_ask, key, attempt_number(attempt), None, None, None, found.before), _same
            )
        )
    return found.profiles[0] if found.profiles else None


class _Found:
    """Those of the pages so far."""

    def __init__(self, limit: int) -> None:
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise wrong("limit", limit, "a number from 1 (default 100)")
        self.profiles: list[Profile] = []
        self.before: int | None = None
        self.is_whole = False
        self._limit = limit
        self._unread: list[ValueError] = []
        self._seen: set[tuple[bytes, int]] = set()

    def add(self, answer: _Answer) -> None:
        """One page. Of an attempt the newest profile counts: that before it was of how far it had come.

        What cannot be read is left out, which is logged, and raised if nothing else is there.
        """
        rows, self.before, _ = answer
        for job, attempt, data in rows:
            if (job, attempt) not in self._seen and len(self.profiles) < self._limit:
                self._seen.add((job, attempt))
                try:
                    self.profiles.append(Profile.from_bytes(data))
                except ValueError as error:
                    self._unread.append(error)
        self.is_whole = self.before is None or len(self.profiles) >= self._limit
        if self.is_whole and self._unread:
            self._say_unread()

    def _say_unread(self) -> None:
        if not self.profiles:
            raise self._unread[0]
        count = len(self._unread)
        left = "1 profile was left out" if count == 1 else f"{count} profiles were left out"
        import logging

        logging.getLogger("lineshaft").warning("%s: %s", left, self._unread[0])


def _of_task(task: str | Enqueues[..., object], version: int | None, since: Duration | datetime | None) -> _Request:
    name = task if isinstance(task, str) else getattr(getattr(task, "task", None), "name", None)
    if name is None:
        raise wrong("task", task, "a task, or its name")
    if version is not None:
        version = version_number("version", version)
    return lambda before, client: _ask(None, None, name, version, _since_us(since), before, client)


def _since_us(since: Duration | datetime | None) -> int | None:
    if since is None:
        return None
    if not isinstance(since, datetime):
        return int((time.time() - duration("since", since)) * 1e6)
    if since.tzinfo is None:
        raise wrong("since", since, "a datetime with a time zone, or how long ago")
    return int(since.timestamp() * 1e6)


def _ask(
    key: bytes | None,
    attempt: int | None,
    task: str | None,
    version: int | None,
    since_us: int | None,
    before: int | None,
    client: _native.Client,
) -> _native.Reply[_Answer]:
    return client.profiles(key, attempt, task, version, since_us, before)


def _same(answer: _Answer) -> _Answer:
    return answer
