"""`decorator`: decorators of one's own, out of one body for functions of every kind."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from .._errors import DeclarationError
from .._options import checked
from ._invocation import BY_POSITION, Invocation, Pause
from ._wrapping import Layer, around

P = ParamSpec("P")

if TYPE_CHECKING:
    Decorated = TypeVar(
        "Decorated", bound=Callable[..., Any] | staticmethod[..., Any] | classmethod[Any, ..., Any] | property
    )
    """A function, or what a class has of them; it keeps its type."""
else:
    Decorated = TypeVar("Decorated")


class Decorates(Protocol):
    """A decorator with its options."""

    def __call__(self, function: Decorated, /) -> Decorated: ...


class Decorator(Generic[P]):
    """What `decorator` makes: it stands above functions as `@traced`, and with options as `@traced(level=3)`."""

    __module__ = "lineshaft"

    __wrapped__: Callable[..., Any]
    __name__: str
    __qualname__: str

    def __init__(self, body: Callable[..., Any]) -> None:
        self._options = _options_of(body)
        self._body = body
        functools.update_wrapper(self, body)

    @overload
    def __call__(self, function: Decorated, /) -> Decorated: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Decorates: ...
    def __call__(self, *functions: Any, **options: Any) -> Any:
        """The function with the body around it, or with options alone a decorator."""
        if functions and (len(functions) > 1 or options):
            raise DeclarationError(
                f"@{self.__name__} takes a function, or options by name",
                hint=f"@{self.__name__}({', '.join(f'{name}=...' for name in self._options)})",
            )
        given = checked(options, dict.fromkeys(self._options, _as_it_is), f"@{self.__name__}")
        missing = [name for name, default in self._options.items() if default is _MUST and name not in given]
        if missing:
            raise DeclarationError(
                f"@{self.__name__} needs {', '.join(missing)}", hint=f"@{self.__name__}({missing[0]}=...)"
            )
        body = functools.partial(self._body, **given) if given else self._body
        layer = Layer(shown_call(self.__name__, given), body)
        apply = functools.partial(around, make=lambda _: layer, decorator=self.__name__)
        return apply(*functions) if functions else apply

    def __repr__(self) -> str:
        return f"<decorator {self.__qualname__}>"

    def __reduce__(self) -> str:
        return self.__qualname__


def decorator(body: Callable[Concatenate[Invocation[Any], P], Generator[Pause | None, Any, Any]], /) -> Decorator[P]:
    """Makes a decorator out of a generator function.

    Its `yield` is where the decorated function is called::

        @lineshaft.decorator
        def traced(call, *, level=1):
            print("-" * level, call.name)
            result = yield
            return result

    The one body does for functions, coroutine functions, generators and async generators, methods, class methods,
    static methods and properties: Lineshaft calls the function, awaits it or goes through it, as its kind needs. Of
    generators, `yield` is all of it, from when the first item is asked for until it ends or is closed.

    `yield` gives the result of the call and raises what it raised. What the body returns is given in place of the
    result, unless it is None; ``call.result = None`` gives None. An exception that the body catches is over. A second
    `yield` calls again, none does not call, and ``yield call.pause("1s")`` waits. See `Invocation` for `call`.

    Parameters after `call` are options and have names: ``@traced(level=3)``; with a default for each, ``@traced`` is
    one too. Raises `DeclarationError` for a body that is not so.
    """
    return Decorator(body)


_MUST = inspect.Parameter.empty


def _as_it_is(_: str, value: Any) -> Any:
    return value


def _options_of(body: Any) -> dict[str, Any]:
    """The options that a body takes, with their defaults."""
    name = getattr(body, "__qualname__", repr(body))
    if not inspect.isgeneratorfunction(body):
        raise DeclarationError(
            f"{name}: the body of a decorator is a generator function",
            hint="write `result = yield` where the function is called; no `async` is needed, also around coroutines",
        )
    parameters = list(inspect.signature(body).parameters.values())
    if not parameters or parameters[0].kind not in BY_POSITION:
        raise DeclarationError(f"{name}: the body takes the call first", hint="def body(call, *, option=1): ...")
    first, *others = parameters
    for option in others:
        if option.kind is not option.KEYWORD_ONLY:
            raise DeclarationError(
                f"{name}: {option} is no option, since options of decorators have names",
                hint=f"put a * before them: def {body.__name__}({first.name}, *, {option.name})",
            )
    return {option.name: option.default for option in others}


def shown_call(name: str, options: dict[str, Any]) -> str:
    """A decorator as it was written, with the options that were given."""
    given = ", ".join(f"{option}={_shown(value)}" for option, value in options.items())
    return f"{name}({given})" if given else name


def _shown(value: Any) -> str:
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, tuple):
        return f"({', '.join(map(_shown, value))}{',' if len(value) == 1 else ''})"
    if callable(value) and isinstance(getattr(value, "__qualname__", None), str):
        return str(value.__qualname__)
    return repr(value)
