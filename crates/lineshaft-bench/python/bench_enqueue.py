"""Enqueues jobs in batches of 1,000, each of them one durable commit. For each number on standard input: prints how
many seconds so many took.
"""

from __future__ import annotations

import sys
import time

from bench_app import nothing

TEXT = "x" * 100

for line in sys.stdin:
    calls = (nothing.si(TEXT) for _ in range(int(line)))
    began = time.perf_counter()
    nothing.enqueue_many(calls)
    print(time.perf_counter() - began, flush=True)
