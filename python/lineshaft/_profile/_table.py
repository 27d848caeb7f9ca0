"""A profile as text, for people."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._profile import Profile

ROWS = 10
SOURCE_MAX = 60


def table(profile: Profile) -> str:
    """What a profile says, in some thirty lines; names that would steer a terminal are shown escaped."""
    return "".join(sign if sign.isprintable() or sign == "\n" else ascii(sign)[1:-1] for sign in _table(profile))


def _table(profile: Profile) -> str:
    tasks = _tasks(profile)
    if not profile.samples and not tasks:
        none = (
            f"no samples in {time(profile.duration)}: it took less than one period, or the thread was not there. "
            "A longer run shows more, or a greater `hz`."
        )
        return "\n\n".join(part for part in (none, _memory(profile)) if part)
    if profile.samples:
        cpu = profile.cpu / profile.wall if profile.wall else 0.0
        processor = f"{percent(cpu).strip()} of it with a processor"
        parts = [f"{profile.samples} samples in {time(profile.duration)}, {processor}"]
        parts += [_functions(profile), _lines(profile)]
    else:
        parts = [f"no samples of a thread in {time(profile.duration)}: tasks only waited"]
    parts += [tasks, _memory(profile), "\n".join(profile.advice())]
    return "\n\n".join(part for part in parts if part)


def _functions(profile: Profile) -> str:
    rows = [
        f"{percent(one.share)} {percent(one.total_share)}  {one.function} ({place(one.file, one.line)})"
        for one in profile.hot_functions(ROWS)
        if one.total_wall
    ]
    return "\n".join(["   self   total  function", *rows])


def _lines(profile: Profile) -> str:
    rows = [
        f"{percent(one.share)} {time(one.wall):>8}  {place(one.file, one.line)}  {_cut(one.source)}".rstrip()
        for one in profile.hot_lines(ROWS)
    ]
    return "\n".join(["   self     time  line", *rows])


def _tasks(profile: Profile) -> str:
    functions = [one for one in profile.hot_functions(1 << 30) if one.awaited]
    if not functions:
        return ""
    functions.sort(key=lambda one: -one.awaited)
    rows = [f"{time(one.awaited):>8}  {one.function} ({place(one.file, one.line)})" for one in functions[:ROWS]]
    return "\n".join([" awaited  function", *rows])


def _memory(profile: Profile) -> str:
    rows = [
        f"{one.bytes / 1024:+10.1f} KiB {one.blocks:+8}  {place(one.file, one.line)}"
        for one in profile.allocations(ROWS)
    ]
    most = profile.memory_peak
    said = [f"at most {most / 1024:.1f} KiB of memory more than at the beginning"] if most else []
    return "\n".join([*said, "        memory   blocks  line", *rows]) if rows else "".join(said)


def place(file: str, line: int) -> str:
    """Where something is, from the current directory or of a module if it is there."""
    shown = file
    for directory in (os.getcwd(), *sys.path):
        start = directory.rstrip(os.sep) + os.sep
        if len(start) > 1 and file.startswith(start) and len(file) - len(start) < len(shown):
            shown = file[len(start) :]
    return f"{shown}:{line}" if line else shown


def percent(share: float) -> str:
    """A part of 1, in seven signs."""
    return f"{100 * share:5.1f} %"


def time(seconds: float) -> str:
    """A time, with its unit."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _cut(text: str) -> str:
    return text if len(text) <= SOURCE_MAX else f"{text[: SOURCE_MAX - 3]}..."
