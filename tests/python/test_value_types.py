"""Types of values: their names, how they are declared, and what stands for one that is not known."""

from __future__ import annotations

import decimal
import enum
import importlib
import sys
from dataclasses import dataclass
from typing import Any

import pytest

import lineshaft
from lineshaft import App, DeclarationError, OptionError, Record, SerializationError, _native, _types
from value_types import Bounced, Color, Order, Pair, Permission, Point, cycle, known, make_registry

WAIT = 20


@pytest.fixture(autouse=True)
def _forget_declarations(monkeypatch):
    """What a test declares for the whole process ends with it."""
    monkeypatch.setattr(_types, "_declared", {})
    monkeypatch.setattr(_types, "_of_process", _native.Registry())


def fresh_types() -> _types.Types:
    return App("unused")._types


# `@lineshaft.value`, `app.register`.


def test_a_declared_value_is_known_to_apps_before_and_after():
    before = fresh_types()

    @lineshaft.value("shop.Cart", aliases=["shop.Basket"])
    @dataclass
    class Cart:
        size: int

    after = fresh_types()
    for types in (before, after):
        assert types.decode(types.encode(Cart(3))) == Cart(3)
        assert types.find("shop.Cart") is types.find("shop.Basket") is Cart
        assert types.registry.name_of(Cart) == "shop.Cart"


def test_a_declared_value_without_arguments_travels_under_its_own_name():
    @lineshaft.value
    @dataclass
    class Plain:
        size: int

    @lineshaft.value(aliases=["shop.Old"])
    class Shade(enum.Enum):
        DARK = 1

    types = fresh_types()
    assert types.find(f"{__name__}.{Plain.__qualname__}") is Plain
    assert types.decode(types.encode([Plain(1), Shade.DARK])) == [Plain(1), Shade.DARK]
    assert types.find("shop.Old") is Shade


def test_a_name_given_twice_names_both_classes():
    lineshaft.value("shop.Thing")(Order)
    expected = (
        '"shop.Thing" is registered for value_types.Order already, it cannot name value_types.Pair too\n'
        '  hint: give one of them another name: @lineshaft.value("…") or app.register(…, "…")'
    )
    with pytest.raises(DeclarationError) as caught:
        lineshaft.value("shop.Thing")(Pair)
    assert str(caught.value) == expected
    with pytest.raises(DeclarationError) as caught:
        App("unused").register(Pair, "shop.Other", aliases=["shop.Thing"])
    assert str(caught.value) == expected


def test_a_refused_declaration_leaves_nothing_behind():
    app = App("unused")
    app.register(Order, "shop.Order")
    with pytest.raises(DeclarationError):
        app.register(Pair, "shop.Pair", aliases=["shop.Order"])
    assert Pair not in app._types.registry
    assert app._types.find("shop.Pair") is None


def test_registering_again_keeps_the_name_and_adds_aliases():
    app = App("unused")
    app.register(Order, "shop.Order")
    assert app.register(Order, aliases=["shop.Purchase"]) is Order
    assert app._types.registry.name_of(Order) == "shop.Order"
    assert app._types.find("shop.Purchase") is Order


@pytest.mark.parametrize(
    ("cls", "expected", "hint"),
    [
        (
            int,
            "builtins.int is no dataclass, enumeration, named tuple, exception or model of pydantic, msgspec or attrs",
            "make it one; @dataclass stands below @lineshaft.value",
        ),
        (
            dataclass(type("Odd", (dict,), {"__annotations__": {"size": int}, "__module__": "shop"})),
            "shop.Odd cannot be built field by field: it derives from a builtin class",
            "hold the builtin in a field instead",
        ),
    ],
)
def test_what_cannot_be_a_value_is_refused_when_it_is_declared(cls, expected, hint):
    for declare in (lineshaft.value, lineshaft.value("shop.X"), App("unused").register):
        with pytest.raises(DeclarationError) as caught:
            declare(cls)
        assert str(caught.value) == f"{expected}\n  hint: {hint}"


def test_names_and_aliases_are_texts():
    with pytest.raises(OptionError, match=r"option `name`: 5 is not accepted"):
        lineshaft.value(5)  # type: ignore[call-overload]
    for declare in (lambda: lineshaft.value(aliases="shop.X")(Order), lambda: App("x").register(Order, aliases="shop")):
        with pytest.raises(OptionError, match=r"(?s)option `aliases`: 'shop.*accepted: names in a list"):
            declare()
    with pytest.raises(OptionError) as caught:
        lineshaft.value("a\nb")(Order)
    assert str(caught.value) == (
        '"a\\nb" cannot be the name of a type\n  hint: 1 to 255 bytes without control characters, such as "shop.Order"'
    )


# Records: types as data.


def raw(value: Any) -> Any:
    return _native.decode_raw(_native.encode(value, make_registry()))


def test_types_are_records_whether_or_not_they_are_known():
    assert raw(Order(3, decimal.Decimal("1.20"), [Point(1.0, 2.0)])) == Record(
        "shop.Order",
        {"id": 3, "total": decimal.Decimal("1.20"), "items": [Record("shop.Point", {"x": 1.0, "y": 2.0})]},
    )
    assert raw(Pair(1)) == Record("shop.Pair", {"left": 1, "right": "right"})
    assert raw(Color.RED) == Record("shop.Color", {"name": "RED"})
    assert raw(Permission.READ | Permission.RUN) == Record("shop.Permission", {"value": 5})
    assert raw(Bounced("a@b.c", 550)) == Record("shop.Bounced", {"args": ("a@b.c bounced",), "code": 550})


def test_raw_leaves_all_other_values_as_they_are():
    values = [None, 1, (2, {3}), {"a": b"b"}, decimal.Decimal(1)]
    assert raw(values) == values
    assert type(raw(KeyError("x"))) is KeyError
    loop = raw(cycle())
    assert loop[1] is loop
    order = raw(known())
    assert order.fields["items"][0] is order
    assert (
        repr(order) == "Record('shop.Order', {'id': 1, 'total': Decimal('0'), 'items': [Record('shop.Order', {...})]})"
    )


def test_records_of_hashable_types_are_hashable():
    assert raw({Point(1.0, 2.0), Color.RED}) == {
        Record("shop.Color", {"name": "RED"}),
        Record("shop.Point", {"x": 1.0, "y": 2.0}),
    }
    assert raw({Pair(1): 2})[Record("shop.Pair", {"left": 1, "right": "right"})] == 2
    assert len({hash(Record("a.B", {"x": number})) for number in range(100)}) == 100


def test_records_match_by_name_and_fields():
    match raw(Color.RED):
        case Record("shop.Color", {"name": name}):
            assert name == "RED"
        case other:
            pytest.fail(repr(other))
    assert Record("a.B", {}) != Record("a.C", {})
    assert Record("a.B", {}) != "a.B"


def test_a_result_of_an_unknown_type_says_what_to_do_and_can_be_read_raw(shop):
    job = shop.repaint.enqueue(shop.Order("hat", shop.Colour.RED, shop.Size(1, 2)), shop.Colour.BLUE)
    assert isinstance(job.result(WAIT), shop.Order)
    stranger = App(shop.app.url).job(job.id)
    with pytest.raises(SerializationError) as caught:
        stranger.result(WAIT)
    assert str(caught.value) == (
        "type shop.Order is not registered here\n"
        '  hint: if it was renamed, keep its old name: @lineshaft.value(aliases=["shop.Order"]); '
        "else app.register it; or read it as it is: result(raw=True)"
    )
    assert caught.value.__notes__ == [f"in the result of job {job.id}"]
    expected = Record(
        "shop.Order",
        {
            "item": "hat",
            "colour": Record("shop.Colour", {"name": "BLUE"}),
            "size": Record("shop.Size", {"width": 1, "height": 2}),
        },
    )
    assert stranger.result(WAIT, raw=True) == expected
    assert job.result(WAIT, raw=True) == expected, "also where the types are known"


async def _aresult(job: Any) -> Any:
    return await job.aresult(WAIT, raw=True)


def test_coroutines_read_raw_results_too(shop):
    import asyncio

    assert asyncio.run(_aresult(shop.echo.enqueue(shop.Colour.RED))) == Record("shop.Colour", {"name": "RED"})


# Nothing that bytes name is imported or called.


def test_decoding_never_imports_what_the_bytes_name(tmp_path, monkeypatch):
    trap = "value_trap"
    (tmp_path / f"{trap}.py").write_text("import builtins\nbuiltins.value_trap_was_sprung = True\nclass Trap: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = _native.Registry()
    for cls, name in ((Order, "Trap"), (Color, "Shade"), (Permission, "Bits"), (Bounced, "Bang"), (Pair, "Two")):
        registry.register(cls, f"{trap}.{name}")
    values = [Order(1, decimal.Decimal(1)), Color.RED, Permission.READ, Bounced("a", 1), Pair(1)]
    for value in values:
        payload = _native.encode(value, registry)
        with pytest.raises(SerializationError, match=r"type value_trap.* is not registered here"):
            _native.decode(payload, _native.Registry())
        assert _native.decode_raw(payload).name.startswith(trap)
        assert trap in _native.show(payload) or "(" in _native.show(payload) or "." in _native.show(payload)
    assert trap not in sys.modules
    # The trap works: had anything imported it, this mark would have been there before.
    assert not hasattr(sys.modules["builtins"], "value_trap_was_sprung")
    monkeypatch.setattr("builtins.value_trap_was_sprung", False, raising=False)
    importlib.import_module(trap)
    assert sys.modules["builtins"].value_trap_was_sprung is True  # type: ignore[attr-defined]
    monkeypatch.delitem(sys.modules, trap)


def test_decoding_calls_no_code_of_the_class():
    called: list[str] = []

    def hook(name: str) -> Any:
        def call(*args: Any, **_: Any) -> Any:
            called.append(name)
            return object.__new__(args[0]) if name == "__new__" else None

        return call

    names = ("__init__", "__post_init__", "__new__", "__setattr__", "__setstate__", "__getattribute__", "__del__")
    body: dict[str, Any] = {name: hook(name) for name in names if name != "__getattribute__"}
    fields = {"__annotations__": {"size": int}, "__module__": "shop"}
    trap = dataclass(init=False)(type("Trap", (), {**fields, **body}))
    instance = object.__new__(trap)
    object.__setattr__(instance, "size", 3)
    registry = make_registry()
    registry.register(trap, "shop.Trap")
    called.clear()
    decoded = _native.decode(_native.encode(instance, registry), registry)
    assert (type(decoded), decoded.size, called) == (trap, 3, [])
    # The hooks do hear of calls.
    trap()
    assert {"__new__", "__init__"} <= set(called)


def test_names_of_builtins_are_exceptions_or_nothing():
    def exception_named(name: str) -> bytes:
        raw = name.encode()
        body = bytes([0x93, 0xA0 | len(raw)]) + raw + b"\x91\xa4echo\x80"
        return b"\x01\xc7" + bytes([len(body), 17]) + body

    registry = _native.Registry()
    for name in ("builtins.eval", "builtins.print", "builtins.open", "os.system", "builtins.type", "builtins.__name__"):
        with pytest.raises(SerializationError, match="is not registered here") as caught:
            _native.decode(exception_named(name), registry)
        assert caught.value.missing == name
        assert _native.decode_raw(exception_named(name)) == Record(name, {"args": ("echo",)})
    assert repr(_native.decode(exception_named("builtins.OSError"), registry)) == "OSError('echo')"
