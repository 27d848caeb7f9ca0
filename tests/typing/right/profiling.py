"""What is profiled keeps its type, and what was found has one."""

from __future__ import annotations

from typing_extensions import assert_type

from lineshaft import Profile, profile

with profile(hz=200, threads="all", memory=True) as found:
    pass

assert_type(found, Profile)
assert_type(found.samples, int)
assert_type(found.hot_lines(5)[0].source, str)
assert_type(found.hot_functions()[0].total_share, float)
assert_type(found.diff(Profile.from_bytes(found.to_bytes()))[0].after, float)


@profile
def work(x: int, *, y: str = "") -> bytes:
    return bytes(x)


@profile(hz=500)
async def awork(x: int) -> bytes:
    return bytes(x)


class Shop:
    @profile()
    def count(self, item: str) -> int:
        return len(item)


assert_type(work(1, y="a"), bytes)
assert_type(work.profile, Profile)
assert_type(awork.profile.duration, float)
assert_type(Shop().count("a"), int)
assert_type(Shop.count(Shop(), "a"), int)
assert_type(Shop().count.profile, Profile)


async def asynchronous() -> None:
    assert_type(await awork(1), bytes)
