"""Which lines allocate, by `tracemalloc`."""

from __future__ import annotations

import os
import threading
import tracemalloc

_OWN = os.path.dirname(__file__) + os.sep
LINES_MAX = 100
"""Lines of one profile whose memory has changed most."""

_lock = threading.RLock()
"""Of what follows. A watch may be let go of while garbage is collected, in a thread that has the lock already."""
_watches: set[Watch] = set()
"""Those for whom tracing is on. It is the same for all threads, so it ends with the last of them."""
_tracings = 0
"""How often tracing was turned on here: what was traced before is gone."""


class Watch:
    """What lines of the whole process allocate from now on and have not given back at the end.

    Tracing that was on already, by the program itself, stays on. Files below `left_out` have no part in it.
    """

    def __init__(self, left_out: str = _OWN) -> None:
        self._left_out = left_out, tracemalloc.__file__
        self.bytes_max = self._first_bytes = 0
        with _lock:
            _join(self)
            self._tracing = _tracings
        try:
            self._before = _by_line()
        except BaseException:
            self.leave()
            raise
        with _lock:
            self._first_bytes, self.bytes_max = tracemalloc.get_traced_memory()[0], 0
            _forget_peak()

    def end(self) -> tuple[list[tuple[str, int, int, int]], int]:
        """Lines with the bytes and blocks they have more or less, those that differ most, and the most bytes meanwhile.

        No lines if somebody has turned tracing off, which takes all of it away. The most bytes are 0 if the program
        itself traces: only one can ask for them.
        """
        try:
            with _lock:
                _note_peak()
                is_whole = tracemalloc.is_tracing() and self._tracing == _tracings
            rows = self._changes() if is_whole else []
            with _lock:
                _forget_peak()
            return rows, self.bytes_max
        finally:
            self.leave()

    def leave(self) -> None:
        """Nobody wants to know any more; nothing if that was said before."""
        with _lock:
            if self in _watches:
                _watches.discard(self)
                if not _watches:
                    tracemalloc.stop()

    def _changes(self) -> list[tuple[str, int, int, int]]:
        after, before, none = _by_line(), self._before, (0, 0)
        rows = []
        for place in after.keys() | before.keys():
            (size, blocks), (size_before, blocks_before) = after.get(place, none), before.get(place, none)
            if size != size_before and not place[0].startswith(self._left_out):
                rows.append((*place, size - size_before, blocks - blocks_before))
        rows.sort(key=lambda row: (-abs(row[2]), row))
        return rows[:LINES_MAX]


def _by_line() -> dict[tuple[str, int], tuple[int, int]]:
    """Bytes and blocks of each line, by file and line.

    What is looked for is grouped first and left out then: the other way round each of a million blocks is asked.
    """
    lines = tracemalloc.take_snapshot().statistics("lineno")
    return {(one.traceback[0].filename, one.traceback[0].lineno): (one.size, one.count) for one in lines}


def _join(watch: Watch) -> None:
    global _tracings
    if not tracemalloc.is_tracing():
        tracemalloc.start()
        _tracings += 1
    elif not _watches:
        return  # the program itself has turned it on
    _note_peak()
    _watches.add(watch)


def _note_peak() -> None:
    """Before the peak is forgotten, all who may want it have it."""
    peak = tracemalloc.get_traced_memory()[1]
    for watch in list(_watches):
        watch.bytes_max = max(watch.bytes_max, peak - watch._first_bytes)


def _forget_peak() -> None:
    """A snapshot takes memory itself, which is no part of what is looked at."""
    if _watches:
        tracemalloc.reset_peak()


def _forked() -> None:
    """In the child nobody is interested any more."""
    global _lock
    _lock = threading.RLock()
    if _watches:
        _watches.clear()
        tracemalloc.stop()


os.register_at_fork(after_in_child=_forked)
