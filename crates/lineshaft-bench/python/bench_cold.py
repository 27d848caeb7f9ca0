"""From nothing running to the first result: prints the seconds from before the import of lineshaft until a worker, on a
server that starts with it, has run the first job. Waits for a line on standard input before it begins.
"""

from __future__ import annotations

import sys
import time

sys.stdin.readline()
began = time.perf_counter()

from bench_app import app, nothing  # noqa: E402 - the import is part of what is measured

with app.workers(1):
    assert nothing.enqueue("x").result() == 1
    print(time.perf_counter() - began, flush=True)
