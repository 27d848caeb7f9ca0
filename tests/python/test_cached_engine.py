"""`app.cached(scope="engine")` and `app.cache`: results that every program of a home shares."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import functools
import json
import logging
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import lineshaft
from conftest import environment, stop_server
from lineshaft import App, LineshaftError, OptionError, SerializationError, ServerError
from support.processes import PATIENCE_S, until

HERE = Path(__file__).parent


@dataclasses.dataclass
class Price:
    item: str
    cents: int


@pytest.fixture
def app():
    return App()


# ---- Functions.


def test_what_was_computed_is_a_copy_for_each_call(app):
    calls = []

    @app.cached(scope="engine")
    def rows(count: int, *, of: str = "row") -> list[str]:
        calls.append(count)
        return [of] * count

    first = rows(2)
    first.append("mine")
    assert rows(2) == rows(count=2) == rows(2, of="row") == ["row", "row"]
    assert rows(2, of="line") == ["line", "line"]
    assert calls == [2, 2]
    assert rows.cache.peek(2) == ["row", "row"]
    assert rows.cache.peek(3) is None
    info = rows.cache.info()
    assert (info.hits, info.misses, info.size) == (3, 2, 2)
    assert info.bytes > 400
    assert repr(rows).startswith("<cached function test_what_was_computed")
    with pytest.raises(TypeError, match="missing"):
        rows()
    with pytest.raises(TypeError, match="does not take"):
        rows.cache.peek()


def test_values_of_the_programs_own_types_and_none_are_results(app):
    calls = []

    @app.cached(scope="engine")
    def price(item: str) -> Price | None:
        calls.append(item)
        return None if item == "air" else Price(item, 100)

    for _ in range(2):
        assert price("tea") == Price("tea", 100)
        assert price("air") is None
    assert calls == ["tea", "air"]


def test_methods_have_their_instance_among_the_arguments(app):
    calls = []

    @dataclasses.dataclass
    class Shop:
        name: str

        @app.cached(scope="engine")
        def total(self, number: int) -> str:
            calls.append((self.name, number))
            return f"{self.name}{number}"

    app.register(Shop)
    assert [Shop("a").total(1), Shop("b").total(1), Shop("a").total(1)] == ["a1", "b1", "a1"]
    assert calls == [("a", 1), ("b", 1)]


def test_what_is_invalidated_is_computed_again(app):
    calls = []

    @app.cached(scope="engine", tags=lambda number: [f"n{number}", "all"])
    def f(number: int) -> int:
        calls.append(number)
        return number

    @app.cached(scope="engine", tags=["all"])
    def other() -> int:
        calls.append(0)
        return 0

    def computed() -> list[int]:
        calls.clear()
        f(1), f(2), other()
        return calls

    assert computed() == [1, 2, 0]
    assert computed() == []
    assert f.cache.invalidate(1) is True
    assert f.cache.invalidate(3) is False
    assert computed() == [1]
    assert f.cache.invalidate(tag="n2") is True
    assert computed() == [2]
    f.cache.invalidate(tag="all")
    assert computed() == [1, 2], "a tag of the function's own"
    app.cache.invalidate(tag="all")
    assert computed() == [1, 2, 0], "of every function"
    f.cache.clear()
    assert computed() == [1, 2]
    app.cache.clear()
    assert computed() == [1, 2, 0]


def test_what_is_invalidated_while_it_is_computed_is_given_and_not_kept(app):
    begun, goes_on, source = threading.Event(), threading.Event(), ["old"]

    @app.cached(scope="engine", tags=["all"])
    def read(name: str) -> str:
        value = source[0]
        if value == "old":
            begun.set()
            assert goes_on.wait(PATIENCE_S)
        return value

    for how in ({"tag": "all"}, {"name": "a"}):
        source[0] = "old"
        begun.clear(), goes_on.clear()
        with ThreadPoolExecutor(1) as thread:
            first = thread.submit(read, "a")
            assert begun.wait(PATIENCE_S)
            source[0] = "new"
            read.cache.invalidate(**how)
            goes_on.set()
            assert first.result(PATIENCE_S) == "old"
        assert read.cache.peek("a") is None
        assert read("a") == "new"
        read.cache.clear()


def test_threads_that_ask_together_compute_once(app):
    calls = []

    @app.cached(scope="engine")
    def slow(number: int) -> int:
        calls.append(number)
        time.sleep(0.2)
        return number

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(slow, [7] * 8)) == [7] * 8
    assert calls == [7]


def test_a_function_that_calls_itself_with_the_same_arguments_does_not_wait_for_itself(app):
    calls = []

    @app.cached(scope="engine")
    def deep(number: int) -> int:
        calls.append(number)
        return deep(number) + 1 if len(calls) < 3 else 0

    @app.cached(scope="engine")
    def fib(number: int) -> int:
        return number if number < 2 else fib(number - 1) + fib(number - 2)

    assert deep(1) == 2
    assert fib(30) == 832_040


def test_time(app):
    calls = []

    @app.cached(scope="engine", ttl="3s", stale="1h")
    def served(number: int) -> int:
        calls.append(number)
        return len(calls)

    @app.cached(scope="engine", idle="3s")
    def used(number: int) -> int:
        return time.monotonic_ns()

    first = used(1)
    assert served(1) == 1
    assert used(1) == first
    time.sleep(3.2)
    assert used(1) != first
    assert served(1) == 1, "stale, and computed anew beside it"
    until(lambda: served(1) == 2, "it was computed anew")


def test_exceptions_are_kept_if_they_shall_be(app):
    calls = []

    @app.cached(scope="engine", negative="1h")
    def fails(number: int) -> int:
        calls.append(number)
        raise LookupError(f"no {number}")

    @app.cached(scope="engine")
    def fails_anew() -> int:
        calls.append(0)
        raise LookupError("none")

    for _ in range(2):
        with pytest.raises(LookupError, match="no 1"):
            fails(1)
        with pytest.raises(LookupError, match="none"):
            fails_anew()
    assert calls == [1, 0, 0]
    assert fails.cache.peek(1) is None


def test_what_is_no_value_is_given_and_not_kept(app, caplog):
    @app.cached(scope="engine")
    def opened(name: str) -> object:
        return threading.Lock()

    with caplog.at_level(logging.WARNING, "lineshaft"):
        assert opened("a") is not opened("a")
        opened("b")
    assert caplog.text.count("is not cached") == 1, "once for each function and reason"
    with pytest.raises(SerializationError, match="not a value"):
        opened(threading.Lock())


def test_options_are_refused_with_what_there_is(app):
    with pytest.raises(OptionError, match="engine"):
        app.cached(scope="world")(len)
    with pytest.raises(OptionError, match='with scope="engine" there are'):
        app.cached(scope="engine", typed=True)


def test_functions_of_other_code_and_of_other_closures_share_nothing(app):
    def doubling(function):
        @functools.wraps(function)
        def wrapper(number: int) -> int:
            return 2 * function(number)

        return wrapper

    def made(step: int, decorate):
        def add(number: int) -> int:
            return number + step

        return app.cached(scope="engine")(decorate(add))

    assert [made(step, doubling)(1) for step in (1, 2, 1)] == [4, 6, 4]
    assert [made(step, lambda function: function)(1) for step in (1, 2)] == [2, 3]
    assert lineshaft.layers(made(1, doubling))[0] == "cached"


def test_a_stop_iteration_arrives_as_what_it_is(app):
    @app.cached(scope="engine", negative="1h")
    def first(things: list[int]) -> int:
        return next(iter(things))

    for _ in range(2):
        with pytest.raises(StopIteration):
            first([])
    with pytest.raises(StopIteration):
        app.cache.get_or_set("first", lambda: next(iter([])))


def test_a_value_by_name_goes_with_what_it_is_computed_from(app):
    prices = {"tea": 3}

    @app.cached(scope="engine")
    def price(item: str) -> int:
        return prices[item]

    @app.cached(scope="engine", depends_on=lambda item: price.cache.key(item))
    def gross(item: str) -> int:
        return price(item) + 1

    def offer() -> str:
        return app.cache.get_or_set(
            "offer", lambda: f"{gross('tea')} {app.cache.get('rate')}", depends_on=[gross.cache.key("tea"), "rate"]
        )

    app.cache.set("rate", 7)
    assert [offer(), offer()] == ["4 7", "4 7"]
    prices["tea"] = 5
    price.cache.invalidate("tea")  # of which `gross` is computed
    assert offer() == "6 7"
    app.cache.set("rate", 8)
    assert offer() == "6 8"
    app.cache.set("total", 1, depends_on="rate")
    app.cache.set("other", 1)
    app.cache.invalidate("rate")
    assert (app.cache.get("total"), app.cache.get("offer"), app.cache.get("other")) == (None, None, 1)


def test_what_a_value_by_name_cannot_depend_on_is_refused(app, tmp_path):
    @app.cached
    def near(item: str) -> int:
        return 1

    @App(tmp_path / "other").cached(scope="engine")
    def abroad(item: str) -> int:
        return 1

    for wrong in (7, [7], near.cache.key("tea"), [abroad.cache.key("tea")], "a\n", [f"key {n}" for n in range(257)]):
        with pytest.raises(OptionError, match=r"`depends_on`|`key`"):
            app.cache.set("offer", 1, depends_on=wrong)


def test_tags_are_checked_and_may_be_long(app):
    calls = []

    @app.cached(scope="engine", tags=lambda number: [f"{number}" * 250])
    def long(number: int) -> int:
        calls.append(number)
        return number

    assert [long(1), long(1), long(2)] == [1, 1, 2]
    assert long.cache.invalidate(tag=["1" * 250, "3"])
    assert [long(1), long(2)] == [1, 2]
    assert calls == [1, 2, 1]
    for wrong in (5, None, "", ["a\n"], [7]):
        with pytest.raises(OptionError, match="tag"):
            long.cache.invalidate(tag=wrong)
        with pytest.raises(OptionError, match="tag"):
            app.cache.invalidate(tag=wrong)
        with pytest.raises(OptionError, match="tags"):
            app.cache.set("a", 1, tags=wrong)

    @app.cached(scope="engine", tags=lambda number: [number.name])
    def fails(number: int) -> int:
        raise KeyError("real")

    with pytest.raises(KeyError, match="real"):
        fails(1)


# ---- Coroutines.


def test_coroutines_share_with_functions_and_with_each_other(app):
    calls = []

    @app.cached(scope="engine", tags=["all"])
    async def later(number: int) -> list[int]:
        calls.append(number)
        await asyncio.sleep(0.1)
        return [number]

    async def main() -> None:
        assert await asyncio.gather(*(later(1) for _ in range(8))) == [[1]] * 8
        assert await later(1) == [1]
        assert calls == [1]
        assert await later.cache.apeek(1) == [1]
        assert await later.cache.ainvalidate(1)
        assert not await later.cache.ainvalidate(1)
        await later.cache.warm(1)
        await later.cache.warm(1)
        assert calls == [1, 1]
        await later.cache.ainvalidate(tag="all")
        assert await later(1) == [1]
        await later.cache.aclear()
        assert await later(1) == [1]
        assert len(calls) == 4
        assert (await later.cache.ainfo()).misses > 0
        task = asyncio.create_task(later(2))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.wait_for(later(2), PATIENCE_S) == [2], "who is cancelled keeps nobody waiting"

    assert asyncio.iscoroutinefunction(later)
    asyncio.run(main())
    assert later.cache.peek(2) == [2]


# ---- Values by name.


def test_coroutines_that_need_themselves_through_tasks_and_threads_come_to_an_end(app):
    @app.cached(scope="engine")
    async def deep(number: int) -> int:
        calls.append(number)
        if number == 0 or len(calls) > 6:
            return 0
        below, same = await asyncio.gather(deep(number - 1), deep(number))
        return below + same + 1

    @app.cached(scope="engine")
    async def threaded(number: int) -> int:
        return number + (await asyncio.to_thread(other, number))

    @app.cached(scope="engine")
    def other(number: int) -> int:
        return asyncio.run(threaded(number)) if len(calls) < 5 and calls.append(9) is None else 1

    calls: list[int] = []
    assert asyncio.run(asyncio.wait_for(deep(2), PATIENCE_S)) >= 1
    calls.clear()
    assert asyncio.run(asyncio.wait_for(threaded(1), PATIENCE_S)) > 1


def test_what_is_computed_does_not_take_the_place_of_what_was_put_there_meanwhile(app):
    begun, goes_on = threading.Event(), threading.Event()

    def compute() -> str:
        begun.set()
        assert goes_on.wait(PATIENCE_S)
        return "old"

    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(app.cache.get_or_set, "key", compute)
        assert begun.wait(PATIENCE_S)
        app.cache.set("key", "new", ttl="50ms")
        time.sleep(0.1)
        goes_on.set()
        assert asked.result(PATIENCE_S) == "old"
    assert app.cache.get("key") is None


def test_values_are_kept_by_name(app):
    cache = app.cache
    assert cache is app.cache
    assert cache.get("rate") is None
    assert cache.get("rate", 7) == 7
    when = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
    cache.set("rate", {"usd": 0.5, "at": when}, ttl="1h", tags=["rates"])
    cache.set("other", [1], tags=["rates", "ones"])
    assert cache.get("rate") == {"usd": 0.5, "at": when}
    cache.set("rate", None)
    assert cache.get("rate", 7) is None
    assert cache.invalidate("rate", "nothing") == 1
    assert cache.get("rate", 7) == 7
    cache.invalidate(tag="ones")
    assert cache.get("other") is None
    info = cache.info()
    assert (info.hits, info.misses) == (2, 4)
    assert info.bytes_max == 256 << 20
    cache.set("short", 1, ttl="50ms")
    time.sleep(0.1)
    assert cache.get("short") is None
    assert app.url in repr(cache)


def test_who_asks_for_what_is_not_there_computes_it_once(app):
    calls = []

    def compute() -> int:
        calls.append(1)
        time.sleep(0.1)
        return len(calls)

    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(app.cache.get_or_set, "key", compute, tags=["t"]) for _ in range(4)]
        assert [one.result(PATIENCE_S) for one in asked] == [1] * 4
    app.cache.invalidate(tag="t")
    assert app.cache.get_or_set("key", compute) == 2
    with pytest.raises(ZeroDivisionError):
        app.cache.get_or_set("broken", lambda: 1 // 0)
    assert app.cache.get("broken") is None


def test_coroutines_have_the_same_verbs(app):
    async def main() -> None:
        cache = app.cache
        assert await cache.aget("a") is None
        await cache.aset("a", 1, tags=["t"])
        assert await cache.aget("a") == 1
        assert await cache.ainvalidate("a") == 1

        async def compute() -> int:
            return 5

        assert await cache.aget_or_set("a", compute, ttl="1h") == 5
        assert await cache.aget_or_set("a", compute) == 5
        assert (await cache.ainfo()).entries == 1
        await cache.aclear()
        assert await cache.aget("a") is None

    asyncio.run(main())


@pytest.mark.parametrize("key", ["", "x" * 201, "line\nfeed", 7, None, "\ud800"])
def test_a_key_that_cannot_be_is_refused(app, key):
    with pytest.raises(OptionError, match="key"):
        app.cache.get(key)
    with pytest.raises(OptionError, match="key"):
        app.cache.set(key, 1)
    with pytest.raises(OptionError, match="tags"):
        app.cache.set("a", 1, tags=[key * 2 if isinstance(key, str) else key])


def test_what_cannot_be_kept_is_refused(app):
    with pytest.raises(OptionError, match="tags"):
        app.cache.set("a", 1, tags=[str(number) for number in range(17)])
    for wrong in ("soon", 0, -1):
        with pytest.raises(OptionError, match="ttl"):
            app.cache.set("a", 1, ttl=wrong)
    with pytest.raises(SerializationError, match="not a value"):
        app.cache.set("a", threading.Lock())
    with pytest.raises(LineshaftError, match="bytes"):
        app.cache.set("a", bytes(65 << 20))
    assert app.cache.get("a") is None
    large = bytes(3 << 20)
    app.cache.set("a", large)
    assert app.cache.get("a") == large


# ---- Programs of a home.


class Programs:
    """Programs that run `engine_results.py` on one home."""

    def __init__(self, directory: Path) -> None:
        self.home, self.marks = directory / "home", directory / "marks"
        self.marks.mkdir()
        self.env = environment() | {"ENGINE_CACHE_HOME": str(self.home), "ENGINE_CACHE_MARKS": str(self.marks)}
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, code: str, **env: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(HERE / "engine_results.py"), code]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=self.env | env, stdout=pipe, stderr=pipe, text=True)
        self.processes.append(process)
        return process

    def output(self, process: subprocess.Popen[str]) -> str:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, err
        return out.strip()

    def marked(self, what: str) -> int:
        path = self.marks / what
        return len(path.read_bytes()) if path.exists() else 0


@pytest.fixture
def programs(tmp_path):
    programs = Programs(tmp_path)
    yield programs
    for process in programs.processes:
        process.kill()
        process.communicate()
    stop_server(programs.home)


def test_programs_compute_once_and_find_it_after_a_restart(programs):
    together = [programs.start("print(slow(1), app.cache.get('a'))") for _ in range(4)]
    assert [programs.output(one) for one in together] == ["2 None"] * 4
    assert programs.marked("slow-1") == 1
    programs.output(programs.start("app.cache.set('a', 'b', tags=['t']); app.cache.set('c', 'd')"))
    programs.output(programs.start("app.cache.invalidate(tag='t')"))
    stop_server(programs.home)
    assert programs.output(programs.start("print(slow(1), app.cache.get('a'), app.cache.get('c'))")) == "2 None d"
    assert programs.marked("slow-1") == 1


def test_a_killed_program_keeps_nobody_waiting(programs):
    first = programs.start("slow(5)", ENGINE_CACHE_SLOW="600")
    until(lambda: programs.marked("slow-5") == 1, "it computes")
    second = programs.start("print(slow(5))")
    time.sleep(1.0)
    assert second.poll() is None
    assert programs.marked("slow-5") == 1, "it waits"
    first.kill()
    killed = time.monotonic()
    assert programs.output(second) == "6"
    assert time.monotonic() - killed < 20, "not for as long as locks are held by default"
    assert programs.marked("slow-5") == 2


def test_programs_that_wait_for_each_other_come_to_an_end(programs):
    together = [programs.start(f"print({name}(3))") for name in ("ping", "pong", "ping", "pong")]
    found = {programs.output(one) for one in together}
    assert len(found) <= 2


def test_an_operator_sees_the_cache_and_makes_what_is_in_it_untrue(programs):
    programs.output(programs.start("app.cache.set('a', 1, tags=['t']); app.cache.set('b', 2); app.cache.get('b')"))

    def cli(*words: str) -> str:
        command = [sys.executable, "-m", "lineshaft", "cache", *words, "--home", str(programs.home)]
        done = subprocess.run(command, env=programs.env, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
        return done.stdout + done.stderr

    assert "2 values in" in cli()
    assert "1 of 1 look-ups" in cli()
    assert "made untrue: 1 of 2 values, all with 1 tag" in cli("invalidate", "b", "nothing", "--tag", "t")
    assert programs.output(programs.start("print(app.cache.get('a'), app.cache.get('b'))")) == "None None"
    programs.output(programs.start("app.cache.set('c', 3)"))
    assert "made untrue: 1 value" in cli("clear", "--yes")
    assert programs.output(programs.start("print(app.cache.get('c'))")) == "None"
    assert json.loads(cli("--json"))["misses"] == 3


def test_where_the_engine_does_not_answer_calls_compute_and_say_so(app, caplog, monkeypatch):
    calls = []

    @app.cached(scope="engine")
    def f(number: int) -> int:
        calls.append(number)
        return number

    def refuse() -> None:
        raise ServerError("there is no server")

    assert f(1) == 1
    monkeypatch.setattr(app._connection, "client", refuse)
    with caplog.at_level(logging.WARNING, "lineshaft"):
        assert [f(1), f(1), app.cache.get_or_set("a", lambda: 5)] == [1, 1, 5]
    assert caplog.text.count("there is no server") == 1
    with pytest.raises(ServerError):
        app.cache.get("a")
    monkeypatch.undo()
    app.cache._entries._asked_again = 0.0
    assert f(1) == 1
    assert calls == [1, 1, 1]
