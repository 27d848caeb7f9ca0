"""Decorated functions keep their types, of every kind and with every form of decorator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

from typing_extensions import assert_type

from lineshaft import (
    Decorator,
    Invocation,
    RateLimited,
    Retrying,
    Timing,
    decorator,
    deprecated,
    layers,
    limited,
    logged,
    retry,
    timed,
)


@decorator
def traced(call: Invocation[Any], *, level: int = 1) -> Generator[None, Any, Any]:
    print(level, call.name, call.args, call.kwargs, call.arguments)
    result = yield
    return result


@decorator
def patient(call: Invocation[int]) -> Generator[Any, int, int | None]:
    assert_type(call.result, "int | None")
    assert_type(call.has_given, bool)
    yield call.pause("1s")
    return (yield)


@traced
def plain(x: int, *rest: str, y: bytes = b"") -> list[int]:
    return [x]


@traced(level=3)
async def coroutine(x: int) -> str:
    return str(x)


@logged
def generator(x: int) -> Iterator[int]:
    yield x


@logged(level="debug", logger="shop", redact=["x"], result=False, exceptions=False, duration=True, max_length=3)
async def async_generator(x: int) -> AsyncIterator[bytes]:
    yield bytes(x)


class Shop:
    @logged
    @traced
    def price(self, net: int) -> float:
        return net * 1.2

    @patient()
    @classmethod
    def name(cls) -> str:
        return cls.__name__

    @staticmethod
    @logged
    def tax(net: int) -> float:
        return net * 0.2

    @property
    @logged
    def rate(self) -> int:
        return 2

    @timed
    def count(self, item: str) -> int:
        return len(item)

    @staticmethod
    @timed
    def known(item: str) -> bool:
        return True


def told(retrying: Retrying) -> None:
    assert_type(retrying.attempt, int)
    assert_type(retrying.pause, float)
    assert_type(retrying.error, "Exception | None")


@retry
def often(x: int) -> str:
    return str(x)


@retry(
    max=None,
    on=(OSError, KeyError),
    never=ValueError,
    first="1s",
    cap=10,
    deadline="1m",
    budget=None,
    before_pause=told,
)
async def aoften(x: int) -> str:
    return str(x)


@retry(
    on=lambda error: bool(error.args), after=lambda attempt, error: attempt * 2.0, if_result=lambda result: not result
)
def choosy(x: int) -> str:
    return str(x)


@timed
def quick(x: int, *, y: str = "") -> bytes:
    return bytes(x)


@timed(slow="1s", report=lambda name, seconds: print(name.upper(), seconds + 1.0))
async def aquick(x: int) -> bytes:
    return bytes(x)


@limited("100/m", per="x", burst=1, wait="2s")
def rarely(x: int) -> str:
    return str(x)


@deprecated(since="2.0", use="new", removed_in="3.0")
def old(x: int) -> str:
    return str(x)


@deprecated
class Old:
    x: int = 1


assert_type(often(1), str)
assert_type(choosy(1), str)
assert_type(quick(1, y="a"), bytes)
assert_type(quick.timing, Timing)
assert_type(quick.timing.quantile(0.9), float)
assert_type(quick.timing.count, int)
assert_type(rarely(1), str)
assert_type(old(1), str)
assert_type(Old().x, int)
assert_type(Shop().count("a"), int)
assert_type(Shop().count.timing, Timing)
assert_type(Shop.count(Shop(), "a"), int)
assert_type(Shop.known("a"), bool)
assert_type(RateLimited().retry_after, float)
assert_type(plain(1, "a", y=b""), list[int])
assert_type(generator(1), Iterator[int])
assert_type(async_generator(1), AsyncIterator[bytes])
assert_type(Shop().price(1), float)
assert_type(Shop.price(Shop(), 1), float)
assert_type(Shop.name(), str)
assert_type(Shop.tax(1), float)
assert_type(Shop().rate, int)
assert_type(layers(plain), list[str])
assert_type(logged(len)("abc"), int)
called: Callable[[int], Iterator[int]] = generator
assert isinstance(traced, Decorator)


async def main() -> None:
    assert_type(await coroutine(1), str)
    assert_type(await aoften(1), str)
    assert_type(await aquick(1), bytes)
