"""Tasks whose results are cached: which job an equal call is answered with."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from datetime import timedelta
from typing import Any

import pytest

from lineshaft import App, OptionError, Tasks, Unique
from lineshaft._task_cache import cached_key
from lineshaft.testing import advance, enqueued, run_jobs
from support.processes import is_alive, until

app, later = App(), App()
computed: list[tuple[str, int]] = []
PROGRAM = """
    from lineshaft import App

    app = App()

    @app.task(cache="1h")
    def compute(number: int) -> str:
        return "computed"

    if __name__ == "__main__":
        job = compute.enqueue(7)
        print(job.state, job.result())
"""
WAIT = 20


@app.task(cache="10m")
def report(site: str, days: int = 7) -> str:
    computed.append((site, days))
    return f"{site}: {days} days, {len(computed)}"


@later.task(name="test_task_cache.report", version=2, cache=timedelta(minutes=10))
def later_report(site: str, days: int = 7) -> str:
    return f"{site}, later"


@app.task(cache="1h", retries=1)
def broken(times: int) -> None:
    raise ValueError(times)


@app.task
def plain(number: int) -> int:
    return number


@app.task(name="shop.price", version=3)
def price(item: str, count: int = 1, *, tags: dict[str, Any]) -> None: ...


@pytest.fixture(autouse=True)
def nothing_computed():
    computed.clear()


def test_an_equal_call_is_answered_with_the_completed_job_and_its_result():
    first = report.enqueue("docs")
    assert (first.existing, first.state) == (False, "available")
    assert first.result(WAIT) == "docs: 7 days, 1"
    for again in (report.enqueue("docs", 7), report.enqueue(days=7, site="docs")):
        assert (again, again.existing, again.state) == (first, True, "completed")
        assert again.result(WAIT) == "docs: 7 days, 1"
    assert computed == [("docs", 7)]
    assert report.enqueue("docs", 8) != first


def test_an_equal_call_joins_the_job_that_has_not_run_yet():
    first = report.enqueue("docs")
    again = report.enqueue("docs")
    assert (again, again.existing, again.state) == (first, True, None)
    run_jobs(app)
    assert computed == [("docs", 7)]


def test_the_time_counts_from_the_end_of_the_job():
    first = report.enqueue("docs")
    advance("1h")
    first.wait(WAIT)
    advance("9m")
    assert report.enqueue("docs") == first
    assert report.using(cache="5m").enqueue("docs") != first, "whoever asks says how old it may be"
    run_jobs(app)
    advance("11m")
    assert report.enqueue("docs").existing is False


def test_without_a_cache_a_call_is_computed_anew_and_takes_the_place():
    first = report.enqueue("docs")
    first.wait(WAIT)
    second = report.using(cache=None).enqueue("docs")
    assert (second != first, second.existing) == (True, False)
    assert report.enqueue("docs") == second
    assert second.result(WAIT) == "docs: 7 days, 2"
    assert report.enqueue("docs").result(WAIT) == "docs: 7 days, 2"


def test_a_job_that_failed_or_was_cancelled_is_not_answered_with():
    cancelled = report.enqueue("docs")
    assert cancelled.cancel()
    assert report.enqueue("docs") != cancelled
    failed = broken.enqueue(1)
    failed.wait(WAIT)
    advance("1h")
    failed.wait(WAIT)
    assert failed.refresh().state == "discarded"
    assert broken.enqueue(1) != failed


def test_a_deleted_job_is_not_answered_with():
    first = report.enqueue("docs")
    first.wait(WAIT)
    app._connection.ask(lambda client: client.delete(first._key), lambda changed: changed)
    assert report.enqueue("docs") != first


def test_versions_of_a_task_have_results_of_their_own():
    first = report.enqueue("docs")
    first.wait(WAIT)
    assert later_report.enqueue("docs") != first


def test_what_is_invalidated_is_computed_again():
    first, other = report.enqueue("docs"), report.enqueue("shop")
    run_jobs(app)
    assert report.cache.invalidate(days=7, site="docs") is True
    assert report.cache.invalidate("docs") is False
    second = report.enqueue("docs")
    assert second != first
    assert report.cache.invalidate("docs") is True, "it is unfinished, and will not be kept"
    assert second.result(WAIT) == "docs: 7 days, 3"
    assert report.enqueue("docs") not in (first, second)
    assert report.enqueue("shop") == other
    with pytest.raises(TypeError, match="site"):
        report.cache.invalidate()


def test_clear_lets_go_of_all_results_of_a_task_and_of_no_other():
    sites = [report.enqueue(f"site {number}") for number in range(20)]
    kept = later_report.enqueue("site 1")
    other = plain.using(cache="1m").enqueue(1)
    run_jobs(app)
    assert (report.cache.clear(), report.cache.clear()) == (20, 0)
    assert not set(sites) & {report.enqueue(f"site {number}") for number in range(20)}
    assert later_report.enqueue("site 1") == kept
    assert plain.using(cache="1m").enqueue(1) == other
    assert plain.cache.clear() == 1


def test_many_calls_join_each_other_and_find_what_is_there():
    first = report.enqueue("docs")
    first.wait(WAIT)
    jobs = report.map(["docs", "shop", "docs", "shop", "mail"])
    assert [job.existing for job in jobs] == [True, False, True, True, False]
    assert [job.state for job in jobs] == ["completed", "available", "completed", None, "available"]
    assert jobs[0] == jobs[2] == first
    assert jobs[1] == jobs[3]
    run_jobs(app)
    again = app.enqueue_many([plain.si(1), report.si("mail"), report.si("shop")])
    assert [job.state for job in again] == ["available", "completed", "completed"]
    assert sorted(computed) == [("docs", 7), ("mail", 7), ("shop", 7)]
    with app.batch() as batch:
        report.enqueue("mail"), report.enqueue("mail"), plain.enqueue(2)
    assert [job.state for job in batch.jobs] == ["completed", "completed", "available"]


def test_what_is_computed_anew_in_a_batch_answers_its_equals_in_it():
    first = report.enqueue("docs")
    first.wait(WAIT)
    with app.batch() as batch:
        report.enqueue("docs"), report.using(cache=None).enqueue("docs"), report.enqueue("docs")
    one, anew, other = batch.jobs
    assert one == anew == other != first
    assert [job.existing for job in batch.jobs] == [True, False, True]


def test_a_script_is_answered_by_what_another_one_computed_though_the_server_was_killed(programs):
    """It needs no worker for that, and starts none."""
    programs.write("app.py", PROGRAM)
    first = programs.run("app.py")
    assert first.stdout == "available computed\n", first.stderr
    lock = (programs.directory / ".lineshaft" / "LOCK").read_text()
    pid = int(re.findall(r"^pid=(\d+)$", lock, re.MULTILINE)[0])
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid), "the server is dead")
    second = programs.run("app.py")
    assert (second.stdout, second.stderr) == ("completed computed\n", "")


def test_coroutines_are_answered_alike():
    async def main() -> None:
        first = await report.aenqueue("docs")
        assert await first.aresult(WAIT) == "docs: 7 days, 1"
        again = await report.aenqueue("docs")
        assert (again, again.state, await again) == (first, "completed", "docs: 7 days, 1")
        assert await report.cache.ainvalidate("docs") is True
        assert await report.aenqueue("docs") != first
        assert await report.cache.aclear() == 1

    asyncio.run(main())


def test_an_option_of_a_call_or_a_group_may_say_it():
    first = plain.using(cache="1m").enqueue(1)
    first.wait(WAIT)
    assert plain.using(cache="1m").enqueue(1) == first
    assert plain.enqueue(1) != first, "who does not ask the cache gets a job"
    assert plain.using(cache=None).enqueue(1).existing is False
    assert plain.using(cache="1m").enqueue(1) == first, "such jobs do not take its place"
    assert Tasks(cache="1m").task(report.function).options["cache"] == 60.0


@pytest.mark.parametrize("cache", ["25h", 0, "0s", -1, "soon", True])
def test_a_result_is_cached_no_longer_than_it_is_kept(cache):
    with pytest.raises(OptionError, match="option `cache`"):
        App().task(cache=cache)(report.function)
    with pytest.raises(OptionError, match="24 h, for which results are kept"):
        report.using(cache="25h")


def test_what_does_not_go_together_is_refused():
    with pytest.raises(OptionError, match="`cache` and `unique` do not go together"):
        App().task(cache="1m", unique="args")(report.function)
    with pytest.raises(OptionError, match="`cache` and `unique` do not go together"):
        report.using(unique=Unique(by="site"))
    with pytest.raises(OptionError, match="`cache` needs a result"):
        report.using(result=False)
    assert report.using(cache=None).enqueue("docs").existing is False
    assert repr(report.cache) == f"<cache of {report.name}>"
    assert len(enqueued(report)) == 1


def test_the_key_of_a_call_is_that_of_rust():
    """`crates/lineshaft/src/task/unique.rs` has the same one."""
    tags = {"b": [1, (2, None)], "a": {3}}
    key = "cache shop.price v3 bd092f828f24f7b15595e29371c30b9c"
    assert cached_key(price, ("tea",), {"tags": tags, "count": 2}) == key
