"""Pools opened and closed again and again: what a program has afterwards that it did not have before.

`python benches/parallel/many_pools.py [POOLS] [KIND ...]`, by default 100,000 of the kinds `thread` and `warm`, whose
workers wait for the next pool; those of `fork` and `spawn` are started for each. Exit code 1 if anything is left.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lineshaft import Pool

SAMPLES = 10
RSS_GROWTH_MAX = 8 << 20
"""Bytes that the allocator may have taken meanwhile."""
_SPAWN: Any = multiprocessing.get_context("spawn")
_FORK: Any = multiprocessing.get_context("fork")
KINDS: dict[str, Callable[[], Pool]] = {
    "thread": lambda: Pool(2, kind="thread"),
    "warm": lambda: Pool(2, context=_SPAWN),
    "fork": lambda: Pool(2, context=_FORK),
    "spawn": lambda: Pool(2, context=_SPAWN, warm=False),
}


def held() -> dict[str, int]:
    """What this process has, in numbers."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "children": len(children),
        "zombies": sum(_state_of(pid) == "Z" for pid in children),
        "mappings": len(Path("/proc/self/maps").read_text().splitlines()),
        "shm": len(os.listdir("/dev/shm")),
        "rss": int(status.split("VmRSS:")[1].split()[0]) << 10,
    }


def _state_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def wear(kind: str, pools: int) -> bool:
    """Opens and closes so many; whether nothing is left."""
    make = KINDS[kind]

    def use() -> None:
        with make() as pool:
            assert pool.map(abs, [-1, -2]) == [1, 2]
        pool.join()  # Threads finish what they have begun.

    for _ in range(max(pools // 100, 20)):  # what is there once: imports, a server, workers that wait, the heap
        use()
    before, began = held(), time.monotonic()
    for sample in range(SAMPLES):
        for _ in range(pools // SAMPLES):
            use()
        now, seconds = held(), time.monotonic() - began
        print(f"{kind}: {(sample + 1) * pools // SAMPLES} pools, {seconds:.0f} s: {now}", flush=True)
    grown = {name: now[name] - before[name] for name in now}
    print(f"{kind}: {pools / seconds:.0f} pools a second, grown by {grown}", flush=True)
    growth = grown.pop("rss")
    grown.pop("mappings")  # the allocator's
    return growth <= RSS_GROWTH_MAX and all(number <= 0 for number in grown.values())


if __name__ == "__main__":
    words = sys.argv[1:]
    number = int(words.pop(0)) if words and words[0].isdigit() else 100_000
    outcomes = [wear(kind, number) for kind in words or ("thread", "warm")]
    sys.exit(0 if all(outcomes) else 1)
