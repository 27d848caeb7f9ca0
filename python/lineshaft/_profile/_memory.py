"""Which lines allocate, by `tracemalloc`."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

from .. import _native

_OWN = os.path.dirname(__file__)
LINES_MAX = 100
"""Lines of one profile whose memory has changed most."""

_users = 0
"""Profiles that have tracing on, if it is on because of them."""


@contextmanager
def allocations_of(data: _native.ProfileData) -> Iterator[None]:
    """Adds what lines allocate in the block and have not given back at its end."""
    _begin()
    try:
        before = tracemalloc.take_snapshot()
        try:
            yield
        finally:
            if tracemalloc.is_tracing():  # whoever turned it off has taken all of it away
                data.allocated(_changes(before, tracemalloc.take_snapshot()))
    finally:
        _end()


def _begin() -> None:
    global _users
    if _users or not tracemalloc.is_tracing():
        if not _users:
            tracemalloc.start()
        _users += 1


def _end() -> None:
    global _users
    if _users:
        _users -= 1
        if not _users:
            tracemalloc.stop()


def forget() -> None:
    """In a forked child: nobody is interested any more."""
    global _users
    if _users:
        _users = 0
        tracemalloc.stop()


def _changes(before: tracemalloc.Snapshot, after: tracemalloc.Snapshot) -> list[tuple[str, int, int, int]]:
    left_out = [tracemalloc.Filter(False, os.path.join(_OWN, "*")), tracemalloc.Filter(False, tracemalloc.__file__)]
    changes = after.filter_traces(left_out).compare_to(before.filter_traces(left_out), "lineno")
    rows = ((one.traceback[0].filename, one.traceback[0].lineno, one.size_diff, one.count_diff) for one in changes)
    return [row for row in rows if row[2]][:LINES_MAX]
