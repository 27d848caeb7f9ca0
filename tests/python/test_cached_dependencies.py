"""`depends_on` of cached functions: a change reaches all that depends on it, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections import Counter
from typing import Any

import pytest

from lineshaft import DependencyCycle, OptionError, cached
from lineshaft._cached._dependencies import dependencies

DEADLINE_S = 30.0


class Shop:
    """A price, an offer that is made of it and a page that is made of offers."""

    def __init__(self, **options: Any) -> None:
        self.prices = {"tea": 1, "jam": 2}
        self.made: Counter[str] = Counter()

        @cached(tags=lambda item: [f"item:{item}"], **options)
        def price(item: str) -> int:
            self.made[f"price {item}"] += 1
            return self.prices[item]

        @cached(depends_on=lambda item: [price.cache.key(item)])
        def offer(item: str) -> str:
            self.made[f"offer {item}"] += 1
            return f"{item} for {price(item)}"

        @cached(depends_on=lambda *items: [offer.cache.key(item) for item in items])
        def page(*items: str) -> str:
            self.made["page"] += 1
            return ", ".join(offer(item) for item in items)

        self.price, self.offer, self.page = price, offer, page


def test_a_change_reaches_all_that_depends_on_it_and_nothing_else():
    shop = Shop()
    assert shop.page("tea", "jam") == shop.page("tea", "jam") == "tea for 1, jam for 2"
    shop.prices["tea"] = 5
    assert shop.price.cache.invalidate("tea")
    assert shop.page("tea", "jam") == "tea for 5, jam for 2"
    assert shop.made == {"price tea": 2, "price jam": 1, "offer tea": 2, "offer jam": 1, "page": 2}


def test_a_source_that_was_not_kept_reaches_them_too():
    shop = Shop(max=0)
    assert shop.page("tea") == "tea for 1"
    shop.prices["tea"] = 5
    assert shop.price.cache.invalidate("tea") is False
    assert shop.page("tea") == "tea for 5"


def test_a_tag_of_a_source_reaches_them():
    shop = Shop()
    assert shop.page("tea", "jam") == "tea for 1, jam for 2"
    shop.prices["jam"] = 5
    shop.price.cache.invalidate(tag="item:jam")
    assert shop.page("tea", "jam") == "tea for 1, jam for 5"
    assert shop.made["offer tea"] == 1


def test_a_tag_of_a_source_that_has_gone_since_reaches_them():
    shop = Shop(max=1, policy="lru")
    assert shop.page("tea") == "tea for 1"
    shop.price("jam")
    assert shop.price.cache.peek("tea") is None
    shop.prices["tea"] = 5
    shop.price.cache.invalidate(tag="item:tea")
    assert shop.page("tea") == "tea for 5"


def test_clearing_sources_reaches_them():
    shop = Shop()
    shop.page("tea")
    shop.prices["tea"] = 5
    shop.price.cache.clear()
    assert shop.page("tea") == "tea for 5"


def test_a_source_that_is_computed_anew_reaches_them():
    shop = Shop(max=1, policy="lru")
    shop.page("tea")
    shop.prices["tea"] = 5
    shop.price("jam")
    assert shop.page("tea") == "tea for 1"
    assert shop.price("tea") == 5
    assert shop.page("tea") == "tea for 5"


def test_what_is_computed_while_its_source_changes_is_not_kept():
    began, changed = threading.Event(), threading.Event()

    @cached
    def source() -> int:
        return 0

    @cached(depends_on=[source.cache.key()])
    def slow() -> str:
        began.set()
        assert changed.wait(DEADLINE_S)
        return "old"

    thread = threading.Thread(target=slow)
    thread.start()
    assert began.wait(DEADLINE_S)
    source.cache.invalidate()
    changed.set()
    thread.join()
    assert slow.cache.peek() is None


def test_coroutines_depend_as_functions_do():
    prices = {"tea": 1}

    @cached
    async def price(item: str) -> int:
        return prices[item]

    @cached(depends_on=lambda item: [price.cache.key(item)])
    async def offer(item: str) -> str:
        return f"{item} for {await price(item)}"

    async def main() -> None:
        assert await offer("tea") == await offer("tea") == "tea for 1"
        assert offer.cache.info().hits == 1
        prices["tea"] = 5
        price.cache.invalidate("tea")
        assert await offer("tea") == "tea for 5"

    asyncio.run(main())


def test_methods_depend_on_those_of_their_instance():
    class Account:
        def __init__(self) -> None:
            self.cents = 100

        @cached
        def balance(self) -> int:
            return self.cents

        @cached(depends_on=lambda self: [self.balance.cache.key()])
        def shown(self) -> str:
            return f"{self.balance()} cents"

    one, other = Account(), Account()
    assert one.shown() == other.shown() == "100 cents"
    one.cents = other.cents = 50
    one.balance.cache.invalidate()
    assert (one.shown(), other.shown()) == ("50 cents", "100 cents")


def test_a_cycle_is_refused_with_its_way():
    @cached(depends_on=lambda item: [second.cache.key(item)])
    def first(item: str) -> str:
        return item

    @cached(depends_on=lambda item: [first.cache.key(item)])
    def second(item: str) -> str:
        return first(item)

    with pytest.raises(
        DependencyCycle, match=r"first\('a'\), which depends on .*second\('a'\), which depends on .*first"
    ):
        second("a")
    assert second.cache.peek("a") is None

    @cached(depends_on=lambda: [alone.cache.key()])
    def alone() -> int:
        return 1

    with pytest.raises(DependencyCycle, match="alone"):
        alone()


@pytest.mark.parametrize("value", ["price", 7, [7], {"a": 1}, ["key"]])
def test_what_is_no_key_is_refused_where_it_is_written(value):
    with pytest.raises(OptionError, match="option `depends_on`"):
        cached(depends_on=value)


@pytest.mark.parametrize("gives", [lambda item: [item], lambda item: item, lambda item: None, lambda item: len])
def test_what_gives_no_keys_is_refused_where_it_is_called(gives):
    @cached(depends_on=gives)
    def offer(item: str) -> str:
        return item

    with pytest.raises(OptionError, match="option `depends_on`"):
        offer("tea")


def test_a_key_may_be_named_by_itself():
    prices = iter(range(10))

    @cached
    def price() -> int:
        return next(prices)

    @cached(depends_on=price.cache.key())
    def written() -> int:
        return price()

    @cached(depends_on=lambda: price.cache.key())
    def given() -> int:
        return price()

    assert (written(), given()) == (0, 0)
    price.cache.invalidate()
    assert (written(), given()) == (1, 1)


def test_an_exception_leaves_no_dependency():
    before = len(dependencies._places)

    @cached
    def source() -> int:
        return 0

    @cached(depends_on=[source.cache.key()])
    def fails() -> int:
        raise ValueError("no")

    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            fails()
    assert len(dependencies._places) == before


def test_nothing_is_left_of_what_has_gone():
    gc.collect()
    before = len(dependencies._places)
    shop = Shop()
    for _ in range(3):
        shop.page("tea", "jam")
        shop.page.cache.clear()
        shop.offer.cache.clear()
    assert len(dependencies._places) == before

    class Thing:
        @cached
        def part(self) -> int:
            return 1

        @cached(depends_on=lambda self: [self.part.cache.key()])
        def whole(self) -> int:
            return self.part()

    things = [Thing() for _ in range(10)]
    assert {thing.whole() for thing in things} == {1}
    assert len(dependencies._places) > before
    things.clear()
    gc.collect()
    assert len(dependencies._places) == before


def test_a_forked_child_goes_on_though_another_thread_changed_something():
    @cached
    def source() -> int:
        return os.getpid()

    @cached(depends_on=[source.cache.key()])
    def derived() -> int:
        return source()

    derived()
    held, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with dependencies._lock:
            held.set()
            forked.wait(DEADLINE_S)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(DEADLINE_S)
    pid = os.fork()
    if pid == 0:
        source.cache.invalidate()
        os._exit(0 if derived() == os.getpid() else 1)
    forked.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_threads_that_change_and_read_never_see_what_is_older_than_the_last_change():
    number = [0]

    @cached
    def source() -> int:
        return number[0]

    @cached(depends_on=[source.cache.key()])
    def derived() -> int:
        return source()

    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            derived()

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(500):
            number[0] += 1
            source.cache.invalidate()
            assert derived() == number[0]
    finally:
        stop.set()
        for reader in readers:
            reader.join()
