"""`timed`: what is counted, and what is reported."""

from __future__ import annotations

import asyncio
import logging
import pickle
import random
import sys
import threading
import time

import pytest

from lineshaft import OptionError, Timing, layers, logged, timed
from lineshaft._native import Timing as NativeTiming


def timing_of(nanoseconds):
    timing = NativeTiming()
    for each in nanoseconds:
        timing._add(each)
    return timing


def test_every_kind_of_function_is_timed():
    @timed
    def function():
        return 1

    @timed()
    async def coroutine():
        await asyncio.sleep(0.001)
        return 2

    @timed
    def generator():
        yield 3

    @timed
    async def async_generator():
        yield 4

    async def main():
        assert await coroutine() == 2
        assert [item async for item in async_generator()] == [4]

    assert function() == function() == 1
    assert list(generator()) == [3]
    asyncio.run(main())
    assert [each.timing.count for each in (function, coroutine, generator, async_generator)] == [2, 1, 1, 1]
    assert coroutine.timing.min >= 0.001
    assert isinstance(function.timing, Timing)
    assert layers(function)[0] == "timed"


def test_what_raises_and_what_is_closed_counts_too():
    @timed
    def fail():
        raise KeyError

    @timed
    def endless():
        while True:
            yield

    with pytest.raises(KeyError):
        fail()
    items = endless()
    next(items)
    items.close()
    assert (fail.timing.count, endless.timing.count) == (1, 1)


def test_methods_share_one_timing_that_is_seen_through_other_layers():
    class Shop:
        @logged(level="debug")
        @timed
        def price(self):
            return 1

        @timed
        @classmethod
        def name(cls):
            return cls.__name__

    assert (Shop().price(), Shop().price(), Shop.name()) == (1, 1, "Shop")
    assert Shop.price.timing is Shop().price.timing
    assert (Shop.price.timing.count, Shop.name.timing.count) == (2, 1)


def test_numbers_are_exact_and_quantiles_near():
    random.seed(7)
    nanoseconds = [int(random.lognormvariate(14, 3)) for _ in range(10_000)]
    timing = timing_of(nanoseconds)
    ordered = sorted(nanoseconds)
    assert timing.count == 10_000
    assert timing.total == pytest.approx(sum(nanoseconds) / 1e9)
    assert (timing.min, timing.max) == (ordered[0] / 1e9, ordered[-1] / 1e9)
    assert timing.mean == pytest.approx(sum(nanoseconds) / 1e13)
    for q in (0.01, 0.25, 0.5, 0.9, 0.99, 0.999):
        exact = ordered[max(0, -(-int(q * 100_000) * 10_000 // 100_000) - 1)]
        assert timing.quantile(q) * 1e9 == pytest.approx(exact, rel=0.016), q
    assert timing.quantile(0) == timing.min
    assert timing.quantile(1) == pytest.approx(timing.max, rel=0.016)


@pytest.mark.parametrize("nanoseconds", [0, 1, 63, 64, 65, 127, 128, 12_345, 10**9, 2**43 - 1])
def test_a_single_call_is_every_quantile(nanoseconds):
    assert timing_of([nanoseconds]).quantile(0.5) == nanoseconds / 1e9


def test_what_is_too_long_for_the_quantiles_is_counted_all_the_same():
    timing = timing_of([2**63, 1])
    assert timing.max == 2**63 / 1e9
    assert timing.quantile(0.99) > 8_000


def test_nothing_is_nothing_and_can_be_had_again():
    timing = timing_of([5])
    timing.reset()
    assert (timing.count, timing.total, timing.min, timing.max, timing.mean, timing.quantile(0.5)) == (0,) * 6
    assert repr(timing) == "<Timing: no calls>"
    assert repr(timing_of([1_500_000])) == (
        "<Timing: 1 calls, 1.500ms to 1.500ms, half within 1.500ms, 99 % within 1.500ms>"
    )
    for q in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="no part of all calls"):
            timing.quantile(q)


def test_its_memory_does_not_grow():
    timing = timing_of(range(100_000))
    assert sys.getsizeof(timing) < 1_000
    with pytest.raises(TypeError):
        pickle.dumps(timing)


def test_slow_calls_are_reported(caplog):
    reported = []

    @timed(slow="1h", report=lambda *words: reported.append(words))
    def quick():
        return 1

    @timed(slow=0, report=lambda *words: reported.append(words))
    def slow():
        return 1

    @timed(slow=0)
    async def coroutine():
        return 1

    quick()
    slow()
    with caplog.at_level(logging.WARNING):
        asyncio.run(coroutine())
    [(name, seconds)] = reported
    assert name == "slow"
    assert 0 < seconds < 60
    [record] = caplog.records
    assert (record.name, record.levelname) == (__name__, "WARNING")
    assert record.getMessage().startswith("coroutine took ")


def test_what_a_slow_call_raised_is_raised_even_if_the_report_fails():
    def report(name, seconds):
        raise OSError("no report")

    @timed(slow=0, report=report)
    def fail():
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    with pytest.raises(OSError, match="no report"):
        timed(slow=0, report=report)(len)("")


def test_threads_lose_no_call():
    @timed
    def wait():
        time.sleep(0)

    threads = [threading.Thread(target=lambda: [wait() for _ in range(1_000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wait.timing.count == 8_000


def test_wrong_options_say_what_is_accepted():
    for options in ({"slow": "soon"}, {"report": print}, {"report": 3, "slow": 1}):
        with pytest.raises(OptionError):
            timed(**options)
