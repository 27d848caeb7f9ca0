"""`retry`: what is tried again, when, how often, and what is raised in the end.

The first part is what tenacity and stamina document of theirs, in our words.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import random
import time
import traceback

import pytest

from lineshaft import Cancel, OptionError, Retrying, layers, retry
from lineshaft._decorators import _patience


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that were made, none of which takes time."""
    made = []

    async def sleep(seconds):
        made.append(seconds)

    monkeypatch.setattr(time, "sleep", made.append)
    monkeypatch.setattr("lineshaft._decorators._driving.asyncio.sleep", sleep)
    return made


@pytest.fixture(autouse=True)
def _own_budget(monkeypatch):
    monkeypatch.setattr(_patience, "_OF_PROCESS", _patience._native.Rate(100, 1.0, 1_000))


class Failing:
    """Fails so often, then gives what it is called with."""

    def __init__(self, times, error=ConnectionError):
        self.left, self.calls, self.error = times, 0, error

    def try_it(self, x):
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error(f"call {self.calls}")
        return x


def kinds(failing, **options):
    """The four kinds of functions around what fails."""

    @retry(**options)
    def function(x):
        return failing.try_it(x)

    @retry(**options)
    async def coroutine(x):
        return failing.try_it(x)

    @retry(**options)
    def generator(x):
        yield failing.try_it(x)

    @retry(**options)
    async def async_generator(x):
        yield failing.try_it(x)

    return {"function": function, "coroutine": coroutine, "generator": generator, "async generator": async_generator}


def use(function, x):
    made = function(x)
    if inspect.isasyncgen(made):

        async def first():
            return await made.__anext__()

        return asyncio.run(first())
    if inspect.isgenerator(made):
        return next(made)
    return asyncio.run(made) if inspect.iscoroutine(made) else made


KINDS = pytest.mark.parametrize("kind", ["function", "coroutine", "generator", "async generator"])


@KINDS
def test_it_is_tried_again_until_it_succeeds(kind, pauses):
    failing = Failing(2)
    assert use(kinds(failing)[kind], 7) == 7
    assert (failing.calls, len(pauses)) == (3, 2)


@KINDS
def test_the_last_exception_is_raised_as_it_is_with_a_note(kind, pauses):
    failing = Failing(9)
    with pytest.raises(ConnectionError, match="call 3") as raised:
        use(kinds(failing, max=2)[kind], 7)
    assert failing.calls == 3
    [note] = raised.value.__notes__
    assert note.startswith("lineshaft: tried 3 times in ")
    assert raised.value.__cause__ is None
    assert [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)].count("try_it") == 1


@KINDS
def test_other_exceptions_are_raised_at_once(kind, pauses):
    for options in ({"on": (OSError, KeyError)}, {"never": ValueError}, {"on": lambda error: "4" in str(error)}):
        failing = Failing(1, ValueError)
        with pytest.raises(ValueError, match="call 1") as raised:
            use(kinds(failing, **options)[kind], 7)
        assert failing.calls == 1
        assert not hasattr(raised.value, "__notes__")


@KINDS
def test_a_predicate_says_what_is_tried_again(kind, pauses):
    failing, asked = Failing(2), []

    def is_meant(error):
        asked.append(str(error))
        return True

    assert use(kinds(failing, on=is_meant)[kind], 7) == 7
    assert asked == ["call 1", "call 2"]


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, concurrent.futures.CancelledError, Cancel],
)
def test_what_ends_programs_and_jobs_is_never_retried(error, pauses):
    failing = Failing(1, error)
    with pytest.raises(error):
        kinds(failing)["function"](7)
    assert failing.calls == 1
    failing = Failing(1, error)
    with pytest.raises(error):
        kinds(failing)["coroutine"](7).send(None)
    assert failing.calls == 1


def test_pauses_double_up_to_their_cap_and_are_drawn_from_zero_on(pauses, monkeypatch):
    drawn = []

    def uniform(low, high):
        drawn.append((low, high))
        return high

    monkeypatch.setattr(random, "uniform", uniform)
    failing = Failing(6)
    assert kinds(failing, max=6, first="1s", cap="10s")["function"](7) == 7
    assert pauses == [1, 2, 4, 8, 10, 10]
    assert drawn == [(0, pause) for pause in pauses]


def test_drawn_pauses_differ(pauses):
    kinds(Failing(20), max=20, first=1, cap=1)["function"](7)
    assert len(set(pauses)) == 20
    assert all(0 <= pause <= 1 for pause in pauses)
    assert min(pauses) < 0.5 < max(pauses)


def test_a_fixed_pause_and_one_of_ones_own(pauses):
    kinds(Failing(2), after="2s")["function"](7)
    seen = []

    def after(attempt, error):
        seen.append((attempt, str(error)))
        return attempt * 10

    asyncio.run(kinds(Failing(2), after=after)["coroutine"](7))
    assert pauses == [2, 2, 10, 20]
    assert seen == [(1, "call 1"), (2, "call 2")]


def test_none_for_ever(pauses):
    failing = Failing(500)
    assert kinds(failing, max=None, budget=None)["function"](7) == 7


@KINDS
def test_zero_is_no_retry(kind, pauses):
    failing = Failing(1)
    with pytest.raises(ConnectionError) as raised:
        use(kinds(failing, max=0)[kind], 7)
    assert failing.calls == 1
    assert [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)].count("try_it") == 1


@KINDS
def test_an_exception_has_not_the_one_before_as_its_context(kind, pauses):
    with pytest.raises(ConnectionError) as raised:
        use(kinds(Failing(9), max=2)[kind], 7)
    assert raised.value.__context__ is None


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_nothing_begins_after_the_deadline(kind, pauses, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    failing = Failing(9)

    def later(seconds):
        now[0] += seconds
        pauses.append(seconds)

    async def alater(seconds):
        later(seconds)

    monkeypatch.setattr(time, "sleep", later)
    with monkeypatch.context() as patch:
        patch.setattr("lineshaft._decorators._driving.asyncio.sleep", alater)
        with pytest.raises(ConnectionError) as raised:
            use(kinds(failing, max=None, after=2, deadline="5s")[kind], 7)
    assert failing.calls == 3
    assert pauses == [2, 2]
    assert "after its deadline of 5 s" in raised.value.__notes__[0]


def test_a_first_attempt_counts_into_the_deadline(pauses):
    @retry(after=0, deadline="1ms")
    def slow():
        calls.append(1)
        until = time.perf_counter() + 0.01
        while time.perf_counter() < until:
            pass
        raise ConnectionError

    calls = []
    with pytest.raises(ConnectionError):
        slow()
    assert len(calls) == 1


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_results_can_be_tried_again(kind, pauses):
    given = []

    def give():
        given.append(len(given))
        return given[-1]

    @retry(if_result=lambda result: result < 2)
    def function():
        return give()

    @retry(if_result=lambda result: result < 2)
    async def coroutine():
        return give()

    assert (function() if kind == "function" else asyncio.run(coroutine())) == 2
    assert len(pauses) == 2


def test_the_last_result_is_given_when_none_is_good(pauses):
    calls = []
    assert retry(if_result=lambda result: result is None, max=2)(lambda: calls.append(1))() is None
    assert len(calls) == 3


def test_hooks_are_told_before_each_pause(pauses):
    told = []
    failing = Failing(2)
    kinds(failing, after=3, before_pause=told.append)["function"](7)
    assert [(each.name, each.attempt, str(each.error), each.pause) for each in told] == [
        ("function", 1, "call 1", 3.0),
        ("function", 2, "call 2", 3.0),
    ]
    assert isinstance(told[0], Retrying)
    assert told[0].elapsed <= told[1].elapsed
    results = []
    retry(if_result=lambda result: result == 1, max=1, before_pause=results.append)(lambda: 1)()
    assert [(each.error, each.result) for each in results] == [(None, 1)]


# What is ours alone.


def test_the_budget_of_the_process_ends_retries(pauses, monkeypatch):
    monkeypatch.setattr(_patience, "_OF_PROCESS", _patience._native.Rate(1, 3600.0, 5))
    failing = Failing(10**6)
    functions = [kinds(failing)[kind] for kind in ("function", "coroutine", "function")]
    for function in functions:
        with pytest.raises(ConnectionError) as raised:
            use(function, 7)
    assert failing.calls == 3 + 5
    assert "the retry budget of this process is used up" in raised.value.__notes__[0]
    assert "tried once" in raised.value.__notes__[0]


def test_a_function_may_have_a_budget_of_its_own(pauses):
    failing = Failing(100)
    function = kinds(failing, max=50, budget="4/h")["function"]
    for _ in range(2):
        with pytest.raises(ConnectionError):
            function(7)
    assert failing.calls == 2 + 4


def test_a_generator_that_has_given_an_item_is_not_begun_again(pauses):
    begun = []

    @retry
    def generator():
        begun.append(1)
        yield 1
        raise ConnectionError

    @retry
    async def async_generator():
        begun.append(2)
        yield 1
        raise ConnectionError

    items = generator()
    assert next(items) == 1
    with pytest.raises(ConnectionError):
        next(items)

    async def main():
        items = async_generator()
        assert await items.__anext__() == 1
        with pytest.raises(ConnectionError):
            await items.__anext__()

    asyncio.run(main())
    assert begun == [1, 2]


def test_a_cancellation_in_a_pause_is_a_cancellation():
    failing = Failing(9)
    coroutine = kinds(failing, after="1h")["coroutine"]

    async def main():
        task = asyncio.create_task(coroutine(7))
        while not failing.calls:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert failing.calls == 1


def test_methods_are_tried_again(pauses):
    class Shop(Failing):
        @retry(max=5)
        def price(self, x):
            return self.try_it(x)

        @classmethod
        @retry
        def name(cls, errors):
            if errors:
                raise errors.pop()
            return cls.__name__

    assert Shop(5).price(3) == 3
    assert Shop.name([OSError(), OSError()]) == "Shop"


@pytest.mark.parametrize(
    "options",
    [
        {"max": -1},
        {"max": "3"},
        {"on": KeyboardInterrupt},
        {"on": BaseException},
        {"on": 3},
        {"never": asyncio.CancelledError},
        {"first": "2s", "cap": "1s"},
        {"after": "soon"},
        {"deadline": -1},
        {"if_result": 3},
        {"budget": "many"},
        {"budget": 3},
        {"before_pause": 3},
    ],
)
def test_wrong_options_say_what_is_accepted(options):
    with pytest.raises(OptionError, match=f"`{next(iter(options))}`") as refused:
        retry(**options)
    assert "accepted" in str(refused.value)


def test_a_hook_that_is_a_coroutine_function_is_refused():
    async def hook(retrying):
        return None

    with pytest.raises(OptionError, match="before_pause"):
        retry(before_pause=hook)


def test_its_layer_has_the_options_that_were_given():
    function = retry(on=(OSError, KeyError), max=5)(len)
    assert layers(function) == ["retry(max=5, on=(OSError, KeyError))", "len"]
    assert layers(retry(len))[0] == "retry"
