"""The options of `alternatives`: which exist and what they take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import DeclarationError
from .._options import wrong
from ._sizes import is_same


@dataclass(frozen=True)
class Options:
    """Checked."""

    key: Callable[..., Any] | None
    verify: float
    equal: Callable[[Any, Any], Any]


def checked(key: Any, verify: Any, equal: Any) -> Options:
    """Refuses what an option does not take, with what it does."""
    if key is not None and not callable(key):
        raise wrong("key", key, "a callable that takes what the function takes, or None for one class")
    if isinstance(verify, bool) or not isinstance(verify, int | float) or not 0 <= verify <= 1:
        raise wrong("verify", verify, "a part of all calls, from 0 to 1")
    if equal is not None and not callable(equal):
        raise wrong("equal", equal, "a callable that takes two results")
    return Options(key, float(verify), equal or is_same)


def check_implementations(functions: Sequence[Any]) -> bool:
    """Refuses what cannot be chosen among; whether they are coroutine functions."""
    names = [getattr(one, "__qualname__", repr(one)) for one in functions]
    for name, one in zip(names, functions, strict=True):
        if isinstance(one, staticmethod | classmethod | property) or not callable(one):
            raise DeclarationError(
                f"{name}: only functions can be alternatives", hint="@alternatives stands above a def"
            )
        if inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one):
            raise DeclarationError(
                f"{name}: a generator cannot be an alternative, since it is not over when it returns",
                hint="let each of them return a list",
            )
    if len(functions) < 2:
        raise DeclarationError(
            f"{names[0]}: there is no alternative", hint="@alternatives(other, another) takes the other implementations"
        )
    are_async = [inspect.iscoroutinefunction(one) for one in functions]
    if any(are_async) and not all(are_async):
        odd = names[are_async.index(not are_async[0])]
        raise DeclarationError(
            f"{names[0]} and {odd}: one is a coroutine function and one is not", hint="let all of them be of one kind"
        )
    return are_async[0]
