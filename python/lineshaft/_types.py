"""The types that an app's values may have, and values to and from bytes.

Types named in the annotations of declared tasks, or defined in their modules, register themselves when the task is
first used: annotations often name things that are not there yet when the task is declared.
"""

from __future__ import annotations

import contextlib
import sys
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from . import _native
from ._names import canonical_module, canonical_name
from ._options import wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ._app import App
    from ._job import Job
    from ._task import BaseTask

__all__ = ["Before", "Types", "declare_value"]

C = TypeVar("C", bound="type[Any]")


class Before(NamedTuple):
    """What a class was before: values of then are read as it too."""

    aliases: list[str]
    """Its names."""
    renamed: dict[str, str]
    """Names of its fields, each with the name that it has now."""
    removed: list[str]
    """Fields that are gone: what values of then have of them is dropped."""

    @classmethod
    def of(cls, aliases: Iterable[str], renamed: Mapping[str, str] | None, removed: Iterable[str]) -> Before:
        """What a user said, checked."""
        if isinstance(aliases, str):
            raise wrong("aliases", aliases, 'names in a list, such as ["shop.Order"]')
        if isinstance(removed, str):
            raise wrong("removed", removed, 'names of fields in a list, such as ["note"]')
        before = cls(list(aliases), dict(renamed or {}), list(removed))
        if not all(isinstance(name, str) for name in (*before.renamed, *before.renamed.values())):
            raise wrong("renamed", renamed, 'old names of fields with new ones, such as {"colour": "color"}')
        return before


class Types:
    """The registry of one app."""

    def __init__(self, accept_pickle: bool, app: App) -> None:
        self.registry = _native.Registry(accept_pickle=accept_pickle, make_job=_job_maker(app))
        self._learnt_tasks: set[BaseTask[..., Any]] = set()
        self._learnt_modules: set[str] = set()
        for declared in _declared.values():
            self.registry.register(*declared)
        _of_apps.add(self)

    def register(self, cls: type, name: str | None = None, before: Before | None = None) -> None:
        """Makes `cls` known under `name`, else under the name it has, else under its canonical one."""
        if name is None:
            name = self.registry.name_of(cls) if cls in self.registry else type_name(cls)
        self.registry.register(cls, name, *(before or ([], {}, [])))

    def find(self, name: str) -> type | None:
        """The registered class of this name."""
        return self.registry.lookup(name)

    def learn(self, task: BaseTask[..., Any]) -> None:
        """Registers the types that `task` and its module name; cheap the second time."""
        if task not in self._learnt_tasks:
            self._learnt_tasks.add(task)
            self.learn_function(task.function)

    def learn_function(self, function: Callable[..., Any]) -> None:
        """Registers the types that `function` and its module name."""
        if not self._learnt_modules:
            self.registry.set_main(canonical_module("__main__"))
        for hint in _hints(function).values():
            self._register_all(_classes_in(hint))
        if function.__module__ not in self._learnt_modules:
            self._learnt_modules.add(function.__module__)
            self._register_all(_classes_of_module(function.__module__))

    def encode(self, value: Any) -> bytes:
        """The payload of `value`."""
        return _native.encode(value, self.registry)

    def decode(self, payload: bytes) -> Any:
        """The value in a payload."""
        return _native.decode(payload, self.registry)

    def _register_all(self, classes: Iterable[type]) -> None:
        for cls in classes:
            if is_value_class(cls) and cls not in self.registry:
                # One that cannot be built field by field stays unknown; sending an instance says so.
                with contextlib.suppress(TypeError):
                    self.register(cls)


def _job_maker(app: App) -> Callable[[bytes], Job[Any]]:
    """Makes jobs of `app` out of the bytes of their ids; does not keep it alive, since the extension is in no cycle."""
    from ._job import Job

    found = weakref.ref(app)

    def job_of(key: bytes) -> Job[Any]:
        app = found()
        if app is None:
            raise ReferenceError("the app that read this job is gone")
        return Job(app, key)

    return job_of


_declared: dict[str, tuple[type, str, list[str], dict[str, str], list[str]]] = {}
"""What `@lineshaft.value` declared in this process, by name."""
_of_process = _native.Registry()
"""The same, so that a name given twice is an error before any app is there."""
_of_apps: weakref.WeakSet[Types] = weakref.WeakSet()


def declare_value(cls: C, name: str | None, before: Before) -> C:
    """Makes `cls` known to every app of this process, those to come included."""
    declared = (cls, name or type_name(cls), *before)
    for registry in (_of_process, *(types.registry for types in list(_of_apps))):
        registry.register(*declared)
    _declared[declared[1]] = declared
    return cls


def type_name(cls: type) -> str:
    """The name under which values of `cls` travel unless it has another one: `shop.Order`, `shop.Page[shop.Order]`.

    Only generic models of pydantic have a class per argument; the argument's module belongs to the name, since two
    modules may both have an `Order`.
    """
    generic = getattr(cls, "__pydantic_generic_metadata__", None)
    if not generic or generic["origin"] is None:
        return cls.__qualname__ if cls.__module__ == "builtins" else canonical_name(cls)
    return f"{canonical_name(generic['origin'])}[{', '.join(map(_argument_name, generic['args']))}]"


def _argument_name(argument: Any) -> str:
    import typing

    inner = typing.get_args(argument)
    if not inner:
        return type_name(argument) if isinstance(argument, type) else repr(argument)
    origin: Any = typing.get_origin(argument)
    # The same for `int | None` and `Optional[int]`, which Pythons tell apart or not.
    name = "Union" if str(getattr(origin, "__name__", "")).startswith("Union") else _argument_name(origin)
    return f"{name}[{', '.join(map(_argument_name, inner))}]"


_MARKS = ("__dataclass_fields__", "__struct_fields__", "__attrs_attrs__", "__pydantic_fields__")
"""What the classes of dataclasses, msgspec, attrs and pydantic have."""


def is_value_class(cls: type) -> bool:
    """Whether values of `cls` can be sent: dataclasses, models, enumerations, named tuples and exceptions."""
    if cls.__module__ == "builtins" or "<locals>" in cls.__qualname__:
        return False
    if any(hasattr(cls, mark) for mark in _MARKS) or issubclass(cls, BaseException):
        return True
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return True
    enum = sys.modules.get("enum")
    return enum is not None and issubclass(cls, enum.Enum)


def _hints(function: Any) -> dict[str, Any]:
    """The annotations as objects; those whose names do not resolve are left out."""
    import typing

    try:
        return typing.get_type_hints(function, include_extras=False)
    except Exception:
        return _hints_one_by_one(function)


def _hints_one_by_one(function: Any) -> dict[str, Any]:
    import typing

    hints = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        holder = type("_Holder", (), {"__annotations__": {name: annotation}})
        try:
            hints.update(typing.get_type_hints(holder, vars(sys.modules[function.__module__])))
        except Exception:
            continue  # a name of `if TYPE_CHECKING:`, or a syntax of later Pythons: nothing to learn from it
    return hints


def _classes_in(hint: Any, seen: set[Any] | None = None) -> Iterator[type]:
    """The classes in an annotation such as `dict[str, list[Order] | None]`, those of fields included."""
    import typing

    seen = set() if seen is None else seen
    arguments = typing.get_args(hint)
    cls = typing.get_origin(hint) if arguments else hint
    if isinstance(cls, type) and cls not in seen:
        seen.add(cls)
        yield cls
        for inner in _fields_of(cls):
            yield from _classes_in(inner, seen)
    for argument in arguments:
        yield from _classes_in(argument, seen)


def _fields_of(cls: Any) -> list[Any]:
    """The annotations of a class's fields."""
    fields = getattr(cls, "__pydantic_fields__", None)
    if fields is not None and not hasattr(cls, "__dataclass_fields__"):
        return [field.annotation for field in fields.values()]
    if any(hasattr(cls, mark) for mark in _MARKS) or hasattr(cls, "_fields"):
        return list(_hints(cls).values())
    return []


def _classes_of_module(name: str) -> list[type]:
    module = sys.modules.get(name)
    members = list(vars(module).values()) if module is not None else []
    return [member for member in members if isinstance(member, type) and member.__module__ == name]
