"""What `logged` says: the lines of a call, whatever its arguments do when they are shown."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._options import wrong
from ._invocation import BY_POSITION, Invocation, signature_of


class _Redacted:
    """Stands for a value that is not to be seen."""

    def __repr__(self) -> str:
        return "***"


_REDACTED = _Redacted()


@dataclass(frozen=True)
class Wording:
    """The lines for the calls of one function."""

    redact: frozenset[str]
    result: bool
    exceptions: bool
    duration: bool
    max_length: int | None
    positions: frozenset[int] = frozenset()
    """Where the parameters that are redacted stand."""
    rest: int | None = None
    """From where on everything is redacted, if `*args` is."""
    known: frozenset[str] | None = None
    """The names beside which every keyword argument is redacted, if `**kwargs` is."""

    def of(self, function: Callable[..., Any]) -> Wording:
        """Those for `function`. Raises `OptionError` if it has no parameter of a name that is to be redacted."""
        if not self.redact:
            return self
        parameters = list(signature_of(function).parameters.values())
        names = frozenset(parameter.name for parameter in parameters)
        kinds = {parameter.name: parameter.kind for parameter in parameters}
        if self.redact - names and inspect.Parameter.VAR_KEYWORD not in kinds.values():
            raise wrong("redact", min(self.redact - names), f"names of parameters: {', '.join(kinds)}")
        of_kind = {kinds[name]: name for name in self.redact & names}
        places = {name: place for place, name in enumerate(kinds)}
        some = inspect.Parameter.VAR_POSITIONAL in of_kind
        return replace(
            self,
            positions=frozenset(places[name] for name in self.redact & names if kinds[name] in BY_POSITION),
            rest=places[of_kind[inspect.Parameter.VAR_POSITIONAL]] if some else None,
            known=names if inspect.Parameter.VAR_KEYWORD in of_kind else None,
        )

    def beginning(self, name: str, call: Invocation[Any]) -> str:
        """What is said of the arguments."""
        args, kwargs = call.args, call.kwargs
        if self.redact:
            args = tuple(_REDACTED if self._is_secret(at) else value for at, value in enumerate(args))
            kwargs = {key: _REDACTED if self._is_secret_name(key) else value for key, value in kwargs.items()}
        return f"Calling {name} with arguments {self._all(args)} and keyword arguments {self._named(kwargs)}"

    def ending(self, name: str, result: Any) -> str:
        """What is said of the result."""
        return f"{name} returned {shown(result, self.max_length)}" if self.result else f"{name} returned"

    def took(self, began: float) -> str:
        """How long it took, if that is said."""
        return f" in {time_of(time.perf_counter() - began)}" if self.duration else ""

    def _is_secret(self, position: int) -> bool:
        return position in self.positions or (self.rest is not None and position >= self.rest)

    def _is_secret_name(self, name: str) -> bool:
        return name in self.redact or (self.known is not None and name not in self.known)

    def _all(self, args: tuple[Any, ...]) -> str:
        return f"({', '.join(shown(value, self.max_length) for value in args)}{',' if len(args) == 1 else ''})"

    def _named(self, kwargs: dict[str, Any]) -> str:
        return f"{{{', '.join(f'{key!r}: {shown(value, self.max_length)}' for key, value in kwargs.items())}}}"


def shown(value: Any, max_length: int | None = None) -> str:
    """Its repr; a function is called all the same if its arguments cannot be shown."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    return text if max_length is None or len(text) <= max_length else f"{text[: max(0, max_length - 3)]}..."


def shown_error(error: BaseException, max_length: int | None = None) -> str:
    """An exception, by its class and its text."""
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be had: __str__ raises)"
    name = type(error).__qualname__
    whole = f"{name}: {text}" if text else name
    return whole if max_length is None or len(whole) <= max_length else f"{whole[: max(0, max_length - 3)]}..."


def time_of(seconds: float) -> str:
    """A duration for people: three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 1000 else f"{seconds:.0f} s"
    return f"{seconds * 1e9:.0f} ns"


def words_of(option: str, value: Any) -> frozenset[str]:
    """Names, one or several."""
    if isinstance(value, str):
        return frozenset([value])
    if not isinstance(value, Sequence | set | frozenset) or not all(isinstance(word, str) for word in value):
        raise wrong(option, value, 'a name or several, such as ["password", "token"]')
    return frozenset(value)


def length_of(value: Any) -> int | None:
    """A number of characters, or None."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise wrong("max_length", value, "a number of characters from 1 up, or None")
    return value
