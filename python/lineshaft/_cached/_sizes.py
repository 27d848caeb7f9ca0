"""How much memory values take, for caches that are bounded in bytes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Set
from typing import Any

_LOOKED_AT = 10_000
"""So many objects of one value; the rest of a larger one is taken to be like those."""


def estimated_bytes(value: Any) -> int:
    """What `value` takes with all that it consists of: containers, attributes, arrays. Each object counts once."""
    seen = {id(value)}
    own, parts = _bytes(value), 0
    ahead = _parts(value)
    while ahead and len(seen) < _LOOKED_AT:
        part = ahead.pop()
        if id(part) not in seen:
            seen.add(id(part))
            parts += _bytes(part)
            ahead += _parts(part)
    return own + parts + len(ahead) * parts // len(seen)


def _bytes(one: Any) -> int:
    # The memory of an array lies outside of it; a view has none of its own, and keeps that of another.
    return max(sys.getsizeof(one, 64), 0 if isinstance(one, type) else getattr(one, "nbytes", 0))


def _parts(one: Any) -> list[Any]:
    if isinstance(one, (str, bytes, bytearray, int, float, complex, type(None), type)):
        return []
    if isinstance(one, Mapping):
        return [part for item in one.items() for part in item]
    if isinstance(one, (list, tuple, Set)):
        return list(one)
    return list(getattr(one, "__dict__", {}).values())
