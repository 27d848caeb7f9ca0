"""The schema of an app: what its tasks take and give, and the types that those name, as a document of plain data.

Made of annotations. What they do not say is `"any"`; what they say beyond values, such as a protocol, is kept as text.
`crates/lineshaft-wire/src/schema` has the form of the document, ids, and the rules by which two of them are compared.
"""

from __future__ import annotations

import json
import types
import typing
from typing import TYPE_CHECKING, Any

from ._validate import _hints, _name

if TYPE_CHECKING:
    from inspect import Parameter

    from ._app import App
    from ._task import BaseTask
    from ._types import Types

__all__ = ["schema_of", "text_of"]

FORMAT = 1
Json = Any

_ATOMS = {
    "builtins.NoneType": "none",
    "builtins.bool": "bool",
    "builtins.int": "int",
    "builtins.float": "float",
    "builtins.complex": "complex",
    "builtins.str": "str",
    "builtins.bytes": "bytes",
    "builtins.bytearray": "bytearray",
    "builtins.range": "range",
    "builtins.ellipsis": "ellipsis",
    "builtins.object": "any",
    "decimal.Decimal": "decimal",
    "uuid.UUID": "uuid",
    "datetime.datetime": "datetime",
    "datetime.date": "date",
    "datetime.time": "time",
    "datetime.timedelta": "timedelta",
    "numpy.ndarray": "array",
    "lineshaft.Job": "job",
    "lineshaft.AsyncJob": "job",
    "lineshaft.Pickled": "pickled",
}
_LISTS = {"Sequence", "MutableSequence", "Iterable", "Collection", "Container", "Reversible"}
_SETS = {"Set", "MutableSet", "Iterable", "Collection", "Container"}
_DICTS = {"Mapping", "MutableMapping"}
_UNION = (typing.Union, types.UnionType)


def schema_of(app: App) -> dict[str, Json]:
    """The schema of the tasks of `app`, those that it includes among them."""
    found = _Found(app._types)
    for task in app.tasks.values():
        app._types.learn(task)
    tasks = {name: _task(task, found) for name, task in app.tasks.items()}
    return {"format": FORMAT, "tasks": tasks, "types": found.types()}


def text_of(app: App) -> tuple[str | None, list[str]]:
    """The schema as a worker tells it to its server, and what is odd about it in words: that it cannot be said."""
    try:
        return json.dumps(schema_of(app)), []
    except Exception as error:  # of annotations, which are code of the app
        return None, [f"what its tasks take cannot be said: {error!r}"]


class _Found:
    """The named types met on the way."""

    def __init__(self, known: Types) -> None:
        self._registry = known.registry
        self._classes: dict[str, type] = {}

    def name_of(self, cls: type) -> str | None:
        """The name of a class whose instances are values; it is described later."""
        if cls not in self._registry:
            return None
        name = self._registry.name_of(cls)
        self._classes[name] = cls
        return name

    def types(self) -> dict[str, Json]:
        """Of all that were met, those of their fields included."""
        described: dict[str, Json] = {}
        while missing := self._classes.keys() - described.keys():
            for name in missing:
                described[name] = self._type(self._classes[name])
        return described

    def _type(self, cls: type) -> Json:
        aliases, renamed, removed = self._registry.before(cls) or ([], {}, [])
        shape = self._shape(cls)
        if shape["kind"] == "record":
            shape |= {"renamed": renamed, "removed": sorted(removed)}
        return {"aliases": sorted(aliases), **shape}

    def _shape(self, cls: type) -> dict[str, Json]:
        import enum

        if issubclass(cls, BaseException):
            return {"kind": "exception"}
        if issubclass(cls, enum.Flag):
            return {"kind": "flag", "members": {name: int(one.value) for name, one in cls.__members__.items()}}
        if issubclass(cls, enum.Enum):
            return {"kind": "enum", "members": list(cls.__members__)}
        hints = _field_hints(cls)
        fields = [
            _with_default({"name": name, "type": kind_of(hints.get(name, Any), self)}, default)
            for name, default in self._registry.fields(cls)
        ]
        config = getattr(cls, "model_config", None)
        is_open = isinstance(config, dict) and config.get("extra") == "allow"
        return {"kind": "record", "fields": fields, "open": is_open}


def _task(task: BaseTask[..., Any], found: _Found) -> Json:
    hints = _hints(task.function)
    written = getattr(task.function, "__annotations__", {})

    def hint_of(name: str) -> Any:
        # One that does not resolve, such as a name of `if TYPE_CHECKING:`, is known as text.
        return hints[name] if name in hints else written.get(name, Any)

    return {
        "version": task.version,
        "from_version": task.from_version,
        "aliases": list(task.aliases),
        "parameters": [_parameter(one, hint_of(one.name), found) for one in task.signature.parameters.values()],
        "result": kind_of(hint_of("return"), found),
    }


def _parameter(parameter: Parameter, hint: Any, found: _Found) -> Json:
    shown = {"name": parameter.name, "kind": parameter.kind.name.lower(), "type": kind_of(hint, found)}
    is_given = parameter.default is not parameter.empty
    return _with_default(shown, (parameter.default,) if is_given else ())


def _with_default(shown: dict[str, Json], default: tuple[Any, ...] | None) -> Json:
    """`default` is empty if there is none, and None if it is made anew each time."""
    if default is None or len(default) > 0:
        shown["default"] = "…" if default is None else _shown(default[0])
    return shown


_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def _shown(value: Any) -> str:
    """A default as text, if its text is the same in every process."""
    import enum

    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if type(value) in (tuple, list, frozenset, set, dict) and not value:
        return repr(value)
    is_plain = type(value) in _PLAIN or type(value).__module__ in ("decimal", "datetime", "uuid")
    text = repr(value) if is_plain else "…"
    return text if len(text) <= 80 else f"{text[:79]}…"


def _field_hints(cls: type) -> dict[str, Any]:
    fields = getattr(cls, "__pydantic_fields__", None)
    if fields is not None and not hasattr(cls, "__dataclass_fields__"):
        return {name: field.annotation for name, field in fields.items()}
    return _hints(cls)


# Annotations ---------------------------------------------------------------------------------------------------------


def kind_of(hint: Any, found: _Found) -> Json:
    """What an annotation says of values."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, typing.TypeVar):
        return "any"
    if hint is None:
        return "none"
    if isinstance(hint, str):
        return {"other": hint}
    if hasattr(hint, "__supertype__"):
        return kind_of(hint.__supertype__, found)
    if hasattr(hint, "__value__"):  # `type Name = ...`
        return kind_of(hint.__value__, found)
    if origin is typing.Annotated:
        return kind_of(arguments[0], found)
    if origin in _UNION:
        return {"one_of": [kind_of(one, found) for one in arguments]}
    if origin is typing.Literal:
        return {"one_of": [_literal(one, found) for one in arguments]}
    return _kind_of_class(hint, origin or hint, arguments, found)


def _kind_of_class(hint: Any, cls: Any, arguments: tuple[Any, ...], found: _Found) -> Json:
    if not isinstance(cls, type):
        return {"other": _name(hint)}
    # The class of a generic model of pydantic is the whole of it; that of a generic dataclass has no arguments.
    name = found.name_of(hint) if isinstance(hint, type) else None
    name = name or found.name_of(cls)
    if name is not None:
        return {"named": name}
    atom = _ATOMS.get(f"{cls.__module__}.{cls.__qualname__}")
    if atom is not None:
        return atom
    if cls.__module__.partition(".")[0] == "pyarrow":
        return "table"
    inner = [kind_of(one, found) for one in arguments if one is not ...]
    made = _container(cls, inner, ... in arguments)
    return {"other": _name(hint)} if made is None else made


def _container(cls: type, inner: list[Json], is_open: bool) -> Json | None:
    of = inner[0] if inner else "any"
    if cls is tuple:
        return {"tuple_of": of} if is_open or not inner else {"tuple": inner}
    if cls in (list, set, frozenset):
        return {cls.__name__: of}
    if cls is dict or (issubclass(cls, dict) and hasattr(cls, "__total__")):
        return {"dict": inner if len(inner) == 2 else ["str" if hasattr(cls, "__total__") else "any", "any"]}
    if cls.__module__ != "collections.abc":
        return None
    if cls.__name__ in _DICTS:
        return {"dict": inner if len(inner) == 2 else ["any", "any"]}
    one_of = [{"list": of}, {"tuple_of": of}] if cls.__name__ in _LISTS else []
    one_of += [{"set": of}, {"frozenset": of}] if cls.__name__ in _SETS else []
    return {"one_of": one_of} if one_of else None


def _literal(value: Any, found: _Found) -> Json:
    return "none" if value is None else {"literal": [kind_of(type(value), found), _shown(value)]}
