"""kill -9 of children with many attempts, at random points: nothing is lost, and each attempt ends as it was.

`LINESHAFT_KILL_ROUNDS` is the number of kills (5), `LINESHAFT_KILL_SEED` repeats a run.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from support.effects import by_job, effects_in
from support.processes import PATIENCE_S, crew_of, kill, until

ROUNDS = int(os.environ.get("LINESHAFT_KILL_ROUNDS", "5"))
SEED = int(os.environ.get("LINESHAFT_KILL_SEED", random.SystemRandom().randrange(1 << 32)))
JOBS = 600


@pytest.fixture
def app(stage, monkeypatch):
    with stage.imported("_kills_slots_app", monkeypatch) as app:
        yield app


def slot_worker(stage, kind, slots, processes=2):
    options = ("--kind", kind, "--slots", str(slots), "--grace", "300ms")
    return stage.worker(*options, target="_kills_slots_app", processes=processes)


@pytest.mark.parametrize("kind", ["thread", "async"])
def test_nothing_is_lost_when_children_with_many_attempts_are_killed(stage, app, kind):
    print(f"\nseed {SEED}: LINESHAFT_KILL_SEED={SEED} repeats the points of the kills")
    chance = random.Random(SEED)
    stage.server()
    worker = slot_worker(stage, kind, 20)
    calls = [
        chance.choice((app.work, app.awork, app.once)).si(str(number), chance.uniform(0, 0.3)) for number in range(JOBS)
    ]
    jobs = app.app.enqueue_many(calls)
    killed: set[int] = set()
    # A worker whose first three children die before one of them is ready gives up, as it should.
    until(lambda: effects_in(stage.effects), "jobs run")
    for _ in range(ROUNDS):
        time.sleep(chance.uniform(0.2, 0.8))
        victim = chance.choice(crew_of(worker))
        killed.add(victim)
        kill([victim])
    for job in jobs:
        job.wait(timeout=PATIENCE_S)
    assert worker.terminate() == 0, worker.text()
    check(jobs, by_job(effects_in(stage.effects)), killed)


def check(jobs, effects, killed):
    """Every start is one attempt of the record, in the order of the record, and each new one has a reason."""
    for job in jobs:
        record = job.refresh().record
        attempts = job.attempts()
        outcomes = [attempt.outcome for attempt in attempts]
        starts = [effect for effect in effects.get(job.id, ()) if effect.what == "start"]
        ends = [effect for effect in effects.get(job.id, ()) if effect.what == "end"]
        assert set(outcomes) <= {"succeeded", "crashed", "lost"}, (job, outcomes)
        # A child may have been killed between the mark that an attempt begins and the first line of its body.
        assert len(outcomes) - outcomes.count("crashed") <= len(starts) <= len(outcomes), (outcomes, starts)
        if record.task.endswith("once"):
            assert len(outcomes) == 1, outcomes
            assert record.state == "completed" or record.reason == "maybe_ran", record
            assert record.state == "completed" or starts == [] or starts[0].pid in killed, (record, starts)
        elif record.state == "completed":
            assert outcomes[-1] == "succeeded", outcomes
            assert ends[-1].attempt == attempts[-1].number, (ends, attempts)
        else:
            assert (record.reason, outcomes) == ("crashes", ["crashed"] * 3)
        assert all(start.pid in killed for start in starts[:-1]), (starts, killed)


def test_neighbours_of_killed_attempts_run_again_and_are_never_blamed(stage, app):
    """Four times in a row the child is killed for another one's sake: a third crash would have ended the jobs."""
    stage.server()
    worker = slot_worker(stage, "async", 50, processes=1)
    neighbours = [app.holds.enqueue(str(number)) for number in range(20)]
    once = app.once.enqueue("once", 600)
    until(lambda: len(effects_in(stage.effects)) == 21, "all run")
    for number in range(4):
        deaf = app.deaf.enqueue(f"deaf{number}")
        deaf.wait(timeout=PATIENCE_S)
        assert [attempt.outcome for attempt in deaf.attempts()] == ["timed_out"]
        expected = 20 * (number + 2)
        until(lambda most=expected: starts_of_neighbours(stage) >= most, "they run again")
    stage.effects.with_name("enough").touch()
    for job in neighbours:
        job.result(timeout=PATIENCE_S)
        outcomes = [attempt.outcome for attempt in job.attempts()]
        assert outcomes == ["released"] * 4 + ["succeeded"], outcomes
        assert (job.refresh().record.crashes, job.refresh().record.attempt) == (0, 0)
    once.wait(timeout=PATIENCE_S)
    assert (once.refresh().record.reason, [one.outcome for one in once.attempts()]) == ("maybe_ran", ["released"])
    assert worker.terminate() == 0, worker.text()


def starts_of_neighbours(stage):
    return sum(effect.what == "start" and effect.number.isdigit() for effect in effects_in(stage.effects))
