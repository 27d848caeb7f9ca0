"""Classes of arguments, and whether two results are the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any


def size_class(*args: Any, **kwargs: Any) -> tuple[int | None, ...]:
    """The sizes of arguments as powers of two: of what has a length that, of a numpy array its number of items.

    0 is for what is empty, n for what has less than 2 to the n items, None for what has no size.
    """
    return tuple(_size_class(value) for value in (*args, *kwargs.values()))


def _size_class(value: Any) -> int | None:
    size = getattr(value, "size", None)
    if isinstance(size, int):
        return size.bit_length()
    try:
        return len(value).bit_length()
    except Exception:  # it has none, or one that cannot be told, which is not its caller's business
        return None


def is_same(one: Any, other: Any) -> bool:
    """Whether two results are equal. NaN equals NaN, also within arrays of numpy, lists, tuples and dicts.

    Raises TypeError for iterators, which are used up by looking at what they give.
    """
    if one is other:
        return True
    if isinstance(one, Iterator):
        raise TypeError("iterators cannot be compared: give them as lists, or say `equal=`")
    if type(one) is not type(other):
        return bool(one == other) if not (_is_array(one) or _is_array(other)) else False
    if _is_array(one):
        return _is_same_array(one, other)
    if isinstance(one, float):
        return one == other or (one != one and other != other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())
    return bool(one == other)


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def _is_same_array(one: Any, other: Any) -> bool:
    numpy = sys.modules["numpy"]
    may_have_nan = one.dtype.kind in "fcmM"
    return one.dtype == other.dtype and bool(numpy.array_equal(one, other, equal_nan=may_have_nan))
