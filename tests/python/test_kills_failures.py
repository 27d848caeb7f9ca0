"""kill -9 of children, workers, servers and clients while jobs give up: each of them has one handler, and that ran.

`LINESHAFT_KILL_ROUNDS` is the number of kills of each kind (3), `LINESHAFT_KILL_SEED` repeats a run.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from support.processes import Stage, crew_of, kill, until

ROUNDS = int(os.environ.get("LINESHAFT_KILL_ROUNDS", "3"))
SEED = int(os.environ.get("LINESHAFT_KILL_SEED", random.SystemRandom().randrange(1 << 32)))
APP = "_kills_failures_app"


class Rounds:
    """A server, a worker with two children and a client, killed in turn and started again."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.random = random.Random(SEED)
        self.runs = 0
        self.server = stage.server()
        self.worker = stage.worker("--queues", "default", target=APP)
        self.producer = self.produce()

    def produce(self) -> Any:
        self.runs += 1
        self.promised = len(lines_of(self.stage.ledger))
        return self.stage.start("producer", f"{APP}.py", f"{SEED}-{self.runs}")

    def round(self, kind: str) -> None:
        handled = len(lines_of(self.stage.effects))
        until(lambda: len(lines_of(self.stage.effects)) > handled, "failures are handled")
        time.sleep(self.random.uniform(0, 0.3))
        children = crew_of(self.worker)
        if kind == "child":
            kill([self.random.choice(children)])
        if kind in ("worker", "all"):
            kill([self.worker.pid, *children])
            self.worker.kill()
        if kind in ("server", "all"):
            self.server.kill()
            self.server = self.stage.server()
        if kind in ("worker", "all"):
            self.worker = self.stage.worker("--queues", "default", target=APP)
        if kind == "all":
            self.producer.kill()
            self.producer = self.produce()

    def finish(self) -> list[dict[str, Any]]:
        """Lets everything come to its end; what a server says that has only the disk to go by."""
        until(lambda: len(lines_of(self.stage.ledger)) > self.promised, "the newest client has jobs")
        assert self.producer.terminate() == 0, self.producer.text()
        until(lambda: not self.jobs("scheduled", "available", "running", "retryable"), "every job ends")
        assert self.worker.terminate() == 0, self.worker.text()
        self.server.kill()
        self.server = self.stage.server()
        return self.jobs()

    def jobs(self, *states: str) -> list[dict[str, Any]]:
        options = [option for state in states for option in ("--state", state)]
        listed = self.stage.run("job", "list", "--json", "--limit", "1000000", *options)
        assert listed.returncode == 0, listed.stderr
        return list(json.loads(listed.stdout)["jobs"])


def lines_of(path: Path) -> list[str]:
    """The lines that were written to their end."""
    return path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []


def test_every_job_that_gave_up_has_one_handler_whatever_is_killed(stage):
    print(f"\nseed {SEED}: LINESHAFT_KILL_SEED={SEED} repeats the points of the kills")
    rounds = Rounds(stage)
    kinds = [kind for kind in ("child", "worker", "server", "all") for _ in range(ROUNDS)]
    rounds.random.shuffle(kinds)
    for kind in kinds:
        rounds.round(kind)
    jobs = rounds.finish()
    failed = {job["id"]: job for job in jobs if job["task"] == f"{APP}.give_up"}
    handlers = {job["id"]: job for job in jobs if job["task"] == f"{APP}.handle"}
    assert {job["state"] for job in failed.values()} == {"discarded"}
    assert set(lines_of(stage.ledger)) <= failed.keys(), "a promised job is gone"
    handled = Counter(job["failure_of"] for job in handlers.values())
    assert handled == dict.fromkeys(failed, 1), "one handler for each"
    assert all(handlers[job["handled_by"]]["failure_of"] == job["id"] for job in failed.values())
    # A handler whose child was killed three times in a row would give up itself; it has no handler.
    ran = {line.split()[1] for line in lines_of(stage.effects)}
    given_up = {job["failure_of"] for job in handlers.values() if job["state"] == "discarded"}
    assert failed.keys() - given_up <= ran <= failed.keys()
    reasons = Counter(job["reason"] for job in failed.values())
    print(f"{len(failed)} jobs gave up ({dict(reasons)}), {len(handlers)} handlers, {len(given_up)} gave up")
