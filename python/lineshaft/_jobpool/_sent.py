"""Some calls of any sources that become jobs together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .. import _native
    from ._source import Source

__all__ = ["Batch"]


class Batch:
    """Calls on their way to be jobs, and then the jobs. Whose they are is kept as runs, which take no room."""

    def __init__(self) -> None:
        self.calls: list[_native.Call[Any]] = []
        """Until they are jobs."""
        self.runs: list[tuple[Source, int, int]] = []
        """Source, place of its first item here, and how many of them."""
        self.ids = b""
        self.foreign: frozenset[int] = frozenset()
        """Positions of jobs that were there before: another `enqueue` made them."""
        self.left: dict[bytes, list[tuple[Source, int]]] = {}
        """Who waits for which job, of those that are followed. Two items may have the same one: `unique` says so."""

    def __len__(self) -> int:
        return sum(count for _, _, count in self.runs)

    def owners(self) -> Iterator[tuple[Source, int]]:
        """Source and place of each."""
        return ((source, place) for source, first, count in self.runs for place in range(first, first + count))

    def add(self, source: Source, place: int, call: _native.Call[Any]) -> None:
        """One more call."""
        self.calls.append(call)
        if self.runs:
            last, first, count = self.runs[-1]
            if last is source and first + count == place:
                self.runs[-1] = last, first, count + 1
                return
        self.runs.append((source, place, 1))

    def split(self, count: int) -> Batch:
        """The first so many of them, which this one has no longer."""
        part = Batch()
        part.calls, self.calls = self.calls[:count], self.calls[count:]
        while count:
            source, first, length = self.runs.pop(0)
            taken = min(count, length)
            part.runs.append((source, first, taken))
            if taken < length:
                self.runs.insert(0, (source, first + taken, length - taken))
            count -= taken
        return part

    def become(self, ids: bytes, existing: list[int]) -> None:
        """The jobs are made."""
        self.ids, self.foreign, self.calls = ids, frozenset(existing), []

    def follow(self) -> None:
        """From here on it is told which of them are left."""
        for source, _, count in self.runs:
            source.followed += count
        for position, owner in enumerate(self.owners()):
            self.left.setdefault(self.key(position), []).append(owner)

    def key(self, position: int) -> bytes:
        """The id of a job."""
        return self.ids[position * 16 : position * 16 + 16]

    def own(self) -> Iterator[bytes]:
        """The ids of jobs that were made for it and, as far as is known, have not ended."""
        keys = (self.key(position) for position in range(len(self)) if position not in self.foreign)
        return keys if not self.left else (key for key in keys if key in self.left)
