"""Binding arguments at the caller, so that a wrong call fails where it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from inspect import BoundArguments, Signature

    from ._resource import Use

__all__ = ["Binder"]

_UNBOUNDED = 1 << 30


class Binder:
    """Checks calls of one function against its signature, in which the parameters that take resources are left out.

    `least` and `most` bound the number of positional arguments of a call without keywords; that is all the fast path
    looks at. Everything else is left to `inspect.Signature`, whose errors people know.
    """

    __slots__ = ("_function", "_signature", "_uses", "least", "most", "owner")

    def __init__(self, function: Callable[..., Any], owner: str, uses: Mapping[str, Use]) -> None:
        self._function = function
        self._uses = uses
        self._signature: Signature | None = None
        self.owner = owner
        self.least, self.most = _positional_range(function)

    @property
    def signature(self) -> Signature:
        """The function's signature."""
        if self._signature is None:
            import inspect

            signature = inspect.signature(self._function)
            sent = [parameter for name, parameter in signature.parameters.items() if name not in self._uses]
            self._signature = signature.replace(parameters=sent)
        return self._signature

    def fit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as they are sent to the function; raises the TypeError that the call itself would raise."""
        self.bind(args, kwargs)
        return args, kwargs

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BoundArguments:
        """The arguments by parameter."""
        for name in kwargs:
            if name in self._uses:
                raise TypeError(
                    f"{self.owner}{self.signature}: {name!r} is a resource: the worker opens it, nobody sends it"
                )
        try:
            return self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.owner}{self.signature}: {error}") from None


def _positional_range(function: Callable[..., Any]) -> tuple[int, int]:
    """How many positional arguments suffice and how many fit; (1, 0), which nothing satisfies, if unsure."""
    code = getattr(function, "__code__", None)
    if code is None or hasattr(function, "__wrapped__") or hasattr(function, "__signature__"):
        return 1, 0
    keyword_defaults = getattr(function, "__kwdefaults__", None) or {}
    if code.co_kwonlyargcount > len(keyword_defaults):
        return 1, 0
    least = code.co_argcount - len(getattr(function, "__defaults__", None) or ())
    takes_more = code.co_flags & 0x04
    return least, _UNBOUNDED if takes_more else code.co_argcount
