"""Values that are older than their class: fields that were renamed or are gone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

import lineshaft
from lineshaft import App, DeclarationError, OptionError, SerializationError, _native


@dataclass
class Old:
    colour: str
    note: Any = None
    parts: list[Any] = field(default_factory=list)


@dataclass
class New:
    color: str
    parts: list[Any] = field(default_factory=list)
    count: int = 1


RENAMED = {"colour": "color"}


def read(value: Any, old: type, new: type, others: tuple[type, ...] = ()) -> Any:
    """`value` of the class `old` as one of `new`; of the other classes only the writer knows."""
    older, newer = _native.Registry(), _native.Registry()
    older.register(old, "shop.Order")
    for other in others:
        older.register(other, f"shop.{other.__name__}")
    newer.register(new, "shop.Order", [], RENAMED, ["note"])
    return _native.decode(_native.encode(value, older), newer)


class OldTuple(NamedTuple):
    colour: str
    note: Any = None


class NewTuple(NamedTuple):
    color: str
    count: int = 1


def test_fields_of_before_are_read_or_dropped():
    assert read(Old("red", "soon", [5]), Old, New) == New("red", [5])
    assert read([Old("red"), Old("blue")], Old, New) == [New("red"), New("blue")]
    assert read(OldTuple("red", [1, {2: 3}]), OldTuple, NewTuple) == NewTuple("red")


def test_models_do_so_too():
    attrs, msgspec, pydantic = (pytest.importorskip(name) for name in ("attrs", "msgspec", "pydantic"))

    class OldModel(pydantic.BaseModel):  # type: ignore[name-defined, misc]
        colour: str
        note: int = 0
        size: int = 5

    class NewModel(pydantic.BaseModel):  # type: ignore[name-defined, misc]
        color: str
        size: int = 7

    class Open(NewModel):
        model_config = pydantic.ConfigDict(extra="allow")

    model = read(OldModel(colour="red", note=1), OldModel, NewModel)
    assert (model, model.model_fields_set) == (NewModel(color="red", size=5), {"color"})
    assert read(OldModel(colour="red", note=1, size=6), OldModel, Open).model_extra == {}

    class OldStruct(msgspec.Struct):  # type: ignore[name-defined, misc]
        colour: str
        note: int = 0

    class NewStruct(msgspec.Struct):  # type: ignore[name-defined, misc]
        color: str

    assert read(OldStruct("red", 1), OldStruct, NewStruct) == NewStruct("red")
    old, new = attrs.make_class("OldAttrs", ["colour", "note"]), attrs.make_class("NewAttrs", ["color"])
    assert read(old("red", 1), old, new) == new("red")


def test_what_is_dropped_may_be_of_a_type_that_is_gone_too():
    @dataclass
    class Note:
        text: str

    assert read(Old("red", Note("soon")), Old, New, (Note,)) == New("red")


def test_what_is_dropped_may_be_referred_to():
    shared = [1, 2]
    read_again = read([Old("red", {"shared": shared}, shared), shared], Old, New)
    assert read_again == [New("red", [1, 2]), [1, 2]]
    assert read_again[0].parts is read_again[1]


def test_a_reference_into_what_cannot_be_made_is_an_error():
    @dataclass
    class Note:
        text: list[int]

    note = Note([1])
    with pytest.raises(SerializationError, match="refers to something"):
        read(Old("red", note, note.text), Old, New, (Note,))
    # Beside it everything is read.
    shared = [3]
    assert read([Old("red", note), shared, shared], Old, New, (Note,)) == [New("red"), [3], [3]]


def test_other_fields_are_missing_as_ever():
    older, newer = _native.Registry(), _native.Registry()
    older.register(Old, "shop.Order")
    newer.register(New, "shop.Order", [], RENAMED)
    with pytest.raises(SerializationError, match="removed=") as caught:
        _native.decode(_native.encode(Old("red", 5), older), newer)
    assert caught.value.missing == "shop.Order.note"


def test_what_was_said_once_holds_when_a_class_is_registered_again():
    app = App("unused")
    app.register(New, "shop.Order", renamed=RENAMED, removed=["note"])
    app.register(New, aliases=["shop.Purchase"])
    older = _native.Registry()
    older.register(Old, "shop.Purchase")
    assert app._types.decode(_native.encode(Old("red", 5), older)) == New("red")
    assert app._types.registry.before(New) == (["shop.Purchase"], RENAMED, ["note"])


def test_what_cannot_be_is_refused_when_it_is_declared():
    for renamed, removed, expected in (
        ({"colour": "hue"}, (), 'says that "colour" was renamed to "hue", which is none of its fields'),
        ({"parts": "color"}, (), 'says that "parts" is gone, which is one of its fields'),
        ({}, ("count",), 'says that "count" is gone, which is one of its fields'),
    ):
        with pytest.raises(DeclarationError, match=expected):
            App("unused").register(New, "shop.Order", renamed=renamed, removed=removed)
    with pytest.raises(OptionError, match="`removed`"):
        lineshaft.value(removed="note")(New)
    with pytest.raises(OptionError, match="`renamed`"):
        lineshaft.value(renamed={"colour": 5})(New)  # type: ignore[dict-item]
