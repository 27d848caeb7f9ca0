"""Resources: what tasks need and no call carries, such as a pool of connections or a model.

`Resource` is what `@app.resource` returns, `Use` stands for it as the default of a keyword-only parameter, and
`Resources` are those of one app or `Tasks`. Opening and closing is in `_opening.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, overload

from ._declare import is_async_function, replaces
from ._errors import DeclarationError
from ._names import Place, place_of
from ._options import checked, wrong

if TYPE_CHECKING:
    from ._task import BaseTask

__all__ = ["Provides", "Resource", "Resources", "Scope", "Use", "uses_of"]

T = TypeVar("T")
Scope = Literal["worker", "process", "attempt"]

SCOPES = ("worker", "process", "attempt")
SETTINGS = ("home",)
"""What `app.override(...)` takes beside the names of resources."""


class Resource(Generic[T]):
    """A declared resource: a function that opens it, and how long it stays open. A task takes it by `app.use`."""

    def __init__(self, function: Callable[..., Any], scope: Scope, name: str | None) -> None:
        _check_function(function)
        self.name = _checked_name(function, name)
        self.scope: Scope = scope
        self.function = function
        self.place: Place = place_of(function)
        self.uses = uses_of(function, self.name)
        self.is_async = is_async_function(function)
        self.open: Callable[..., Any] = _opener(function)
        """Gives the value, its context manager, or a coroutine of either."""
        _check_parameters(self)

    def __repr__(self) -> str:
        return f"<Resource {self.name}>"


class Use:
    """Stands for a resource, as the default of a keyword-only parameter; whoever runs the task puts it in."""

    __slots__ = ("resource",)

    def __init__(self, resource: Resource[Any] | str) -> None:
        self.resource = resource

    def __repr__(self) -> str:
        return f"use({self.name})"

    @property
    def name(self) -> str:
        """The name of the resource."""
        return self.resource if isinstance(self.resource, str) else self.resource.name


class _Opens(Protocol):
    """What `@app.resource(...)` gives: a decorator that knows what the resource is."""

    @overload
    def __call__(self, function: Callable[..., AbstractAsyncContextManager[T]], /) -> Resource[T]: ...
    @overload
    def __call__(self, function: Callable[..., AbstractContextManager[T]], /) -> Resource[T]: ...
    @overload
    def __call__(self, function: Callable[..., AsyncIterator[T]], /) -> Resource[T]: ...
    @overload
    def __call__(self, function: Callable[..., Iterator[T]], /) -> Resource[T]: ...
    @overload
    def __call__(self, function: Callable[..., Coroutine[Any, Any, T]], /) -> Resource[T]: ...
    @overload
    def __call__(self, function: Callable[..., T], /) -> Resource[T]: ...


class Provides:
    """What an app and `Tasks` have in common about resources."""

    _resources: Resources

    @overload
    def resource(self, function: Callable[..., AbstractAsyncContextManager[T]], /) -> Resource[T]: ...
    @overload
    def resource(self, function: Callable[..., AbstractContextManager[T]], /) -> Resource[T]: ...
    @overload
    def resource(self, function: Callable[..., AsyncIterator[T]], /) -> Resource[T]: ...
    @overload
    def resource(self, function: Callable[..., Iterator[T]], /) -> Resource[T]: ...
    @overload
    def resource(self, function: Callable[..., Coroutine[Any, Any, T]], /) -> Resource[T]: ...
    @overload
    def resource(self, function: Callable[..., T], /) -> Resource[T]: ...
    @overload
    def resource(self, /, *, scope: Scope = ..., name: str = ...) -> _Opens: ...

    def resource(self, function: Any = None, /, **options: Any) -> Any:
        """Declares how a resource is opened, as `@app.resource` or `@app.resource(scope=...)`.

        The function yields it and closes it afterwards, or returns it; a context manager that it returns is entered and
        left. `scope` is how long it stays open: `"process"` (default), from its first use to the end of the worker's
        process; `"worker"`, the same, but from before the first job; `"attempt"`. `name` is what `app.override` calls
        it (default: the function's name).
        """
        given = checked(options, _OPTIONS, "@resource")
        scope, name = given.get("scope", "process"), given.get("name")

        def declare(later: Callable[..., Any]) -> Resource[Any]:
            return self._provide(Resource(later, scope, name))

        return declare if function is None else declare(function)

    @overload
    def use(self, resource: Resource[T], /) -> T: ...
    @overload
    def use(self, resource: str, /) -> Any: ...

    def use(self, resource: Any, /) -> Any:
        """The default of a keyword-only parameter that a resource is put into: `*, db: Pool = app.use(pool)`.

        Such a parameter is never sent. A text is the name of a resource that is declared elsewhere or later.
        """
        if not isinstance(resource, Resource | str):
            raise DeclarationError(
                f"use() does not take {type(resource).__name__} {resource!r}",
                hint="it takes what @app.resource returned, or the name of a resource",
            )
        return Use(resource)

    def _provide(self, resource: Resource[Any]) -> Resource[Any]:
        self._resources.add(resource)
        return resource


class Resources:
    """The resources of an app or `Tasks` by name."""

    def __init__(self) -> None:
        self.by_name: dict[str, Resource[Any]] = {}

    def add(self, resource: Resource[Any]) -> None:
        """Adds one; refuses a name that is taken, and resources that cannot be open together."""
        other = self.by_name.get(resource.name)
        if other is not None and other is not resource and not replaces(resource.place, other.place):
            raise DeclarationError(
                f"two resources are named {resource.name!r}: {other.place} and {resource.place}",
                hint='give one of them another name: @app.resource(name="...")',
            )
        self.by_name[resource.name] = resource
        try:
            self.check({})
        except DeclarationError:
            del self.by_name[resource.name]
            raise

    def check(self, fakes: Mapping[Resource[Any], Any]) -> None:
        """Refuses cycles, and resources that outlive what they use, with `fakes` in the place of others."""
        for each in self.by_name.values():
            self._check(each, (each,), fakes)

    def find(self, use: Use, owner: str) -> Resource[Any]:
        """The resource that `owner` uses."""
        found = self._find(use)
        return found if found is not None else self.named(str(use.resource), f"{owner} uses")

    def named(self, name: str, owner: str) -> Resource[Any]:
        """The resource of this name; raises `DeclarationError`, which begins with `owner`, if there is none."""
        found = self.by_name.get(name)
        if found is not None:
            return found
        import difflib

        near = difflib.get_close_matches(name, self.by_name, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"its resources: {', '.join(self.by_name) or 'none'}"
        raise DeclarationError(f"{owner} resource {name!r}, which the app does not declare", hint=hint)

    def is_async(self, resource: Resource[Any]) -> bool:
        """Whether only an event loop can open it."""
        return resource.is_async or any(
            self.is_async(found) for use in resource.uses.values() if (found := self._find(use)) is not None
        )

    def check_task(self, task: BaseTask[..., Any]) -> None:
        """Refuses an async resource in a task that has no event loop."""
        for use in task.uses.values():
            found = self._find(use)
            if found is not None and not task.is_async and self.is_async(found):
                raise DeclarationError(
                    f"{task.name} cannot use resource {found.name}, which opens in an event loop",
                    hint="write the task with `async def`, or the resource with `def`",
                )

    def _find(self, use: Use) -> Resource[Any] | None:
        return self.by_name.get(use.resource) if isinstance(use.resource, str) else use.resource

    def _check(
        self, resource: Resource[Any], path: tuple[Resource[Any], ...], fakes: Mapping[Resource[Any], Any]
    ) -> None:
        for use in resource.uses.values():
            inner = self._find(use)
            inner = fakes.get(inner, inner) if inner is not None else None
            if not isinstance(inner, Resource):
                continue
            if inner in path:
                names = [one.name for one in path[path.index(inner) :]]
                raise DeclarationError(
                    f"resources use each other: {' -> '.join([*names, inner.name])}",
                    hint="one of them has to do without the next",
                )
            if inner.scope == "attempt" and resource.scope != "attempt":
                raise DeclarationError(
                    f"resource {resource.name} (scope {resource.scope}) uses {inner.name}, "
                    "which is closed after each attempt",
                    hint='give both the same scope: @app.resource(scope="attempt")',
                )
            self._check(inner, (*path, inner), fakes)


def uses_of(function: Any, owner: str) -> dict[str, Use]:
    """The resources that `function` takes, by parameter."""
    inner = function
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    code = getattr(inner, "__code__", None)
    defaults = getattr(inner, "__defaults__", None) or ()
    for position, default in enumerate(reversed(defaults)):
        if isinstance(default, Use):
            name = code.co_varnames[code.co_argcount - 1 - position] if code is not None else "?"
            raise DeclarationError(
                f"parameter {name!r} of {owner} takes resource {default.name}, but is not keyword-only",
                hint=f"write it after a `*`: (..., *, {name}=...)",
            )
    given = getattr(inner, "__kwdefaults__", None) or {}
    return {name: default for name, default in given.items() if isinstance(default, Use)}


def _check_function(function: Any) -> None:
    if hasattr(function, "__code__") or hasattr(function, "__wrapped__"):
        return
    what = "class" if isinstance(function, type) else type(function).__name__
    raise DeclarationError(
        f"{what} {getattr(function, '__qualname__', None) or repr(function)} cannot be a resource",
        hint="declare a function written with `def` that yields or returns it",
    )


def _check_parameters(resource: Resource[Any]) -> None:
    import inspect

    skipped = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for parameter in inspect.signature(resource.function).parameters.values():
        if parameter.default is parameter.empty and parameter.kind not in skipped:
            raise DeclarationError(
                f"resource {resource.name} ({resource.place}) has parameter {parameter.name!r}, which nobody passes",
                hint="give it a default; another resource is `*, other=app.use(other)`",
            )


def _checked_name(function: Any, name: str | None) -> str:
    name = name or str(getattr(function, "__name__", ""))
    if not name.isidentifier() or name in SETTINGS:
        why = "is a setting of app.override" if name in SETTINGS else "is not a name"
        raise DeclarationError(
            f"resource {name!r} ({place_of(function)}): {name!r} {why}",
            hint='give it another name: @app.resource(name="pool")',
        )
    return name


def _opener(function: Callable[..., Any]) -> Callable[..., Any]:
    import inspect

    if inspect.isasyncgenfunction(function):
        return asynccontextmanager(function)
    return contextmanager(function) if inspect.isgeneratorfunction(function) else function


def _scope(option: str, value: object) -> Any:
    if value not in SCOPES:
        raise wrong(option, value, '"process" (default), "worker" or "attempt"')
    return value


def _name(option: str, value: object) -> Any:
    if not isinstance(value, str):
        raise wrong(option, value, "a name")
    return value


_OPTIONS: Mapping[str, Callable[[str, Any], Any]] = {"scope": _scope, "name": _name}
