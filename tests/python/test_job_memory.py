"""Profiles of attempts have the lines that keep memory, where that is asked for."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

import profileworks as works
from lineshaft import OptionError, Profile, TaskCrashed, TaskFailed, _options
from support.processes import PATIENCE_S

WORKERS = works.app, "profileworks"


def profile_of(job) -> Profile:
    job.result(PATIENCE_S)
    found = job.profile()
    assert found is not None
    return found


def line_of(function) -> tuple[str, int]:
    """The one line of its body."""
    return inspect.getsourcefile(function), inspect.getsourcelines(function)[1] + 1


def bytes_at(profile: Profile, function) -> int:
    return sum(one.bytes for one in profile.allocations(100) if (one.file, one.line) == line_of(function))


def test_the_line_is_found_whose_memory_is_not_given_back(worker):
    job = works.keeps.using(profile="memory").enqueue(1_000, 0.2)
    found = profile_of(job)
    first = found.allocations(1)[0]
    assert (first.file, first.line) == line_of(works.keep)
    assert 1_000_000 < first.bytes < 1_500_000
    assert 1_000 <= first.blocks < 1_100
    # What is given back in it counts for the most of it, what it returns for nothing.
    assert found.memory_peak > 4_000_000
    assert all(one.bytes < 100_000 for one in found.allocations(100)[1:])
    assert "spin" in {one.function for one in found.hot_functions(10)}
    (entry,) = job.logs()
    assert entry.message.rsplit(", ", 1)[1].startswith("keeps 1")
    assert entry.message.endswith(f" KiB: profileworks.py:{first.line}")
    # Its own lines are none of the program's.
    assert not [one for one in found.allocations(100) if "/lineshaft/" in one.file]


def test_others_have_none_and_are_not_slowed_down(worker):
    profile_of(works.keeps.using(profile="memory").enqueue(10))
    found = profile_of(works.keeps.using(profile=True).enqueue(1_000, 0.1))
    assert (found.allocations(10), found.memory_peak) == ([], 0)
    assert works.is_traced.enqueue().result(PATIENCE_S) is False
    assert works.is_traced.using(profile="memory").enqueue().result(PATIENCE_S) is True


def test_a_task_may_say_it_of_all_its_attempts_however_short(worker):
    job = works.always_with_memory.enqueue(200)
    assert 200_000 < bytes_at(profile_of(job), works.keep) < 300_000
    (entry,) = job.logs()
    assert entry.fields["why"] == "share"


def test_threads_see_the_memory_of_each_other_and_all_of_their_own(workers):
    with workers.one("--kind", "thread", "--slots", "4") as worker:
        first = works.keeps.using(profile="memory").enqueue(1_000, 0.3)
        second = works.keeps_elsewhere.using(profile="memory").enqueue(2_000, 1.2)
        assert bytes_at(profile_of(first), works.keep) > 1_000_000
        # The end of the other one has not ended it.
        found = profile_of(second)
        assert bytes_at(found, works.keep_elsewhere) > 2_000_000
        assert works.is_traced.enqueue().result(PATIENCE_S) is False
        assert worker.home


def test_coroutines_of_a_loop_do_as_well(workers):
    with workers.one("--kind", "async", "--slots", "4") as worker:
        jobs = [works.keeps_and_waits.using(profile="memory").enqueue(500, seconds) for seconds in (0.3, 0.9)]
        for job in jobs:
            assert bytes_at(profile_of(job), works.keep) > 500_000
        assert works.is_traced.enqueue().result(PATIENCE_S) is False
        assert worker.home


def test_one_that_fails_has_it_without_what_its_error_held(worker):
    job = works.keeps_and_fails.using(profile="memory").enqueue(1_000)
    with pytest.raises(TaskFailed):
        job.result(PATIENCE_S)
    found = job.profile()
    first = found.allocations(1)[0]
    assert (first.file, first.line) == line_of(works.keep)
    assert sum(one.bytes for one in found.allocations(100)) < 2_000_000
    assert found.memory_peak > 5_000_000
    assert works.is_traced.enqueue().result(PATIENCE_S) is False


def test_one_that_is_killed_leaves_its_time_alone(worker):
    job = works.keeps_and_dies.using(profile="memory").enqueue(2.6)
    with pytest.raises(TaskCrashed):
        job.result(PATIENCE_S)
    found = job.profile()
    assert "spin" in {one.function for one in found.hot_functions(10)}
    assert found.allocations(10) == []


def test_what_the_program_has_turned_on_stays_on(workers):
    with workers.one(TRACES="1") as worker:
        assert works.traces_itself.enqueue().result(PATIENCE_S) is True
        found = profile_of(works.keeps.using(profile="memory").enqueue(1_000))
        assert bytes_at(found, works.keep) > 1_000_000
        assert works.is_traced.enqueue().result(PATIENCE_S) is True
        assert worker.home


def test_a_copy_that_it_forks_is_not_traced(worker):
    job = works.forks_and_is_traced.using(profile="memory").enqueue()
    assert job.result(PATIENCE_S) is False
    assert works.is_traced.enqueue().result(PATIENCE_S) is False


def test_both_words_may_be_said_and_the_time_is_found_as_always(worker):
    found = profile_of(works.keeps.using(profile=("memory", "native")).enqueue(1_000, 0.2))
    assert bytes_at(found, works.keep) > 1_000_000
    plain = profile_of(works.works.using(profile="native").enqueue(0.2))
    assert "spin" in {one.function for one in plain.hot_functions(10)}
    assert plain.allocations(10) == []


@pytest.mark.parametrize("value", ["", "plain", "Memory", (), ["memory", "time"], 0.5, 1, None, {1: 2}])
def test_another_word_is_refused_by_calls_with_those_that_are_accepted(value):
    with pytest.raises(OptionError, match="option `profile`") as refused:
        works.works.using(profile=value)
    assert 'accepted: True, False, "memory", "native" or ("memory", "native")' in str(refused.value)


@pytest.mark.parametrize("value", ["", "plain", (), ["memory", 1], 1.5, None])
def test_and_by_tasks(value):
    with pytest.raises(OptionError, match="option `profile`") as refused:
        works.app.task(name="profileworks.refused", profile=value)
    assert 'to 1, or for each True, "memory", "native"' in str(refused.value)


def test_a_configuration_file_says_it_of_a_task_as_the_program_does():
    said = {"a": 0.25, "b": True, "c": "memory", "d": ["native", "memory", "native"]}
    checked = {name: _options.FILE_OPTIONS["profile"]("profile", value) for name, value in said.items()}
    assert checked == {
        "a": _options.Share(0.25),
        "b": _options.Share(1.0),
        "c": _options.Share(1.0, ("memory",)),
        "d": _options.Share(1.0, ("native", "memory")),
    }


def test_each_word_takes_the_room_of_a_tag():
    tags = [str(number) for number in range(15)]
    works.works.using(profile="memory", tags=tags)
    with pytest.raises(OptionError, match="14 tags"):
        works.works.using(profile=["memory", "native"], tags=tags).enqueue(0)


def test_the_next_attempts_are_looked_at_so_and_shown_as_one(worker, tmp_path):
    def command(*words: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-m", "lineshaft", *words, "--home", str(worker.home)]
        ended = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE_S)
        assert ended.returncode == expected, ended.stderr
        return ended

    command("profile", "profileworks.keeps_elsewhere", "--next", "2", "--memory")
    jobs = [works.keeps_elsewhere.enqueue(1_000, 0.2) for _ in range(3)]
    for job in jobs:
        job.result(PATIENCE_S)
    first, second, third = (job.profile() for job in jobs)
    assert bytes_at(first, works.keep_elsewhere) > 1_000_000
    assert bytes_at(second, works.keep_elsewhere) > 1_000_000
    assert third is None
    page = tmp_path / "page.html"
    shown = command("profile", "profileworks.keeps_elsewhere", "--flame", str(page)).stdout
    assert "  memory   blocks  line" in shown
    whole = json.loads(command("--json", "profile", "profileworks.keeps_elsewhere").stdout)
    (line,) = [row for row in whole["allocations"] if row["line"] == line_of(works.keep_elsewhere)[1]]
    assert line["bytes"] > 2_000_000
    assert whole["memory_bytes_max"] > 1_000_000
    assert "<h2>Memory</h2>" in page.read_text()
    assert "  memory   blocks  line" in command("job", "profile", jobs[0].id).stdout
    assert "KiB" in str(first)
    refused = command("profile", "profileworks.keeps_elsewhere", "--memory", expected=2)
    assert "--next" in refused.stderr
