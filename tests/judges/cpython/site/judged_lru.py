"""CPython's tests of `functools.lru_cache`, with `lineshaft.cached` in its place."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from test.support import import_helper

from lineshaft import cached

_fresh = import_helper.import_fresh_module


def lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    """Takes what `functools.lru_cache` takes: the same policy, and results of methods kept together."""
    if callable(maxsize):
        return _adapted(maxsize, 128, typed)
    if maxsize is not None and not isinstance(maxsize, int):
        raise TypeError("Expected first argument to be an integer, a callable, or None")
    size = None if maxsize is None else max(maxsize, 0)
    return lambda function: _adapted(function, size, typed)


def _adapted(function: Callable[..., Any], size: int | None, typed: bool) -> Any:
    made: Any = cached(policy="lru", max=size, typed=typed, shared=True)(function)

    def info_of(info: Any) -> Any:
        return _info(info.hits, info.misses, info.max, info.size)

    # Without annotations, as those of the standard library are.
    made.cache_info = lambda: info_of(made.cache.info())
    made.cache_clear = lambda: made.cache.clear()
    made.cache_parameters = lambda: {"maxsize": size, "typed": typed}
    return made


def _with_ours(name: str, *args: Any, **options: Any) -> ModuleType | None:
    module = _fresh(name, *args, **options)
    if name == "functools" and module is not None:
        module.lru_cache = lru_cache  # type: ignore[attr-defined]
    return module


import_helper.import_fresh_module = _with_ours

from test.test_functools import TestLRUC, c_functools  # noqa: E402

__all__ = ["TestLRUC"]
_info = c_functools._CacheInfo
