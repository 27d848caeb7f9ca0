"""Resources: opened once per scope, closed in every way a scope can end, replaced in tests."""

from __future__ import annotations

import asyncio
import importlib
import re
import signal
import sys
import time
from contextlib import asynccontextmanager, contextmanager

import pytest

from conftest import stop_server
from lineshaft import (
    App,
    DeclarationError,
    OptionError,
    Resource,
    TaskCancelled,
    TaskFailed,
    Tasks,
    TaskTimeout,
    UnknownOption,
)

WAIT = 60

APP = '''
    """Its resources tell a log what becomes of them."""

    import asyncio
    import os
    import time
    from pathlib import Path

    from lineshaft import App, _opening

    _opening.DELAY_FIRST_S = 0.4
    app = App("home")
    here = Path(__file__).parent


    def log(*words):
        with (here / "log").open("a") as file:
            print(*words, file=file)


    @app.resource
    def pool():
        log("open pool")
        yield "pool"
        log("close pool")


    @app.resource(scope="worker")
    def model():
        log("open model")
        yield "model"
        log("close model")


    @app.resource(scope="attempt")
    def session(*, pool: str = app.use(pool)):
        log("begin")
        try:
            yield f"session of {pool}"
        except BaseException as error:
            log("rollback", type(error).__name__)
            raise
        if (here / "no-commit").exists():
            raise OSError("the commit failed")
        log("commit")


    @app.resource
    async def client(*, pool: str = app.use(pool)):
        loop = asyncio.get_running_loop()
        log("open client")
        yield loop
        log("close client", loop is asyncio.get_running_loop())


    @app.resource
    def flaky():
        with (here / "tries").open("a") as file:
            print(time.monotonic(), file=file)
        if not (here / "up").exists():
            raise ConnectionError("nobody listens")
        return "up"


    @app.resource
    async def aflaky():
        await asyncio.sleep(0)
        if not (here / "up").exists():
            log("aflaky")
            raise ConnectionError("nobody listens")
        return "aup"


    @app.resource(scope="worker")
    def late():
        log("late")
        if not (here / "up").exists():
            raise OSError("too early")
        return "late"


    @app.task
    def add(a: int, b: int = 1, *, db: str = app.use(session)) -> str:
        log("run")
        return f"{a + b} {db}"


    @app.task
    def guess(*, m: str = app.use(model)) -> str:
        log("guess")
        return m


    @app.task
    def fail(*, db: str = app.use(session)) -> None:
        raise ValueError("no")


    @app.task(timeout="300ms")
    def sleep(seconds: float, *, db: str = app.use(session)) -> None:
        log("sleep")
        time.sleep(seconds)


    @app.task
    def die_once(*, db: str = app.use(pool)) -> str:
        path = here / "died"
        if not path.exists():
            path.touch()
            os.kill(os.getpid(), 9)
        return db


    @app.task
    async def fetch(seconds: float = 0.0, *, loop=app.use(client), db: str = app.use(session)) -> str:
        assert loop is asyncio.get_running_loop()
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            log("cancelled")
            raise
        return db


    @app.task
    def needs(*, flaky: str = app.use(flaky)) -> str:
        return flaky


    @app.task
    async def aneeds(*, flaky: str = app.use(aflaky)) -> str:
        return flaky


    @app.task
    def needs_late(*, late: str = app.use(late)) -> str:
        return late


    @app.task(result=False)
    def forks(*, db: str = app.use(pool)) -> None:
        os.fork()


    @app.task
    def plain() -> str:
        return "plain"


    @app.resource
    def stuck(*, pool: str = app.use(pool)):
        yield "stuck"
        raise OSError("stuck does not close")


    @app.resource
    async def astuck(*, client=app.use(client)):
        yield "astuck"
        raise OSError("astuck does not close")


    @app.task
    async def uses_stuck(*, stuck: str = app.use(stuck), astuck: str = app.use(astuck)) -> list[str]:
        return [stuck, astuck]


    @app.resource(scope="attempt")
    def forgiving():
        try:
            yield "forgiving"
        except ValueError:
            log("forgiven")


    @app.task
    def forgiven(*, it: str = app.use(forgiving)) -> str:
        raise ValueError("lost")


    @app.task
    async def aforgiven(*, it: str = app.use(forgiving)) -> str:
        raise ValueError("alost")
'''


class Bench:
    """The app of this file, and a worker of one process for it."""

    def __init__(self, programs, module):
        self.directory = programs.directory
        self.module = module
        self._programs = programs
        self.worker = None

    def start(self):
        self.worker = self._programs.start("-m", "lineshaft", "worker", "app", "--processes", "1", "--grace", "5s")

    def stop(self) -> str:
        self.worker.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> str:
        out, err = self.worker.communicate(timeout=WAIT)
        assert self.worker.returncode == 0, err
        return out + err

    def log(self) -> list[str]:
        path = self.directory / "log"
        return path.read_text().splitlines() if path.exists() else []

    def until(self, line: str) -> None:
        deadline = time.monotonic() + WAIT
        while line not in self.log():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.01)


@pytest.fixture
def bench(programs, monkeypatch):
    programs.write("app.py", APP)
    monkeypatch.chdir(programs.directory)
    monkeypatch.setattr(sys, "path", [str(programs.directory), *sys.path])
    before = set(sys.modules)
    bench = Bench(programs, importlib.import_module("app"))
    yield bench
    if bench.worker is not None and bench.worker.poll() is None:
        bench.worker.kill()
        bench.worker.communicate()
    stop_server(programs.directory / "home")
    for name in set(sys.modules) - before:
        del sys.modules[name]


def check_refused(error: type[Exception], message: str, call, *args, **kwargs) -> None:
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    assert str(caught.value) == message


def test_each_scope_opens_once_and_closes_when_it_ends(bench):
    bench.start()
    jobs = bench.module.add.enqueue_many(bench.module.add.si(n) for n in range(3))
    assert [job.result(WAIT) for job in jobs] == [f"{n} session of pool" for n in (1, 2, 3)]
    assert bench.module.guess.enqueue().result(WAIT) == "model"
    bench.stop()
    attempt = ["begin", "run", "commit"]
    expected = ["open model", "open pool", *attempt, *attempt, *attempt, "guess", "close pool", "close model"]
    assert [line for line in bench.log() if line != "late"] == expected


def test_an_attempt_that_fails_or_runs_too_long_or_is_cancelled_closes_its_resources(bench):
    bench.start()
    with pytest.raises(TaskFailed, match="no"):
        bench.module.fail.enqueue().result(WAIT)
    with pytest.raises(TaskTimeout):
        bench.module.sleep.enqueue(60).result(WAIT)
    job = bench.module.sleep.using(timeout=None).enqueue(60)
    while bench.log().count("sleep") < 2:
        time.sleep(0.01)
    job.cancel()
    with pytest.raises(TaskCancelled):
        job.result(WAIT)
    assert bench.module.add.enqueue(1).result(WAIT) == "2 session of pool"
    bench.stop()
    log = [line for line in bench.log() if line not in ("open model", "close model", "late")]
    stopped = ["begin", "sleep"]
    assert log == [
        *("open pool", "begin", "rollback ValueError"),
        *(*stopped, "rollback TimedOut", *stopped, "rollback Cancelled"),
        *("begin", "run", "commit", "close pool"),
    ]


def test_a_drain_lets_the_attempt_end_and_closes_afterwards(bench):
    bench.start()
    job = bench.module.sleep.using(timeout=None).enqueue(0.5)
    bench.until("sleep")
    bench.stop()
    assert job.refresh().state == "completed"
    assert bench.log()[-3:] == ["commit", "close pool", "close model"]


def test_a_killed_process_closes_nothing_and_its_successor_opens_its_own(bench):
    bench.start()
    job = bench.module.die_once.enqueue()
    assert job.result(WAIT) == "pool"
    assert [attempt.outcome for attempt in job.attempts()] == ["crashed", "succeeded"]
    bench.stop()
    assert (bench.log().count("open pool"), bench.log().count("close pool")) == (2, 1)


def test_what_a_resource_raises_when_its_attempt_is_over_is_an_error_of_the_attempt(bench):
    (bench.directory / "no-commit").touch()
    bench.start()
    with pytest.raises(TaskFailed, match="the commit failed"):
        bench.module.add.enqueue(1).result(WAIT)
    bench.stop()


def test_one_that_does_not_close_is_named_and_those_opened_before_it_close_all_the_same(bench):
    bench.start()
    assert bench.module.uses_stuck.enqueue().result(WAIT) == ["stuck", "astuck"]
    out = bench.stop()
    assert {"close client True", "close pool"} <= set(bench.log())
    for name in ("stuck", "astuck"):
        assert re.search(rf"resource {name} \(.*app\.py:\d+\) did not close", out), out
        assert f"OSError: {name} does not close" in out


def test_an_error_that_a_resource_catches_and_keeps_to_itself_is_said(bench):
    bench.start()
    jobs = [bench.module.forgiven.enqueue(), bench.module.aforgiven.enqueue()]
    assert [job.result(WAIT) for job in jobs] == [None, None]
    for job, text in zip(jobs, ("lost", "alost"), strict=True):
        assert (
            f"ValueError({text!r}) of the body was caught at the yield of a resource (forgiving) and not raised again"
            in job.output()
        )


def test_a_resource_that_does_not_open_uses_no_attempt_and_the_worker_says_why(bench):
    bench.start()
    jobs = [bench.module.needs.enqueue() for _ in range(20)]
    assert bench.module.plain.enqueue().result(WAIT) == "plain", "other tasks go on"
    tries = bench.directory / "tries"
    while not tries.exists() or len(tries.read_text().split()) < 2:
        time.sleep(0.01)
    (bench.directory / "up").touch()
    assert [job.result(WAIT) for job in jobs] == ["up"] * 20
    assert [attempt.outcome for attempt in jobs[0].attempts()] == ["succeeded"]
    at = [float(line) for line in tries.read_text().split()]
    assert len(at) == 3, "twenty jobs, but one try per delay"
    assert at[1] - at[0] >= 0.4
    assert at[2] - at[1] >= 0.8
    out = bench.stop()
    place = bench.module.flaky.place
    assert f"resource flaky ({place}) did not open; jobs that need it are put off for 0.4 s" in out
    again = f"resource flaky ({place}) did not open for the 2nd time (ConnectionError: nobody listens)"
    assert f"{again}; jobs that need it are put off for 0.8 s" in out
    assert out.count("ConnectionError: nobody listens\n") == 1, "the traceback is said once"


def test_a_job_whose_resource_does_not_open_says_why_and_expires(bench):
    """Each try was recorded as an attempt, so that no such job ever expired."""
    bench.start()
    assert bench.module.plain.enqueue().result(WAIT) == "plain"
    job = bench.module.needs.using(expires="2s").enqueue()
    while job.refresh().state == "available" or job.state == "running":
        time.sleep(0.01)
    assert job.record.waits_for == "its time: resource flaky did not open: ConnectionError: nobody listens"
    with pytest.raises(TaskFailed, match="no attempt began before it expired"):
        job.result(WAIT)
    assert job.attempts() == []


def test_an_async_resource_that_does_not_open_uses_no_attempt_either(bench):
    bench.start()
    job = bench.module.aneeds.enqueue()
    bench.until("aflaky")
    (bench.directory / "up").touch()
    assert job.result(WAIT) == "aup"
    assert [attempt.outcome for attempt in job.attempts()] == ["succeeded"]
    assert "resource aflaky" in bench.stop()


def test_a_resource_that_does_not_open_ahead_is_opened_when_it_is_needed(bench):
    bench.start()
    bench.until("late")
    assert bench.module.plain.enqueue().result(WAIT) == "plain"
    (bench.directory / "up").touch()
    assert bench.module.needs_late.enqueue().result(WAIT) == "late"
    assert "OSError: too early" in bench.stop()


def test_a_copy_that_a_body_forked_closes_nothing(bench):
    bench.start()
    bench.module.forks.enqueue().wait(WAIT)
    assert bench.module.add.enqueue(1).result(WAIT) == "2 session of pool"
    bench.stop()
    assert (bench.log().count("open pool"), bench.log().count("close pool")) == (1, 1)


def test_async_resources_live_in_one_loop_with_their_tasks(bench):
    bench.start()
    for _ in range(3):
        assert bench.module.fetch.enqueue().result(WAIT) == "session of pool"
    job = bench.module.fetch.enqueue(60)
    while bench.log().count("begin") < 4:
        time.sleep(0.01)
    job.cancel()
    with pytest.raises(TaskCancelled):
        job.result(WAIT)
    assert bench.module.fetch.enqueue().result(WAIT) == "session of pool"
    bench.stop()
    log = bench.log()
    assert (log.count("open client"), log.count("open pool"), log.count("commit")) == (1, 1, 4)
    assert log[log.index("cancelled") + 1] == "rollback CancelledError"
    assert log[-3:] == ["close client True", "close pool", "close model"]


SLOTS = """
    import asyncio
    import sys
    import threading
    import time
    from pathlib import Path

    from lineshaft import App, Hooks, TaskCancelled, TaskTimeout

    here = Path(__file__).parent
    lock = threading.Lock()


    def log(*words):
        with lock, (here / "log").open("a") as file:
            print(*words, file=file)


    class Audit(Hooks):
        def after_attempt(self, call, outcome):
            log("outcome", call.task, outcome)


    app = App("home", hooks=[Audit()])


    @app.resource
    def pool():
        time.sleep(0.2)  # long enough for all slots to ask
        log("open pool")
        yield "pool"
        log("close pool")


    @app.resource
    async def client(*, pool: str = app.use(pool)):
        async def beat():
            while True:
                await asyncio.sleep(0.01)

        heart = asyncio.create_task(beat())
        await asyncio.sleep(0.1)
        log("open client")
        yield heart
        log("close client", "dead" if heart.done() else "alive")
        heart.cancel()


    @app.resource(scope="attempt")
    def session(*, pool: str = app.use(pool)):
        try:
            yield pool
        except BaseException as error:
            log("rollback", type(error).__name__)
            raise
        log("commit")


    @app.task(name="sync")
    def sync(n: int, *, s: str = app.use(session)) -> int:
        time.sleep(0.01)
        return n


    @app.task(name="coroutine")
    async def coroutine(n: int, *, c: object = app.use(client), s: str = app.use(session)) -> int:
        await asyncio.sleep(0.01)
        assert not c.done()
        return n


    @app.task(name="late", timeout="200ms")
    async def late(*, c: object = app.use(client), s: str = app.use(session)) -> None:
        await asyncio.sleep(60)


    if __name__ == "__main__":
        kind = sys.argv[1]
        with app.workers(1, kind=kind, slots=1 if kind == "process" else 8):
            jobs = [*sync.map(range(20)), *coroutine.map(range(20))]
            print(sorted(job.result() for job in jobs) == sorted([*range(20)] * 2))
            try:
                late.enqueue().result()
            except TaskTimeout:
                print("late")
            print(coroutine.enqueue(1).result())
"""


@pytest.mark.parametrize("kind", ["process", "thread", "async"])
def test_slots_of_a_process_share_its_resources(programs, kind):
    programs.write("shared.py", SLOTS)
    try:
        ended = programs.run("shared.py", kind)
        assert ended.stdout.splitlines() == ["True", "late", "1"], ended.stderr
        log = (programs.directory / "log").read_text().splitlines()
        assert [log.count(word) for word in ("open pool", "open client", "commit")] == [1, 1, 41]
        assert log.count("rollback CancelledError") == 1
        assert log[-2:] == ["close client alive", "close pool"]
        outcomes = [line.removeprefix("outcome ") for line in log if line.startswith("outcome ")]
        assert sorted(outcomes) == ["coroutine succeeded"] * 21 + ["late timed_out"] + ["sync succeeded"] * 20
    finally:
        stop_server(programs.directory / "home")


# In this process -----------------------------------------------------------------------------------------------------

app = App()
trace: list[str] = []


@app.resource
def pool():
    trace.append("open")
    yield {"name": "pool"}
    trace.append("close")


@app.resource(scope="attempt")
async def session(*, db: dict = app.use(pool)):
    yield f"session of {db['name']}"


@app.task
def count(n: int, *, db: dict = app.use(pool)) -> str:
    return f"{n} {db['name']}"


@app.task
async def acount(n: int, *, s: str = app.use(session)) -> str:
    return f"{n} {s}"


def test_a_direct_call_opens_what_it_needs_and_closes_it():
    trace.clear()
    assert count(1) == "1 pool"
    assert trace == ["open", "close"]
    assert asyncio.run(acount(2)) == "2 session of pool"
    assert trace == ["open", "close"] * 2


def test_a_direct_call_takes_what_it_is_given():
    trace.clear()
    assert count(1, db={"name": "mine"}) == "1 mine"
    assert trace == []


def test_override_puts_fakes_in_the_place_of_resources():
    trace.clear()
    with app.override(pool={"name": "fake"}):
        assert count(1) == "1 fake"
        assert asyncio.run(acount(2)) == "2 session of fake"
        with app.override({pool: {"name": "inner"}, session: "s"}):
            assert (count(1), asyncio.run(acount(2))) == ("1 inner", "2 s")
        assert count(1) == "1 fake"
    assert trace == []
    assert count(1) == "1 pool"


def test_a_fake_may_be_a_resource_which_is_opened():
    @app.resource(name="standby")
    def standby():
        trace.append("standby")
        yield {"name": "standby"}

    trace.clear()
    with app.override({pool: standby}):
        assert count(1) == "1 standby"
    assert trace == ["standby"]


def test_override_moves_the_app_to_another_home(tmp_path):
    before = app.url
    with app.override(home=tmp_path / "other"):
        assert app.url == str(tmp_path / "other")
        assert repr(tmp_path) not in before
    assert app.url == before


def test_override_is_undone_when_the_block_raises():
    with pytest.raises(KeyError), app.override(pool=1):
        raise KeyError
    assert count(1) == "1 pool"


def test_override_refuses_what_it_does_not_know():
    @app.resource(name="around")
    def around(*, inner: object = app.use(pool)):
        yield inner

    message = "override() resource 'pol', which the app does not declare\n  hint: did you mean 'pool'?"
    check_refused(DeclarationError, message, app.override(pol=1).__enter__)
    message = "resources use each other: around -> around\n  hint: one of them has to do without the next"
    check_refused(DeclarationError, message, app.override({pool: around}).__enter__)


def test_a_resource_is_a_function_a_coroutine_a_generator_or_a_context_manager():
    other = App()
    closed = []

    class Closes:
        def __enter__(self):
            return "entered"

        def __exit__(self, *_):
            closed.append(1)

    @contextmanager
    def manager():
        yield "manager"

    @asynccontextmanager
    async def amanager():
        yield "amanager"

    async def coroutine():
        return "coroutine"

    async def agenerator():
        yield "agenerator"

    kinds = {
        "value": lambda: "value",
        "object": lambda: Closes(),
        "manager": manager,
        "amanager": amanager,
        "coroutine": coroutine,
        "agenerator": agenerator,
    }
    made = {name: other.resource(name=name)(function) for name, function in kinds.items()}

    async def takes(
        *,
        a: object = other.use(made["value"]),
        b: object = other.use(made["object"]),
        c: object = other.use(made["manager"]),
        d: object = other.use(made["amanager"]),
        e: object = other.use(made["coroutine"]),
        f: object = other.use("agenerator"),
    ) -> list[object]:
        return [a, b, c, d, e, f]

    takes.__qualname__ = "takes"
    task = other.task(takes)
    assert asyncio.run(task()) == ["value", "entered", "manager", "amanager", "coroutine", "agenerator"]
    assert closed == [1]


def test_resources_are_never_sent():
    signature = f"{__name__}.count(n: 'int') -> 'str'"
    message = f"{signature}: 'db' is a resource: the worker opens it, nobody sends it"
    check_refused(TypeError, message, count.si, 1, db={})
    check_refused(TypeError, message, count.enqueue, 1, db={})
    check_refused(TypeError, f"{signature}: too many positional arguments", count.si, 1, {})
    assert count.si(1).kwargs == {}
    assert str(count.signature) == "(n: 'int') -> 'str'"


def test_tasks_have_resources_of_their_own_and_use_those_of_the_app_by_name():
    tasks, other = Tasks(), App()

    @tasks.resource
    def local():
        yield "local"

    def both(*, a: str = tasks.use(local), b: str = tasks.use("shared")) -> str:
        return a + " " + b

    both.__qualname__ = "both"
    task = tasks.task(both)
    message = f"{task.name} uses resource 'shared', which the app does not declare\n  hint: its resources: local"
    check_refused(DeclarationError, message, task)
    other.include(tasks)

    @other.resource
    def shared():
        return "shared"

    assert task() == other.tasks[task.name]() == "local shared"
    with other.override(local="fake"):
        assert task() == "fake shared"
    assert isinstance(local, Resource)


def test_a_cycle_is_refused_with_its_names():
    other = App()

    @other.resource
    def first(*, x: object = other.use("third")):
        yield x

    @other.resource
    def second(*, x: object = other.use(first)):
        yield x

    def third(*, x: object = other.use(second)):
        yield x

    message = (
        "resources use each other: first -> third -> second -> first\n  hint: one of them has to do without the next"
    )
    check_refused(DeclarationError, message, other.resource, third)


def test_a_resource_does_not_outlive_what_it_uses():
    other = App()
    short = other.resource(scope="attempt")(lambda_named("short"))

    def long(*, x: object = other.use(short)):
        yield x

    message = (
        "resource long (scope process) uses short, which is closed after each attempt\n"
        '  hint: give both the same scope: @app.resource(scope="attempt")'
    )
    check_refused(DeclarationError, message, other.resource, long)


def lambda_named(name: str):
    def function():
        return name

    function.__name__ = name
    return function


def test_an_async_resource_is_refused_in_a_task_without_a_loop():
    def wants(*, s: str = app.use(session)) -> str:
        return s

    wants.__qualname__ = "wants"
    message = (
        f"{__name__}.wants cannot use resource session, which opens in an event loop\n"
        "  hint: write the task with `async def`, or the resource with `def`"
    )
    check_refused(DeclarationError, message, app.task, wants)


def test_a_parameter_that_takes_a_resource_is_keyword_only():
    def wrong(a: int, db: dict = app.use(pool), b: int = 1) -> None: ...

    wrong.__qualname__ = "wrong"
    message = (
        f"parameter 'db' of {__name__}.wrong takes resource pool, but is not keyword-only\n"
        "  hint: write it after a `*`: (..., *, db=...)"
    )
    check_refused(DeclarationError, message, app.task, wrong)


def test_what_cannot_be_a_resource_is_refused():
    def needs(url: str): ...

    place = f"{__file__}:{needs.__code__.co_firstlineno}"
    message = (
        f"resource needs ({place}) has parameter 'url', which nobody passes\n"
        "  hint: give it a default; another resource is `*, other=app.use(other)`"
    )
    check_refused(DeclarationError, message, App().resource, needs)
    message = (
        "class Resource cannot be a resource\n  hint: declare a function written with `def` that yields or returns it"
    )
    check_refused(DeclarationError, message, App().resource, Resource)
    with pytest.raises(DeclarationError, match=r"use\(\) does not take function <function pool"):
        app.use(pool.function)
    home = lambda_named("home")
    message = (
        f"resource 'home' ({__file__}:{home.__code__.co_firstlineno}): 'home' is a setting of app.override\n"
        '  hint: give it another name: @app.resource(name="pool")'
    )
    check_refused(DeclarationError, message, App().resource, home)
    with pytest.raises(OptionError, match="option `scope`: 'thread' is not accepted"):
        App().resource(scope="thread")
    with pytest.raises(UnknownOption, match="@resource has no option `scop`: did you mean `scope`"):
        App().resource(scop="attempt")
    first = pool.place
    message = (
        f"two resources are named 'pool': {first} and {place_of_next()}\n"
        '  hint: give one of them another name: @app.resource(name="...")'
    )
    check_refused(DeclarationError, message, app.resource, lambda_named("pool"))


def place_of_next() -> str:
    return f"{__file__}:{lambda_named('x').__code__.co_firstlineno}"
