"""`on_failure`: what is made of jobs that gave up; and jobs as values."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from datetime import datetime, timezone
from typing import Any

import pytest

from conftest import environment
from lineshaft import (
    App,
    AsyncJob,
    DeclarationError,
    Job,
    OptionError,
    Record,
    Retry,
    SerializationError,
    Tasks,
    Unique,
)

WAIT = 60


def one(job: Job[Any]) -> None:
    """A handler."""


def nothing() -> None: ...


def two(job: Any, other: Any) -> None: ...


def keyword(*, job: Job[Any]) -> None: ...


# ---- Declaring.


@pytest.mark.parametrize("function", [nothing, two, keyword])
def test_a_task_that_does_not_take_one_argument_cannot_be_a_handler(function):
    app = App("home")
    task = app.task(function)
    words = r"cannot be an `on_failure`: it is called with one argument, the failed job"
    with pytest.raises(DeclarationError, match=words):
        app.task(on_failure=task)
    with pytest.raises(DeclarationError, match=words):
        app.task(one).using(on_failure=task)
    with pytest.raises(DeclarationError, match=words):
        app.task(on_failure=task.name, name="by.name")(one).enqueue(None)


@pytest.mark.parametrize("value", [one, 3, ["a"], "no name"])
def test_what_is_no_task_is_refused(value):
    with pytest.raises(OptionError, match=r"option `on_failure`: .* is not accepted"):
        App("home").task(on_failure=value)


def test_handlers_that_come_back_to_themselves_are_refused_with_their_row():
    app = App("home")
    app.task(name="a", on_failure="b")(one)
    app.task(name="b", on_failure="c")(two)
    with pytest.raises(DeclarationError, match="circle: c -> a -> b -> c"):
        app.task(name="c", on_failure="a")(keyword)
    with pytest.raises(DeclarationError, match="circle: own -> own"):
        app.task(name="own", on_failure="own")(one)


def test_a_row_of_handlers_has_an_end():
    app = App("home")
    task = None
    for number in range(5):
        task = app.task(name=f"t{number}", on_failure=task)(one)
    with pytest.raises(DeclarationError, match="more than 4 handlers of failures in a row: t5 -> t4 -> t3 -> t2"):
        app.task(name="t5", on_failure=task)(one)


def test_a_task_of_another_app_is_refused_where_it_is_named():
    app = App("home")
    other = App("other").task(name="other.one")(one)
    with pytest.raises(
        DeclarationError, match=r"mine: its `on_failure`, other.one, is not a task of(.|\n)*included by both"
    ):
        app.task(name="mine", on_failure=other)(one)
    of_nobody = Tasks().task(one)
    task = app.task(name="mine", on_failure=of_nobody)(one)  # its module may be included later
    with pytest.raises(
        DeclarationError, match=r"one, is not a task of the same app(.|\n)*app.include\('test_on_failure'\)"
    ):
        task.enqueue(None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"unique": Unique(by=str)}, "has a `unique` that cannot be computed before the failure"),
        ({"unique": Unique(period="1h")}, "has a `unique` that cannot be computed before the failure"),
        ({"expires": datetime(2030, 1, 1, tzinfo=timezone.utc)}, "has an instant as `expires`"),
    ],
)
def test_options_of_a_handler_that_nobody_can_know_before_are_refused(options, words):
    app = App("home")
    handler = app.task(name="handler", **options)(one)
    with pytest.raises(DeclarationError, match=words):
        app.task(on_failure=handler)(two).enqueue(1, 2)


def test_the_handler_of_a_group_does_not_handle_itself():
    tasks = Tasks(on_failure="tell")
    handler = tasks.task(name="tell")(one)
    task = tasks.task(name="work")(two)
    assert (task.options["on_failure"], handler.options["on_failure"]) == ("tell", None)


# ---- Running.


def handler_of(shop: Any, job: Job[Any]) -> Job[Any]:
    """The job that handles the failure of `job`."""
    record = job.wait(WAIT).refresh().record
    assert record.state == "discarded"
    handler = shop.app.job(record.handled_by)
    assert handler.refresh().record.failure_of == job.id
    return handler


@pytest.mark.parametrize(
    ("how", "options", "reason", "error"),
    [
        ("raise", {}, "max_attempts", "builtins.ValueError"),
        ("raise", {"retries": Retry(1, first=0)}, "max_attempts", "builtins.ValueError"),
        ("raise", {"delivery": "at_most_once"}, "at_most_once", "builtins.ValueError"),
        ("die", {"delivery": "at_most_once"}, "maybe_ran", None),
        ("die", {}, "crashes", None),
        ("sleep", {"timeout": "100ms"}, "max_attempts", "lineshaft.TimedOut"),
        ("sleep", {"deadline": "500ms"}, "deadline", "lineshaft.TimedOut"),
        ("return", {"queue": "nobody", "expires": "20ms"}, "expired", None),
    ],
)
def test_whatever_makes_a_job_give_up_its_handler_runs_with_the_job(shop, how, options, reason, error):
    job = shop.give_up.using(**options).enqueue(how)
    told = handler_of(shop, job).result(WAIT)
    assert told == {"id": job.id, "task": "shop.give_up", "state": "discarded", "reason": reason, "error": error}


def test_a_result_that_is_no_value_is_a_failure_too(shop):
    told = handler_of(shop, shop.give_up.enqueue("strange")).result(WAIT)
    assert told["reason"] == "result_unencodable"


def test_arguments_that_do_not_fit_are_a_failure_too(shop):
    other_signature = App(shop.app.url).task(name="shop.give_up", on_failure="shop.tell")(two)
    told = handler_of(shop, other_signature.enqueue(1, 2)).result(WAIT)
    assert told["reason"] == "arguments_undecodable"


def test_a_cancelled_job_has_no_handler(shop):
    job = shop.give_up.using(queue="nobody").enqueue("return")
    assert job.cancel()
    assert (job.refresh().state, job.record.handled_by) == ("cancelled", None)


def test_a_call_may_have_another_handler_or_none(shop):
    job = shop.give_up.using(on_failure=None).enqueue("raise")
    assert job.wait(WAIT).refresh().record.handled_by is None
    job = shop.give_up.using(on_failure="shop.atell").enqueue("raise")
    handler = handler_of(shop, job)
    assert (handler.task, handler.result(WAIT)) == ("shop.atell", "ValueError")


def test_a_handler_that_gives_up_is_handled_too(shop):
    bad = handler_of(shop, shop.give_up.using(on_failure=shop.tell_badly).enqueue("raise"))
    told = handler_of(shop, bad).result(WAIT)
    assert (told["id"], told["task"]) == (bad.id, "shop.tell_badly")


def test_a_retry_of_a_failed_job_is_handled_as_it_was(shop):
    first = shop.give_up.enqueue("raise")
    handler = handler_of(shop, first)
    again = first.retry()
    assert again != first
    assert handler_of(shop, again) != handler


def test_the_handler_is_enqueued_with_the_options_of_its_task(shop):
    record = handler_of(shop, shop.give_up.using(on_failure=shop.tell_later).enqueue("raise")).record
    assert (record.queue, record.priority, record.max_attempts, record.tags) == ("nobody", 2, 5, ["alarm"])
    assert record.expires_at - record.created_at == 3_600_000


def test_the_handler_is_for_workers_with_the_version_of_its_task(shop):
    """It was made for version 1, so that a worker with an older one ran it."""
    newer = App(shop.app.url)
    tell = newer.task(name="shop.tell", version=2)(one)
    failed = newer.task(name="shop.newer", queue="nobody", expires=0, on_failure=tell)(one).enqueue(None)
    handler = handler_of(shop, failed)
    deadline = time.monotonic() + WAIT
    while "shop.tell" not in (waits_for := handler.refresh().record.waits_for or ""):
        assert time.monotonic() < deadline, waits_for
        time.sleep(0.01)
    assert "no worker knows shop.tell v2 in queue default, only v1" in waits_for
    handler.cancel()


def test_a_name_that_the_app_does_not_declare_is_a_task_elsewhere(shop):
    handler = handler_of(shop, shop.give_up.using(on_failure="elsewhere.tell").enqueue("raise"))
    assert (handler.task, handler.record.queue, handler.state) == ("elsewhere.tell", "default", "available")
    handler.cancel()


def test_the_command_line_shows_what_handles_what(shop):
    job = shop.give_up.enqueue("raise")
    handler = handler_of(shop, job)
    handler.wait(WAIT)

    def show(*arguments: str) -> str:
        command = [sys.executable, "-m", "lineshaft", "job", "show", *arguments, "--home", shop.app.url]
        shown = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=WAIT, check=True)
        return shown.stdout

    assert json.loads(show(job.id, "--json"))["handled_by"] == handler.id
    text = " ".join(show(handler.id).split())
    assert f"failure of {job.id}" in text
    assert f"Job('{job.id}')" in text


CONFIGURED = """
    from lineshaft import App, Job

    app = App()

    @app.task
    def tell(job: Job[int]) -> str:
        job.refresh()
        return f"{job.task} {job.record.reason}"

    @app.task
    def work() -> int:
        raise ValueError

    if __name__ == "__main__":
        job = work.enqueue().wait(60).refresh()
        print(app.job(job.record.handled_by).result(60))
"""


def test_a_configuration_file_names_a_handler(programs):
    programs.write("lineshaft.toml", '[tasks."app.work"]\non_failure = "app.tell"\n')
    programs.write("app.py", CONFIGURED)
    ended = programs.run("app.py")
    assert ended.stdout == "app.work max_attempts\n", ended.stderr


def test_a_worker_says_which_handler_nobody_declares(programs):
    programs.write("lineshaft.toml", '[tasks."app.work"]\non_failure = "app.tel"\n')
    programs.write("app.py", CONFIGURED.replace('if __name__ == "__main__":', "def main():"))
    programs.write("run.py", "from app import app\nwith app.workers(1): pass\n")
    words = "app.work: the app does not declare its `on_failure`, 'app.tel': did you mean 'app.tell'?"
    assert words in programs.run("run.py").stderr


# ---- Jobs as values.


def test_a_job_is_a_value_and_belongs_to_the_app_that_reads_it(shop):
    job = shop.add.enqueue(1, 2)
    given = shop.echo.enqueue({"jobs": [job, (job,)]}).result(WAIT)
    assert given == {"jobs": [job, (job,)]}
    assert (type(given["jobs"][0]), given["jobs"][0].result(WAIT)) == (Job, 3)
    assert shop.wait_for.enqueue(job).result(WAIT) == 3


def test_a_job_for_coroutines_arrives_as_a_job(shop):
    async def main() -> tuple[AsyncJob[int], Any]:
        job = await shop.add.aenqueue(1, 2)
        return job, await (await shop.echo.aenqueue(job))

    job, given = asyncio.run(main())
    assert (type(job), type(given), given) == (AsyncJob, Job, job)


def test_a_job_without_an_app_is_a_record(shop):
    job = shop.add.enqueue(1, 2)
    echoed = shop.echo.enqueue(job)
    assert echoed.result(WAIT, raw=True) == Record("lineshaft.Job", {"id": job.id})


def test_the_class_of_jobs_is_no_value(shop):
    with pytest.raises(SerializationError, match="type is not a value"):
        shop.echo.enqueue(Job)
