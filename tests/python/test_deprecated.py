"""`deprecated`: who is warned, where and how often."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import pickle
import sys
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import pytest

from lineshaft import DeclarationError, deprecated, layers, logged


@contextlib.contextmanager
def heard(action="always"):
    """The warnings of a block."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter(action)
        yield warned


def line():
    """Where it is called."""
    return sys._getframe(1).f_lineno


@deprecated(since="2.0", use="plus", removed_in="3.0")
def add(a, b):
    """Adds."""
    return a + b


@deprecated
async def coroutine():
    return 1


@deprecated
def generator():
    yield 1


@deprecated
async def async_generator():
    yield 1


@deprecated(use="New")
class Old:
    def __init__(self, x):
        self.x = x

    def __init_subclass__(cls, *, word="", **kwargs):
        super().__init_subclass__(**kwargs)
        cls.word = word


def test_the_text_says_since_when_until_when_and_what_to_use():
    with heard() as warned:
        assert add(1, 2) == 3
    assert str(warned[0].message) == "add is deprecated since 2.0 and will be gone in 3.0: use plus"
    assert add.__deprecated__ == str(warned[0].message)
    assert coroutine.__deprecated__ == "coroutine is deprecated"
    assert (add.__name__, add.__doc__) == ("add", "Adds.")
    assert layers(add) == ["deprecated(since='2.0', use='plus', removed_in='3.0')", "add"]


def test_the_warning_is_at_the_place_of_the_call():
    async def main():
        await coroutine()
        places.append(line() - 1)
        async for _ in async_generator():
            places.append(line() - 1)

    places = []
    with heard() as warned:
        add(1, 2), places.append(line())
        for _ in generator():
            places.append(line() - 1)
        Old(1), places.append(line())
        asyncio.run(main())
        logged(level="debug")(add)(1, 2), places.append(line())
    assert {each.filename for each in warned} == {__file__}
    assert [each.lineno for each in warned] == places


def test_it_is_said_once_for_each_place():
    with heard("default") as warned:
        for _ in range(3):
            add(1, 2)
        add(1, 2)
    assert len(warned) == 2


def test_making_an_instance_and_deriving_warn_but_not_instances_of_what_is_derived():
    with pytest.warns(DeprecationWarning, match="^Old is deprecated: use New$"):
        assert Old(3).x == 3
    with pytest.warns(DeprecationWarning, match="Old is deprecated"):

        class Derived(Old, word="w"):
            pass

    assert (Derived(4).x, Derived.word) == (4, "w")
    assert isinstance(Old, type)
    assert Old.__deprecated__ == "Old is deprecated: use New"
    assert str(inspect.signature(Old)) == "(x)"
    assert pickle.loads(pickle.dumps(Old)) is Old


def test_every_kind_of_class_can_be_deprecated():
    @deprecated
    class Empty:
        pass

    @deprecated
    class Point(NamedTuple):
        x: int

    @deprecated
    @dataclass
    class Data:
        x: int

    @deprecated
    class Text(str):
        pass

    for make, expected in ((Empty, None), (lambda: Point(1).x, 1), (lambda: Data(1).x, 1), (lambda: Text("a"), "a")):
        with pytest.warns(DeprecationWarning, match="is deprecated"):
            made = make()
        assert expected is None or made == expected
    with pytest.warns(DeprecationWarning, match="Empty"), pytest.raises(TypeError):
        Empty(1)


def test_methods_warn():
    class Shop:
        @deprecated
        def price(self):
            return 1

        @deprecated
        @classmethod
        def name(cls):
            return cls.__name__

        @deprecated
        @property
        def rate(self):
            return 2

    with pytest.warns(DeprecationWarning, match=r"Shop\.(price|name|rate) is deprecated") as warned:
        assert (Shop().price(), Shop.name(), Shop().rate) == (1, "Shop", 2)
    assert len(warned) == 3
    assert {each.filename for each in warned} == {__file__}


def test_a_text_alone_is_refused_with_the_option():
    with pytest.raises(DeclarationError, match=r"@deprecated\(use='plus'\)"):
        deprecated("plus")
