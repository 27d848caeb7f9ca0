"""`depends_on` of `app.cached`: a change reaches all that depends on it, in whatever process, and nothing else."""

from __future__ import annotations

import asyncio
import dataclasses
import pickle
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conftest import environment, stop_server
from lineshaft import App, DependencyCycle, OptionError, cached
from lineshaft._cached import _host
from lineshaft._cached._sources import SOURCES_MAX
from support.processes import PATIENCE_S, until

HERE = Path(__file__).parent


def leave() -> None:
    """As at the end of this process."""
    for table in _host._tables.values():
        if table is not None:
            table.close()
    _host._tables.clear()


@pytest.fixture(params=["host", "engine"])
def scope(request):
    return request.param


@pytest.fixture
def app(scope, tmp_path):
    yield App() if scope == "engine" else App(tmp_path / "home", host_cache="4MiB")
    leave()


class Shop:
    """A price, an offer that is made of it and a page that is made of offers."""

    def __init__(self, app: App, scope: str, **options: Any) -> None:
        self.prices = {"tea": 1, "jam": 2}
        self.made: Counter[str] = Counter()

        @app.cached(scope=scope, tags=lambda item: [f"item:{item}"], **options)
        def price(item: str) -> int:
            self.made[f"price {item}"] += 1
            return self.prices[item]

        @app.cached(scope=scope, depends_on=lambda item: [price.cache.key(item)])
        def offer(item: str) -> str:
            self.made[f"offer {item}"] += 1
            return f"{item} for {price(item)}"

        @app.cached(scope=scope, depends_on=lambda *items: [offer.cache.key(item) for item in items])
        def page(*items: str) -> str:
            self.made["page"] += 1
            return ", ".join(offer(item) for item in items)

        self.price, self.offer, self.page = price, offer, page


@pytest.fixture
def shop(app, scope):
    return Shop(app, scope)


# ---- What a change reaches.


def test_what_is_made_of_others_is_kept_as_it_is_first_computed(shop):
    assert shop.page("tea", "jam") == shop.page("tea", "jam") == "tea for 1, jam for 2"
    assert set(shop.made.values()) == {1}


def test_a_change_reaches_all_that_depends_on_it_and_nothing_else(shop):
    shop.page("tea", "jam")
    shop.prices["tea"] = 5
    assert shop.price.cache.invalidate("tea")
    assert shop.page.cache.peek("tea", "jam") is None
    assert shop.offer.cache.peek("jam") == "jam for 2"
    assert shop.page("tea", "jam") == "tea for 5, jam for 2"
    assert shop.made == {"price tea": 2, "price jam": 1, "offer tea": 2, "offer jam": 1, "page": 2}


def test_a_source_that_was_never_kept_reaches_them_too(app, scope):
    @app.cached(scope=scope)
    def source() -> object:
        return object()

    made = []

    @app.cached(scope=scope, depends_on=[source.cache.key()])
    def made_of_it() -> int:
        made.append(1)
        return len(made)

    assert made_of_it() == made_of_it() == 1
    assert source.cache.invalidate() is False
    assert made_of_it() == made_of_it() == 2


def test_a_tag_of_a_source_reaches_them(shop):
    shop.page("tea", "jam")
    shop.prices["jam"] = 5
    shop.price.cache.invalidate(tag="item:jam")
    assert shop.page("tea", "jam") == "tea for 1, jam for 5"
    assert shop.made["offer tea"] == 1


def test_clearing_sources_reaches_them(shop):
    shop.page("tea")
    shop.prices["tea"] = 5
    shop.price.cache.clear()
    assert shop.page("tea") == "tea for 5"


def test_a_chain_of_five_and_a_diamond_are_reached_from_their_end(app, scope):
    numbers = {"at": 1}
    made: Counter[str] = Counter()

    def link(name: str, *before: Any) -> Any:
        def made_of() -> int:
            made[name] += 1
            return sum(one() for one in before) if before else numbers["at"]

        made_of.__qualname__ = name
        return app.cached(scope=scope, depends_on=[one.cache.key() for one in before])(made_of)

    first = link("first")
    second = link("second", first)
    left, right = link("left", second), link("right", second)
    fourth = link("fourth", left, right)
    fifth = link("fifth", fourth, left)
    assert fifth() == fifth() == 3
    assert set(made.values()) == {1}
    numbers["at"] = 2
    first.cache.invalidate()
    assert fifth() == fifth() == 6
    assert set(made.values()) == {2}
    numbers["at"] = 3
    left.cache.invalidate()
    assert fifth() == 6
    assert made == {"first": 2, "second": 2, "left": 3, "right": 2, "fourth": 3, "fifth": 3}


def test_a_source_whose_time_was_over_reaches_them_when_it_is_computed_anew(app, scope):
    shop = Shop(app, scope, ttl="50ms")
    shop.page("tea")
    until(lambda: shop.price.cache.peek("tea") is None, "its time is over")
    assert shop.page("tea") == "tea for 1", "that is no change"
    shop.prices["tea"] = 5
    assert shop.price("tea") == 5
    assert shop.page("tea") == "tea for 5"


def test_a_source_that_is_over_all_the_time_does_not_keep_them_from_being_kept(app, scope):
    shop = Shop(app, scope, ttl="1ms")
    for _ in range(3):
        shop.page("tea")
        assert shop.page.cache.peek("tea") == "tea for 1"
        shop.page.cache.clear()


def test_a_stale_source_that_is_computed_anew_in_the_background_reaches_them(app, scope):
    shop = Shop(app, scope, ttl="20ms", stale="1h")
    assert shop.page("tea") == "tea for 1"
    shop.prices["tea"] = 5

    def is_new() -> bool:
        return shop.price("tea") == 5 and shop.page.cache.peek("tea") is None

    until(is_new, "it is computed anew")
    until(lambda: shop.page("tea") == "tea for 5", "so is what is made of it")


def test_an_exception_that_was_kept_gives_way_to_a_value_and_what_was_made_of_it_too(app, scope):
    is_there = threading.Event()

    @app.cached(scope=scope, negative="30ms")
    def source() -> int:
        if not is_there.is_set():
            raise LookupError("not yet")
        return 1

    @app.cached(scope=scope, depends_on=[source.cache.key()])
    def shown() -> str:
        try:
            return str(source())
        except LookupError:
            return "none"

    assert shown() == shown() == "none"
    is_there.set()

    def is_known() -> bool:
        try:
            return source() == 1
        except LookupError:
            return False

    until(is_known, "the exception's time is over")
    assert shown() == "1"


def test_what_is_computed_while_its_source_changes_is_not_kept(app, scope):
    began, changed = threading.Event(), threading.Event()

    @app.cached(scope=scope, tags=["all"])
    def source(number: int) -> int:
        return number

    @app.cached(scope=scope, depends_on=lambda number: [source.cache.key(number)])
    def slow(number: int) -> str:
        value = source(number)
        began.set()
        assert changed.wait(PATIENCE_S)
        return f"of {value}"

    changes = [
        lambda: source.cache.invalidate(1),
        lambda: source.cache.invalidate(tag="all"),
        source.cache.clear,
        lambda: None,
    ]
    for change in changes:
        began.clear(), changed.clear()
        thread = threading.Thread(target=slow, args=(1,))
        thread.start()
        assert began.wait(PATIENCE_S)
        change()
        changed.set()
        thread.join()
        assert slow.cache.peek(1) == (None if change is not changes[-1] else "of 1")


def test_coroutine_functions_depend_as_functions_do(app, scope):
    prices = {"tea": 1}

    @app.cached(scope=scope)
    async def price(item: str) -> int:
        return prices[item]

    @app.cached(scope=scope, depends_on=lambda item: [price.cache.key(item)])
    async def offer(item: str) -> str:
        return f"{item} for {await price(item)}"

    @app.cached(scope=scope, depends_on=lambda item: [offer.cache.key(item)])
    def page(item: str) -> str:
        return "a page"

    async def main() -> None:
        assert await offer("tea") == await offer("tea") == "tea for 1"
        assert offer.cache.info().hits == 1
        page("tea")
        prices["tea"] = 5
        price.cache.invalidate("tea")
        assert page.cache.peek("tea") is None
        assert await offer("tea") == "tea for 5"

    asyncio.run(main())


def test_who_asks_after_a_change_does_not_wait_for_what_was_begun_before_it(app, scope):
    prices = {"tea": 1}

    async def main() -> None:
        began, goes_on = asyncio.Event(), asyncio.Event()

        @app.cached(scope=scope)
        async def price(item: str) -> int:
            return prices[item]

        @app.cached(scope=scope, depends_on=lambda item: [price.cache.key(item)])
        async def offer(item: str) -> str:
            value = await price(item)
            if value == 1:
                began.set()
                await goes_on.wait()
            return f"{item} for {value}"

        before = asyncio.create_task(offer("tea"))
        await began.wait()
        prices["tea"] = 5
        price.cache.invalidate("tea")
        after = asyncio.create_task(offer("tea"))
        if scope == "engine":
            goes_on.set()  # whoever computes has a lock there, which the next one waits for
        assert await asyncio.wait_for(after, PATIENCE_S) == "tea for 5"
        goes_on.set()
        assert await before == "tea for 1"
        assert await offer("tea") == "tea for 5"

    asyncio.run(main())


def test_lists_and_other_values_are_keys_and_results(app, scope):
    rows = {(1, 2): [1, 2]}

    @app.cached(scope=scope)
    def load(ids: list[int]) -> list[int]:
        return rows[tuple(ids)]

    @app.cached(scope=scope, depends_on=lambda ids, of: [load.cache.key(ids)])
    def report(ids: list[int], of: dict[str, int]) -> list[int]:
        return [*load(ids), of["more"]]

    assert report([1, 2], {"more": 3}) == report([1, 2], {"more": 3}) == [1, 2, 3]
    rows[(1, 2)] = [4, 5]
    load.cache.invalidate([1, 2])
    assert report([1, 2], {"more": 3}) == [4, 5, 3]


# ---- What cannot be.


def test_a_cycle_is_refused_before_anything_is_computed_and_names_the_way(app, scope):
    made = []

    @app.cached(scope=scope, depends_on=lambda item: [page.cache.key(item)])
    def offer(item: str) -> str:
        made.append(item)
        return item

    @app.cached(scope=scope, depends_on=lambda item: [offer.cache.key(item)])
    def page(item: str) -> str:
        made.append(item)
        return offer(item)

    with pytest.raises(
        DependencyCycle, match=r"page\('tea'\), which depends on .*offer\('tea'\), which depends on .*page"
    ):
        page("tea")
    with pytest.raises(DependencyCycle):
        offer.cache.warm("tea")
    assert made == []

    @app.cached(scope=scope, depends_on=lambda item: [alone.cache.key(item)])
    def alone(item: str) -> str:
        return item

    with pytest.raises(DependencyCycle, match=r"alone\('tea'\), which depends on .*alone\('tea'\)"):
        alone("tea")


def test_numbers_down_to_one_may_depend_on_each_other_up_to_the_limit(app, scope):
    @app.cached(scope=scope, depends_on=lambda n: [count.cache.key(n - 1)] if n > 0 else [])
    def count(n: int) -> int:
        return n

    assert count(SOURCES_MAX) == SOURCES_MAX
    count.cache.invalidate(0)
    assert count.cache.peek(SOURCES_MAX) is None
    with pytest.raises(OptionError) as caught:
        count(SOURCES_MAX + 1)
    assert f"up to {SOURCES_MAX} entries" in caught.value.hint
    assert f"here {SOURCES_MAX + 1}" in caught.value.hint


def test_too_many_tags_are_refused_with_how_many_there_are(app, scope):
    @app.cached(scope=scope, tags=lambda n: [f"{n} {at}" for at in range(16)])
    def source(n: int) -> int:
        return n

    @app.cached(scope=scope, depends_on=lambda count: [source.cache.key(n) for n in range(count)])
    def page(count: int) -> int:
        return count

    assert page(25) == 25
    assert page.cache.peek(25) == 25
    source.cache.invalidate(tag="24 15")
    assert page.cache.peek(25) is None
    with pytest.raises(OptionError) as caught:
        page(100)
    assert "tags of entries" in caught.value.hint


def test_keys_of_another_kind_are_refused_and_both_are_named(app, scope, tmp_path):
    other_scope = "engine" if scope == "host" else "host"

    @cached
    def own(item: str) -> str:
        return item

    @app.cached(scope=other_scope)
    def elsewhere(item: str) -> str:
        return item

    @App(tmp_path / "other").cached(scope=scope)
    def abroad(item: str) -> str:
        return item

    for key, words in [
        (own.cache.key("tea"), "of this process alone"),
        (elsewhere.cache.key("tea"), f'of scope="{other_scope}"'),
        (abroad.cache.key("tea"), str(tmp_path / "other")),
        ("tea", "keys of caches"),
    ]:

        @app.cached(scope=scope, depends_on=lambda key=key: [key])
        def page() -> str:
            raise AssertionError("it is not computed")

        with pytest.raises(OptionError) as caught:
            page()
        assert words in f"{caught.value} {caught.value.hint}"
        if key != "tea":
            assert "<key test_keys_of_another_kind" in str(caught.value)
            assert f'scope="{scope}"' in caught.value.hint
            assert "page is" in caught.value.hint

    with pytest.raises(OptionError, match="depends_on"):
        app.cached(scope=scope, depends_on=["tea"])

    @app.cached(scope=scope)
    def source(item: str) -> str:
        return item

    @cached(depends_on=[source.cache.key("tea")])
    def near() -> str:
        raise AssertionError("it is not computed")

    with pytest.raises(OptionError) as caught:
        near()
    assert "this one is shared" in caught.value.hint
    assert source.cache.key("tea") == source.cache.key(item="tea") != source.cache.key("jam")
    assert len({source.cache.key("tea"), source.cache.key(item="tea")}) == 1
    assert "source('tea')" in repr(source.cache.key("tea"))


def test_options_of_a_room_of_its_own_are_refused_with_what_there_is(app, scope):
    for option in [{"max": 10}, {"policy": "lru"}, {"size": len}]:
        with pytest.raises(OptionError) as caught:
            app.cached(scope=scope, **option)
        assert ("host_cache" if scope == "host" else "--cache-bytes") in caught.value.hint


# ---- Methods.


@dataclasses.dataclass(frozen=True)
class Account:
    number: int


def test_a_methods_cache_is_that_of_its_instance(app, scope):
    made: Counter[int] = Counter()
    cents = {1: 100, 2: 200}

    class Bank(Account):
        @app.cached(scope=scope, tags=lambda self: [f"account:{self.number}"])
        def balance(self) -> int:
            made[self.number] += 1
            return cents[self.number]

        @app.cached(scope=scope, depends_on=lambda self, text: [self.balance.cache.key()])
        def statement(self, text: str) -> str:
            return f"{text}: {self.balance()}"

        @app.cached(scope=scope)
        async def later(self, more: int) -> int:
            return self.number + more

    first, second = Bank(1), Bank(2)
    assert (first.balance(), second.balance(), Bank.balance(first)) == (100, 200, 100)
    assert made == {1: 1, 2: 1}
    assert (first.balance.cache.peek(), Bank.balance.cache.peek(second)) == (100, 200)
    assert first.statement("Dear") == first.statement(text="Dear") == "Dear: 100"
    cents[1] = 150
    assert first.balance.cache.invalidate() is True
    assert first.balance.cache.peek() is None
    assert second.balance.cache.peek() == 200
    assert first.statement.cache.peek("Dear") is None
    assert first.statement("Dear") == "Dear: 150"
    first.balance.cache.invalidate(tag="account:1")
    assert first.statement.cache.peek("Dear") is None
    first.balance.cache.warm()
    assert first.balance.cache.peek() == 150
    second.balance.cache.clear()
    assert first.balance.cache.peek() is None, "of all instances"
    assert first.balance.cache.info().hits == Bank.balance.cache.info().hits > 0
    assert first.balance.cache.key() == Bank.balance.cache.key(first) != second.balance.cache.key()

    assert first.balance == first.balance != second.balance
    assert first.balance.__name__ == "balance"
    assert repr(first.balance).startswith("<bound method test_a_methods")
    assert len({first.balance, first.balance}) == 1

    async def main() -> None:
        assert await first.later(2) == 3
        await first.later.cache.warm(3)
        assert first.later.cache.peek(3) == 4
        if scope == "engine":
            assert await first.later.cache.ainvalidate(3)
            assert await first.later.cache.apeek(3) is None

    assert asyncio.iscoroutinefunction(first.later)
    assert not asyncio.iscoroutinefunction(first.balance)
    asyncio.run(main())


class Named(Account):
    app = App("/nonexistent/home", host_cache="4MiB")

    @app.cached
    def double(self) -> int:
        return 2 * self.number


def test_a_bound_method_is_pickled_as_any_other():
    method = pickle.loads(pickle.dumps(Named(4).double))
    assert method.__self__ == Named(4)
    assert method.__func__ is Named.double


# ---- Where nothing can be shared.


def test_where_there_is_no_shared_memory_they_depend_in_each_process(tmp_path, monkeypatch):
    monkeypatch.setattr(_host, "DIRECTORY", str(tmp_path / "nowhere"))
    shop = Shop(App(tmp_path / "home"), "host")
    assert shop.page("tea", "jam") == shop.page("tea", "jam") == "tea for 1, jam for 2"
    shop.prices["tea"] = 5
    shop.price.cache.invalidate("tea")
    assert shop.page("tea", "jam") == "tea for 5, jam for 2"
    assert shop.made == {"price tea": 2, "price jam": 1, "offer tea": 2, "offer jam": 1, "page": 2}
    leave()


# ---- Many processes.


class Processes:
    def __init__(self, directory: Path, scope: str) -> None:
        self.home, self.prices = directory / "home", directory / "prices"
        self.prices.mkdir()
        self.env = environment(DEPENDING_HOME=str(self.home), DEPENDING_SCOPE=scope, DEPENDING_PRICES=str(self.prices))
        self.all: list[subprocess.Popen[str]] = []
        self.set("tea", 1)

    def set(self, item: str, cents: int) -> None:
        (self.prices / item).write_text(str(cents))

    def start(self, code: str, **env: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        command = [sys.executable, str(HERE / "depending_results.py"), code]
        process = subprocess.Popen(command, env=self.env | env, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self.all.append(process)
        return process

    def run(self, code: str) -> str:
        return self.output(self.start(code))

    def output(self, process: subprocess.Popen[str], words: str | None = None) -> str:
        out, err = process.communicate(words, timeout=PATIENCE_S)
        assert process.returncode == 0, err
        return out.strip()


@pytest.fixture
def processes(tmp_path, scope):
    processes = Processes(tmp_path, scope)
    # Keeps the table of the host.
    keeper = processes.start("price.cache.peek('nothing'); print('ready', flush=True); input()")
    assert keeper.stdout is not None
    assert keeper.stdout.readline() == "ready\n", processes.output(keeper)
    yield processes
    for process in processes.all:
        process.kill()
        process.communicate()
    stop_server(processes.home)


def test_what_one_process_changes_reaches_what_another_has_computed(processes):
    assert processes.run("print(page('tea'))") == "tea for 1"
    processes.set("tea", 5)
    assert processes.run("print(page('tea'))") == "tea for 1", "nobody has said so"
    for change in ["price.cache.invalidate('tea')", "price.cache.invalidate(tag='item:tea')", "price.cache.clear()"]:
        processes.run(change)
        assert processes.run("print(page.cache.peek('tea'), page('tea'))") == "None tea for 5"


def test_what_one_computes_while_another_changes_its_source_is_not_kept(processes):
    computing = processes.start("print(page('tea'))", DEPENDING_WAITS="yes")
    assert computing.stdout is not None
    assert computing.stdout.readline() == "computing\n"
    # By then it has read the old price.
    until(lambda: processes.run("print(offer.cache.peek('tea'))") == "tea for 1", "it is at it")
    processes.set("tea", 5)
    processes.run("price.cache.invalidate('tea')")
    assert processes.output(computing, "\n") == "tea for 1"
    assert processes.run("print(page.cache.peek('tea'), page('tea'))") == "None tea for 5"


@pytest.mark.parametrize("scope", ["engine"])
def test_the_engines_cache_reaches_them_and_so_it_does_after_a_restart(processes):
    processes.run("page('tea')")
    processes.set("tea", 5)
    stop_server(processes.home)
    assert processes.run("print(page.cache.peek('tea'))") == "tea for 1", "it was on the disk"
    processes.run("app.cache.invalidate(tag='item:tea')")
    assert processes.run("print(page.cache.peek('tea'), page('tea'))") == "None tea for 5"
    processes.set("tea", 6)
    stop_server(processes.home)
    processes.run("price.cache.invalidate('tea')")
    assert processes.run("print(page.cache.peek('tea'), page('tea'))") == "None tea for 6"
    processes.run("app.cache.clear()")
    assert processes.run("print(page.cache.peek('tea'))") == "None"
