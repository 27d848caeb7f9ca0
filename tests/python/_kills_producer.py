"""A client that makes jobs until SIGTERM, then waits for their ends: `python _kills_producer.py RUN`.

An id goes to the ledger once `enqueue` has returned, and an end to the effects once the engine has told of it: whatever
those two files say has been promised.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

from _kills_app import app, note, work
from lineshaft import Job

BATCHES_IN_FLIGHT = 12
BATCH_SIZES = (1, 1, 1, 5, 40)
SECONDS = (0.0, 0.0, 0.0, 0.001, 0.03)
"""Of a job. Most are so short that a worker takes several ahead, some long enough to be killed in the middle."""


class Producer:
    def __init__(self, run: str) -> None:
        self._run = run
        self._numbers = count()
        self._random = random.Random(run)
        self._ledger = os.open(os.environ["KILLS_LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._room = threading.Semaphore(BATCHES_IN_FLIGHT)
        self._stopping = threading.Event()

    def run(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: self._stopping.set())
        watches: list[Future[None]] = []
        with ThreadPoolExecutor(BATCHES_IN_FLIGHT) as pool:
            while not self._stopping.is_set():
                if self._room.acquire(timeout=0.05):
                    watches.append(pool.submit(self._watch, self._enqueue()))
        for watch in watches:
            watch.result()

    def _enqueue(self) -> list[Job[str]]:
        size = self._random.choice(BATCH_SIZES)
        calls = [work.si(f"{self._run}-{next(self._numbers)}", self._random.choice(SECONDS)) for _ in range(size)]
        jobs = app.enqueue_many(calls) if size > 1 else [work.enqueue(*calls[0].args)]
        lines = (f"{job.id} {call.args[0]}\n" for job, call in zip(jobs, calls, strict=True))
        os.write(self._ledger, "".join(lines).encode())
        os.fsync(self._ledger)
        return jobs

    def _watch(self, jobs: list[Job[str]]) -> None:
        for job in app.as_completed(jobs):
            note("told", job.id, 0, job.result())
        self._room.release()


if __name__ == "__main__":
    Producer(sys.argv[1]).run()
