"""Binding arguments at the caller, so that a wrong call fails where it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._validate import Validator, may_have_models

if TYPE_CHECKING:
    from collections.abc import Mapping
    from inspect import BoundArguments, Signature

    from ._resource import Use

__all__ = ["Binder"]

_UNBOUNDED = 1 << 30
_UNSURE = (1, 0)
"""A range that no number is in."""


class Binder:
    """Checks calls of one function against its signature, in which the parameters that take resources are left out.

    `least` and `most` bound the number of positional arguments of a call without keywords; that is all the fast path
    looks at. Everything else is left to `inspect.Signature`, whose errors people know. `validate` is whether arguments
    are held against annotations; None does so for those of pydantic and msgspec.
    """

    __slots__ = (
        "_function",
        "_only_models",
        "_signature",
        "_uses",
        "_validate",
        "_validator",
        "least",
        "most",
        "owner",
    )

    def __init__(
        self, function: Callable[..., Any], owner: str, uses: Mapping[str, Use], validate: bool | None
    ) -> None:
        self._function = function
        self._only_models = validate is None
        self._validate = may_have_models() if validate is None else validate
        self._validator: Validator | None = None
        self._uses = uses
        self._signature: Signature | None = None
        self.owner = owner
        self.least, self.most = _UNSURE if self._validate else _positional_range(function)

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
        __tracebackhide__ = True
        bound = self.bind(args, kwargs)
        self.settle()
        if self._validator is not None and self._validator.apply(bound):
            return bound.args, bound.kwargs
        return args, kwargs

    def settle(self) -> None:
        """Finds out whether there is anything to validate; annotations may name what comes after the function."""
        if not self._validate or self._validator is not None:
            return
        validator = Validator(self._function, self.owner, self._uses, self._only_models)
        if validator:
            self._validator = validator
        else:
            self._validate = False
            self.least, self.most = _positional_range(self._function)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BoundArguments:
        """The arguments by parameter."""
        for name in kwargs:
            if name in self._uses:
                raise TypeError(
                    f"{self.owner}{self.signature}: {name!r} is a resource: the worker opens it, nobody sends it"
                )
        __tracebackhide__ = True
        try:
            return self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.owner}{self.signature}: {error}") from None


def _positional_range(function: Callable[..., Any]) -> tuple[int, int]:
    """How many positional arguments suffice and how many fit."""
    code = getattr(function, "__code__", None)
    if code is None or hasattr(function, "__wrapped__") or hasattr(function, "__signature__"):
        return _UNSURE
    keyword_defaults = getattr(function, "__kwdefaults__", None) or {}
    if code.co_kwonlyargcount > len(keyword_defaults):
        return _UNSURE
    least = code.co_argcount - len(getattr(function, "__defaults__", None) or ())
    takes_more = code.co_flags & 0x04
    return least, _UNBOUNDED if takes_more else code.co_argcount
