"""What native functions in a profile cost: `native.py PAIRS`.

The same work with a profile of 100 looks a second, without native functions and with, in turns, in this process: the
ratio is the median over the pairs. What a look takes more is the processor time more of the whole process, for each
look.
"""

from __future__ import annotations

import hashlib
import random
import statistics
import sys
import time
import zlib
from collections.abc import Callable

from profiles import work as plain

import lineshaft

RANDOM = random.Random(1)
FLOATS = [RANDOM.random() for _ in range(200_000)]
TEXT = RANDOM.randbytes(1 << 16) * 40


def native() -> None:
    """C that keeps the interpreter's lock, and C that releases it."""
    for _ in range(3):
        sorted(FLOATS)
        zlib.compress(TEXT)
        hashlib.pbkdf2_hmac("sha256", b"word", b"salt", 100_000)


def measure(work: Callable[[], None], is_native: bool) -> tuple[float, float, int]:
    """Seconds of the clock and of processors while it works, and looks."""
    with lineshaft.profile(native=is_native) as found:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall, cpu, found.samples


def begin_and_end(is_native: bool) -> float:
    started = time.perf_counter()
    with lineshaft.profile(native=is_native):
        pass
    return time.perf_counter() - started


def main(pairs: int) -> None:
    for name, work in {"plain Python": plain, "C": native}.items():
        work()
        walls, looks = [], []
        for _ in range(pairs):
            without, with_native = measure(work, False), measure(work, True)
            walls.append(with_native[0] / without[0] - 1)
            looks.append((with_native[1] - without[1]) / max(1, with_native[2]))
        low, high = min(walls), max(walls)
        print(
            f"{name:14} {statistics.median(walls):+.1%} ({low:+.1%} to {high:+.1%}), "
            f"{1e6 * statistics.median(looks):+.0f} µs of a processor more for each look, median of {pairs} pairs"
        )
    for is_native in (False, True):
        times = [begin_and_end(is_native) for _ in range(20)]
        print(f"beginning and ending, native={is_native}: {1e3 * statistics.median(times):.2f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]))
