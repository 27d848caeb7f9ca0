"""Schemas of apps: what annotations become, and what `lineshaft schema` says of them."""

from __future__ import annotations

import json

import pytest

from lineshaft import App
from lineshaft._schema import schema_of
from support.processes import PATIENCE_S, until

APP = """
    from __future__ import annotations

    import enum
    from collections.abc import Iterable, Mapping, Sequence
    from dataclasses import dataclass, field
    from datetime import datetime
    from decimal import Decimal
    from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NewType, Optional, TypeVar, Union

    import lineshaft
    from lineshaft import App, Job, Resource

    if TYPE_CHECKING:
        from elsewhere import Unknown

    app = App()
    Kilo = NewType("Kilo", float)
    T = TypeVar("T")

    class Colour(enum.Enum):
        RED = 1
        CRIMSON = 1

    class Access(enum.Flag):
        READ = 1
        WRITE = 2

    class Refused(Exception):
        pass

    class Point(NamedTuple):
        x: int
        y: int = 0

    @lineshaft.value("shop.Order", aliases=["shop.Purchase"], renamed={"article": "item"}, removed=["note"])
    @dataclass
    class Order:
        item: str
        parts: list[Order] = field(default_factory=list)
        colour: Colour = Colour.RED
        price: Decimal | None = None

    @app.resource
    def pool() -> int:
        return 5

    @app.task(name="shop.send", version=3, from_version=2, aliases=["shop.mail"])
    def send(order: Order, /, to: str = "ada", *others: int, urgent: bool = False, db: int = app.use(pool),
             **more: Any) -> dict[str, Order]: ...

    @app.task(name="shop.odd")
    def odd(a, b: Unknown, c: T, d: Kilo, e: Annotated[int, "x"], f: Literal["a", 1, None],
            g: Union[int, Optional[str]], h: Sequence[int], i: Mapping[str, float], j: tuple[int, str],
            k: tuple[int, ...], l: tuple,
            m: Iterable[bytes], n: list, o: Job[int], p: datetime, q: type[int], r: Point, s: Access, t: Refused,
            u: set[Colour] | frozenset[int]): ...
"""


@pytest.fixture
def shop(programs):
    programs.write("shop.py", APP)
    return programs


def lineshaft(programs, *words: str):
    return programs.run("-m", "lineshaft", *words)


def shown(programs, target: str = "shop.py") -> dict[str, dict[str, dict[str, object]]]:
    ended = lineshaft(programs, "schema", "show", target, "--json")
    assert ended.returncode == 0, ended.stderr
    document: dict[str, dict[str, dict[str, object]]] = json.loads(ended.stdout)
    return document


def run_by_workers(programs):
    """What the workers of the home run, if there is one that says it."""
    ended = lineshaft(programs, "schema", "show", "--json")
    return json.loads(ended.stdout) if ended.returncode == 0 else None


def test_a_schema_is_what_the_annotations_say(shop):
    document = shown(shop)
    send = document["tasks"]["shop.send"]
    assert (send["version"], send["from_version"], send["aliases"]) == (3, 2, ["shop.mail"])
    assert send["parameters"] == [
        {"name": "order", "kind": "positional_only", "type": {"named": "shop.Order"}},
        {"name": "to", "type": "str", "default": "'ada'"},
        {"name": "others", "kind": "var_positional", "type": "int"},
        {"name": "urgent", "kind": "keyword_only", "type": "bool", "default": "False"},
        {"name": "more", "kind": "var_keyword", "type": "any"},
    ]
    assert send["result"] == {"dict": ["str", {"named": "shop.Order"}]}
    parameters = document["tasks"]["shop.odd"]["parameters"]
    assert isinstance(parameters, list)
    kinds = {parameter["name"]: parameter["type"] for parameter in parameters}
    assert kinds == {
        "a": "any",
        "b": {"other": "Unknown"},
        "c": "any",
        "d": "float",
        "e": "int",
        "f": {"one_of": ["none", {"literal": ["int", "1"]}, {"literal": ["str", "'a'"]}]},
        "g": {"one_of": ["none", "int", "str"]},
        "h": {"one_of": [{"list": "int"}, {"tuple_of": "int"}]},
        "i": {"dict": ["str", "float"]},
        "j": {"tuple": ["int", "str"]},
        "k": {"tuple_of": "int"},
        "l": {"tuple_of": "any"},
        "m": {"one_of": [{"list": "bytes"}, {"set": "bytes"}, {"frozenset": "bytes"}, {"tuple_of": "bytes"}]},
        "n": {"list": "any"},
        "o": "job",
        "p": "datetime",
        "q": {"other": "type[int]"},
        "r": {"named": "shop.Point"},
        "s": {"named": "shop.Access"},
        "t": {"named": "shop.Refused"},
        "u": {"one_of": [{"set": {"named": "shop.Colour"}}, {"frozenset": "int"}]},
    }
    types = {name: {key: it for key, it in one.items() if key != "id"} for name, one in document["types"].items()}
    assert types["shop.Order"] == {
        "kind": "record",
        "aliases": ["shop.Purchase"],
        "renamed": {"article": "item"},
        "removed": ["note"],
        "fields": [
            {"name": "item", "type": "str"},
            {"name": "parts", "type": {"list": {"named": "shop.Order"}}, "default": "…"},
            {"name": "colour", "type": {"named": "shop.Colour"}, "default": "Colour.RED"},
            {"name": "price", "type": {"one_of": ["none", "decimal"]}, "default": "None"},
        ],
    }
    assert types["shop.Colour"] == {"kind": "enum", "members": ["CRIMSON", "RED"]}
    assert types["shop.Access"] == {"kind": "flag", "members": {"READ": 1, "WRITE": 2}}
    assert types["shop.Refused"] == {"kind": "exception"}
    assert types["shop.Point"] == {
        "kind": "record",
        "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": "int", "default": "0"}],
    }


def test_models_are_records_with_the_fields_that_they_have():
    attrs, msgspec, pydantic = (pytest.importorskip(name) for name in ("attrs", "msgspec", "pydantic"))
    app = App("unused")

    class Line(pydantic.BaseModel):  # type: ignore[name-defined, misc]
        model_config = pydantic.ConfigDict(extra="allow")
        text: str
        price: float = 1.0

    @attrs.define
    class Slotted:
        a: int
        b: list[int] = attrs.Factory(list)

    class Struct(msgspec.Struct):  # type: ignore[name-defined, misc]
        id: int
        hint: str | None = None

    for cls in (Line, Slotted, Struct):
        app.register(cls, f"shop.{cls.__name__}")

    def total(line, slotted, struct) -> None: ...

    total.__qualname__ = "total"
    total.__annotations__ = {"line": Line, "slotted": Slotted, "struct": Struct, "return": None}
    app.task(name="total")(total)
    types = schema_of(app)["types"]
    assert types["shop.Line"]["open"]
    assert not types["shop.Slotted"]["open"]
    assert [types[f"shop.{name}"]["fields"] for name in ("Line", "Slotted", "Struct")] == [
        [{"name": "text", "type": "str"}, {"name": "price", "type": "float", "default": "…"}],
        [{"name": "a", "type": "int"}, {"name": "b", "type": {"list": "int"}, "default": "…"}],
        [{"name": "id", "type": "int"}, {"name": "hint", "type": {"one_of": ["str", "none"]}, "default": "None"}],
    ]


def test_people_see_signatures_and_types(shop):
    lines = lineshaft(shop, "schema", "show", "shop.py").stdout.splitlines()
    send = next(at for at, line in enumerate(lines) if line.startswith("shop.send("))
    assert lines[send] == (
        "shop.send(order: shop.Order, /, to: str = 'ada', *others: int, urgent: bool = False, **more: Any)"
        " -> dict[str, shop.Order]"
    )
    assert lines[send + 1].startswith("    version 3, runs jobs from version 2 on, was shop.mail, id ")
    order = next(at for at, line in enumerate(lines) if line.startswith("shop.Order: record, was shop.Purchase, id "))
    assert lines[order + 1 : order + 7] == [
        "    item: str",
        "    parts: list[shop.Order] = …",
        "    colour: shop.Colour = Colour.RED",
        "    price: Decimal | None = None",
        "    article is item now",
        "    note is gone",
    ]


def test_an_id_is_the_same_in_every_process_and_changes_with_what_a_task_reaches(shop):
    before = shown(shop)
    assert shown(shop) == before
    shop.write("shop.py", APP.replace("CRIMSON = 1", "CRIMSON = 2; GREEN = 3"))
    after = shown(shop)
    ids = [{name: one["id"] for name, one in document["tasks"].items()} for document in (before, after)]
    assert ids[0]["shop.send"] != ids[1]["shop.send"]
    types = [{name: one["id"] for name, one in document["types"].items()} for document in (before, after)]
    assert {name for name in types[0] if types[0][name] != types[1][name]} == {"shop.Colour", "shop.Order"}


def test_a_difference_fails_only_if_it_breaks_something(shop):
    kept = lineshaft(shop, "schema", "show", "shop.py", "--json").stdout
    (shop.directory / "schema.json").write_text(kept)
    same = lineshaft(shop, "schema", "diff", "schema.json", "shop.py")
    assert (same.returncode, same.stdout) == (0, ""), same.stderr
    assert "nothing changed that a job could tell" in same.stderr
    shop.write("shop.py", APP.replace("CRIMSON = 1", "CRIMSON = 2; GREEN = 3"))
    careful = lineshaft(shop, "schema", "diff", "schema.json", "shop.py")
    assert careful.returncode == 0, careful.stderr
    assert careful.stdout == (
        "careful   shop.Colour.GREEN: member added\n"
        "          old workers leave new jobs that have it to workers of the new code\n"
    )
    shop.write("shop.py", APP.replace("item: str", "item: int"))
    breaking = lineshaft(shop, "schema", "diff", "schema.json", "shop.py", "--json")
    assert breaking.returncode == 1
    assert "2 changes break jobs" in breaking.stderr
    document = json.loads(breaking.stdout)
    assert document["breaking"]
    assert document["jobs"] == []
    assert {(it["level"], it["path"], it["change"]) for it in document["findings"]} == {
        ("breaking", "shop.Order.item", "type changed from str to int")
    }


SCRIPT = """
import time
from dataclasses import dataclass
from pathlib import Path

from lineshaft import App

app = App()

@dataclass
class Order:
    item: str

@app.task
def hold(order: Order) -> int:
    while not Path(__file__).with_name("go").exists():
        time.sleep(0.02)
    return 1

if __name__ == "__main__":
    WORKERS:
        print(hold.enqueue(Order("cup")).result())
"""


@pytest.mark.parametrize("workers", ["if True", "with app.workers(1)"])
def test_workers_of_a_program_say_what_their_tasks_take(programs, workers):
    """Those of `lineshaft worker` alone said it."""
    programs.write("script.py", SCRIPT.replace("WORKERS", workers))
    process = programs.start("script.py")
    said = until(lambda: run_by_workers(programs), "the worker says it")
    (programs.directory / "go").touch()
    assert process.communicate(timeout=PATIENCE_S)[0] == "1\n"
    assert list(said["tasks"]) == ["script.hold"]
    assert said == shown(programs, "script.py")


def test_what_is_no_schema_says_so(shop):
    (shop.directory / "schema.json").write_text("{}")
    ended = lineshaft(shop, "schema", "diff", "schema.json", "shop.py")
    assert ended.returncode == 2
    assert "cannot read schema.json: it is no schema: missing field" in ended.stderr
    ended = lineshaft(shop, "schema", "show", "other.json")
    assert ended.returncode == 2
    assert "No such file" in ended.stderr
    shop.write("shop.py", "raise ValueError('no')")
    ended = lineshaft(shop, "schema", "show", "shop.py")
    assert ended.returncode == 1
    assert "the app shop.py cannot be loaded" in ended.stderr
