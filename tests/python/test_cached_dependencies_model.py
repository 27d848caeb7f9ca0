"""`depends_on` of `app.cached` against a model that keeps nothing: whatever is done in whatever order, nobody is given
what was computed from what has changed since.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from lineshaft import App
from test_cached_dependencies_shared import leave

ITEMS = ["tea", "jam", "rye"]
items = st.sampled_from(ITEMS)
pages = st.lists(items, min_size=1, max_size=3).map(tuple)


class Shop(RuleBasedStateMachine):
    """Prices in two currencies, offers of both and pages of offers; another process is an app of its own."""

    scope: str
    home: Path

    def __init__(self) -> None:
        super().__init__()
        self.prices = dict.fromkeys(ITEMS, 0)
        self.rate = 1
        self.last = 0
        here, there = self.app(), self.app()
        self.faces = [self.functions(here), self.functions(there)]
        for face in self.faces:
            face["price"].cache.clear()
            face["rate"].cache.clear()

    def app(self) -> App:
        return App() if self.scope == "engine" else App(self.home, host_cache="1MiB")

    def functions(self, app: App) -> dict:
        @app.cached(scope=self.scope, tags=lambda item: [f"item:{item}", "all"])
        def price(item: str) -> int:
            return self.prices[item]

        @app.cached(scope=self.scope)
        def rate() -> int:
            return self.rate

        @app.cached(
            scope=self.scope,
            key=lambda item: item,
            depends_on=lambda item: [price.cache.key(item), rate.cache.key()],
        )
        def offer(item: str) -> list[int]:
            return [price(item), rate()]

        @app.cached(scope=self.scope, depends_on=lambda *of: [offer.cache.key(item) for item in of])
        def page(*of: str) -> list[list[int]]:
            return [offer(item) for item in of]

        return {"price": price, "rate": rate, "offer": offer, "page": page}

    def changed(self, item: str) -> None:
        self.last += 1
        self.prices[item] = self.last

    @rule(item=items, at=st.integers(0, 1), by_tag=st.booleans())
    def change_a_price(self, item, at, by_tag):
        self.changed(item)
        cache = self.faces[at]["price"].cache
        cache.invalidate(tag=f"item:{item}") if by_tag else cache.invalidate(item)

    @rule(at=st.integers(0, 1), by_tag=st.booleans())
    def change_all_prices(self, at, by_tag):
        for item in ITEMS:
            self.changed(item)
        cache = self.faces[at]["price"].cache
        cache.invalidate(tag="all") if by_tag else cache.clear()

    @rule(at=st.integers(0, 1))
    def change_the_rate(self, at):
        self.rate += 1
        self.faces[at]["rate"].cache.invalidate()

    @rule(item=items, at=st.integers(0, 1))
    def let_go_of_an_offer(self, item, at):
        self.faces[at]["offer"].cache.invalidate(item)

    @rule(of=pages, at=st.integers(0, 1))
    def see_a_page(self, of, at):
        expected = [[self.prices[item], self.rate] for item in of]
        assert self.faces[at]["page"](*of) == expected
        assert self.faces[at]["page"].cache.peek(*of) == expected, "it is kept"

    @rule(item=items, at=st.integers(0, 1))
    def see_an_offer(self, item, at):
        assert self.faces[at]["offer"](item) == [self.prices[item], self.rate]

    @invariant()
    def what_is_kept_is_true(self):
        for item in ITEMS:
            assert self.faces[0]["offer"].cache.peek(item) in (None, [self.prices[item], self.rate])
            expected = [[self.prices[item], self.rate]]
            assert self.faces[1]["page"].cache.peek(item) in (None, expected)


@pytest.mark.parametrize(("scope", "examples"), [("host", 60), ("engine", 15)])
def test_nobody_is_given_what_was_computed_from_what_has_changed(scope, examples):
    with tempfile.TemporaryDirectory() as directory:
        machine = type(f"ShopOf{scope}", (Shop,), {"scope": scope, "home": Path(directory, "home")})
        quick = settings(
            max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        )
        run_state_machine_as_test(machine, settings=quick)
        leave()
