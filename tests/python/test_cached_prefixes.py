"""`invalidate(prefix=...)`: entries by the beginning of a text in their keys."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lineshaft import OptionError, cached


def test_a_prefix_takes_all_that_begin_with_it():
    @cached
    def load(key: str, field: str = "name") -> str:
        return f"{key} {field}"

    for user in ("user:4", "user:42", "user:42:a", "page"):
        load(user), load(user, "mail")
    load.cache.invalidate("page")
    assert load.cache.invalidate(prefix="user:42")
    assert load.cache.info().size == 3
    assert load.cache.peek("user:4") == "user:4 name"
    assert load.cache.peek("user:42", "mail") is None
    assert not load.cache.invalidate(prefix="user:42")
    load("user:42:new")
    assert load.cache.invalidate(prefix="user:42:")
    assert load.cache.invalidate(prefix="")
    assert load.cache.info().size == 0
    with pytest.raises(OptionError, match="prefix"):
        load.cache.invalidate(prefix=7)


def test_it_is_the_first_argument_or_what_key_gives():
    @cached(typed=True)
    def only(*, size: int, name: str = "x", **others: int) -> str:
        return name

    @cached
    def plain(name: Any, *more: str, size: str = "small") -> Any:
        return name

    @cached(key=lambda number: f"user:{number}")
    def keyed(number: int) -> int:
        return number

    class Shop:
        @cached
        def price(self, item: str) -> str:
            return item

    plain("ab", "x", size="big"), plain(7), plain("b\udc80"), plain(["ab"])
    assert not plain.cache.invalidate(prefix="big")
    assert not plain.cache.invalidate(prefix="x")
    assert plain.cache.invalidate(prefix="a")
    assert plain.cache.info().size == 3
    keyed(1), keyed(2)
    assert keyed.cache.invalidate(prefix="user:1")
    assert keyed.cache.info().size == 1
    only(size=1)
    assert not only.cache.invalidate(prefix="x")
    shop, other = Shop(), Shop()
    shop.price("tea"), other.price("tea")
    assert shop.price.cache.invalidate(prefix="t")
    assert other.price.cache.peek("tea") == "tea"


def test_what_depends_on_one_of_them_goes_too():
    @cached
    def user(key: str) -> str:
        return key

    @cached(depends_on=lambda key: [user.cache.key(key)])
    def page(key: str) -> str:
        return f"page of {key}"

    page("user:42"), page("user:7")
    assert not user.cache.invalidate(prefix="user:4"), "it is not there itself"
    assert page.cache.peek("user:42") is None
    assert page.cache.peek("user:7") == "page of user:7"


def test_what_is_being_computed_for_one_is_not_kept():
    began, goes_on = threading.Event(), threading.Event()

    @cached
    def slow(key: str) -> str:
        began.set()
        goes_on.wait(60)
        return key

    thread = threading.Thread(target=slow, args=("user:42",))
    thread.start()
    assert began.wait(60)
    slow.cache.invalidate(prefix="user:")
    goes_on.set()
    thread.join(60)
    assert slow.cache.info().size == 0

    @cached
    async def slower(key: str) -> str:
        slower.cache.invalidate(prefix="user:")
        return key

    assert asyncio.run(slower("user:1")) == "user:1"
    assert asyncio.run(slower("page:1")) == "page:1"
    assert slower.cache.info().size == 1


class Prefixes(RuleBasedStateMachine):
    """With room for eight entries, so that entries also go on their own."""

    @initialize(policy=st.sampled_from(["s3fifo", "lru", "sieve", "lfu"]))
    def make(self, policy: Any) -> None:
        self.computed: list[str] = []

        @cached(max=8, policy=policy)
        def function(key: str, number: int) -> str:
            self.computed.append(key)
            return key

        self.function = function
        self.asked: set[tuple[str, int]] = set()

    @rule(key=st.text("ab", max_size=3), number=st.integers(0, 1))
    def call(self, key: str, number: int) -> None:
        assert self.function(key, number) == key
        self.asked.add((key, number))

    @rule(prefix=st.text("ab", max_size=2))
    def invalidate(self, prefix: str) -> None:
        kept = {one for one in self.asked if self.function.cache.peek(*one) is not None}
        hit = {one for one in kept if one[0].startswith(prefix)}
        assert self.function.cache.invalidate(prefix=prefix) == bool(hit)
        assert {one for one in kept if self.function.cache.peek(*one) is not None} == kept - hit

    @rule()
    def clear(self) -> None:
        self.function.cache.clear()

    @invariant()
    def nobody_is_counted_who_is_not_there(self) -> None:
        kept = [one for one in self.asked if self.function.cache.peek(*one) is not None]
        assert self.function.cache.info().size == len(kept)


Prefixes.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPrefixes = Prefixes.TestCase
