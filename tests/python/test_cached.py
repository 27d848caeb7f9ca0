"""`lineshaft.cached`: what is one entry, how long it lives, what makes it untrue, and who computes."""

from __future__ import annotations

import copy
import dataclasses
import gc
import inspect
import os
import pickle
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import lineshaft
from lineshaft import DeclarationError, OptionError, SerializationError, cached

DEADLINE_S = 30.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@cached
def module_level(x: int) -> int:
    return x + 1


def test_all_ways_to_write_a_call_are_one_entry() -> None:
    calls = []

    @cached
    def f(x: int, y: int = 2, *, z: int = 3) -> int:
        calls.append((x, y, z))
        return x + y + z

    assert {f(1), f(x=1), f(1, 2), f(1, y=2), f(y=2, x=1), f(1, z=3)} == {6}
    assert calls == [(1, 2, 3)]
    assert f(1, 3) == 7
    assert f.cache.info()[:4] == (5, 2, 10_000, 2)


def test_other_arguments_are_part_of_the_key_in_their_order() -> None:
    @cached
    def f(*args: int, **kwargs: int) -> tuple[Any, ...]:
        return args, list(kwargs.items())

    assert f(1, 2, a=1, b=2) == ((1, 2), [("a", 1), ("b", 2)])
    assert f(1, 2, b=2, a=1) == ((1, 2), [("b", 2), ("a", 1)])
    assert f(1, 2, a=1, b=2) is f(1, 2, a=1, b=2)
    assert f(1, 2) != f((1, 2))


def test_a_call_that_the_function_does_not_take_raises_what_it_raises() -> None:
    @cached
    def f(x: int, /, y: int = 0) -> int:
        return x

    for args, kwargs in [((), {}), ((1, 2, 3), {}), ((), {"x": 1}), ((1,), {"z": 1}), ((1, 2), {"y": 1})]:
        with pytest.raises(TypeError, match=r"f\(\) "):
            f(*args, **kwargs)  # type: ignore[arg-type]
    assert f.cache.info().size == 0


def test_arguments_need_not_be_hashable() -> None:
    @dataclasses.dataclass
    class Point:
        x: int
        tags: set[str]

    calls = []

    @cached
    def f(value: Any, other: object = None) -> int:
        calls.append(value)
        return len(calls)

    assert f([1, 2]) == f([1, 2]) == 1
    assert f([1, 3]) == 2
    assert f({"a": 1, "b": [2]}) == f({"b": [2], "a": 1}) == 3
    assert f(Point(1, {"a", "b"})) == f(Point(1, {"b", "a"})) == 4
    assert f(([1],)) != f([[1]])
    some = object()
    assert f([1], some) == f([1], some) != f([1], object())
    with pytest.raises(SerializationError, match="is not a value"):
        f([threading.Lock()])


def test_types_are_different_only_on_request() -> None:
    @cached
    def same(x: float) -> str:
        return repr(x)

    @cached(typed=True)
    def different(x: float, **more: float) -> str:
        return repr(x)

    assert (same(1), same(1.0), same(True)) == ("1", "1", "1")
    assert (different(1), different(1.0), different(True)) == ("1", "1.0", "True")
    different(1, a=1)
    assert different.cache.peek(1, a=1.0) is None
    assert different.cache.peek(1, a=1) == "1"


def test_key_says_what_makes_calls_equal() -> None:
    @cached(key=lambda text: text.lower())
    def f(text: str) -> str:
        return text

    assert (f("A"), f("a"), f("b")) == ("A", "A", "b")


def test_an_entry_lives_as_long_as_it_says() -> None:
    calls = []

    @cached(ttl=0.05)
    def f() -> int:
        calls.append(1)
        return len(calls)

    assert f() == 1
    until(lambda: f() > 1)
    assert f.cache.info().expirations >= 1


def test_an_idle_entry_goes_and_a_used_one_stays() -> None:
    @cached(idle=0.5)
    def f(x: int) -> object:
        return object()

    used, idle = f(1), f(2)
    until(lambda: f(1) is used and f.cache.peek(2) is None)
    assert f(2) is not idle


@pytest.mark.parametrize("policy", ["s3fifo", "lru", "sieve", "lfu"])
def test_there_are_never_more_than_max(policy: Any) -> None:
    @cached(max=10, policy=policy)
    def f(x: int) -> int:
        return x

    for x in range(100):
        f(x)
        f(x % 7)
        assert f.cache.info().size <= 10
    assert f.cache.info().evictions >= 80


def test_an_exception_is_kept_only_as_long_as_negative_says() -> None:
    calls = []

    def f(x: int) -> int:
        calls.append(x)
        raise LookupError(x)

    forgetful, mindful = cached(f), cached(negative=0.2)(f)
    for _ in range(3):
        with pytest.raises(LookupError):
            forgetful(1)
    assert len(calls) == 3
    with pytest.raises(LookupError) as first:
        mindful(1)
    with pytest.raises(LookupError) as second:
        mindful(1)
    assert len(calls) == 4
    assert first.value is second.value
    assert mindful.cache.peek(1) is None

    def is_called_again() -> bool:
        with pytest.raises(LookupError):
            mindful(1)
        return len(calls) == 5

    until(is_called_again)


def test_a_kept_exception_does_not_gather_frames() -> None:
    @cached(negative="1h")
    def f() -> None:
        raise LookupError

    def depth() -> int:
        with pytest.raises(LookupError) as caught:
            f()
        return len(caught.traceback)

    depth()
    assert depth() == depth() == depth()


def test_a_stale_value_is_served_while_it_is_computed_anew() -> None:
    go, threads = threading.Event(), []

    @cached(ttl=0.05, stale="1h")
    def f() -> int:
        threads.append(threading.current_thread())
        if len(threads) > 1:
            assert go.wait(DEADLINE_S)
        return len(threads)

    assert f() == 1
    until(lambda: f() == 1 and len(threads) == 2)
    assert f() == 1
    go.set()
    until(lambda: f() >= 2)
    assert threads[1] is not threading.current_thread()
    assert f.cache.info().stale_hits >= 2


@pytest.mark.parametrize("how", ["arguments", "tag", "prefix", "clear"])
def test_who_asks_after_an_invalidation_waits_for_no_computing_from_before(how: str) -> None:
    """It joined one that had read what was changed since, and was given its value."""
    source, begun, goes_on = ["old"], threading.Event(), threading.Event()

    @cached(tags=["all"])
    def read(name: str) -> str:
        value = source[0]
        if value == "old":
            begun.set()
            assert goes_on.wait(DEADLINE_S)
        return value

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(read, "a")
        assert begun.wait(DEADLINE_S)
        source[0] = "new"
        if how == "arguments":
            read.cache.invalidate("a")
        elif how == "clear":
            read.cache.clear()
        else:
            read.cache.invalidate(**{how: {"tag": "all", "prefix": "a"}[how]})
        second = threads.submit(read, "a")
        assert second.result(DEADLINE_S) == "new"
        goes_on.set()
        assert first.result(DEADLINE_S) == "old"
    assert read("a") == "new", "the older value did not take the place of the newer one"


def test_what_is_invalidated_is_computed_again() -> None:
    calls = []

    @cached(tags=lambda x: [f"n:{x % 2}"])
    def f(x: int) -> int:
        calls.append(x)
        return x

    for x in range(4):
        f(x)
    assert f.cache.invalidate(x=1)
    assert not f.cache.invalidate(9)
    assert f.cache.invalidate(tag="n:0")
    assert not f.cache.invalidate(tag="unknown")
    calls.clear()
    assert [f(x) for x in range(4)] == [0, 1, 2, 3]
    assert calls == [0, 1, 2]
    assert f.cache.tag_info("n:1") == (2, 1, 0)
    f.cache.clear()
    assert f.cache.info() == (0, 0, 10_000, 0, 0, 0, 0, 0, None)


@pytest.mark.parametrize("how", ["key", "tag", "all"])
def test_what_is_invalidated_while_it_is_computed_is_not_kept(how: str) -> None:
    @cached(tags=["t"])
    def f(x: int) -> object:
        if x == 1:
            {"key": lambda: f.cache.invalidate(1), "tag": lambda: f.cache.invalidate(tag="t"), "all": f.cache.clear}[
                how
            ]()
        return object()

    assert f(1) is not f(1)


def test_peek_and_warm() -> None:
    assert module_level.cache.peek(5) is None
    module_level.cache.warm(5)
    assert module_level.cache.peek(5) == 6
    hits = module_level.cache.info().hits
    assert module_level(5) == 6
    assert module_level.cache.info().hits == hits + 1
    with pytest.raises(TypeError):
        module_level.cache.peek()  # type: ignore[call-arg]


def test_a_thousand_misses_compute_once() -> None:
    calls, go = [], threading.Event()

    @cached
    def f(x: int) -> int:
        calls.append(x)
        assert go.wait(DEADLINE_S)
        return x

    with ThreadPoolExecutor(1_000) as threads:
        results = [threads.submit(f, 7) for _ in range(1_000)]
        until(lambda: f.cache.info().misses == 1_000)
        go.set()
        assert {result.result(DEADLINE_S) for result in results} == {7}
    assert calls == [7]


def test_an_exception_reaches_all_who_wait() -> None:
    calls, go = [], threading.Event()

    @cached
    def f() -> None:
        calls.append(1)
        assert go.wait(DEADLINE_S)
        raise ValueError("for all")

    with ThreadPoolExecutor(20) as threads:
        results = [threads.submit(f) for _ in range(20)]
        until(lambda: f.cache.info().misses == 20)
        go.set()
        for result in results:
            with pytest.raises(ValueError, match="for all"):
                result.result(DEADLINE_S)
    assert calls == [1]


def test_who_leaves_is_followed_by_who_waits() -> None:
    first = threading.Event()

    @cached
    def f() -> str:
        if not first.is_set():
            first.set()
            until(lambda: f.cache.info().misses == 2)
            raise SystemExit
        return "second"

    with ThreadPoolExecutor(2) as threads:
        leaving = threads.submit(f)
        assert first.wait(DEADLINE_S)
        assert threads.submit(f).result(DEADLINE_S) == "second"
        assert isinstance(leaving.exception(DEADLINE_S), SystemExit)


def test_a_function_may_call_itself() -> None:
    @cached
    def fib(n: int) -> int:
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert fib(80) == 23416728348467685

    @cached
    def endless(n: int) -> int:
        return endless(n)

    with pytest.raises(RecursionError):
        endless(1)


def test_threads_that_want_what_the_other_computes_do_not_wait_for_ever() -> None:
    meet = threading.Barrier(2, timeout=DEADLINE_S)
    depth = threading.local()

    @cached
    def f(x: int) -> int:
        if getattr(depth, "is_inner", False):
            return x
        meet.wait()
        depth.is_inner = True
        return f(1 - x) + 10

    with ThreadPoolExecutor(2) as threads:
        results = [threads.submit(f, x).result for x in (0, 1)]
        assert {result(DEADLINE_S) for result in results} <= {10, 11, 20, 21}


def test_comparing_and_hashing_may_use_the_cache() -> None:
    class Key:
        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            f.cache.peek(0)
            return 1

        def __eq__(self, other: object) -> bool:
            f.cache.clear() if self.number % 3 == 0 else f(self.number)
            return isinstance(other, Key) and self.number == other.number

        def __del__(self) -> None:
            f.cache.info()

    @cached(max=3)
    def f(x: Any) -> Any:
        return x

    for number in range(200):
        key = f(Key(number % 5))
        assert isinstance(key, Key)
        assert key.number == number % 5


def test_an_error_of_hashing_is_the_callers() -> None:
    class Broken:
        def __hash__(self) -> int:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        module_level(Broken())  # type: ignore[arg-type]


def test_each_instance_has_its_own_results_and_dies_with_them() -> None:
    class Shop:
        def __init__(self, rate: int) -> None:
            self.rate = rate

        @cached(max=5)
        def price(self, net: int) -> tuple[Shop, int]:
            return self, net * self.rate

    shops = [Shop(2), Shop(3)]
    assert [shop.price(10)[1] for shop in shops] == [20, 30]
    assert shops[0].price(net=10) is shops[0].price(10) is Shop.price(shops[0], 10)
    assert [shop.price.cache.info().size for shop in shops] == [1, 1]
    assert shops[0].price.cache.invalidate(10)
    assert shops[1].price.cache.peek(10) is not None
    gone = weakref.ref(shops[1])
    del shops[1]
    gc.collect()
    assert gone() is None, "the result refers to the instance"


def test_a_copy_of_an_instance_has_its_own_results() -> None:
    shop = _Shop(2)
    assert shop.price(10) == 20
    for other in (copy.copy(shop), copy.deepcopy(shop), pickle.loads(pickle.dumps(shop))):
        other.rate = 3
        assert (other.price(10), shop.price(10)) == (30, 20)


class _Shop:
    def __init__(self, rate: int) -> None:
        self.rate = rate

    @cached
    def price(self, net: int) -> int:
        return net * self.rate


def test_results_of_instances_without_room_are_refused_or_shared() -> None:
    class Slotted:
        __slots__ = ()

        @cached
        def f(self) -> int:
            return 1

        @cached(shared=True)
        def g(self, x: int) -> int:
            return x

    with pytest.raises(DeclarationError, match=r"shared=True"):
        Slotted().f()
    one = Slotted()
    assert one.g(1) == one.g(x=1) == 1
    assert Slotted.g.cache.info().size == 1


def test_class_and_static_methods() -> None:
    class Shop:
        rate = 2

        @classmethod
        @cached
        def price(cls, net: int) -> object:
            return net * cls.rate, object()

        @staticmethod
        @cached
        def tax(net: int) -> object:
            return object()

    class Other(Shop):
        rate = 3

    assert Shop.price(10) is Shop().price(10)
    assert Other.price(10) is not Shop.price(10)
    assert Shop.tax(1) is Shop().tax(1) is Other.tax(1)


def test_what_cannot_be_cached_is_refused_with_the_fix() -> None:
    def generator() -> Any:
        yield 1

    async def agenerator() -> Any:
        yield 1

    for function, word in [
        (generator, "returns a list"),
        (agenerator, "returns a list"),
        (staticmethod(len), "below @staticmethod"),
        (classmethod(len), "below @classmethod"),
        (3, "above a def"),
    ]:
        with pytest.raises(DeclarationError, match=word):
            cached(function)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "options",
    [{"ttl": "soon"}, {"ttl": 0}, {"idle": -1}, {"max": -1}, {"max": "many"}, {"policy": "mru"}, {"key": 3},
     {"tags": "one"}, {"tags": [1]}, {"stale": 1}, {"negative": True}],
    ids=str,
)  # fmt: skip
def test_an_option_says_what_it_takes(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        cached(**options)


def test_it_stands_in_for_the_function() -> None:
    def f(x: int) -> str:
        """Says it."""
        return str(x)

    made = cached(f)
    assert (made.__wrapped__, made.__name__, made.__doc__, made.__module__) == (f, "f", "Says it.", __name__)  # type: ignore[attr-defined]
    assert inspect.signature(made) == inspect.signature(f)
    assert pickle.loads(pickle.dumps(module_level)) is module_level
    assert copy.copy(made) is copy.deepcopy(made) is made
    assert lineshaft.cached is cached


def test_without_room_nothing_is_kept() -> None:
    @cached(max=0)
    def f(x: int) -> object:
        return object()

    assert f(1) is not f(1)
    assert f.cache.info()[:4] == (0, 2, 0, 0)


def test_a_forked_child_has_a_copy_and_waits_for_nobody() -> None:
    go, began = threading.Event(), threading.Event()

    @cached
    def f(x: int) -> int:
        if x == 1 and not go.is_set():
            began.set()
            assert go.wait(DEADLINE_S)
        return x

    f(2)
    thread = threading.Thread(target=f, args=(1,))
    thread.start()
    assert began.wait(DEADLINE_S)
    pid = os.fork()
    if pid == 0:
        go.set()
        f(3)
        os._exit(0 if f(1) == 1 and f.cache.info().size == 3 and f.cache.info().hits == 0 else 1)
    go.set()
    thread.join(DEADLINE_S)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert f.cache.peek(3) is None
