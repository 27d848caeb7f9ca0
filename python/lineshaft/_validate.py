"""Arguments held against annotations: by pydantic and msgspec where an annotation is theirs, else by a checker here.

The checker changes nothing: an `int` is good for a `float`, members of lists, tuples, sets, dicts and dataclasses are
looked at, and what it does not understand (a protocol, a type variable) is let through. pydantic and msgspec do what
they always do, so a dict may become a model.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspect import BoundArguments

__all__ = ["Validator", "may_have_models"]

Check = Callable[[Any], Any]
"""Gives the value to go on with; raises `_Mismatch`."""

SHOWN_MAX = 80
"""Characters of a value in a message."""


class _Mismatch(Exception):
    """A value that does not fit. `path` leads to it from the argument, innermost step first."""

    def __init__(self, expected: str, value: Any) -> None:
        super().__init__(expected)
        self.expected = expected
        self.value = value
        self.path: list[str] = []


def may_have_models() -> bool:
    """Whether an annotation can be one of pydantic's or msgspec's: an unloaded library has made none."""
    return "pydantic" in sys.modules or "msgspec" in sys.modules


class Validator:
    """Checks the arguments of one function; with `only_models`, where annotations are pydantic's or msgspec's alone."""

    def __init__(self, function: Any, owner: str, skip: Mapping[str, Any], only_models: bool) -> None:
        self._owner = owner
        self._checks: dict[str, Check] = {}
        for name, hint in _hints(function).items():
            check = None if name == "return" or name in skip else _check_of(hint, only_models)
            if check is not None:
                self._checks[name] = check

    def __bool__(self) -> bool:
        return bool(self._checks)

    def apply(self, bound: BoundArguments) -> bool:
        """Checks arguments, and puts in what became of them; whether there is anything new."""
        changed = False
        for name, value in bound.arguments.items():
            check = self._checks.get(name)
            if check is not None:
                new = self._checked(name, value, check, bound.signature.parameters[name].kind)
                changed |= new is not value
                bound.arguments[name] = new
        return changed

    def _checked(self, name: str, value: Any, check: Check, kind: Any) -> Any:
        if kind is kind.VAR_POSITIONAL:
            new: Any = tuple(self._one(f"{name}[{index}]", item, check) for index, item in enumerate(value))
            return new if any(a is not b for a, b in zip(new, value, strict=True)) else value
        if kind is kind.VAR_KEYWORD:
            new = {key: self._one(key, item, check) for key, item in value.items()}
            return new if any(new[key] is not value[key] for key in new) else value
        return self._one(name, value, check)

    def _one(self, name: str, value: Any, check: Check) -> Any:
        try:
            return check(value)
        except _Mismatch as error:
            path = name + "".join(reversed(error.path))
            message = f"{self._owner}: argument `{path}` has to be {error.expected}, this is {_shown(error.value)}"
            raise TypeError(message) from error.__cause__


def _hints(function: Any) -> dict[str, Any]:
    import typing

    from ._types import _hints_one_by_one

    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:
        return _hints_one_by_one(function)


def _check_of(hint: Any, only_models: bool) -> Check | None:
    library = _library_of(hint)
    if library == "pydantic":
        return _pydantic_check(hint)
    if library == "msgspec":
        return _msgspec_check(hint)
    return None if only_models else _own_check(hint, {})


def _library_of(hint: Any, depth: int = 0) -> str | None:
    """Whose annotation it is, in any part of it."""
    import typing

    if hasattr(hint, "__pydantic_core_schema__") or hasattr(hint, "__pydantic_fields__"):
        return "pydantic"
    if isinstance(hint, type) and hasattr(hint, "__struct_fields__"):
        return "msgspec"
    for mark in getattr(hint, "__metadata__", ()):
        module = type(mark).__module__.partition(".")[0]
        if module in ("pydantic", "annotated_types") and "pydantic" in sys.modules:
            return "pydantic"
        if module == "msgspec":
            return "msgspec"
    parts = typing.get_args(hint) if depth < 16 else ()
    return next((found for part in parts if (found := _library_of(part, depth + 1)) is not None), None)


def _pydantic_check(hint: Any) -> Check:
    from pydantic import ConfigDict, TypeAdapter, ValidationError
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint)
    except PydanticSchemaGenerationError:
        # A class of another kind beside the model.
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))

    def check(value: Any) -> Any:
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            wrong = error.errors(include_url=False)
            where = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in wrong[:3]]
            more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise _Mismatch(f"{_name(hint)} ({'; '.join(where)}{more})", value) from error

    return check


def _msgspec_check(hint: Any) -> Check:
    import msgspec

    def check(value: Any) -> Any:
        try:
            return msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            raise _Mismatch(f"{_name(hint)} ({error})", value) from error

    return check


# The checker ---------------------------------------------------------------------------------------------------------


def _own_check(hint: Any, known: dict[type, Check]) -> Check | None:
    """None lets everything through. `known` are the dataclasses on the way here."""
    import types
    import typing

    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _own_check(arguments[0], known)
    if origin in (typing.Union, types.UnionType):
        return _union_check(hint, [_own_check(argument, known) for argument in arguments])
    if origin is typing.Literal:
        return _literal_check(hint, arguments)
    if hint is None or hint is type(None):
        return _instance_check(hint, (type(None),))
    if hasattr(hint, "__supertype__"):
        return _own_check(hint.__supertype__, known)
    if origin is not None:
        return _generic_check(hint, origin, arguments, known)
    if isinstance(hint, type) and hint is not object and hint is not typing.Any:
        return _class_check(hint, known)
    return None


def _class_check(hint: type, known: dict[type, Check]) -> Check | None:
    if getattr(hint, "_is_protocol", False) and not getattr(hint, "_is_runtime_protocol", False):
        return None
    if hasattr(hint, "__total__") and issubclass(hint, dict):
        return _instance_check(hint, (dict,))  # a TypedDict
    if hasattr(hint, "__dataclass_fields__"):
        return _dataclass_check(hint, known)
    wider = {float: (float, int), complex: (complex, float, int)}
    return _instance_check(hint, wider.get(hint, (hint,)))


def _instance_check(hint: Any, classes: tuple[type, ...]) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, classes):
            raise _Mismatch(_name(hint), value)
        return value

    return check


def _literal_check(hint: Any, allowed: tuple[Any, ...]) -> Check:
    def check(value: Any) -> Any:
        if not any(type(value) is type(one) and value == one for one in allowed):
            raise _Mismatch(_name(hint), value)
        return value

    return check


def _union_check(hint: Any, checks: list[Check | None]) -> Check | None:
    if None in checks:
        return None

    def check(value: Any) -> Any:
        for one in checks:
            try:
                return value if one is None else one(value)
            except _Mismatch:
                continue
        raise _Mismatch(_name(hint), value)

    return check


def _dataclass_check(cls: type, known: dict[type, Check]) -> Check:
    if cls in known:
        return lambda value: known[cls](value)
    instance = _instance_check(cls, (cls,))
    known[cls] = instance
    hints = {name: hint for name, hint in _hints(cls).items() if name in cls.__dataclass_fields__}  # type: ignore[attr-defined]
    fields = {name: found for name, hint in hints.items() if (found := _own_check(hint, known)) is not None}

    def check(value: Any) -> Any:
        instance(value)
        for name, field in fields.items():
            if hasattr(value, name):
                _step(field, getattr(value, name), f".{name}")
        return value

    known[cls] = check
    return check


def _generic_check(hint: Any, origin: Any, arguments: tuple[Any, ...], known: dict[type, Check]) -> Check | None:
    if not isinstance(origin, type):
        return None
    instance = _instance_check(hint, (origin,))
    inner = [_own_check(argument, known) for argument in arguments if argument is not ...]
    if issubclass(origin, tuple):
        return _tuple_check(hint, instance, inner, ... in arguments)
    if issubclass(origin, Mapping) and len(inner) == 2:
        return _mapping_check(instance, *inner)
    sized = (list, set, frozenset)
    if (issubclass(origin, sized) or origin.__name__ in ("Sequence", "Set", "Collection", "MutableSequence")) and inner:
        return _items_check(hint, instance, inner[0])
    return instance


def _tuple_check(hint: Any, instance: Check, inner: list[Check | None], is_open: bool) -> Check:
    def check(value: Any) -> Any:
        instance(value)
        if not is_open and len(value) != len(inner):
            raise _Mismatch(f"{_name(hint)}, of {len(inner)} members", value)
        for index, item in enumerate(value):
            _step(inner[0 if is_open else index], item, f"[{index}]")
        return value

    return check


def _mapping_check(instance: Check, key_check: Check | None, value_check: Check | None) -> Check:
    def check(value: Any) -> Any:
        instance(value)
        for key, item in value.items():
            _step(key_check, key, f" key {_shown(key)}")
            _step(value_check, item, f"[{_shown(key)}]")
        return value

    return check


def _items_check(hint: Any, instance: Check, inner: Check | None) -> Check:
    def check(value: Any) -> Any:
        instance(value)
        if isinstance(value, str | bytes) and inner is not None and not issubclass(hint.__origin__, str | bytes):
            raise _Mismatch(_name(hint), value)  # text is a sequence of texts, but nobody means that
        for index, item in enumerate(value):
            _step(inner, item, f"[{index}]")
        return value

    return check


def _step(check: Check | None, value: Any, step: str) -> None:
    if check is None:
        return
    try:
        check(value)
    except _Mismatch as error:
        error.path.append(step)
        raise
    except RecursionError:
        raise _Mismatch("a value that does not contain itself", "...") from None


def _name(hint: Any) -> str:
    """The annotation as it was written, more or less."""
    if hint is None or hint is type(None):
        return "None"
    if isinstance(hint, type) and not hasattr(hint, "__args__"):
        return hint.__name__
    return str(hint).replace("typing.", "").replace("collections.abc.", "")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 3]}..."
