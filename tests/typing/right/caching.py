"""`lineshaft.cached` keeps signatures, of functions, coroutine functions and methods."""

from __future__ import annotations

from typing_extensions import assert_type

from lineshaft import CacheInfo, CacheKey, TagInfo, cached


@cached
def plain(x: int, y: str = "") -> list[int]:
    return [x]


@cached(ttl="10m", max=None, policy="lru", tags=lambda x: [str(x)], negative=3, stale="1m", typed=True)
def with_options(x: int) -> str:
    return str(x)


@cached(idle=5.0, tags=["users"])
async def asynchronous(x: int) -> bytes:
    return bytes(x)


class Shop:
    @cached
    def price(self, net: int) -> float:
        return net * 1.2

    @cached(shared=True)
    async def stock(self, item: str) -> int:
        return len(item)

    @classmethod
    @cached
    def name(cls) -> str:
        return cls.__name__

    @staticmethod
    @cached
    def tax(net: int) -> float:
        return net * 0.2


assert_type(plain(1, y="a"), list[int])
assert_type(plain.cache.peek(1), "list[int] | None")
assert_type(plain.cache.invalidate(1, "a"), bool)
assert_type(plain.cache.info(), CacheInfo)
assert_type(plain.cache.tag_info("t"), TagInfo)
assert_type(with_options(x=1), str)
assert_type(with_options.cache.invalidate(tag="t"), bool)
assert_type(plain.cache.key(1), CacheKey)
plain.cache.warm(1)
plain.cache.clear()

assert_type(asynchronous.cache.peek(1), "bytes | None")

assert_type(Shop().price(3), float)
assert_type(Shop().price.cache.peek(3), "float | None")
assert_type(Shop.tax(1), float)
assert_type(Shop.price(Shop(), 1), float)


async def main() -> None:
    assert_type(await asynchronous(1), bytes)
    await asynchronous.cache.warm(1)
    assert_type(await Shop().stock("a"), int)
    assert_type(await Shop.stock(Shop(), "a"), int)
