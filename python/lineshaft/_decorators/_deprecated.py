"""`deprecated`: warns whoever still uses a function or a class."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .._errors import DeclarationError
from ._decorator import Decorates, shown_call
from ._driving import Body
from ._invocation import Invocation
from ._wrapping import Layer, around

if TYPE_CHECKING:
    Thing = TypeVar(
        "Thing", bound=Callable[..., Any] | type | staticmethod[..., Any] | classmethod[Any, ..., Any] | property
    )

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


@overload
def deprecated(thing: Thing, /) -> Thing: ...
@overload
def deprecated(*, since: str | None = None, use: str | None = None, removed_in: str | None = None) -> Decorates: ...
def deprecated(
    thing: Any = None, /, *, since: str | None = None, use: str | None = None, removed_in: str | None = None
) -> Any:
    """Has a function, or a class, warn those who still use it, with a DeprecationWarning at the place of the call.

    ``@deprecated(since="2.0", use="plus", removed_in="3.0")`` says
    `add is deprecated since 2.0 and will be gone in 3.0: use plus`; each of them may be left out. How often it is said
    is what `warnings` does: by default once for each place that calls, in `__main__` and in tests. Of a class, making
    an instance and deriving a class from it warn. Of coroutine functions and generators, it is where they begin to run.
    The text is in `__deprecated__`, as in PEP 702.
    """
    if isinstance(thing, str):
        raise DeclarationError("options of @deprecated have names", hint=f"@deprecated(use={thing!r})")
    given = {"since": since, "use": use, "removed_in": removed_in}
    shown = shown_call("deprecated", {name: value for name, value in given.items() if value is not None})

    def text_of(thing: Any) -> str:
        when = f" since {since}" if since else ""
        end = f" and will be gone in {removed_in}" if removed_in else ""
        return f"{getattr(thing, '__qualname__', thing)} is deprecated{when}{end}{f': use {use}' if use else ''}"

    def make(function: Callable[..., Any]) -> Layer:
        text = text_of(function)

        def body(call: Invocation[Any]) -> Body:
            _warn(text)
            yield

        def handle(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
            _warn(text)
            return function(*args, **(kwargs or {}))

        return Layer(shown, body, handle=handle, attributes=(("__deprecated__", text),))

    def apply(thing: Any) -> Any:
        if isinstance(thing, type):
            return _class(thing, text_of(thing))
        return around(thing, make, "deprecated")

    return apply if thing is None else apply(thing)


def _warn(text: str) -> None:
    """Warns at the innermost place that is not of Lineshaft."""
    level = 1
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, DeprecationWarning, stacklevel=level)


def _class(cls: Any, text: str) -> Any:
    """The same class, whose instances and subclasses warn when they are made."""
    init, init_subclass = cls.__init__, cls.__init_subclass__
    takes_nothing = init is object.__init__

    @functools.wraps(init)
    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        if type(self) is cls:
            _warn(text)
        # What `__new__` took is none of `object.__init__`.
        if takes_nothing and cls.__new__ is not object.__new__:
            return
        init(self, *args, **kwargs)

    def __init_subclass__(subclass: Any, /, **kwargs: Any) -> None:  # noqa: N807
        _warn(text)
        if isinstance(init_subclass, MethodType):
            init_subclass.__func__(subclass, **kwargs)
        else:
            init_subclass(**kwargs)

    cls.__init__ = __init__
    cls.__init_subclass__ = classmethod(__init_subclass__)
    cls.__deprecated__ = text
    return cls
