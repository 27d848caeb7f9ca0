"""Workers that do not rot: limits of memory, processes that are replaced, garbage between jobs."""

from __future__ import annotations

import platform
import re
import time

import pytest

import wears
from lineshaft import App, OptionError, TaskCrashed
from support.processes import PATIENCE_S, until
from support.workers import Workers

APP = """
from lineshaft import App

app = App()

@app.task
def send() -> None: ...
"""
GROWN = r"child \d+ \(pid \d+\) is replaced: it has grown by \d+\.\d MiB"


@pytest.fixture
def own(tmp_path):
    """Starts a worker that no other test sees."""
    workers = Workers(wears.app, "wears", tmp_path)
    yield workers.one
    workers.close()


def test_an_attempt_above_its_limit_is_killed_after_a_warning_and_says_what_it_took(own):
    with own() as worker:
        job = wears.hoard.enqueue(3_000)
        with pytest.raises(TaskCrashed, match=r"took \d+\.\d MiB of memory, more than its limit of 256MiB") as caught:
            job.result(timeout=PATIENCE_S)
        assert (caught.value.signal, caught.value.reason) == (9, "crashes")
        assert 256 << 20 < caught.value.rss_peak < 2_000 << 20
        assert "has begun to hoard" in caught.value.last_output
        worker.until_said(f"job {job.id} has taken ")
        # The process that is there by now is none of those that were killed.
        assert wears.add.enqueue(1, 2).result(timeout=PATIENCE_S) == 3


def test_the_peak_of_an_attempt_is_not_that_of_one_before_it(own):
    with own():
        assert wears.hoard.enqueue(100).result(timeout=PATIENCE_S) == 100
        job = wears.die_small.enqueue()
        with pytest.raises(TaskCrashed) as caught:
            job.result(timeout=PATIENCE_S)
        assert caught.value.rss_peak < 100 << 20


def test_a_file_may_limit_a_task(project):
    project.configure('[tasks."shop.send"]\nmemory = "1GiB"\n')
    assert project.run("-c", "import shop; print(shop.send.memory)").stdout == f"{1 << 30}\n"


@pytest.mark.parametrize("value", ["much", "1MiB", 0, -1, True, 1.5, 1 << 80])
def test_what_is_no_limit_is_refused_where_it_is_written(value):
    with pytest.raises(OptionError, match="option `memory`"):
        App("unused").task(memory=value)(lambda: None)


def test_a_group_limits_all_of_its_tasks():
    assert (wears.small.memory, wears.large.memory) == (64 << 20, None)


def test_processes_are_replaced_after_their_jobs_and_the_worker_says_so(own):
    with own("--recycle-jobs", "20") as worker:
        pids = {job.result(timeout=PATIENCE_S) for job in wears.whoami.map(range(200))}
        until_replaced = time.monotonic() + PATIENCE_S
        while len(pids) < 3 and time.monotonic() < until_replaced:
            pids |= {job.result(timeout=PATIENCE_S) for job in wears.whoami.map(range(50))}
        assert len(pids) >= 3
        assert re.search(r"child 1 \(pid \d+\) is replaced: it has run \d+ jobs", worker.said())


def test_a_process_that_leaks_is_replaced_before_it_has_taken_too_much(own):
    with own("--recycle-growth", "30MiB") as worker:
        peaks = [job.result(timeout=PATIENCE_S) for job in wears.leak.map([1] * 100)]
        assert max(after - base for base, after in peaks) <= (30 + 1 + 4) << 20
        assert re.search(GROWN, worker.said())


def test_a_process_that_grows_too_much_in_one_job_is_named_however_soon_it_is_gone(own):
    with own("--recycle-growth", "20MiB") as worker:
        pids = {wears.leak_at_once.enqueue(40).result(timeout=PATIENCE_S) for _ in range(5)}
        assert len(pids) == 5
        until(lambda: len(re.findall(GROWN, worker.said())) == 5, "each of them is named")


@pytest.mark.parametrize(("setting", "frozen"), [("between", True), ("automatic", False)])
def test_what_the_app_made_is_spared_the_collector_unless_somebody_wants_it(own, setting, frozen):
    with own("--gc", setting):
        assert wears.is_frozen.enqueue().result(timeout=PATIENCE_S) is frozen


def test_garbage_of_quick_jobs_is_collected_between_them(own):
    with own():
        wears.litter.enqueue(1).result(timeout=PATIENCE_S)
        collected_inside = [job.result(timeout=PATIENCE_S) for job in wears.litter.map([300] * 200)]
        assert sum(collected_inside) <= len(collected_inside) // 10
        alive, made = wears.litter_left.enqueue().result(timeout=PATIENCE_S)
        assert alive < made / 5


def test_an_app_that_switched_the_collector_off_is_left_alone(own):
    with own(WEARS_GC="off"):
        wears.litter.enqueue(300).result(timeout=PATIENCE_S)
        alive, made = wears.litter_left.enqueue().result(timeout=PATIENCE_S)
        assert alive == made


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have no such heaps")
@pytest.mark.parametrize(
    ("kind", "variables", "shared"),
    [
        ("process", {}, True),
        ("process", {"MALLOC_ARENA_MAX": "64"}, False),
        ("process", {"GLIBC_TUNABLES": "glibc.malloc.arena_max=64"}, False),
        ("thread", {}, False),
    ],
)
def test_a_process_with_one_body_at_a_time_has_one_heap_unless_somebody_said_how_many(own, kind, variables, shared):
    with own("--kind", kind, "--slots", "1", **variables):
        assert wears.shares_heap.enqueue().result(timeout=PATIENCE_S) is shared
