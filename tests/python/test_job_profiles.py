"""Profiles of attempts are kept with their jobs, and found again."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

import profileworks as works
from conftest import stop_server
from lineshaft import OptionError, Profile, TaskCrashed, TaskFailed, TaskTimeout
from support.processes import PATIENCE_S
from support.workers import Workers

WORKERS = works.app, "profileworks"


@contextmanager
def of_slots(workers: Workers, kind: str):
    with workers.one("--kind", kind, "--slots", "4") as worker:
        yield worker


def shares(profile: Profile) -> dict[str, float]:
    return {one.function: one.share for one in profile.hot_functions(100)}


def outermost(profile: Profile) -> set[str]:
    """Functions that have all of the time."""
    return {one.function for one in profile.hot_functions(100) if one.total_share > 0.999}


def names(profile: Profile) -> set[str]:
    return {one.function for one in profile.hot_functions(1_000)}


def message_of(job) -> str:
    (entry,) = [entry for entry in job.logs() if entry.logger == "lineshaft.profile"]
    assert entry.attempt == 1
    return entry.message


def test_an_attempt_is_profiled_for_its_call(worker):
    job = works.works.using(profile=True).enqueue(0.4)
    job.result(PATIENCE_S)
    found = job.profile()
    assert isinstance(found, Profile)
    assert found.samples >= 5
    assert 0.35 < found.duration < PATIENCE_S
    assert shares(found)["spin"] > 0.5
    # What called the body is no part of it.
    assert outermost(found) == {"works", "spin"} & outermost(found) != set()
    assert not [name for name in names(found) if name in ("_work", "main", "_run_code")]
    assert re.fullmatch(r"profiled \d+\.\d\d s, \d+ samples: profileworks\.py:\d+ \w+ \d+ %", message_of(job))
    (entry,) = job.logs()
    assert entry.fields["version"] == 1
    assert entry.fields["why"] == "asked"
    assert asyncio.run(job.aprofile()).to_bytes() == found.to_bytes()
    assert job.profile(attempt=2) is None


def test_others_are_not(worker):
    job = works.works.enqueue(0.05)
    job.result(PATIENCE_S)
    assert job.profile() is None
    assert job.logs() == []


def test_a_task_says_the_share_of_its_attempts(worker):
    job = works.always.enqueue(0.2)
    job.result(PATIENCE_S)
    assert shares(job.profile())["spin"] > 0.5
    jobs = [works.sometimes.enqueue() for _ in range(60)]
    for job in jobs:
        job.result(PATIENCE_S)
    profiled = sum(job.profile() is not None for job in jobs)
    # It is 18 on the average, with a deviation of 3.6. What is too short to be seen at all is not kept.
    assert 0 < profiled < 40


@pytest.mark.parametrize("value", [-0.1, 1.1, "1", None])
def test_a_share_that_is_none_is_refused(value):
    with pytest.raises(OptionError, match="profile"):
        works.app.task(name=f"profileworks.{value}", profile=value)


def test_of_a_call_it_is_yes_or_no():
    with pytest.raises(OptionError, match="profile"):
        works.works.using(profile=0.5)


def test_a_job_with_many_tags_has_no_room_for_it(worker):
    with pytest.raises(OptionError, match="15 tags"):
        works.works.using(profile=True, tags=[str(tag) for tag in range(16)]).enqueue(0)


def test_an_attempt_that_fails_is_profiled(worker):
    job = works.fails.using(profile=True).enqueue(0.2)
    with pytest.raises(TaskFailed):
        job.result(PATIENCE_S)
    assert shares(job.profile())["spin"] > 0.5


def test_one_that_times_out_is_profiled(worker):
    job = works.hears_its_timeout.using(profile=True).enqueue()
    with pytest.raises(TaskTimeout):
        job.result(PATIENCE_S)
    found = job.profile()
    assert found.duration > 1.4
    assert shares(found)["spin"] > 0.5
    assert "the first" not in message_of(job)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_one_that_is_killed_leaves_what_was_seen_until_then(worker, number):
    job = works.dies.using(profile=True).enqueue(2.6, int(number))
    with pytest.raises(TaskCrashed):
        job.result(PATIENCE_S)
    found = job.profile()
    assert found.duration > 0.9
    assert shares(found)["spin"] > 0.5
    assert message_of(job).startswith("profiled the first ")


def test_one_that_hears_nothing_leaves_what_was_seen_until_it_is_killed(workers):
    with workers.one("--grace", "1s") as worker:
        job = works.is_deaf.using(profile=True).enqueue()
        with pytest.raises(TaskTimeout):
            job.result(PATIENCE_S)
        assert "doze" in names(job.profile())
        assert worker.home


def test_a_copy_that_it_forks_has_no_part_in_it(worker):
    job = works.forks.using(profile=True).enqueue(0.3)
    assert job.result(PATIENCE_S) == 0
    assert shares(job.profile())["spin"] > 0.5


def test_threads_are_profiled_apart_from_each_other(workers):
    with of_slots(workers, "thread"):
        one, another = works.one_way.using(profile=True), works.another_way.using(profile=True)
        jobs = one.enqueue(0.5), another.enqueue(0.5)
        for job in jobs:
            job.result(PATIENCE_S)
        first, second = (names(job.profile()) for job in jobs)
        assert "spin" in first
        assert "doze" not in first
        assert "doze" in second
        assert "spin" not in second
        assert outermost(jobs[1].profile()) & {"another_way"}
        assert not [name for name in first | second if "bootstrap" in name]


def test_coroutines_are_profiled_apart_from_each_other(workers):
    with of_slots(workers, "async"):
        others = [works.neighbour.enqueue(1.2) for _ in range(2)]
        job = works.waits_and_works.using(profile=True).enqueue(0.6)
        for one in [*others, job]:
            one.result(PATIENCE_S)
        found = job.profile()
        awaited = {one.function: one.awaited for one in found.hot_functions(100)}
        assert awaited["fetch"] > 0.3
        # Of the tasks that it starts, too.
        assert awaited["helper"] > 0.2
        assert "neighbour" not in names(found)
        assert shares(found)["spin"] > 0.5
        assert not [name for name in names(found) if "run_forever" in name or "_run_once" in name]
        assert others[0].profile() is None


def test_a_coroutine_in_a_process_of_its_own_is_profiled_with_what_it_awaits(worker):
    job = works.waits_and_works.using(profile=True).enqueue(0.3)
    job.result(PATIENCE_S)
    awaited = {one.function: one.awaited for one in job.profile().hot_functions(100)}
    assert awaited["fetch"] > 0.1


def test_profiles_of_a_task_are_found_by_version_and_time(worker):
    jobs = [works.of_version.using(profile=True).enqueue(0.1) for _ in range(3)]
    for job in jobs:
        job.result(PATIENCE_S)
    app, name = works.app, "profileworks.versions"
    found = app.profiles(name)
    assert [one.to_bytes() for one in found] == [job.profile().to_bytes() for job in reversed(jobs)]
    assert len(app.profiles(works.of_version, version=2, since="1h", limit=2)) == 2
    assert app.profiles(name, version=1) == []
    assert app.profiles(name, since=0) == []
    assert len(asyncio.run(app.aprofiles(name))) == 3
    whole = Profile()
    for one in found:
        whole.merge(one)
    assert whole.samples == sum(one.samples for one in found)


def test_they_outlive_the_server(workers):
    with workers.one("--grace", "5s") as worker:
        job = works.works.using(profile=True).enqueue(0.2)
        job.result(PATIENCE_S)
        before = job.profile().to_bytes()
        stop_server(worker.home)
        assert job.profile().to_bytes() == before
        again = works.works.using(profile=True).enqueue(0.2)
        again.result(PATIENCE_S)
        assert again.profile().samples


def test_more_than_eight_at_a_time_run_without(workers):
    with workers.one("--kind", "thread", "--slots", "12") as worker:
        jobs = [works.another_way.using(profile=True).enqueue(1.0) for _ in range(12)]
        for job in jobs:
            job.result(PATIENCE_S)
        assert worker.home
        assert 1 <= sum(job.profile() is not None for job in jobs) <= 12


def test_one_that_runs_longer_than_nearly_all_is_profiled_from_then_on(workers):
    """Of which nothing was known before."""
    for kind in ("process", "thread"):
        with workers.one("--kind", kind, "--slots", "1", SLOW=kind) as worker:
            for job in [works.mostly_quick.enqueue(0) for _ in range(120)]:
                job.result(PATIENCE_S)
            assert worker.home
            slow = works.mostly_quick.enqueue(2.5)
            slow.result(PATIENCE_S)
            found = slow.profile()
            assert found is not None, kind
            assert shares(found)["spin"] > 0.5
            assert 0.3 < found.duration < 2.0
            (entry,) = slow.logs()
            assert entry.fields["why"] == "slow"
            # One in a minute.
            again = works.mostly_quick.enqueue(1.6)
            again.result(PATIENCE_S)
            assert again.profile() is None


def test_a_coroutine_that_runs_for_long_is_profiled_with_its_own_tasks(workers):
    with workers.one("--kind", "async", "--slots", "4", SLOW="async") as worker:
        for job in [works.waits_and_works.enqueue(0) for _ in range(120)]:
            job.result(PATIENCE_S)
        other = works.neighbour.enqueue(2.5)
        slow = works.waits_and_works.enqueue(2.0)
        slow.result(PATIENCE_S)
        assert other.result(PATIENCE_S) is None
        found = slow.profile()
        assert found is not None
        assert worker.home
        assert "neighbour" not in names(found)
        assert names(found) & {"fetch", "spin", "helper"}


def test_a_task_that_says_that_none_is_profiled_has_none(worker):
    for job in [works.never.enqueue(0) for _ in range(120)]:
        job.result(PATIENCE_S)
    slow = works.never.enqueue(1.6)
    slow.result(PATIENCE_S)
    assert slow.profile() is None


# ---- The command line.


def command(worker, *words: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "lineshaft", *words, "--home", str(worker.home)]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == expected, ended.stderr
    return ended


def test_profiles_of_a_task_are_shown_as_one_and_written_for_others(worker, tmp_path):
    jobs = [works.fails.using(profile=True).enqueue(0.15) for _ in range(2)]
    for job in jobs:
        with pytest.raises(TaskFailed):
            job.result(PATIENCE_S)
    files = {name: tmp_path / name for name in ("out.svg", "out.html", "out.json", "out.pb.gz")}
    shown = command(
        worker,
        *("profile", "profileworks.fails", "--flame", str(files["out.svg"])),
        *("--speedscope", str(files["out.json"]), "--pprof", str(files["out.pb.gz"])),
    ).stdout
    assert re.match(r"\d+ samples of \d+ attempts in \d", shown)
    assert "spin (" in shown
    assert "while time.monotonic() < until" in shown or "turns += 1" in shown
    found = json.loads(command(worker, "--json", "job", "profile", jobs[0].id).stdout)
    assert found["attempts"] == 1
    assert found["threads"]["samples"] == jobs[0].profile().samples
    command(worker, "job", "profile", jobs[0].id, "--flame", str(files["out.html"]))
    assert files["out.svg"].read_text().startswith("<svg")
    assert "spin" in files["out.html"].read_text()
    assert json.loads(files["out.json"].read_text())["profiles"]
    assert gzip.decompress(files["out.pb.gz"].read_bytes())
    none = command(worker, "profile", "profileworks.unknown", expected=6)
    assert "no attempt of profileworks.unknown was profiled" in none.stderr
    assert command(worker, "profile", "profileworks.fails", "--flame", "out.png", expected=2).stderr


def test_versions_are_compared(workers):
    with workers.one() as worker:
        job = works.of_version.using(profile=True).enqueue(0.2)
        job.result(PATIENCE_S)
        same = command(worker, "profile", "diff", "profileworks.versions", "v2", "2").stdout
        assert same.startswith("v2: ")
        missing = command(worker, "profile", "diff", "profileworks.versions", "v2", "v3", expected=6)
        assert "no attempt of profileworks.versions v3 was profiled" in missing.stderr


def test_the_next_attempts_are_profiled_when_that_is_asked_for(worker):
    said = command(worker, "profile", "profileworks.one_way", "--next", "2").stderr
    assert "the next 2 attempts of profileworks.one_way are profiled" in said
    assert "no worker" not in said
    jobs = [works.one_way.enqueue(0.1) for _ in range(3)]
    for job in jobs:
        job.result(PATIENCE_S)
    assert [job.profile() is not None for job in jobs] == [True, True, False]
    command(worker, "profile", "profileworks.one_way", "--next", "1")
    command(worker, "profile", "profileworks.one_way", "--next", "0")
    job = works.one_way.enqueue(0.1)
    job.result(PATIENCE_S)
    assert job.profile() is None
    said = command(worker, "profile", "profileworks.nobody", "--next", "1").stderr
    assert "no worker runs profileworks.nobody now" in said
    command(worker, "profile", "profileworks.one_way", "--next", "10001", expected=2)


def has_native(profile: Profile) -> bool:
    return any(one.file.startswith("<native ") for one in profile.hot_functions(1_000))


@pytest.mark.skipif(sys.version_info[:2] not in ((3, 11), (3, 12), (3, 13)), reason="its insides are not known")
@pytest.mark.parametrize("kind", ["process", "thread"])
def test_native_functions_are_seen_where_that_is_asked_for(workers, kind):
    with workers.one() if kind == "process" else of_slots(workers, kind):
        native = works.packs.using(profile="native").enqueue(0.5)
        both = works.packs.using(profile=("native", "memory")).enqueue(0.5)
        plain = works.packs.using(profile=True).enqueue(0.5)
        assert [job.result(PATIENCE_S) for job in (native, both, plain)] == [None] * 3
        found = [job.profile() for job in (native, both, plain)]
    assert [has_native(one) for one in found] == [True, True, False]
    assert found[1].memory_peak > 0
    assert found[0].hot_lines(1)[0].source.strip().startswith("zlib.compress")


@pytest.mark.skipif(sys.version_info[:2] not in ((3, 11), (3, 12), (3, 13)), reason="its insides are not known")
def test_an_attempt_that_is_killed_leaves_its_native_functions(worker):
    job = works.packs.using(profile="native", delivery="at_most_once").enqueue(2.5, dies=True)
    with pytest.raises(TaskCrashed):
        job.result(PATIENCE_S)
    assert has_native(job.profile())
