"""Hooks: what they are told, what they may change, and that their errors lose no job."""

from __future__ import annotations

import asyncio
import logging

import pytest

from conftest import stop_server
from lineshaft import App, Call, DeclarationError, Hooks, Job, OptionError, Unique

WAIT = 60

APP = '''
    import asyncio
    import sys
    import time
    from pathlib import Path

    from lineshaft import App, Cancel, Hooks, Snooze, TaskCancelled, TaskError, current

    here = Path(__file__).parent


    def log(*words):
        with (here / "log").open("a") as file:
            print(*words, file=file)


    class Audit(Hooks):
        def __init__(self, name):
            self.name = name

        def before_attempt(self, call):
            log(self.name, "before", call.task, call.args, current.attempt)

        def after_attempt(self, call, outcome):
            log(self.name, "after", outcome)

        def on_failure(self, call, error):
            log(self.name, "failure", type(error).__name__)

        def on_cancel(self, call, error):
            log(self.name, "cancel", type(error).__name__)


    class Broken(Hooks):
        """Raises wherever it can."""

        def before_attempt(self, call):
            sys.exit("before")

        def after_attempt(self, call, outcome):
            raise RuntimeError("after")

        def on_failure(self, call, error):
            raise KeyboardInterrupt("failure")


    app = App("home", hooks=[Audit("a"), Broken(), Audit("b")])


    @app.resource
    def down():
        raise OSError("down")


    @app.task(name="works")
    def works(n: int) -> int:
        return n


    @app.task(name="aworks")
    async def aworks(n: int) -> int:
        await asyncio.sleep(0)
        return n


    @app.task(name="fails")
    def fails() -> None:
        raise ValueError("no")


    @app.task(name="declines", expected=ValueError)
    def declines() -> None:
        raise ValueError("no, as expected")


    @app.task(name="slow", timeout="200ms")
    def slow() -> None:
        time.sleep(60)


    @app.task(name="aslow", timeout="200ms")
    async def aslow() -> None:
        await asyncio.sleep(60)


    @app.task(name="stops")
    def stops() -> None:
        raise Cancel("enough")


    @app.task(name="waits", timeout=None)
    def waits() -> None:
        (here / "waits").touch()
        time.sleep(60)


    @app.task(name="needs")
    def needs(*, down: object = app.use(down)) -> None: ...


    if __name__ == "__main__":
        with app.workers(1, wait=False):
            print(works.enqueue(1).result(), aworks.enqueue(2).result())
            for task in (fails, declines, slow, aslow, stops):
                try:
                    task.enqueue().result()
                except TaskError as error:
                    print(type(error).__name__)
            job = waits.enqueue()
            while not (here / "waits").exists():
                time.sleep(0.01)
            job.cancel()
            try:
                job.result()
            except TaskCancelled as error:
                print(type(error).__name__)
            needs.enqueue()
            while "released" not in (here / "log").read_text():
                time.sleep(0.01)
'''


def begins(name: str, arguments: str = "()") -> list[str]:
    return [f"a before {name} {arguments} 1", f"b before {name} {arguments} 1"]


def ends(outcome: str, said: str = "") -> list[str]:
    told = [f"b {said}", f"a {said}"] if said else []
    return [*told, f"b after {outcome}", f"a after {outcome}"]


def test_hooks_hear_of_attempts_in_order_and_their_errors_lose_no_job(programs):
    programs.write("hooked.py", APP)
    try:
        ended = programs.run("hooked.py")
        assert ended.returncode == 0, ended.stderr
        said = ["1 2", "TaskFailed", "TaskFailed", "TaskTimeout", "TaskTimeout", "TaskCancelled", "TaskCancelled"]
        assert ended.stdout.splitlines() == said, ended.stderr
        assert (programs.directory / "log").read_text().splitlines() == [
            *begins("works", "(1,)"),
            *ends("succeeded"),
            *begins("aworks", "(2,)"),
            *ends("succeeded"),
            *begins("fails"),
            *ends("errored", "failure ValueError"),
            *begins("declines"),
            *ends("errored", "failure ValueError"),
            *begins("slow"),
            *ends("timed_out", "failure TimedOut"),
            *begins("aslow"),
            *ends("timed_out", "failure TimedOut"),
            *begins("stops"),
            *ends("cancelled", "cancel Cancel"),
            *begins("waits"),
            *ends("cancelled", "cancel Cancelled"),
            *begins("needs"),
            *ends("released"),
        ]
        for method in ("before_attempt", "after_attempt"):
            assert f"hook Broken.{method} raised; the job goes on" in ended.stderr
        assert "RuntimeError: after" in ended.stderr
    finally:
        stop_server(programs.directory / "home")


class Recorder(Hooks):
    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def before_enqueue(self, call: Call) -> Call | None:
        self.told.append(("before", call.args))
        return None

    def after_enqueue(self, job: Job) -> None:
        self.told.append(("after", job))


class Tags(Hooks):
    def before_enqueue(self, call: Call) -> Call | None:
        if call.args == (13,):
            raise PermissionError("thirteen is not allowed")
        return call.using(tags=["traced"], metadata="trace-7")


def keep(n: int) -> int:
    return n


def test_hooks_hear_of_each_call_and_each_job(home):
    recorder = Recorder()
    app = App(home, hooks=[recorder])
    task = app.task(unique=Unique(by="n"))(keep)
    one = task.enqueue(1)
    again = task.enqueue(1)
    many = task.map([2, 3])
    made = asyncio.run(enqueue_async(task))
    arguments = [args for what, args in recorder.told if what == "before"]
    jobs = [job for what, job in recorder.told if what == "after"]
    assert arguments == [(1,), (1,), (2,), (3,), (4,), (5,)]
    assert jobs == [one, again, *many, *made]
    assert [job.existing for job in jobs] == [False, True, False, False, False, False]


async def enqueue_async(task):
    return [await task.aenqueue(4), *await task.amap([5])]


def test_a_hook_changes_the_options_of_a_call(home):
    recorder = Recorder()
    app = App(home, hooks=[Tags(), recorder])
    task = app.task(tags=["own"], priority=2)(keep)
    jobs = [task.enqueue(1), task.using(priority=1).enqueue(2), *task.map([3])]
    for job in jobs:
        record = job.refresh().record
        assert (record.tags, record.metadata) == (["traced"], "trace-7")
    assert [job.record.priority for job in jobs] == [2, 1, 2]
    assert task.options["tags"] == ("own",)


def test_a_hook_refuses_a_call_by_raising(home):
    recorder = Recorder()
    app = App(home, hooks=[recorder, Tags()])
    task = app.task(keep)
    with pytest.raises(PermissionError, match="thirteen is not allowed"):
        task.enqueue(13)
    with pytest.raises(PermissionError):
        task.map([1, 2, 13, 4])
    assert [what for what, _ in recorder.told] == ["before"] * 4, "the batch is made whole or not at all"
    with pytest.raises(PermissionError):
        asyncio.run(task.aenqueue(13))


def test_an_error_after_a_job_was_made_is_logged_and_the_job_given(home, caplog):
    class Fails(Hooks):
        def after_enqueue(self, job: Job) -> None:
            raise ZeroDivisionError("after")

    recorder = Recorder()
    app = App(home, hooks=[recorder, Fails()])
    with caplog.at_level(logging.ERROR, "lineshaft"):
        job = app.task(keep).enqueue(1)
    assert job.refresh().state == "available"
    assert recorder.told[-1] == ("after", job)
    assert [record.getMessage() for record in caplog.records] == ["hook Fails.after_enqueue raised; the job goes on"]
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


def test_what_is_no_call_is_not_taken_from_a_hook(home):
    class Wrong(Hooks):
        def before_enqueue(self, call: Call) -> Call | None:
            return "x"  # type: ignore[return-value]

    with pytest.raises(TypeError) as caught:
        App(home, hooks=[Wrong()]).task(keep).enqueue(1)
    assert str(caught.value) == "hook Wrong.before_enqueue returned 'x', not a call or None"


def test_hooks_that_cannot_work_are_refused():
    class Waits(Hooks):
        async def after_enqueue(self, job: Job) -> None: ...  # type: ignore[override]

    class Mistyped(Hooks):
        def before_enque(self, call: Call) -> None: ...

    class Shorter(Hooks):
        def after_attempt(self, call: Call) -> None: ...  # type: ignore[override]

    class Static(Hooks):
        @staticmethod
        def after_attempt(call: Call, outcome: str) -> None: ...  # type: ignore[override]

    def check(hook: object, error: type[Exception], message: str) -> None:
        with pytest.raises(error) as caught:
            App(hooks=[hook])  # type: ignore[list-item]
        assert str(caught.value) == message

    message = (
        "hook Waits.after_enqueue is a coroutine function, which nobody would wait for\n"
        "  hint: write it with `def`; it may start a task of the running loop"
    )
    check(Waits(), DeclarationError, message)
    message = (
        "hook Mistyped.before_enque is told of no event\n"
        "  hint: the events: before_enqueue, after_enqueue, before_attempt, after_attempt, on_failure, on_cancel"
    )
    check(Mistyped(), DeclarationError, message)
    message = (
        "option `hooks`: 3 is not accepted\n"
        "  hint: accepted: a list of instances of classes that inherit from lineshaft.Hooks"
    )
    check(3, OptionError, message)
    message = (
        "hook Shorter.after_attempt cannot be told of its event: too many positional arguments\n"
        "  hint: write it as `def after_attempt(self, call, outcome)`"
    )
    check(Shorter(), DeclarationError, message)
    App(hooks=[Static()])
    for hooks, shown in ((Static, repr(Static)), (Recorder(), "<")):
        with pytest.raises(OptionError, match=f"^option `hooks`: {shown}.* is not accepted\n  hint: accepted: a list"):
            App(hooks=hooks)  # type: ignore[arg-type]


def test_without_hooks_of_attempts_nothing_more_is_around_the_function_than_in_a_direct_call():
    for app in (App(), App(hooks=[Tags()])):
        task = app.task(keep)
        assert task.entry is task._here
