"""What a program says about its values: names for its types, and what stands for a type that it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from ._options import wrong
from ._types import Before, declare_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Pickled", "Record", "value"]

C = TypeVar("C", bound="type[Any]")
T = TypeVar("T")

_PLAIN = (type(None), bool, int, float, complex, str, bytes)


@overload
def value(cls: C, /) -> C: ...


@overload
def value(
    name: str | None = None,
    /,
    *,
    aliases: Iterable[str] = (),
    renamed: Mapping[str, str] | None = None,
    removed: Iterable[str] = (),
) -> Callable[[C], C]: ...


def value(
    name: Any = None,
    /,
    *,
    aliases: Iterable[str] = (),
    renamed: Mapping[str, str] | None = None,
    removed: Iterable[str] = (),
) -> Any:
    """Lets values of the decorated class be sent by every app of this process.

    `@lineshaft.value` sends them under module.qualname, `@lineshaft.value("shop.Order")` under a name that stays when
    the class moves. Bytes that say one of `aliases`, its names of old, are read as it too. `renamed` has old names of
    its fields with those they have now, and `removed` names fields that are gone: what older values have of them is
    dropped. It goes on top, above `@dataclass`.
    """
    before = Before.of(aliases, renamed, removed)
    if isinstance(name, type):
        return declare_value(name, None, before)
    if name is not None and not isinstance(name, str):
        raise wrong("name", name, 'the name of a type, such as "shop.Order"')
    return lambda cls: declare_value(cls, name, before)


class Pickled(Generic[T]):
    """An object that is sent as a pickle, for what is no value otherwise: `fit.enqueue(Pickled(model))`.

    It arrives as a `Pickled` too, with the object as its `value`, and only at an app that was made with
    `App(accept_pickle=True)`: whoever can write to the home of such an app can run any code in its processes.
    """

    __slots__ = ("value",)
    __match_args__ = ("value",)

    value: T
    """The object."""

    def __init__(self, value: T) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Pickled({self.value!r})"


class Record:
    """A value of a named type as data: the type's `name` and its `fields` in their order, nothing more.

    `job.result(raw=True)` gives records in place of dataclasses, models and named tuples (`fields` are theirs), of
    enumeration members (`{"name": "RED"}`, of flags `{"value": 5}`) and of the app's exceptions (`{"args": (...)}`
    and their attributes), whether or not this process knows the type.
    """

    __slots__ = ("fields", "name")
    __match_args__ = ("name", "fields")

    name: str
    """Canonical name of the type, such as `shop.Order`."""
    fields: dict[str, Any]
    """Its fields in the order of their declaration."""

    def __init__(self, name: str, fields: dict[str, Any]) -> None:
        self.name = name
        self.fields = fields

    def __repr__(self) -> str:
        return f"Record({self.name!r}, {self.fields!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return self.name == other.name and self.fields == other.fields

    def __hash__(self) -> int:
        # Equal records have equal plain fields; the others may be unhashable, or lead back here.
        plain = [(name, value) for name, value in self.fields.items() if type(value) in _PLAIN]
        return hash((self.name, frozenset(plain)))
