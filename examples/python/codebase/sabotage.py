"""Kills a worker process in the middle of the work, and finds out what became of its job."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from lineshaft import Job

TRIES_MAX = 5
"""A process may be hit between two jobs; then another one is."""
PATIENCE_S = 0.5
"""How long the job that was hit may take to come back before the kill counts as a miss."""


class Sabotage:
    """One SIGKILL when `at` jobs have ended. Fed with every job that ends."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._ended = 0
        self._process = 0
        self._tries = 0
        self._killed_at = 0.0
        self._is_over = False

    def saw_process(self, process: int) -> None:
        """A job that has just ended was run by this process."""
        self._process = process

    def saw_end(self, job: Job[Any], label: str) -> str | None:
        """Looks at a job that has ended; gives what there is to tell."""
        self._ended += 1
        if self._is_over or self._ended < self._at:
            return None
        if not self._tries or time.time() - self._killed_at > PATIENCE_S:
            return self._kill()
        return self._tell(job, label)

    def _kill(self) -> str | None:
        if self._tries == TRIES_MAX:
            self._is_over = True
            return f"every one of {TRIES_MAX} kills hit a process between two jobs"
        if not self._process:
            return None
        self._tries += 1
        process, self._process = self._process, 0
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
