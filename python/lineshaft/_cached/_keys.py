"""Keys of calls: how a function's arguments are bound, and what stands for one that has no hash."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from .. import _native
from .._errors import SerializationError

_ENCODED = object()
"""Begins what stands for an argument without a hash, so that nothing that has one equals it."""
_REGISTRY = _native.Registry()


def binders(
    function: Callable[..., Any], key: Callable[..., Any] | None, typed: bool
) -> tuple[_native.Binder, _native.Binder]:
    """How calls of `function` become keys, with all its parameters and without the first."""
    parameters = _parameters(function)
    takes_first = bool(parameters) and parameters[0].kind in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    return _binder(parameters, key, typed), _binder(parameters[1:] if takes_first else parameters, key, typed)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError:
        # A function in C that does not say what it takes.
        return list(inspect.signature(lambda *args, **kwargs: None).parameters.values())


def host_binder(function: Callable[..., Any], key: Callable[..., Any] | None) -> _native.Binder:
    """How calls of `function` become keys that are the same in all processes."""
    return _binder(_parameters(function), key, False, lambda value: ("\0value", encoded(value)[1]))


def _binder(
    parameters: list[inspect.Parameter],
    key: Callable[..., Any] | None,
    typed: bool,
    encode: Callable[[Any], Any] | None = None,
) -> _native.Binder:
    kinds = [one.kind for one in parameters]
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return _native.Binder(
        [_given(one) for one in positional],
        kinds.count(inspect.Parameter.POSITIONAL_ONLY),
        [_given(one) for one in parameters if one.kind is one.KEYWORD_ONLY],
        takes_more=inspect.Parameter.VAR_POSITIONAL in kinds,
        takes_keywords=inspect.Parameter.VAR_KEYWORD in kinds,
        is_typed=typed,
        key=key,
        encode=encode or encoded,
    )


def _given(parameter: inspect.Parameter) -> tuple[str, bool, Any]:
    return parameter.name, parameter.default is not parameter.empty, parameter.default


def encoded(value: Any) -> tuple[Any, bytes]:
    """What stands for `value` in a key: its encoding as a value, with sets and dicts in an order of their own."""
    try:
        return _ENCODED, _native.encode(canonical(value), _REGISTRY)
    except SerializationError as error:
        error.hint = "an argument must be hashable or a value of docs/values.md; key= computes a key from the arguments"
        raise


def canonical(value: Any) -> Any:
    """A value that is encoded to the same bytes in every process, for equal ones; of no use but for that."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, set | frozenset):
        return kind, sorted((canonical(item) for item in value), key=repr)
    if isinstance(value, dict):
        pairs = [(canonical(key), canonical(item)) for key, item in value.items()]
        return kind, sorted(pairs, key=lambda pair: repr(pair[0]))
    if isinstance(value, list | tuple):
        return kind, [canonical(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return kind, [canonical(getattr(value, field.name)) for field in dataclasses.fields(value)]
    return value
