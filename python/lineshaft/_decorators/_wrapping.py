"""Putting something around whatever can be called: which kind of function it is, and a wrapper of the same kind."""

from __future__ import annotations

import asyncio
import functools
import inspect
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import _native
from .._errors import DeclarationError
from ._driving import Body, async_generator_around, drive, drive_coroutine, drive_generator
from ._invocation import Invocation, name_of


@dataclass(frozen=True)
class Layer:
    """What a decorator puts around one function."""

    shown: str
    """As `layers` shows it."""
    body: Callable[[Invocation[Any]], Body]
    gate: Any = None
    """What lets calls of a function that is no coroutine or generator pass without Python: see `_native.Wrapper`."""
    handle: Callable[..., Any] | None = None
    """Takes the calls that the gate does not let pass, if running the body around them is not enough."""
    coroutine: Callable[[Callable[..., Any]], Any] | None = None
    """Makes the wrapper of a coroutine function, where there is a faster one than runs the body each time."""
    attributes: tuple[tuple[str, Any], ...] = ()
    """What the wrapper has beside those of the function."""


Make = Callable[[Callable[..., Any]], Layer]

_layers: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
"""How each wrapper is shown. An attribute would be copied by the next `functools.wraps`."""


def shown_of(function: Any) -> str | None:
    """How `layers` shows the layer that `function` is; None if it is none of ours."""
    try:
        return _layers.get(function)
    except TypeError:
        return None


def around(thing: Any, make: Make, decorator: str) -> Any:
    """`thing` with a layer around it, or around the functions that it is made of."""
    if isinstance(thing, staticmethod | classmethod):
        return type(thing)(around(thing.__func__, make, decorator))
    if isinstance(thing, property):
        fget, fset, fdel = (one and around(one, make, decorator) for one in (thing.fget, thing.fset, thing.fdel))
        return thing.getter(fget).setter(fset).deleter(fdel)  # type: ignore[arg-type]
    if isinstance(thing, functools.cached_property):
        return functools.cached_property(around(thing.func, make, decorator))
    if isinstance(thing, functools.partialmethod):
        return functools.partialmethod(around(thing.func, make, decorator), *thing.args, **thing.keywords)
    _refuse(thing, decorator)
    layer = make(thing)
    wrapper = _wrapper(thing, layer)
    functools.update_wrapper(wrapper, thing)
    if not hasattr(thing, "__name__"):
        wrapper.__name__ = name_of(thing)
        wrapper.__qualname__ = getattr(thing, "__qualname__", wrapper.__name__)
    wrapper.__dict__.update(layer.attributes)
    _layers[wrapper] = layer.shown
    return wrapper


def _refuse(thing: Any, decorator: str) -> None:
    """Raises for what a layer would take something from."""
    from .._task import Enqueues

    name = getattr(thing, "__qualname__", None) or repr(thing)
    if isinstance(thing, Enqueues):
        raise DeclarationError(
            f"@{decorator} above @app.task would hide `enqueue`", hint=f"put @{decorator} below @app.task"
        )
    if isinstance(thing, type):
        raise DeclarationError(
            f"{name}: @{decorator} around a class would hide the class", hint=f"put @{decorator} above its __init__"
        )
    if not callable(thing):
        raise DeclarationError(
            f"@{decorator} stands above a function, not {name}", hint=f"options have names: @{decorator}(option=...)"
        )


def _wrapper(function: Callable[..., Any], layer: Layer) -> Any:
    """A function of the same kind."""
    if inspect.isasyncgenfunction(function):
        return _around_async_generator(function, layer)
    if inspect.isgeneratorfunction(function):
        return _around_generator(function, layer)
    if is_coroutine_function(function):
        return (layer.coroutine or functools.partial(_around_coroutine, layer))(function)
    return Wrapped(function, layer)


def is_coroutine_function(function: Any) -> bool:
    """Whether calling it gives a coroutine, as far as it says so."""
    marked = getattr(asyncio.coroutines, "_is_coroutine", None)
    if inspect.iscoroutinefunction(function) or (marked and getattr(function, "_is_coroutine", None) is marked):
        return True
    is_plain = inspect.isroutine(function) or isinstance(function, functools.partial | _native.Wrapper)
    return not is_plain and inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


class Wrapped(_native.Wrapper):
    """A function with a layer around it."""

    __qualname__: str
    __wrapped__: Callable[..., Any]

    def __new__(cls, function: Callable[..., Any], layer: Layer) -> Wrapped:
        body = layer.body

        def handle(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
            call: Invocation[Any] = Invocation(function, args, kwargs or {})
            return drive(call, body(call))

        return super().__new__(cls, function, layer.handle or handle, layer.gate)

    def __init__(self, function: Callable[..., Any], layer: Layer) -> None:
        """All of it is done when it is made."""

    def __repr__(self) -> str:
        return f"<function {self.__qualname__}, {_layers.get(self)}>"

    def __reduce__(self) -> str:
        return self.__qualname__


def _around_coroutine(layer: Layer, function: Callable[..., Any]) -> Any:
    body, passes = layer.body, _passing(layer)

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        if passes is not None and passes():
            return await function(*args, **kwargs)
        call: Invocation[Any] = Invocation(function, args, kwargs)
        return await drive_coroutine(call, body(call))

    return wrapper


def _around_generator(function: Callable[..., Any], layer: Layer) -> Any:
    body, passes = layer.body, _passing(layer)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if passes is not None and passes():
            return (yield from function(*args, **kwargs))
        call: Invocation[Any] = Invocation(function, args, kwargs)
        return (yield from drive_generator(call, body(call)))

    return wrapper


def _around_async_generator(function: Callable[..., Any], layer: Layer) -> Any:
    passes = _passing(layer)
    return async_generator_around(
        function, lambda call: _nothing() if passes is not None and passes() else layer.body(call)
    )


def _passing(layer: Layer) -> Callable[[], bool] | None:
    if not isinstance(layer.gate, _native.Listening):
        return None
    is_heard = layer.gate.is_heard
    return lambda: not is_heard()


def _nothing() -> Body:
    yield
