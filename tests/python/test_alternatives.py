"""Several implementations of a function, of which the fastest does the work."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import logging
import math
import pickle
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lineshaft import App, DeclarationError, LineshaftError, OptionError, _native, alternatives, size_class
from lineshaft._alternatives import _functions, _sharing
from support.processes import PATIENCE_S, until


class Work:
    """Implementations that take what they are told to, by a clock that only they move."""

    def __init__(self, monkeypatch, **seconds: float) -> None:
        self.seconds, self.calls, self.now = dict(seconds), [], 0.0
        self.error: dict[str, Exception] = {}
        self.gives: dict[str, object] = {}
        monkeypatch.setattr("lineshaft._alternatives._functions.time.perf_counter", lambda: self.now)

    def __getattr__(self, name: str):
        def work(*args: object) -> object:
            self.calls.append(name)
            self.now += self.seconds[name]
            if name in self.error:
                raise self.error[name]
            return self.gives.get(name, args)

        work.__name__ = work.__qualname__ = name
        return work


@pytest.fixture
def work(monkeypatch):
    return Work(monkeypatch, first=2.0, second=1.0, third=4.0)


def best(function) -> str:
    name = best_or_none(function)
    assert name is not None
    return name


def best_or_none(function) -> str | None:
    (rows,) = function.implementations().values()
    return next((row.name for row in rows if row.standing == "best"), None)


def test_the_fastest_does_the_work(work):
    function = alternatives(work.second, work.third, key=None)(work.first)
    for _ in range(12):
        assert function("x") == ("x",)
    assert best(function) == "second"
    assert work.calls.count("third") == 2, "it takes more than three times as long"
    assert work.calls.count("first") == 3
    work.calls.clear()
    for _ in range(1_000):
        function("x")
    assert work.calls.count("second") >= 950


def test_each_class_of_arguments_has_its_own(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("lineshaft._alternatives._functions.time.perf_counter", lambda: now[0])

    def linear(items: list[int]) -> str:
        now[0] += len(items) * 1e-6
        return "linear"

    @alternatives(linear)
    def constant(items: list[int]) -> str:
        now[0] += 1e-4
        return "constant"

    few, many = [1] * 10, [1] * 1000
    for _ in range(10):
        constant(few), constant(many)
    assert (constant(few), constant(many)) == ("linear", "constant")
    assert constant.implementations().keys() == {(4,), (10,)}


def test_a_class_is_what_key_gives(work):
    function = alternatives(work.second, key=lambda number: number % 2)(work.first)
    for number in range(10):
        function(number)
    assert function.implementations().keys() == {0, 1}


def test_classes_beyond_some_are_one(work, monkeypatch):
    monkeypatch.setattr("lineshaft._alternatives._classes.CLASSES_MAX", 3)
    function = alternatives(work.second, key=lambda number: number)(work.first)
    for number in range(10):
        function(number)
    assert function.implementations().keys() == {0, 1, 2, "others"}


def test_one_that_becomes_slower_is_found_out(work, caplog):
    function = alternatives(work.second, key=None)(work.first)
    for _ in range(200):
        function()
    work.seconds["second"] = 3.0
    with caplog.at_level(logging.INFO, "lineshaft"):
        for _ in range(200):
            function()
    assert best(function) == "first"
    assert "second has become slower" in caplog.text


# ---- Wrong ones.


def test_one_that_raises_is_left_out_and_the_first_answers(work, caplog):
    function = alternatives(work.second, key=None)(work.first)
    work.error["second"] = KeyError("mine")
    with caplog.at_level(logging.WARNING, "lineshaft"):
        for _ in range(20):
            assert function(5) == (5,)
    assert work.calls.count("second") == 1
    assert "first: second raised KeyError where first did not; it is left out for an hour" in caplog.text
    (rows,) = function.implementations().values()
    assert [row.standing for row in rows] == ["best", "banned"]


def test_after_an_hour_it_is_tried_again(work, monkeypatch):
    function = alternatives(work.second, key=None)(work.first)
    work.error["second"] = KeyError("mine")
    for _ in range(5):
        function()
    del work.error["second"]
    ahead = time.time() + 3_601
    monkeypatch.setattr("lineshaft._alternatives._functions._now_ms", lambda: int(ahead * 1000))
    monkeypatch.setattr("lineshaft._alternatives._classes.time.time", lambda: ahead)
    work.calls.clear()
    for _ in range(2_000):
        function()
    assert best(function) == "second"


def test_an_exception_of_the_function_s_own_bans_nobody(work):
    function = alternatives(work.second, key=None)(work.first)
    work.error = {"first": ValueError("of all"), "second": ValueError("of all")}
    for _ in range(10):
        with pytest.raises(ValueError, match="of all"):
            function()
    (rows,) = function.implementations().values()
    assert all(row.standing != "banned" for row in rows)


def test_an_interruption_is_raised_and_not_counted(work):
    function = alternatives(work.second, key=None)(work.first)
    work.error = {"second": KeyboardInterrupt()}
    raised = 0
    for _ in range(10):
        try:
            function()
        except KeyboardInterrupt:
            raised += 1
    assert raised > 0
    (rows,) = function.implementations().values()
    assert [row.calls for row in rows] == [10 - raised, 0]


def test_another_result_pins_the_first(work, caplog):
    function = alternatives(work.second, key=None, verify=1.0)(work.first)
    work.gives["second"] = "wrong"
    with caplog.at_level(logging.ERROR, "lineshaft"):
        for _ in range(20):
            assert function(5) == (5,)
    assert work.calls.count("second") == 1
    assert "second gave another result than first for arguments of class None" in caplog.text
    assert "pinned: another one gave other results" in function.explain()


def test_results_are_compared_by_equal(work):
    function = alternatives(work.second, key=None, verify=1.0, equal=lambda one, other: abs(one - other) < 0.1)(
        work.first
    )
    work.gives = {"first": 1.0, "second": 1.01}
    for _ in range(20):
        function()
    assert best(function) == "second"


class Incomparable:
    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("kind", [Incomparable, [1].__iter__])
def test_what_cannot_be_compared_is_not_its_callers_business(work, kind, caplog):
    work.gives = {"first": kind(), "second": kind()}
    function = alternatives(work.second, key=None, verify=1.0)(work.first)
    with caplog.at_level(logging.ERROR, "lineshaft"):
        given = [function() for _ in range(20)]
    assert all(value is work.gives["first"] for value in given)
    assert "cannot be compared" in caplog.text
    assert "pinned" not in function.explain()


def test_what_has_no_size_that_can_be_told_is_of_no_class():
    class Odd:
        def __len__(self) -> int:
            return -1

    assert size_class(range(10**20), Odd(), "abc") == (None, None, 2)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1, True),
        (1, 1.0, True),
        ([1.0, math.nan], [1.0, math.nan], True),
        ((1, [2]), (1, [3]), False),
        ({"a": math.nan}, {"a": math.nan}, True),
        ({"a": 1}, {"b": 1}, False),
        ([1], (1,), False),
    ],
)
def test_what_is_the_same(one, other, same):
    from lineshaft._alternatives._sizes import is_same

    assert is_same(one, other) is same


def test_arrays_are_the_same_as_a_whole():
    numpy = pytest.importorskip("numpy")
    from lineshaft._alternatives._sizes import is_same

    assert is_same(numpy.array([1.0, math.nan]), numpy.array([1.0, math.nan]))
    assert is_same([numpy.arange(3)], [numpy.arange(3)])
    assert not is_same(numpy.arange(3), numpy.arange(4))
    assert not is_same(numpy.arange(3), numpy.arange(3.0))
    assert not is_same(numpy.arange(3), [0, 1, 2])
    assert is_same(numpy.array(["a"]), numpy.array(["a"]))


def test_sizes_are_told_apart_by_powers_of_two():
    numpy = pytest.importorskip("numpy")
    assert size_class([], [1], range(1000), 5, text="abc") == (0, 1, 10, None, 2)
    assert size_class(numpy.zeros((10, 10))) == (7,)


# ---- As a function.


def test_it_is_seen_as_the_first(work):
    def add(one, other=2):
        """Adds."""
        return one + other

    function = alternatives(lambda one, other=2: one + other)(add)
    assert (function.__name__, function.__doc__, function.__wrapped__) == ("add", "Adds.", add)
    assert str(inspect.signature(function)) == "(one, other=2)"
    assert repr(function).endswith("add, one of 2 implementations>")


def module_level_other(number: int) -> int:
    return number


@alternatives(module_level_other, key=None)
def module_level(number: int) -> int:
    return number


def test_it_is_pickled_by_name():
    assert pickle.loads(pickle.dumps(module_level)) is module_level


def test_methods():
    class Sum:
        def __init__(self, start: int) -> None:
            self.start = start

        def by_sum(self, items: list[int]) -> int:
            return self.start + sum(items)

        @alternatives(by_sum)
        def of(self, items: list[int]) -> int:
            total = self.start
            for item in items:
                total += item
            return total

    for _ in range(20):
        assert Sum(1).of([1, 2]) == 4
        assert Sum.of(Sum(2), [1, 2]) == 5


def test_threads_choose_together():
    calls = []

    @alternatives(lambda: calls.append("other") or time.sleep(0.0001), key=None)
    def function() -> None:
        calls.append("first")
        time.sleep(0.005)

    def run() -> None:
        for _ in range(50):
            function()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert best(function) == "<lambda>"
    (rows,) = function.implementations().values()
    assert sum(row.calls for row in rows) == len(calls) == 400


def test_what_is_known_is_told(work):
    function = alternatives(work.second, key=None)(work.first)
    assert function.explain() == "first: not called yet"
    function()
    assert (
        function.explain()
        == "first: 1 call\n  first   is compared          2 s (2 s to 2 s), 1 call\n  second  is compared"
    )


# ---- Coroutines.


def test_coroutine_functions():
    async def quick(number: int) -> int:
        await asyncio.sleep(0)
        return number

    @alternatives(quick, key=None)
    async def function(number: int) -> int:
        await asyncio.sleep(0.005)
        return number

    async def main() -> None:
        for number in range(50):
            assert await function(number) == number

    assert inspect.iscoroutinefunction(function) or sys.version_info < (3, 12)
    asyncio.run(main())
    assert best(function) == "quick"


def test_a_coroutine_that_takes_too_long_is_given_up():
    slow, given_up = [False], []

    async def other() -> str:
        try:
            await asyncio.sleep(60 if slow[0] else 0)
        except asyncio.CancelledError:
            given_up.append(1)
            raise
        await asyncio.sleep(0.02)
        return "other"

    @alternatives(other, key=None)
    async def function() -> str:
        await asyncio.sleep(0.001)
        return "first"

    async def main() -> None:
        for _ in range(20):
            await function()
        slow[0] = True
        deadline = time.monotonic() + PATIENCE_S
        while not given_up:
            assert await function() == "first"
            assert time.monotonic() < deadline

    asyncio.run(main())


def test_a_look_at_a_coroutine_takes_what_the_coroutine_does():
    """It took as long as the loop needed to come to the task that was made for it, too."""

    async def quick() -> str:
        return "quick"

    async def main() -> tuple[Any, bool, float]:
        asyncio.get_running_loop().call_soon(time.sleep, 0.2)
        return await _functions._within(10.0, quick())

    value, is_over, seconds = asyncio.run(main())
    assert (value, is_over) == ("quick", True)
    assert seconds < 0.1


class LookedAt:
    """A coroutine that takes too long from when that is said, and knows that it was given up."""

    is_slow = was_given_up = False

    async def at(self) -> str:
        try:
            await asyncio.sleep(60 if self.is_slow else 0.02)
        except asyncio.CancelledError:
            self.was_given_up = True
            raise
        return "looked at"


def test_what_answers_after_a_look_was_given_up_may_be_wrong_too(caplog):
    """What answered then was believed, even an exception."""
    looked = LookedAt()

    async def fastest() -> str:
        await asyncio.sleep(0.001)
        if looked.was_given_up:
            raise KeyError("broken")
        return "fastest"

    @alternatives(looked.at, fastest, key=None)
    async def function() -> str:
        await asyncio.sleep(0.01)
        return "first"

    async def main() -> None:
        deadline = time.monotonic() + PATIENCE_S
        await function()
        while not looked.was_given_up:
            looked.is_slow = best_or_none(function) == "fastest"  # not while all are compared, which nobody gives up
            answer = await function()
            assert time.monotonic() < deadline
        assert answer == "first"

    asyncio.run(main())
    assert "fastest raised KeyError where function did not" in caplog.text
    (rows,) = function.implementations().values()
    assert [row.standing for row in rows][2] == "banned"


def test_an_exception_of_the_first_after_a_look_was_given_up_is_the_function_s_own():
    looked = LookedAt()

    @alternatives(looked.at, key=None)
    async def function() -> str:
        await asyncio.sleep(0.001)
        if looked.was_given_up:
            raise ValueError("of all")
        return "first"

    async def main() -> None:
        deadline = time.monotonic() + PATIENCE_S
        await function()
        while time.monotonic() < deadline:
            looked.is_slow = best_or_none(function) == "function"  # not while all are compared, which nobody gives up
            await function()

    with pytest.raises(ValueError, match="of all"):
        asyncio.run(main())
    (rows,) = function.implementations().values()
    assert [row.standing for row in rows] == ["best", "slower"]


def test_a_cancelled_coroutine_is_cancelled():
    async def other() -> None:
        await asyncio.sleep(60)

    @alternatives(other, key=None)
    async def function() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        for _ in range(4):
            task = asyncio.create_task(function())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    (rows,) = function.implementations().values()
    assert [row.calls for row in rows] == [0, 0]


# ---- Together.


def shared(app: App, work: Work):
    return app.alternatives(work.second, key=None)(work.first)


def test_processes_of_an_app_learn_from_each_other(work, monkeypatch):
    monkeypatch.setattr(_sharing, "WRITE_AFTER_S", 0.0)
    app = App()
    function = shared(app, work)
    for _ in range(20):
        function()
    sharing = function._classes.sharing
    until(lambda: app.cache.get(sharing.key(None)) is not None, "it is told")

    other = shared(App(), work)
    until(lambda: other() == () and other.implementations()[None][1].calls >= 10, "it is learned")
    assert best(other) == "second"
    assert work.calls.count("first") < 10


def test_what_the_others_were_told_grows_with_the_calls(work, monkeypatch):
    """They were told when the choice changed, and of no call since."""
    monkeypatch.setattr(_sharing, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(_sharing, "WRITE_AFTER_S", 0.0)
    app = App()
    function = shared(app, work)
    key = function._classes.sharing.key(None)

    def told() -> int:
        found = app.cache.get(key)
        return 0 if found is None else _native.Choice.from_bytes(found, 2).runs

    for _ in range(20):
        function()
    until(told, "it is told")
    until(lambda: len(function._classes.sharing._writes) == 0, "all is told")
    for _ in range(1_000):
        function()
    until(lambda: function() == () and told() >= 1_000, "it is told")


def test_what_could_not_be_told_is_told_at_the_next_look(work, monkeypatch):
    monkeypatch.setattr(_sharing, "LOOK_EVERY_S", 3_600.0)
    monkeypatch.setattr(_sharing, "WRITE_AFTER_S", 0.0)
    app = App()
    function = shared(app, work)
    sharing, tries = function._classes.sharing, []

    def fails(kind: object) -> None:
        tries.append(kind)
        raise LineshaftError("nobody answers")

    with monkeypatch.context() as patch:
        patch.setattr(sharing, "_list", fails)
        for _ in range(20):
            function()
        until(lambda: tries, "it is tried")
    assert not sharing._known(sharing._keys.classes)
    sharing._looked.clear()
    function()
    until(lambda: sharing._known(sharing._keys.classes), "it is told")


def test_all_of_an_app_stay_with_the_first_after_another_result(work, monkeypatch):
    """Whoever learned something at the same time wrote it over the pin."""
    monkeypatch.setattr(_sharing, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(_sharing, "WRITE_AFTER_S", 0.0)
    app = App()
    function, other = shared(app, work), app.alternatives(work.second, key=None, verify=1.0)(work.first)
    for _ in range(20):
        function()
    work.gives["second"] = "wrong"
    until(lambda: other() == () and "pinned" in other.explain(), "it is found out")
    until(lambda: function() is not None and "pinned" in function.explain(), "others hear of it")
    assert function() == ()


def test_a_pin_stays_whatever_others_write(work):
    app = App()
    sharing = shared(app, work)._classes.sharing
    sharing._write_pin("second", None)
    sharing._write(_native.Choice(2), None)
    found, wrong = sharing._found(None)
    assert (found.is_pinned, wrong) == (True, "second")


def test_a_pin_that_went_is_written_again_and_none_goes_while_it_is_looked_at(work, monkeypatch):
    """It ended after 90 days however often it was looked at, and went when the cache needed room."""
    monkeypatch.setattr(_sharing, "LOOK_EVERY_S", 0.0)
    app = App()
    finder, hearer = (app.alternatives(work.second, key=None, verify=verify)(work.first) for verify in (1.0, 0.0))
    work.gives["second"] = "wrong"
    until(lambda: finder() == () and "pinned" in finder.explain(), "it is found out")
    until(lambda: hearer() is not None and "pinned" in hearer.explain(), "it is heard of")
    sharing = finder._classes.sharing
    pin = sharing._keys.pin(_sharing._digest(None))
    for one in (finder, hearer):
        until(lambda: len(sharing._pins) == 0, "it is written")
        app.cache.clear()
        until(lambda one=one: one() == () and app.cache.get(pin) == "second", "it is written again")

    kept = []
    monkeypatch.setattr(type(app.cache), "set", lambda _cache, key, _value, **options: kept.append((key, options)))
    sharing._write_pin("second", None)
    sharing._write(_native.Choice(2), None)
    assert len(kept) >= 2
    assert all(options["idle"] == _native.ChoiceKeys.KEPT_S and "ttl" not in options for _, options in kept)


def test_a_pin_of_an_older_version_counts(work):
    """It was True, without a name."""
    app = App()
    sharing = shared(app, work)._classes.sharing
    app.cache.set(sharing._keys.pin(_sharing._digest(None)), True)
    found, wrong = sharing._found(None)
    assert (found.is_pinned, wrong) == (True, None)


def test_classes_have_the_digests_that_rust_gives_them():
    """`around/alternatives/class.rs` reads the same table."""
    table = Path(__file__).with_name("data") / "classes.tsv"
    for line in table.read_text().splitlines():
        literal, _, digest = line.split("\t")
        value = frozenset({1, 3}) if literal.startswith("frozenset") else ast.literal_eval(literal)
        assert _sharing._digest(value) == digest, literal


@contextmanager
def sharer(home: Path, verify: float, look_every_s: float = 0.1) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process of its own that calls `choiceworks`, and what it prints."""
    script = str(Path(__file__).with_name("choiceworks.py"))
    command = [sys.executable, script, str(home), str(look_every_s), str(verify)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines: list[str] = []

    def read() -> None:
        for line in process.stdout:
            lines.append(line)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield process, lines
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()


@pytest.mark.lineshaft(home="tmp")
def test_processes_hear_of_a_pin_though_who_found_it_is_killed(home):
    with sharer(home, verify=0.0) as (trusting, heard):
        until(lambda: "free wrong wrong\n" in heard, "it trusts the fast one")
        with sharer(home, verify=1.0) as (finder, found):
            until(lambda: any("ERROR" in line for line in found), "another process finds out")
            until(lambda: any("WARNING" in line for line in heard), "it hears of that")
            finder.kill()
        until(lambda: heard[-1] == "pinned right right\n", "the first one does the work")
        (line,) = [line for line in heard if "WARNING" in line]
        assert line == (
            "WARNING main.<locals>.right: another process was given another result by wrong than by right "
            "for arguments of class None; from now on right does the work there\n"
        )
        (line,) = [line for line in found if "ERROR" in line]
        assert line == (
            "ERROR main.<locals>.right: wrong gave another result than right for arguments of class None; "
            "from now on right does the work there\n"
        )
        trusting.kill()
    with sharer(home, verify=0.0) as (_, later):
        until(lambda: later and later[-1] == "pinned right right\n", "who comes later hears of it as well")


@pytest.mark.lineshaft(home="tmp")
def test_a_pin_is_there_for_others_before_what_was_learned_is(home, work, monkeypatch):
    """It waited for a second with the rest, so that a process that was killed within it took the pin with it."""
    monkeypatch.setattr(_sharing, "WRITE_AFTER_S", 3_600.0)
    app = App(home)
    function = app.alternatives(work.second, key=None, verify=1.0)(work.first)
    work.gives["second"] = "wrong"
    until(lambda: function() == () and "pinned" in function.explain(), "it is found out")
    sharing = function._classes.sharing
    until(lambda: sharing._found(None) is not None, "it is told")
    assert app.cache.get(sharing.key(None)) is None
    sharing._writes.forked()  # nothing is left to be written at the end


def explained(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lineshaft", *words, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)


def test_the_command_line_shows_what_all_have_learned(home, work, monkeypatch):
    monkeypatch.setattr(_sharing, "WRITE_AFTER_S", 0.0)
    app = App(home)
    app.cache.set("something", "else")
    unknown = explained(home, "explain", "choice")
    assert unknown.returncode == 6
    assert "no function with alternatives is known in this home" in unknown.stderr

    def second(size: int) -> object:
        return work.second()

    @app.alternatives(second, key=lambda size: size, verify=1.0)
    def by_size(size: int) -> object:
        return work.first()

    for _ in range(20):
        by_size(9)
    by_size(10)
    work.gives["second"] = "wrong"
    until(lambda: by_size(9) == () and "pinned" in by_size.explain(), "it is found out")

    def classes() -> dict[str, Any]:
        ended = explained(home, "--json", "explain", "choice", "by_size")
        if ended.returncode:
            return {}
        (function,) = json.loads(ended.stdout)["functions"]
        assert function["name"].startswith("test_alternatives.test_the_command_line")
        return {one["class"]: one for one in function["classes"]}

    until(lambda: list(classes()) == ["9"] and classes()["9"]["pinned"], "it is told")
    first, second = classes()["9"]["implementations"]
    assert (first["standing"], second["name"]) == ("best", "second")
    assert first["calls"] >= 3
    assert 0 < first["low_s"] <= first["median_s"] <= first["high_s"]
    shown = explained(home, "explain", "choice").stdout
    assert re.search(r"for arguments of class 9: \d+ calls, pinned: another one gave other results\n", shown)
    assert re.search(r"^  second +slower +\S+ [mun]?s \(", shown, re.MULTILINE)
    app.cache.clear()
    assert explained(home, "explain", "choice").returncode == 6
    assert by_size(10) is not None
    by_size._classes.sharing._write(_native.Choice(2), 10)
    assert "for arguments of class 10: " in explained(home, "explain", "choice").stdout
    other = explained(home, "explain", "choice", "other")
    assert (other.returncode, "no function other" in other.stderr) == (6, True)


def test_what_is_found_out_counts_though_another_choice_was_taken_over_meanwhile(work):
    classes = shared(App(), work)._classes
    kind, choice = classes.of((), {})
    classes._choices[kind] = _native.Choice(2)
    classes.differed(kind, choice, 1)
    assert classes.of((), {})[1].is_pinned


def test_what_is_there_of_another_version_is_passed_over(work):
    app = App()
    function = shared(app, work)
    app.cache.set(function._classes.sharing.key(None), b"what is this")
    for _ in range(20):
        assert function() == ()
    assert best(function) == "second"


# ---- What is refused.


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"key": "size"}, "`key`: 'size' is not"),
        ({"verify": 2}, "`verify`: 2 is not"),
        ({"verify": True}, "`verify`: True is not"),
        ({"equal": 1}, "`equal`: 1 is not"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(OptionError) as caught:
        alternatives(print, **options)
    assert said in str(caught.value)


def test_what_cannot_be_chosen_among_is_refused():
    def function() -> None: ...

    async def coroutine() -> None: ...

    def generator():
        yield 1

    for others, said in (
        ((), "there is no alternative"),
        ((coroutine,), "one is a coroutine function and one is not"),
        ((generator,), "a generator cannot be an alternative"),
        ((staticmethod(function),), "only functions can be alternatives"),
        ((5,), "only functions can be alternatives"),
    ):
        with pytest.raises(DeclarationError, match=said):
            alternatives(*others)(function)
