"""What the attempts of a job logged, as the engine keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ._options import attempt_number

if TYPE_CHECKING:
    from typing import TypeAlias

    from . import _native
    from ._app import App

    _Row: TypeAlias = tuple[
        int, int, str, str, list[tuple[str, str]], int, str, str, tuple[str, int, str] | None, str | None
    ]

__all__ = ["LogEntry", "aentries_of", "entries_of"]

_NAMES = {5: "trace", 10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class LogEntry(NamedTuple):
    """A record that an attempt logged."""

    time: datetime
    """When, in UTC, by the worker's clock; to the microsecond."""
    level: int
    """How much it matters: 5 trace, 10 debug, 20 info, 30 warning, 40 error, 50 critical."""
    logger: str
    message: str
    fields: dict[str, Any]
    """What it was logged with, as JSON has it: texts, numbers, truths, None, lists and dicts."""
    attempt: int
    """Which attempt of the job, from 1."""
    task: str
    worker: str
    """`host:pid`."""
    file: str | None
    """Where in the source, as `line` and `function`; None if that is not known."""
    line: int | None
    function: str | None
    exception: str | None
    """The exception with its traceback, if one was logged."""

    @property
    def level_name(self) -> str:
        """The name of the level, or its number as a text."""
        return _NAMES.get(self.level, str(self.level))


def entries_of(app: App, key: bytes, attempt: int | None) -> list[LogEntry]:
    """All that the attempts of a job logged, in the order in which the engine got it."""
    attempt = attempt_number(attempt)
    page = _Page([], None, False)
    entries: list[LogEntry] = []
    while not page.is_end:
        page = app._connection.ask(partial(_ask, key, attempt, page.after), _page)
        entries += page.entries
    return entries


async def aentries_of(app: App, key: bytes, attempt: int | None) -> list[LogEntry]:
    """`entries_of` for coroutines."""
    attempt = attempt_number(attempt)
    page = _Page([], None, False)
    entries: list[LogEntry] = []
    while not page.is_end:
        page = await app._connection.aask(partial(_ask, key, attempt, page.after), _page)
        entries += page.entries
    return entries


class _Page(NamedTuple):
    entries: list[LogEntry]
    after: int | None
    is_end: bool


def _ask(
    key: bytes, attempt: int | None, after: int | None, client: _native.Client
) -> _native.Reply[tuple[list[_Row], int | None, bool]]:
    return client.logs(key, attempt, after)


def _page(answer: tuple[list[_Row], int | None, bool]) -> _Page:
    rows, after, is_end = answer
    return _Page([_entry(*row) for row in rows], after, is_end)


def _entry(
    time_us: int,
    level: int,
    logger: str,
    message: str,
    fields: Iterable[tuple[str, str]],
    attempt: int,
    task: str,
    worker: str,
    place: tuple[str, int, str] | None,
    exception: str | None,
) -> LogEntry:
    file, line, function = place or (None, None, None)
    return LogEntry(
        _EPOCH + timedelta(microseconds=time_us),
        level,
        logger,
        message,
        {name: json.loads(value) for name, value in fields},
        attempt,
        task,
        worker,
        file,
        line,
        function,
        exception,
    )


LogEntry.__module__ = "lineshaft"
