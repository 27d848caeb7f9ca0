"""What a profiler has found."""

from __future__ import annotations

import linecache
import os
from pathlib import Path
from typing import NamedTuple

from .. import _native
from .._options import wrong


class HotFunction(NamedTuple):
    """A function, and the time that went there. Shares are parts of all time of the threads, from 0 to 1."""

    function: str
    file: str
    line: int
    """Its first line."""
    share: float
    """Of the function itself."""
    total_share: float
    """Of it and of what it called; of one that calls itself, the outermost call counts."""
    wall: float
    """Seconds that passed in the function itself."""
    cpu: float
    """Seconds of these in which the thread had a processor."""
    total_wall: float
    awaited: float
    """Seconds in which tasks were suspended in it, or in what it awaited; of all tasks together."""
    samples: int


class HotLine(NamedTuple):
    """A line, and the time that went there without what it called."""

    file: str
    line: int
    function: str
    share: float
    """The part of all time of the threads, from 0 to 1."""
    wall: float
    cpu: float
    samples: int

    @property
    def source(self) -> str:
        """The text of the line, as the file has it now; empty if it is not there."""
        return linecache.getline(self.file, self.line).strip()


class Change(NamedTuple):
    """A function whose part of the time is another one, from 0 to 1, without what it called."""

    function: str
    file: str
    before: float
    after: float


class Allocation(NamedTuple):
    """Memory that a line has allocated and that was not given back."""

    file: str
    line: int
    bytes: int
    blocks: int


class Track(NamedTuple):
    """A thread, or a task that was suspended."""

    name: str
    awaiting: bool
    """Whether it is what a task waited for. Tasks that were given no name are together, by their coroutine function."""
    wall: float
    cpu: float
    samples: int


class Profile:
    """Where time went: what `with lineshaft.profile() as found:` has found at the end of its block.

    Profiles can be merged, also those of several processes and machines, compared, kept as bytes, pickled, shown with
    `print` and saved for a browser, speedscope or pprof. They are bounded: 65,536 places of a program, 512 calls from
    the innermost, 1,024 threads and tasks; what is beyond is counted in `(more)` and `(deeper)`.
    """

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = _native.ProfileData()

    @classmethod
    def from_bytes(cls, data: bytes, /) -> Profile:
        """The profile that `to_bytes` has given, of this version of Lineshaft or an older one.

        Raises `ValueError` for bytes that are none, or damaged.
        """
        return cls._of(_native.ProfileData.from_bytes(data))

    @classmethod
    def _of(cls, data: _native.ProfileData) -> Profile:
        profile = cls.__new__(cls)
        profile._data = data
        return profile

    def to_bytes(self) -> bytes:
        """All of it in few bytes: some 10 for each place where the program was seen."""
        return self._data.to_bytes()

    @property
    def samples(self) -> int:
        """How often a thread was looked at; 0 if it took less than a period, which is 10 ms unless `hz` says else."""
        return self._data.total(False)[2]

    @property
    def duration(self) -> float:
        """Seconds that passed while it was measured; of merged profiles the sum."""
        return self._data.duration_ns / 1e9

    @property
    def wall(self) -> float:
        """Seconds that samples stand for, of all threads together."""
        return self._data.total(False)[0] / 1e9

    @property
    def cpu(self) -> float:
        """Seconds of `wall` in which a thread had a processor. Known on Linux alone, elsewhere 0."""
        return self._data.total(False)[1] / 1e9

    @property
    def awaited(self) -> float:
        """Seconds in which tasks of asyncio were suspended, of all tasks together."""
        return self._data.total(True)[0] / 1e9

    @property
    def garbage(self) -> float:
        """Seconds in which garbage was collected."""
        return self._data.garbage[0] / 1e9

    @property
    def more(self) -> int:
        """Samples of places, threads and tasks that were more than a profile has room for."""
        return self._data.more()[2]

    def tracks(self) -> list[Track]:
        """Threads and tasks, in the order in which they were first seen."""
        return [
            Track(name, awaiting, wall / 1e9, cpu / 1e9, n) for name, awaiting, (wall, cpu, n) in self._data.tracks()
        ]

    def hot_lines(self, n: int = 10) -> list[HotLine]:
        """The `n` lines where most time went, the hottest first."""
        whole = self._data.total(False)[0] or 1
        rows = self._data.hot_lines(_count(n))
        return [
            HotLine(file, line, name, wall / whole, wall / 1e9, cpu / 1e9, samples)
            for name, file, line, (wall, cpu, samples) in rows
        ]

    def hot_functions(self, n: int = 10) -> list[HotFunction]:
        """The `n` functions where most time went, without what they called; the hottest first."""
        whole = self._data.total(False)[0] or 1
        return [
            HotFunction(
                name,
                file,
                line,
                own[0] / whole,
                total[0] / whole,
                own[0] / 1e9,
                own[1] / 1e9,
                total[0] / 1e9,
                awaited[0] / 1e9,
                own[2],
            )
            for name, file, line, own, total, awaited in self._data.hot_functions(_count(n))
        ]

    def allocations(self, n: int = 10) -> list[Allocation]:
        """The `n` lines whose memory has changed most, where that was looked for; else none.

        It is by `lineshaft.profile(memory=True)` and, of attempts of jobs, `profile="memory"`. Of merged profiles it is
        the sum. A line has less than none where it has given back what others saw it take.
        """
        return [Allocation(*row) for row in self._data.allocations()[: _count(n)]]

    @property
    def memory_peak(self) -> int:
        """Bytes that lines had at most more than at the beginning; of merged profiles the most of one.

        0 where that was not looked for, and where the program itself has `tracemalloc` on.
        """
        return self._data.memory_bytes_max

    def merge(self, other: Profile, /) -> None:
        """Adds what another one has found."""
        if not isinstance(other, Profile):
            raise wrong("other", other, "a Profile")
        self._data.merge(other._data)

    def diff(self, after: Profile, /) -> list[Change]:
        """How the parts of functions in the time differ between this profile and a later one, the greatest first.

        A function is the same one if name and file are, at whatever line it stands.
        """
        if not isinstance(after, Profile):
            raise wrong("after", after, "a Profile")
        return [Change(*row) for row in self._data.diff(after._data)]

    def advice(self) -> list[str]:
        """Sentences with figures on what would be faster; none where nothing stands out, or below 20 samples.

        They are on garbage collection, json, pickle and copies, locks, imports and regular expressions that are
        compiled, a line with more than half of the time, and threads that wait more than they work.
        """
        return self._data.advice()

    def save(self, path: str | os.PathLike[str], /) -> None:
        """Writes a file, whose suffix says what.

        - `.svg`: a flame graph, for any browser. A click zooms; what is searched for is marked, and its part said.
        - `.html`: the same as a page, with advice and the hottest functions and lines.
        - `.speedscope.json`: for https://www.speedscope.app.
        - `.pb.gz`: for pprof.

        Raises `OptionError` for another suffix.
        """
        name = os.fspath(path)
        for suffix, content in _FORMATS.items():
            if name.endswith(suffix):
                title = os.path.basename(name).removesuffix(suffix) or "profile"
                Path(name).write_bytes(content(self, title))
                return
        # Without directories, which may be long: the suffix is to be seen.
        raise wrong("path", os.path.basename(name), f"a name that ends with {', '.join(_FORMATS)}")

    def __str__(self) -> str:
        from ._table import table

        return table(self)

    def __repr__(self) -> str:
        return f"<Profile: {self.samples} samples in {self.duration:.3g} s>"

    def __reduce__(self) -> tuple[object, ...]:
        return Profile.from_bytes, (self.to_bytes(),)


def _count(n: int) -> int:
    if not isinstance(n, int) or isinstance(n, bool) or n < 0:
        raise wrong("n", n, "a number from 0 on")
    return min(n, 1 << 31)


def _svg(profile: Profile, title: str) -> bytes:
    return profile._data.svg(title).encode()


def _html(profile: Profile, title: str) -> bytes:
    places = [(one.file, one.line) for one in profile.hot_lines(100)]
    places += [(one.file, one.line) for one in profile.allocations(100)]
    source = {place: linecache.getline(*place).strip() for place in places}
    return profile._data.html(title, source).encode()


def _speedscope(profile: Profile, title: str) -> bytes:
    return profile._data.speedscope(title).encode()


def _pprof(profile: Profile, title: str) -> bytes:
    return profile._data.pprof()


_FORMATS = {".svg": _svg, ".html": _html, ".speedscope.json": _speedscope, ".pb.gz": _pprof}
