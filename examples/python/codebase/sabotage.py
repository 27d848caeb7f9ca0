"""Kills a worker process in the middle of the work, and finds out what became of its job."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from lineshaft import Job

TRIES_MAX = 5
"""A process may be hit between two jobs; then another one is."""
PATIENCE_S = 3.0
"""How long the job that was hit may take to come back before the kill counts as a miss."""


class Sabotage:
    """One SIGKILL when `at` jobs have ended, none if that is None. Is told of every job that ends."""

    def __init__(self, at: int | None) -> None:
        self._at = at
        self._ended = 0
        self._process: int | None = None
        self._tries = 0
        self._killed_at = 0.0
        self._is_over = at is None

    def saw_end(self, job: Job[Any], label: str, process: int | None) -> str | None:
        """A job has ended, in this process if that is known; gives what there is to tell."""
        self._ended += 1
        self._process = process or self._process
        if self._is_over or self._ended < (self._at or 0):
            return None
        if not self._tries or time.time() - self._killed_at > PATIENCE_S:
            return self._kill()
        return self._tell(job, label)

    def last_word(self) -> str | None:
        """What there is to tell when all jobs have ended."""
        return None if self._is_over or not self._tries else "it had nothing in its hands"

    def _kill(self) -> str | None:
        if self._tries == TRIES_MAX:
            self._is_over = True
            return f"none of {TRIES_MAX} processes killed had a job in its hands"
        if self._process is None:
            return None
        self._tries += 1
        process, self._process = self._process, None
        self._killed_at = time.time()
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            return None
        return f"kill -9 {process}: a worker process is dead"

    def _tell(self, job: Job[Any], label: str) -> str | None:
        attempts = job.attempts()
        crashed = next((attempt for attempt in attempts if attempt.outcome == "crashed"), None)
        if crashed is None:
            return None
        self._is_over = True
        after = next(attempt for attempt in attempts if attempt.number > crashed.number)
        later = round((after.started_at.timestamp() - self._killed_at) * 1000)
        return (
            f"it was measuring {label}: attempt {crashed.number} crashed, "
            f"attempt {after.number} began {later} ms after the kill and {after.outcome}"
        )
