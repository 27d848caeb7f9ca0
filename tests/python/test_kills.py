"""kill -9 of everything, at random points, against files that the engine knows nothing of.

`LINESHAFT_KILL_ROUNDS` is the number of rounds of each kind (5), `LINESHAFT_KILL_SEED` repeats a run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import threading
import time
from typing import Any

import pytest

import lineshaft
from support.effects import by_job, check_job, check_record, effects_in, ledger_in, newest_effects_in, reruns_s
from support.processes import PATIENCE_S, Program, Stage, children_of, crew_of, is_alive, kill, until

ROUNDS = int(os.environ.get("LINESHAFT_KILL_ROUNDS", "5"))
SEED = int(os.environ.get("LINESHAFT_KILL_SEED", random.SystemRandom().randrange(1 << 32)))
KINDS = ("child", "worker", "server", "all")
LEASE_S = 15.0
AT_ONCE_S = 10.0
"""Far above what it takes (a second), far below a lease."""
IDLE_S = 30.0
MIB = 1 << 20


@pytest.fixture
def app(stage, monkeypatch):
    with stage.imported("_kills_app", monkeypatch) as app:
        yield app


@pytest.fixture(scope="module", autouse=True)
def idle():
    """A home with an on-demand server that has no connection. It is looked at last: being idle takes long."""
    stage = Stage()
    assert stage.run("status").returncode == 8, "it asks a running server only"
    assert stage.run("enqueue", "shop.later").returncode == 0
    yield stage, pid_of_server(stage)
    stage.close()


@pytest.fixture(scope="module", autouse=True)
def stopped():
    """Two workers with a child each, of which one stopped in the middle of a job. Also looked at late."""
    stage = Stage()
    stage.server()
    workers = [stage.worker(processes=1) for _ in range(2)]
    for worker in workers:
        crew_of(worker)
    job = json.loads(stage.run("enqueue", "_kills_app.work", '"stops"', "600", "--json").stdout)["id"]
    [start] = until(lambda: effects_in(stage.effects), "it starts")
    os.kill(start.pid, signal.SIGSTOP)
    yield stage, job, time.monotonic()
    stage.close()


def pid_of_server(stage: Stage) -> int:
    return json.loads(stage.run("status", "--json").stdout)["pid"]


def starts_of(stage: Stage, job: Any) -> list[Any]:
    return [effect for effect in effects_in(stage.effects) if (effect.what, effect.job) == ("start", job.id)]


# ---- Rounds of kills.


class Rounds:
    """A server, a worker with two children and a client, killed in turn and started again."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.random = random.Random(seed)
        self.kills: dict[str, dict[int, float]] = {kind: {} for kind in KINDS}
        self.runs = 0
        self.early_kills = 0
        self.server = stage.server()
        self.worker = stage.worker()
        self.producer = self.produce()

    def produce(self) -> Program:
        self.runs += 1
        return self.stage.start("producer", "_kills_producer.py", f"run{self.runs}")

    def round(self, kind: str) -> None:
        """Kills at a random point and starts again what was killed. The next kill may come before that has settled."""
        time.sleep(self.random.uniform(0, 0.5))
        if kind == "child" and self.early_kills == 2:
            # A worker whose first three children die before one of them is ready gives up, as it should.
            self.wait_for_ends(since=time.monotonic())
        self.early_kills += kind == "child"
        children = crew_of(self.worker)
        victims = {
            "child": [self.random.choice(children)],
            "worker": [self.worker.pid, *children],
            "server": [self.server.pid],
            "all": [self.server.pid, self.worker.pid, *children, self.producer.pid],
        }[kind]
        self.kills[kind].update(dict.fromkeys(victims, time.monotonic()))
        if kind == "worker" and self.random.random() < 0.5:
            victims = [self.worker.pid]  # the children end by themselves then
        self.random.shuffle(victims)
        kill(victims)
        self.restart(kind)
        if self.random.random() < 0.7:
            self.wait_for_ends(since=time.monotonic())

    def restart(self, kind: str) -> None:
        if kind in ("server", "all"):
            self.server.kill()
            self.server = self.stage.server()
        if kind in ("worker", "all"):
            self.worker.kill()
            self.worker = self.stage.worker()
            self.early_kills = 0
        if kind == "all":
            self.producer.kill()
            self.producer = self.produce()

    def wait_for_ends(self, since: float) -> None:
        def has_ended_something() -> bool:
            effects = newest_effects_in(self.stage.effects)
            return any(effect.what == "told" and effect.at_s > since for effect in effects)

        until(has_ended_something, "jobs end again")
        self.early_kills = 0
        assert not self.producer.has_ended(), self.producer.text()

    def finish(self) -> None:
        """Lets everything that was promised come to its end, and starts a server that has only the disk to go by."""
        self.wait_for_ends(since=time.monotonic())
        assert self.producer.terminate() == 0, self.producer.text()
        until(lambda: not self.unfinished(), "every job ends")
        assert self.worker.terminate() == 0, self.worker.text()
        self.server.kill()
        self.server = self.stage.server()

    def unfinished(self) -> list[dict[str, Any]]:
        states = ("scheduled", "available", "running", "retryable")
        return self.records(*(option for state in states for option in ("--state", state)))

    def records(self, *options: str) -> list[dict[str, Any]]:
        listed = self.stage.run("job", "list", "--json", "--limit", "1000000", *options)
        assert listed.returncode == 0, listed.stderr
        return json.loads(listed.stdout)["jobs"]


def test_nothing_that_was_promised_is_lost_or_run_again(stage):
    print(f"\nseed {SEED}: LINESHAFT_KILL_SEED={SEED} repeats the points of the kills")
    rounds = Rounds(stage, SEED)
    kinds = [kind for kind in KINDS for _ in range(ROUNDS)]
    rounds.random.shuffle(kinds)
    for kind in kinds:
        rounds.round(kind)
    rounds.finish()
    check_history(rounds)


def check_history(rounds: Rounds) -> None:
    effects, ledger = effects_in(rounds.stage.effects), ledger_in(rounds.stage.ledger)
    listed = rounds.records()
    records = {record["id"]: record for record in listed}
    assert len(records) == len(listed), "a job is there twice"
    assert ledger.keys() <= records.keys(), "a promised job is gone"
    jobs, killed = by_job(effects), {pid for kills in rounds.kills.values() for pid in kills}
    assert jobs.keys() == records.keys()
    for job, lines in jobs.items():
        check_job(lines, killed)
        check_record(records[job], lines)
    numbers = {(effect.number, effect.job) for effect in effects}
    assert len(numbers) == len(jobs) == len(dict(numbers)), "one call made two jobs"
    assert ledger.items() <= {job: number for number, job in numbers}.items()
    told = {effect.job for effect in effects if effect.what == "told"}
    print(f"{len(ledger)} jobs acknowledged, {len(records)} made, {len(told)} told to the client that made them")
    tell_times(rounds, effects)


def tell_times(rounds: Rounds, effects: list[Any]) -> None:
    waits = {kind: reruns_s(effects, rounds.kills[kind]) for kind in KINDS}
    for kind, seconds in waits.items():
        if seconds:
            median, most = statistics.median(seconds) * 1e3, max(seconds) * 1e3
            print(f"killed {kind:6}: {len(seconds)} attempts ran again, median {median:.0f} ms, at most {most:.0f} ms")


# ---- What else is killed.


def test_an_attempt_killed_with_its_child_runs_again_at_once(stage, app):
    stage.server()
    stage.worker()
    job = app.work.enqueue("long", 60)
    [first] = until(lambda: starts_of(stage, job), "it starts")
    kill([first.pid])
    began = time.monotonic()
    _, second = until(lambda: len(starts := starts_of(stage, job)) == 2 and starts, "it starts again")
    print(f"\nran again {(second.at_s - began) * 1e3:.1f} ms after the kill")
    assert second.at_s - began < AT_ONCE_S
    assert (second.attempt, is_alive(first.pid)) == (2, False)
    assert job.cancel()
    assert job.attempts()[0].outcome == "crashed"


def test_a_healthy_attempt_survives_restarts_of_the_server_without_a_second_run(stage, app):
    server = stage.server()
    stage.worker()
    job = app.work.enqueue("healthy", 3)
    [start] = until(lambda: starts_of(stage, job), "it starts")
    results: list[str] = []
    waiter = threading.Thread(target=lambda: results.append(job.result(timeout=PATIENCE_S)))
    waiter.start()
    for _ in range(2):
        server.kill()
        time.sleep(0.3)
        server = stage.server()
    waiter.join()
    assert results == ["healthy"]
    assert [(effect.what, effect.attempt, effect.pid) for effect in effects_in(stage.effects)] == [
        ("start", 1, start.pid),
        ("end", 1, start.pid),
    ]
    assert [attempt.outcome for attempt in job.attempts()] == ["succeeded"]


def test_an_attempt_that_ends_while_there_is_no_server_is_reported_to_the_next_one(stage, app):
    server = stage.server()
    stage.worker()
    job = app.work.enqueue("alone", 0.5)
    until(lambda: starts_of(stage, job), "it starts")
    server.kill()
    until(lambda: [effect for effect in effects_in(stage.effects) if effect.what == "end"], "it ends")
    stage.server()
    assert job.result(timeout=PATIENCE_S) == "alone"
    assert len(job.attempts()) == len(starts_of(stage, job)) == 1


def test_a_worker_that_dies_before_a_new_server_has_heard_of_it_is_noticed_before_its_leases_end(stage, app):
    server = stage.server()
    worker = stage.worker(processes=1)
    job = app.work.enqueue("unheard", 60)
    [start] = until(lambda: starts_of(stage, job), "it starts")
    for pid in (worker.pid, start.pid):
        os.kill(pid, signal.SIGSTOP)
    server.kill()
    stage.server()
    kill([worker.pid, start.pid])
    began = time.monotonic()
    stage.worker(processes=1)
    again = until(lambda: starts_of(stage, job)[1:], "it starts again")[0]
    print(f"\nran again {(again.at_s - began) * 1e3:.0f} ms after the kill")
    assert again.at_s - began < AT_ONCE_S


def test_work_of_a_killed_supervisor_goes_on_elsewhere_within_the_lease(stage, app):
    stage.server()
    first = stage.worker(processes=1)
    job = app.work.enqueue("moves", 60)
    [start] = until(lambda: starts_of(stage, job), "it starts")
    second = stage.worker(processes=1)
    crew_of(second)
    os.kill(first.pid, signal.SIGKILL)
    began = time.monotonic()
    again = until(lambda: starts_of(stage, job)[1:], "it starts elsewhere")[0]
    print(f"\nran elsewhere {(again.at_s - began) * 1e3:.0f} ms after the kill of the supervisor")
    assert not is_alive(start.pid)
    assert again.pid in children_of(second.pid)
    assert again.at_s - began < LEASE_S
    assert job.attempts()[0].outcome == "lost"


def test_a_cancelled_job_is_dead_with_its_processes_when_that_is_said(stage, app):
    stage.server()
    stage.worker("--grace", "500ms", processes=1)
    path = stage.directory / "pids"
    job = app.stubborn.enqueue(str(path))
    until(path.exists, "it runs")
    pids = [int(pid) for pid in path.read_text().split()]
    assert [is_alive(pid) for pid in pids] == [True] * 3
    assert job.cancel()
    record = job.refresh().record
    assert (record.state, record.cancelling) == ("running", True)
    with pytest.raises(lineshaft.TaskCancelled):
        job.result(timeout=PATIENCE_S)
    assert [is_alive(pid) for pid in pids] == [False] * 3
    assert app.work.enqueue("next", 0).result(timeout=PATIENCE_S) == "next"


# ---- Servers.


def test_a_second_server_is_refused_and_names_the_first(stage):
    server = stage.server()
    second = stage.run("serve")
    assert second.returncode == 3
    assert f"served already by process {server.pid}" in second.stderr, second.stderr
    assert pid_of_server(stage) == server.pid


# ---- Bad input.


def test_a_worker_that_cannot_import_its_app_says_so_once_and_leaves_the_jobs(stage, app):
    stage.server()
    job = app.work.enqueue("waits", 0)
    (stage.directory / "broken.py").write_text("def boom():\n    raise ValueError('no luck')\nboom()\n")
    worker = stage.worker(target=str(stage.directory / "broken.py"), processes=3)
    assert worker.exit_code() == 1
    assert worker.text().count("ValueError: no luck") == 1, worker.text()
    assert 'broken.py", line 2, in boom' in worker.text()
    assert job.refresh().state == "available"
    stage.worker()
    assert job.result(timeout=PATIENCE_S) == "waits"


def test_a_job_for_a_task_that_no_worker_knows_says_so_and_runs_when_one_comes(stage, app):
    stage.server()
    stage.worker(processes=1)
    assert app.work.enqueue("known", 0).result(timeout=PATIENCE_S) == "known"
    stranger = lineshaft.App(stage.home).task(name="_kills_late.late")(takes_a_number)
    job = stranger.enqueue(1)
    waits_for = json.loads(stage.run("job", "show", job.id, "--json").stdout)["waits_for"]
    assert "_kills_late.late" in waits_for, waits_for
    assert f"waits for {waits_for}" in " ".join(stage.run("job", "show", job.id).stdout.split())
    stage.worker(target="_kills_late", processes=1)
    assert job.result(timeout=PATIENCE_S) == 2
    assert job.refresh().record.waits_for is None


def takes_a_number(number):
    """What a program that only enqueues knows of a task."""


def test_arguments_beyond_the_limit_are_refused_and_large_ones_go_through(stage, app):
    stage.server()
    stage.worker(processes=1)
    with pytest.raises(lineshaft.LineshaftError, match="64 MiB") as caught:
        app.echo.enqueue(bytes(70 * MIB))
    print(f"\n{caught.value}")
    payload = random.Random(SEED).randbytes(5 * MIB)
    jobs = app.echo.map([payload, payload[::-1]])
    assert jobs[0].result(timeout=PATIENCE_S) == payload
    assert jobs[1].result(timeout=PATIENCE_S) == payload[::-1]


# ---- Last, because it has been going on since the first test.


def test_an_attempt_in_a_stopped_process_is_killed_before_it_runs_elsewhere(stopped):
    stage, job, stopped_at_s = stopped
    first, second, *_ = until(lambda: len(found := effects_in(stage.effects)) > 1 and found, "it starts elsewhere")
    print(f"\nran elsewhere {second.at_s - stopped_at_s:.1f} s after its process had stopped")
    assert second.at_s - stopped_at_s < LEASE_S
    assert (second.what, second.attempt, second.pid != first.pid) == ("start", 2, True)
    assert not is_alive(first.pid)
    shown = json.loads(stage.run("job", "show", job, "--json").stdout)
    assert shown["attempts"][0]["outcome"] == "lost", shown


def test_an_on_demand_server_ends_when_idle_and_the_next_call_starts_another(idle):
    stage, pid = idle
    until(lambda: not is_alive(pid), "the server ends", IDLE_S + PATIENCE_S)
    assert stage.run("status").returncode == 8
    assert stage.run("job", "list").returncode == 0
    assert pid_of_server(stage) != pid
