"""Unique jobs: what makes calls equal, and for how long."""

from __future__ import annotations

import time

import pytest

from lineshaft import App, OptionError, Unique

WAIT = 20


def by_parity(a: int, b: int) -> int:
    if b > 100:
        raise ValueError("too many")
    return a % 2


def test_a_key_is_held_for_its_period_though_the_job_has_ended(shop):
    daily = shop.add.using(unique=Unique(by="a", period="2s"))
    first = daily.enqueue(901)
    assert first.result(WAIT) == 902
    again = daily.enqueue(901, 5)
    assert (again == first, again.existing) == (True, True)
    assert daily.enqueue(902) != first
    deadline = time.monotonic() + WAIT
    while daily.enqueue(901) == first:
        assert time.monotonic() < deadline, "the period does not end"
        time.sleep(0.05)


def test_a_period_does_not_end_before_the_job_does(shop):
    brief = shop.unserved.using(unique=Unique(by="number", period="1ms"))
    first = brief.enqueue(903)
    time.sleep(0.1)
    assert brief.enqueue(903) == first


def test_a_callable_gets_the_arguments_with_defaults_applied(shop):
    by_sum = shop.add.using(queue="nobody", unique=Unique(by=lambda a, b: a + b))
    assert by_sum.enqueue(1000) == by_sum.enqueue(1000, 1) == by_sum.enqueue(b=500, a=501)
    assert by_sum.enqueue(1000, 2) != by_sum.enqueue(1000)


def test_a_callable_that_raises_names_itself_and_the_task_and_nothing_is_enqueued(shop):
    task = shop.add.using(queue="raising", unique=Unique(by=by_parity))
    with pytest.raises(OptionError) as caught:
        task.enqueue(1, 101)
    place = f"{by_parity.__code__.co_filename}:{by_parity.__code__.co_firstlineno}"
    said = f"by_parity ({place}), the `by` of its `unique`, raised ValueError: too many"
    hint = "hint: it takes what the task takes, with defaults applied; the call was not enqueued"
    assert str(caught.value) == f"shop.add: {said}\n  {hint}"
    assert isinstance(caught.value.__cause__, ValueError)


def test_of_many_calls_the_one_whose_key_fails_is_named(shop):
    task = shop.add.using(queue="raising", unique=Unique(by=by_parity))
    with pytest.raises(OptionError, match=r"^calls\[2\]: shop.add: by_parity \(") as caught:
        shop.app.enqueue_many([shop.echo.si(1), task.si(1, 1), task.si(2, 101), task.si(3, 1)])
    assert isinstance(caught.value.__cause__, ValueError)
    assert not task.enqueue(1, 1).existing, "the call before it was not enqueued either"


@pytest.mark.parametrize("period", [0, "0s", -1])
def test_a_period_of_nothing_is_refused(period):
    with pytest.raises(OptionError, match="option `period`"):
        Unique(period=period)


def test_an_option_set_wrongly_says_what_is_accepted():
    with pytest.raises(OptionError) as caught:
        App().task(unique="all")(by_parity)
    assert 'accepted: "args", Unique(by=..., while_=..., period=...) or None' in str(caught.value)
    assert repr(Unique(by="a", period="1m")) == "Unique(by=('a',), while_='unfinished', period=60.0)"
