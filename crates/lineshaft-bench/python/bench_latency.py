"""Enqueues one job every 10 ms and waits for each. For each number on standard input: prints so many starts, then so
many round trips, in nanoseconds from before the enqueue until the body began, and until the result was here.
"""

from __future__ import annotations

import sys
import time

from bench_app import stamp

TEXT = "x" * 100
PACE_NS = 10_000_000

for line in sys.stdin:
    starts, trips = [], []
    following = time.monotonic_ns()
    for _ in range(int(line)):
        following += PACE_NS
        time.sleep(max(0, following - time.monotonic_ns()) / 1e9)
        enqueued = time.monotonic_ns()
        began = stamp.enqueue(TEXT).result(30)
        trips.append(time.monotonic_ns() - enqueued)
        starts.append(began - enqueued)
    print(*starts, *trips, flush=True)
