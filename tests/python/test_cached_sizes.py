"""Caches that are bounded by what their values take."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import pytest

from lineshaft import OptionError, cached
from lineshaft._cached._sizes import estimated_bytes

MIB = 1 << 20


def test_so_many_bytes_stay_and_the_rest_goes() -> None:
    @cached(max="8MiB", policy="lru")
    def page(number: int) -> bytes:
        return bytes([number]) * MIB

    for number in range(20):
        page(number)
    info = page.cache.info()
    assert info.size == 7, "each takes some bytes more than a MiB"
    assert info.max == 8 * MIB
    assert info.bytes is not None
    assert 7 * MIB < info.bytes <= 8 * MIB
    assert info.evictions == 13
    assert page.cache.peek(19) == b"\x13" * MIB
    assert page.cache.peek(3) is None


@pytest.mark.parametrize("policy", ["s3fifo", "lru", "sieve", "lfu"])
def test_what_is_larger_than_all_is_not_kept_and_nobody_goes_for_it(policy: Any) -> None:
    @cached(max="1MiB", policy=policy, size=len)
    def page(size: int) -> bytes:
        return bytes(size)

    page(1_000)
    page(2 * MIB)
    assert page.cache.info().size == 1
    assert page.cache.info().bytes == 1_000
    assert page(1_000) is page(1_000)


def test_what_size_raises_is_raised_and_nothing_is_kept() -> None:
    @cached(max="1MiB", size=len)
    def number(x: int) -> int:
        return x

    with pytest.raises(TypeError, match="has no len"):
        number(1)
    assert number.cache.info().size == 0


def test_exceptions_that_are_kept_count_as_nothing() -> None:
    @cached(max="1KiB", negative="1m")
    def fails(x: int) -> bytes:
        raise KeyError(bytes(10_000))

    for _ in range(2):
        with pytest.raises(KeyError):
            fails(1)
    assert fails.cache.info()[:2] == (1, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max": "many"}, "option `max`"),
        ({"max": "0"}, "option `max`"),
        ({"size": len}, "option `size`"),
        ({"max": 10, "size": len}, "option `size`"),
        ({"max": "1MiB", "size": 7}, "option `size`"),
    ],
)
def test_options_say_what_they_take(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        cached(**options)


@dataclasses.dataclass
class Node:
    name: str
    next: Node | None = None


def test_all_that_a_value_consists_of_is_estimated_once() -> None:
    block = bytes(100_000)
    assert 100_000 < estimated_bytes([block, block, {"again": block}]) < 101_000
    assert estimated_bytes(Node("a", Node("b" * 5_000))) > 5_000
    ring = Node("a")
    ring.next = ring
    assert estimated_bytes(ring) < 1_000
    numbers = list(range(1_000, 101_000))
    real = sys.getsizeof(numbers) + sum(map(sys.getsizeof, numbers))
    assert 0.9 < estimated_bytes(numbers) / real < 1.1, "most of it is not looked at"


def test_arrays_count_with_what_they_keep() -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.zeros(100_000)
    assert 800_000 <= estimated_bytes(array) < 801_000
    assert 800_000 <= estimated_bytes({"view": array[:]}) < 801_500
