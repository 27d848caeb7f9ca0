"""Models of pydantic, msgspec and attrs come back as they were, without being validated or initialised again."""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic")
pytest.importorskip("msgspec")
pytest.importorskip("attrs")

import attrs
import msgspec
import pydantic

import model_types as models
from conftest import environment
from lineshaft import App, Record, SerializationError, _native, _types

NAMES = ("Line", "Invoice", "Open", "Numbers", "Parcel", "Struct", "Node", "Small", "Slotted", "Hashed", "HashedSlots")


def make_registry() -> _native.Registry:
    registry = _native.Registry()
    for name in NAMES:
        registry.register(getattr(models, name), f"shop.{name}")
    return registry


def round_trip(value: Any) -> Any:
    registry = make_registry()
    payload = _native.encode(value, registry)
    models.validations.clear()
    decoded = _native.decode(payload, registry)
    assert models.validations == [], "no validator or hook ran"
    assert type(decoded) is type(value)
    return decoded


# pydantic.


def test_a_pydantic_model_comes_back_with_its_validation_state():
    invoice = models.Invoice(number=1, lines=[models.Line(text="a")])
    invoice._seen = 7
    decoded = round_trip(invoice)
    assert decoded == invoice
    assert decoded.model_fields_set == {"number", "lines"}
    assert decoded.lines[0].model_fields_set == {"text"}
    assert (decoded._seen, decoded.made) == (7, datetime.date(2026, 1, 2))
    assert decoded.model_dump(exclude_unset=True) == {"number": 1, "lines": [{"text": "a"}]}
    decoded.number = 5
    assert models.validations == [5], "it validates what is set from now on"


def test_a_pydantic_model_with_all_fields_given_is_a_plain_record():
    line = models.Line(text="a", price=2.0)
    assert round_trip(line) == line
    assert round_trip(line).model_fields_set == {"text", "price"}
    payload = _native.encode(line, make_registry())
    assert payload == bytes.fromhex("01c72210") + b"\x92\xa9shop.Line\x82\xa4text\xa1a\xa5price\xcb\x40" + bytes(7)


def test_what_a_pydantic_model_was_given_beyond_its_fields_is_kept():
    thing = models.Open(name="a", colour="red", size={"x": 1})  # type: ignore[call-arg]
    decoded = round_trip(thing)
    assert decoded == thing
    assert decoded.__pydantic_extra__ == {"colour": "red", "size": {"x": 1}}
    assert decoded.model_fields_set == {"name", "colour", "size"}
    with pytest.raises(pydantic.ValidationError):
        decoded.name = "b"


def test_an_unvalidated_pydantic_model_stays_as_it_is():
    odd = models.Line.model_construct(text=5, _fields_set={"text", "nothing"})
    decoded = round_trip(odd)
    assert decoded.text == 5
    assert decoded.model_fields_set == {"text", "nothing"}
    with pytest.raises(SerializationError, match=r"^value\.text: it was made without this field$"):
        _native.encode(models.Line.model_construct(), make_registry())


def test_root_models_and_pydantic_dataclasses_come_back():
    assert round_trip(models.Numbers([1, 2])) == models.Numbers([1, 2])
    parcel = models.Parcel(3, models.Line(text="a"))
    assert round_trip(parcel) == parcel


def test_a_pydantic_model_may_refer_to_itself():
    thing = models.Open(name="a", me=None)  # type: ignore[call-arg]
    thing.__pydantic_extra__["me"] = thing  # type: ignore[index]
    decoded = round_trip([thing])[0]
    assert decoded.me is decoded


def test_generic_models_are_named_after_their_arguments():
    assert _types.type_name(models.Page[models.Line]) == "model_types.Page[model_types.Line]"
    assert _types.type_name(models.Page[dict[str, int]]) == "model_types.Page[dict[str, int]]"
    assert _types.type_name(models.Page[int | None]) == "model_types.Page[Union[int, NoneType]]"
    assert _types.type_name(models.Page[models.Page[int]]) == "model_types.Page[model_types.Page[int]]"
    assert _types.type_name(models.Page) == "model_types.Page"


def test_models_in_annotations_register_themselves():
    types = App("unused")._types
    types.learn(models.total)
    page = models.Page[models.Line](items=[models.Line(text="a")])
    assert types.decode(types.encode(page)) == page
    assert type(types.decode(types.encode(page))) is models.Page[models.Line]
    for name in NAMES:
        assert getattr(models, name) in types.registry, name
    assert types.registry.name_of(models.Page[models.Invoice]) == "model_types.Page[model_types.Invoice]"


def test_models_travel_to_a_worker_and_back(programs):
    programs.write("model_types.py", (Path(__file__).parent / "model_types.py").read_text())
    programs.write(
        "main.py",
        """
        from model_types import Invoice, Line, Page, Slotted, app, total

        if __name__ == "__main__":
            invoice = Invoice(number=1, lines=[Line(text="a")], remark="x")
            with app.workers(1):
                job = total.enqueue(invoice, Page[Line](items=[Line(text="b")]), [Slotted(1)])
                result = job.result(30)
            print(type(result) is Page[Invoice], result.items == [invoice], sorted(result.items[0].model_fields_set))
        """,
    )
    ended = programs.run("main.py", MODELS_HOME=str(programs.directory / ".lineshaft"))
    assert ended.stdout == "True True ['lines', 'note', 'number']\n", ended.stderr


def test_private_attributes_that_the_bytes_lack_have_their_defaults():
    class Older(pydantic.BaseModel):
        number: int

    class Newer(pydantic.BaseModel):
        number: int
        half: float = pydantic.Field(default_factory=lambda values: values["number"] / 2)
        tags: list[str] = []
        _cache: dict[str, int] = pydantic.PrivateAttr(default_factory=dict)

    older, newer = _native.Registry(), _native.Registry()
    older.register(Older, "shop.Thing")
    newer.register(Newer, "shop.Thing")
    decoded = _native.decode(_native.encode(Older(number=3), older), newer)
    assert (decoded.half, decoded.tags, decoded._cache) == (1.5, [], {})
    assert decoded.tags is not Newer.model_fields["tags"].default
    assert decoded.model_fields_set == {"number"}
    with pytest.raises(SerializationError) as caught:
        _native.decode(_native.encode(Newer(number=3), newer), older)
    assert caught.value.missing == "shop.Thing.half"


# msgspec.


def test_structs_come_back():
    for value in (models.Struct(id=1), models.Struct(id=2, tags=["a"], hint="h"), models.Node("a", models.Node("b"))):
        assert round_trip(value) == value
    assert round_trip(models.Struct(id=1)).hint is msgspec.UNSET
    assert round_trip(models.Small(3)) == models.Small(3)
    with pytest.raises(AttributeError):
        round_trip(models.Struct(id=1)).id = 5


def test_a_struct_may_refer_to_itself():
    node = models.Node("a")
    node.next_node = node
    decoded = round_trip([node])[0]
    assert decoded.next_node is decoded


def test_many_structs_are_made_and_freed():
    structs = [models.Small(number) for number in range(10_000)]
    for _ in range(3):
        decoded = round_trip(structs)
        assert decoded == structs
        del decoded
    nodes = [models.Node(str(number), models.Node("x")) for number in range(10_000)]
    assert round_trip(nodes) == nodes


# attrs.


def test_attrs_classes_come_back():
    slotted = models.Slotted(1, [2])
    slotted.c = 9
    assert round_trip(slotted) == slotted
    assert round_trip(slotted).c == 9
    for value in (models.Hashed("3"), models.HashedSlots(1)):  # type: ignore[arg-type]
        assert round_trip(value) == value
        assert hash(round_trip(value)) == hash(value)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            round_trip(value).a = 5


def test_fields_that_the_bytes_lack_have_their_defaults():
    @attrs.define
    class Older:
        a: int

    older, newer = _native.Registry(), _native.Registry()
    older.register(Older, "shop.Hashed")
    newer.register(models.Hashed, "shop.Hashed")
    assert _native.decode(_native.encode(Older(4), older), newer) == models.Hashed(4, 4)


# All of them.


def test_models_are_records_to_those_who_do_not_know_them():
    invoice = models.Invoice(number=1, lines=[models.Line(text="a")])
    payload = _native.encode([invoice, models.Struct(id=1), models.Slotted(1)], make_registry())
    raw = _native.decode_raw(payload)
    assert raw[0] == Record(
        "shop.Invoice",
        {
            "number": 1,
            "lines": [Record("shop.Line", {"text": "a", "price": 1.0})],
            "note": "",
            "made": datetime.date(2026, 1, 2),
        },
    )
    assert raw[1:] == [
        Record("shop.Struct", {"id": 1, "tags": []}),
        Record("shop.Slotted", {"a": 1, "b": [], "c": 2}),
    ]
    assert _native.show(payload).startswith("[Invoice(number=1, lines=[Line(text='a', price=1.0)], note='', made=")


@pytest.mark.parametrize("value", [models.Line(text="a"), models.Node("a"), models.Slotted(1)])
def test_an_unregistered_model_says_what_to_do(value):
    with pytest.raises(SerializationError) as caught:
        _native.encode(value, _native.Registry())
    name = type(value).__name__
    assert str(caught.value) == (
        f"value: {name} is not a registered type\n  hint: app.register({name}) makes model_types.{name} one"
    )


def test_a_part_that_is_no_value_is_named_with_its_path():
    thing = models.Open(name="a", of=[object()])  # type: ignore[call-arg]
    with pytest.raises(SerializationError, match=r"^value\.of\[0\]: object is not a value\n  hint: values are data"):
        _native.encode(thing, make_registry())
    with pytest.raises(SerializationError, match=r"^value\.b\[0\]: object is not a value\n  hint: values are data"):
        _native.encode(models.Slotted(1, [object()]), make_registry())  # type: ignore[list-item]


def test_the_libraries_are_never_imported_by_lineshaft():
    program = """
import dataclasses, sys
import lineshaft
from lineshaft import App
app = App("unused")
@dataclasses.dataclass
class Order:
    id: int
app.register(Order)
try:
    app._types.encode([Order(1), object()])
except lineshaft.SerializationError:
    pass
print([name for name in ("pydantic", "msgspec", "attr", "attrs", "numpy", "pyarrow") if name in sys.modules])
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "[]\n"
