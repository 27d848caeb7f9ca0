"""`limited`: a rate for the calls of a function, exactly on a clock that the test owns."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineshaft import DeclarationError, OptionError, RateLimited, layers, limited
from lineshaft._decorators._rates import Rates, rate_of
from lineshaft._native import Rate


def test_a_burst_goes_at_once_and_then_one_by_one():
    rate = Rate(5, 1.0, 5)
    assert [rate.take(100.0) for _ in range(5)] == [0.0] * 5
    assert rate.take(100.0) == pytest.approx(0.2)
    assert rate.take(100.1) == pytest.approx(0.1)
    assert rate.take(100.2) == 0.0
    assert rate.take(100.2) == pytest.approx(0.2)


def test_who_reserves_has_a_turn_in_the_order_of_coming():
    rate = Rate(1, 1.0, 1)
    assert [rate.reserve(now=10.0) for _ in range(4)] == pytest.approx([0, 1, 2, 3])
    assert rate.reserve(3.5, now=10.0) == pytest.approx(4)
    assert rate.reserve(4.5, now=10.0) == pytest.approx(4)
    assert not rate.is_idle(14.9)
    assert rate.is_idle(15.1)


@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.lists(st.integers(0, 3_000), min_size=1, max_size=200),
)
def test_no_window_has_more_than_the_burst_and_the_rate(count, burst, gaps):
    """Beside a naive account: in every window of `w` seconds there are at most burst + w * rate calls."""
    rate, now, taken = Rate(count, 1.0, burst), 1_000.0, []
    for gap in gaps:
        now += gap / 1_000
        wait = rate.take(now)
        if wait == 0:
            taken.append(now)
        else:
            assert wait <= 1 / count + 1e-6
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + (taken[last] - taken[first]) * count + 1e-6


@pytest.fixture
def sleeps(monkeypatch):
    made = []

    async def sleep(seconds):
        made.append(seconds)

    monkeypatch.setattr(time, "sleep", made.append)
    monkeypatch.setattr("lineshaft._decorators._driving.asyncio.sleep", sleep)
    return made


def test_who_comes_too_soon_waits(sleeps):
    @limited("2/h")
    def function(x):
        return x

    assert [function(x) for x in range(4)] == [0, 1, 2, 3]
    assert sleeps == pytest.approx([1_800, 3_600], abs=60)


def test_coroutines_and_generators_wait_too(sleeps):
    rate = limited("1/h")

    @rate
    async def coroutine():
        return 1

    @rate
    def generator():
        yield 2

    @rate
    async def async_generator():
        yield 3

    async def main():
        assert await coroutine() == 1
        assert list(generator()) == [2]
        assert [item async for item in async_generator()] == [3]

    asyncio.run(main())
    assert sleeps == pytest.approx([3_600, 7_200], abs=60)


def test_waiting_coroutines_do_not_keep_others_from_running():
    @limited("1/200ms")
    async def function():
        return None

    async def main():
        waiting = asyncio.gather(*(function() for _ in range(3)))
        ticks = 0
        while not waiting.done():
            await asyncio.sleep(0.001)
            ticks += 1
        assert ticks > 3

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began >= 0.399


def test_it_raises_instead_of_waiting_too_long(sleeps):
    impatient = limited("1/h", wait=False)(lambda: 1)
    assert impatient() == 1
    with pytest.raises(RateLimited, match="more often than 1/h: free in 3") as raised:
        impatient()
    assert 3_500 < raised.value.retry_after <= 3_600
    with pytest.raises(RateLimited) as again:
        impatient()
    assert again.value.retry_after <= raised.value.retry_after

    @limited("1/m", wait="90s")
    async def patient():
        return 1

    async def main():
        await patient()
        await patient()
        for _ in range(2):
            with pytest.raises(RateLimited):
                await patient()

    asyncio.run(main())
    assert sleeps == pytest.approx([60], abs=30)


@pytest.mark.parametrize("per", ["user", ("user", "kind"), lambda user, kind=0: user])
def test_each_key_has_a_rate_of_its_own(per, sleeps):
    @limited("1/h", per=per, wait=False)
    def function(user, kind=0):
        return user

    assert [function("ada"), function(user="bob")] == ["ada", "bob"]
    with pytest.raises(RateLimited):
        function("ada", 0)


def test_keys_that_nobody_waits_for_are_dropped():
    rates = Rates(1, 1e-6, 1)
    for key in range(100_000):
        rates.of(key).take()
    assert len(rates) <= 2_000
    kept = Rates(1, 1e6, 1)
    for key in range(3_000):
        kept.of(key).take()
    assert len(kept) == 3_000


def test_a_burst_of_one_spreads_from_the_first_on(sleeps):
    function = limited("60/h", burst=1)(lambda: 1)
    function()
    function()
    assert sleeps == pytest.approx([60], abs=30)


def test_rates_as_people_write_them():
    assert rate_of("rate", "100/m") == (100, 60.0)
    assert rate_of("rate", "5/s") == (5, 1.0)
    assert rate_of("rate", "10 / 2h") == (10, 7_200.0)
    assert rate_of("rate", "1/500ms") == (1, 0.5)
    for value in ("100", "0/s", "5/0s", "a/s", "/s", "5/", 5, None, "5/parsec", "-1/s"):
        with pytest.raises(OptionError, match="rate"):
            rate_of("rate", value)


def test_wrong_options_say_what_is_accepted():
    for options in ({"per": 3}, {"burst": 0}, {"wait": "soon"}, {"per": ()}):
        with pytest.raises(OptionError, match=next(iter(options))):
            limited("1/s", **options)
    with pytest.raises(OptionError, match="names of parameters: x"):
        limited("1/s", per="y")(lambda x: x)
    with pytest.raises(DeclarationError, match="needs a rate"):
        limited(len)


def test_its_layer_has_the_rate():
    assert layers(limited("5/s", burst=1)(len)) == ["limited('5/s', burst=1)", "len"]
    assert layers(limited("5/s")(len))[0] == "limited('5/s')"
