"""Rates as people write them, `"100/m"`, and limiters by them."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

from .. import _native
from .._options import duration, wrong

_FORMS = 'a number and a time, as "100/m", "5/s", "10/2h" or "1/500ms"'
_COUNT_MAX = 2**31 - 1
_KEYS_MIN = 1_000
"""So many keys are not looked through."""


def rate_of(option: str, value: Any) -> tuple[int, float]:
    """How many in how many seconds."""
    found = re.fullmatch(r"(\d+)\s*/\s*([0-9a-z].*)", value) if isinstance(value, str) else None
    if found is None:
        raise wrong(option, value, _FORMS)
    count, time = int(found[1]), found[2]
    seconds = duration(option, time if time[0].isdigit() else f"1{time}")
    if not 1 <= count <= _COUNT_MAX or seconds <= 0:
        raise wrong(option, value, _FORMS)
    return count, seconds


class Rates:
    """A limiter for each key. Those that nobody has to wait for any more are dropped."""

    def __init__(self, count: int, period: float, burst: int) -> None:
        self._rate = (count, period, burst)
        self._of: dict[Hashable, _native.Rate] = {}
        self._look_at = _KEYS_MIN

    def of(self, key: Hashable) -> _native.Rate:
        """The limiter of `key`."""
        found = self._of.get(key)
        if found is None:
            if len(self._of) >= self._look_at:
                self._drop()
            found = self._of.setdefault(key, _native.Rate(*self._rate))
        return found

    def _drop(self) -> None:
        for key, rate in list(self._of.items()):
            if rate.is_idle():
                self._of.pop(key, None)
        self._look_at = max(_KEYS_MIN, 2 * len(self._of))

    def __len__(self) -> int:
        return len(self._of)
