"""Decorated things that are found by their names: for pickles, and for children of workers."""

from __future__ import annotations

import lineshaft


@lineshaft.decorator
def traced(call, *, level=1):
    """Keeps what happens, in `heard`."""
    heard.append(f"{'-' * level}> {call.name}")
    try:
        result = yield
    except BaseException as error:
        heard.append(f"<{'-' * level} {type(error).__name__}")
        raise
    heard.append(f"<{'-' * level} {result}")


heard: list[str] = []


@traced
def plain(x: int, y: int = 2) -> int:
    """Adds."""
    return x + y


@traced()
async def coroutine(x: int, y: int = 2) -> int:
    """Adds."""
    return x + y


@traced(level=1)
def generator(x: int, y: int = 2):
    """Gives both."""
    yield x
    yield y
    return x + y


@traced
async def async_generator(x: int, y: int = 2):
    """Gives both."""
    yield x
    yield y


class Shop:
    """With every kind of method."""

    rate = 2

    @traced
    def price(self, net: int) -> int:
        return net * self.rate

    @traced
    async def stock(self, item: str) -> int:
        return len(item)

    @traced
    def items(self):
        yield self.rate

    @traced
    async def arrivals(self):
        yield self.rate

    @traced
    @classmethod
    def above_class(cls, net: int) -> int:
        return net * cls.rate

    @classmethod
    @traced
    def below_class(cls, net: int) -> int:
        return net * cls.rate

    @traced
    @staticmethod
    def above_static(net: int) -> int:
        return net * 3

    @staticmethod
    @traced
    def below_static(net: int) -> int:
        return net * 3

    @traced
    @property
    def above_property(self) -> int:
        return self.rate

    @property
    @traced
    def below_property(self) -> int:
        return self.rate
