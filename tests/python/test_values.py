"""Values come back as they were, with exactly their type; what is no value says where it stands."""

from __future__ import annotations

import collections
import contextlib
import copy
import datetime
import decimal
import enum
import json
import math
import random
import socket
import sys
import uuid
import zoneinfo
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lineshaft import _native
from lineshaft._errors import DeclarationError, OptionError, SerializationError
from value_types import (
    Bounced,
    Color,
    Level,
    Order,
    Pair,
    Permission,
    Point,
    cycle,
    known,
    make_registry,
    namespace,
    shared,
)

VECTORS = Path(__file__).parents[2] / "crates/lineshaft-wire/tests/it/vectors.json"
COMPRESSED = 0x10


def load_vectors() -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in json.loads(VECTORS.read_text(encoding="utf-8"))]


@pytest.fixture
def registry() -> _native.Registry:
    return make_registry()


def round_trip(value: Any) -> Any:
    registry = make_registry()
    return _native.decode(_native.encode(value, registry), registry)


def refusal(value: Any) -> str:
    with pytest.raises(SerializationError) as caught:
        _native.encode_call((0, value), {}, make_registry())
    return str(caught.value).splitlines()[0]


def undecodable(payload: bytes, registry: _native.Registry | None = None) -> str:
    with pytest.raises(SerializationError) as caught:
        _native.decode(payload, registry or make_registry())
    return str(caught.value)


def assert_same(actual: Any, expected: Any) -> None:
    """Equal in type, value and every part; NaN equals NaN, and -0.0 is not 0.0."""
    assert type(actual) is type(expected)
    if type(expected).__module__ == "pyarrow.lib":
        assert actual.equals(expected)
    elif hasattr(expected, "dtype"):
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
        assert actual.tobytes() == expected.tobytes()
    elif isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, dict):
        assert_same(list(actual.items()), list(expected.items()))
    elif isinstance(expected, BaseException):
        assert_same(actual.args, expected.args)
        assert_same(vars(actual), vars(expected))
    elif isinstance(expected, float):
        assert actual.hex() == expected.hex()
    elif isinstance(expected, datetime.datetime):
        assert (actual.replace(tzinfo=None), actual.fold) == (expected.replace(tzinfo=None), expected.fold)
        assert_same(actual.tzinfo, expected.tzinfo)
    else:
        assert repr(actual) == repr(expected)


# The vectors, which Rust reads too.


@pytest.mark.parametrize("vector", load_vectors())
def test_vectors(vector: dict[str, Any], registry: _native.Registry) -> None:
    payload = bytes.fromhex(vector["hex"])
    if "call" in vector:
        args, kwargs = eval(vector["call"], namespace())
        assert _native.encode_call(args, kwargs, registry) == payload
        assert_same(_native.decode_call(payload, registry), (args, kwargs or {}))
        return
    if "needs" in vector or "numpy" in vector["python"]:
        pytest.importorskip(vector.get("needs", "numpy"))
    value = eval(vector["python"], namespace())
    # What a compressor or Arrow writes belongs to its version.
    if not payload[0] & COMPRESSED and vector.get("needs") != "pyarrow":
        assert _native.encode(value, registry) == payload
    assert _native.show(payload, 1000) == vector["shows"]
    decoded = _native.decode(payload, registry)
    if "same as" not in vector["shows"]:
        assert_same(decoded, value)


# Types.


def random_value(source: random.Random, depth: int) -> Any:
    """Any value of the core types, nested at most `depth` deep."""

    def several() -> list[Any]:
        return [random_value(source, depth - 1) for _ in range(source.randrange(5))]

    leaves = [
        lambda: source.choice([None, True, False, ...]),
        lambda: source.randrange(-(2 ** source.randrange(1, 200)), 2 ** source.randrange(1, 200)),
        lambda: source.choice([0.0, -0.0, math.inf, -math.inf, math.nan, source.gauss(0, 1e9), source.random()]),
        lambda: "".join(chr(source.choice([65, 0xE4, 0x4E16, 0x1F388, 0xDC80])) for _ in range(source.randrange(40))),
        lambda: source.randbytes(source.randrange(300)),
        lambda: bytearray(source.randbytes(source.randrange(20))),
        lambda: datetime.datetime(source.randrange(1, 10_000), 2, 3, source.randrange(24), fold=source.randrange(2)),
        lambda: datetime.datetime.now(zoneinfo.ZoneInfo("America/New_York")),
        lambda: datetime.timedelta(source.randrange(-999, 999), source.randrange(86_400), source.randrange(10**6)),
        lambda: decimal.Decimal(source.randrange(-(10**30), 10**30)).scaleb(source.randrange(-40, 40)),
        lambda: uuid.UUID(int=source.getrandbits(128)),
        lambda: source.choice([Color.RED, Level.HIGH, Permission(source.randrange(8))]),
        lambda: Point(source.random(), -1.0),
        lambda: range(source.randrange(-9, 9), source.randrange(9), source.randrange(1, 9)),
        lambda: complex(source.random(), -math.inf),
        lambda: frozenset({source.randrange(9)}),
    ]
    nested = [
        several,
        lambda: tuple(several()),
        lambda: dict(enumerate(several())),
        lambda: {(key, "k"): value for key, value in enumerate(several())},
        lambda: {source.randrange(10**9)},
        lambda: Order(source.randrange(9), decimal.Decimal("1.5"), several()),
        lambda: Pair(1, random_value(source, depth - 1)),
        lambda: ValueError(*several()),
    ]
    return source.choice(leaves + (nested * 2 if depth else []))()


@pytest.mark.parametrize("seed", range(300))
def test_random_values_come_back(seed: int, registry: _native.Registry) -> None:
    value = random_value(random.Random(seed), 4)
    payload = _native.encode(value, registry)
    assert_same(_native.decode(payload, registry), value)
    assert _native.show(payload)


def test_bool_and_int_stay_apart() -> None:
    assert_same(round_trip([True, 1, False, 0]), [True, 1, False, 0])


def test_an_enumeration_gives_the_very_member() -> None:
    assert round_trip(Color.RED) is Color.RED
    assert round_trip(Level.HIGH) is Level.HIGH
    assert round_trip(Permission.READ | Permission.RUN) == Permission.READ | Permission.RUN


def test_a_dataclass_is_rebuilt_without_its_init(registry: _native.Registry) -> None:
    @dataclass
    class Strict:
        size: int
        source: InitVar[str] = "none"
        label: str = field(init=False)

        def __post_init__(self, source: str) -> None:
            assert source == "real"
            self.label = f"{source} {self.size}"

    registry.register(Strict, "shop.Strict")
    decoded = _native.decode(_native.encode(Strict(3, "real"), registry), registry)
    assert (type(decoded), decoded.size, decoded.label) == (Strict, 3, "real 3")


def test_frozen_dataclasses_with_slots_come_back_and_stay_frozen() -> None:
    decoded = round_trip(Point(1.0, 2.0))
    assert decoded == Point(1.0, 2.0)
    with pytest.raises(AttributeError):
        decoded.x = 3.0


def test_exceptions_keep_arguments_attributes_and_notes() -> None:
    error = Bounced("a@b.c", 550)
    error.__dict__["__notes__"] = ["try later"]
    decoded = round_trip(error)
    assert (type(decoded), decoded.args, decoded.code) == (Bounced, ("a@b.c bounced",), 550)
    assert decoded.__notes__ == ["try later"]
    system = round_trip(FileNotFoundError(2, "No such file", "x.txt"))
    assert (system.errno, system.filename) == (2, "x.txt")
    assert round_trip(StopIteration(7)).value == 7


def test_times_keep_zone_and_fold() -> None:
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    moment = datetime.datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=1)
    decoded = round_trip(moment)
    assert (decoded, decoded.fold, decoded.tzinfo) == (moment, 1, berlin)
    assert decoded.utcoffset() == datetime.timedelta(hours=1)
    assert round_trip(datetime.time(1, tzinfo=datetime.timezone.utc)).tzinfo is datetime.timezone.utc


def test_shared_references_and_cycles_come_back() -> None:
    inner, outer = round_trip(shared())
    assert outer["again"] is inner
    loop = round_trip(cycle())
    assert loop[1] is loop
    order = round_trip(known())
    assert order.items[0] is order
    through_a_tuple: list[Any] = []
    through_a_tuple.append((through_a_tuple, {"self": through_a_tuple}))
    decoded = round_trip(through_a_tuple)
    assert decoded[0][0] is decoded
    assert decoded[0][1]["self"] is decoded


def test_many_shared_objects_are_told_apart() -> None:
    parts = [[number] for number in range(100)]
    first, second = round_trip([parts, list(reversed(parts))])
    assert all(one is other for one, other in zip(first, reversed(second), strict=True))
    assert [part[0] for part in first] == list(range(100))


def test_equal_but_separate_objects_stay_separate() -> None:
    first, second = round_trip([[1], [1]])
    assert first == second
    assert first is not second


# What is no value.


class Text(str):
    pass


class Items(list):  # type: ignore[type-arg]
    pass


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (object(), "args[1]: object is not a value"),
        ([1, {"a": (2, object())}], "args[1][1]['a'][1]: object is not a value"),
        ({(1, object()): 2}, "args[1].keys()[0][1]: object is not a value"),
        ({"a": {object}}, "args[1]['a']{…}: type is not a value"),
        (Order(1, decimal.Decimal(1), [1, 2, 3, len]), "args[1].items[3]: builtin_function_or_method is not a value"),
        (Pair(1, object()), "args[1].right: object is not a value"),  # type: ignore[arg-type]
        (ValueError(1, object()), "args[1].args[1]: object is not a value"),
        (Text("a"), "args[1]: Text is not a value"),
        (Items(), "args[1]: Items is not a value"),
        (collections.OrderedDict(), "args[1]: OrderedDict is not a value"),
        (collections.defaultdict(int), "args[1]: defaultdict is not a value"),
        (lambda: 0, "args[1]: function is not a value"),
        (sys, "args[1]: module is not a value"),
        ((number for number in ()), "args[1]: generator is not a value"),
        (
            datetime.datetime(2026, 1, 1, tzinfo=type("Odd", (datetime.tzinfo,), {})()),
            "args[1].tzinfo: Odd is not a value",
        ),
        (enum.Enum("Size", "S M").S, "args[1]: Size is not a registered type"),
        (type("Weird", (Exception,), {})(), "args[1]: Weird is not a registered type"),
    ],
)
def test_refusals_name_the_path(value: Any, expected: str) -> None:
    assert refusal(value) == expected


def test_a_socket_is_not_a_value() -> None:
    with socket.socket() as connection:
        assert refusal([connection]) == "args[1][0]: socket is not a value"
        with pytest.raises(SerializationError, match=r"^kwargs\['to'\]\[0\]: socket is not a value\n  hint: "):
            _native.encode_call((), {"to": [connection]}, make_registry())


def test_refusals_say_what_to_do() -> None:
    with pytest.raises(SerializationError) as caught:
        _native.encode(Order(1, decimal.Decimal(1)), _native.Registry())
    assert caught.value.hint == "app.register(Order) makes value_types.Order one"
    with pytest.raises(SerializationError) as caught:
        _native.encode(Items(), _native.Registry())
    assert caught.value.hint == "only list itself is; convert it"


def test_too_deep_names_the_limit_and_shortens_the_path() -> None:
    deep: list[Any] = []
    for _ in range(1000):
        deep = [deep]
    message = refusal(deep)
    assert message.endswith("nested deeper than 128 levels")
    assert "…" in message
    assert len(message) < 200


def test_too_large_names_size_limit_and_path() -> None:
    message = refusal({"blob": bytes(70 << 20)})
    assert message.startswith("args[1]['blob']: payload of 7340")
    assert message.endswith(" bytes is above the limit of 64 MiB")


def test_what_a_property_raises_is_the_cause() -> None:
    @dataclass
    class Broken:
        size: int

        def __getattribute__(self, name: str) -> Any:
            if name == "size":
                raise RuntimeError("broken")
            return super().__getattribute__(name)

    registry = make_registry()
    registry.register(Broken, "shop.Broken")
    with pytest.raises(SerializationError, match=r"^value\.size: RuntimeError: broken$") as caught:
        _native.encode(Broken(1), registry)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_containers_that_change_meanwhile_are_an_error() -> None:
    class Meddling:
        target: dict[int, Any]

    @dataclass
    class Item:
        size: int

        def __getattribute__(self, name: str) -> Any:
            if name == "size":
                Meddling.target.clear()
            return super().__getattribute__(name)

    registry = make_registry()
    registry.register(Item, "shop.Item")
    Meddling.target = {1: Item(1), 2: Item(2), 3: Item(3)}
    with pytest.raises(SerializationError, match="changed while it was converted"):
        _native.encode(Meddling.target, registry)


# What is no payload.


def test_unknown_types_carry_their_name() -> None:
    payload = _native.encode([Order(1, decimal.Decimal(1))], make_registry())
    with pytest.raises(SerializationError, match=r"\[0\]: type shop\.Order is not registered here") as caught:
        _native.decode(payload, _native.Registry())
    assert caught.value.missing == "shop.Order"
    assert _native.show(payload) == "[Order(id=1, total=Decimal('1'), items=[])]"


def test_nothing_is_imported_or_called_by_name(registry: _native.Registry) -> None:
    for name in ("builtins.eval", "os.system", "builtins.SystemError.__class__", "subprocess.Popen"):
        raw = name.encode()
        exception = bytes([0x93, 0xA0 | len(raw)]) + raw + b"\x91\xa4echo\x80"
        assert "is not registered here" in undecodable(b"\x01\xc7" + bytes([len(exception), 17]) + exception)


@pytest.mark.parametrize(
    ("older", "newer", "expected"),
    [
        ("a: int", "a: int; b: int = 5", {"a": 1, "b": 5}),
        ("a: int", "a: int; b: list = field(default_factory=list)", {"a": 1, "b": []}),
        ("a: int", "a: int; b: int", 'field "b" of shop.Thing is not in the value and has no default here'),
        ("a: int; b: int = 2", "a: int", 'shop.Thing has no field "b" here'),
        ("a: int; b: int = 2", "b: int; a: int", {"b": 2, "a": 1}),
    ],
)
def test_dataclasses_may_grow(older: str, newer: str, expected: Any) -> None:
    def registry_with(fields: str) -> tuple[_native.Registry, Any]:
        names: dict[str, Any] = {"dataclass": dataclass, "field": field}
        body = "".join(f"    {line.strip()}\n" for line in fields.split(";"))
        exec(f"@dataclass\nclass Thing:\n{body}", names)
        registry = _native.Registry()
        registry.register(names["Thing"], "shop.Thing")
        return registry, names["Thing"]

    writer, thing = registry_with(older)
    reader, _ = registry_with(newer)
    payload = _native.encode(thing(1), writer)
    if isinstance(expected, str):
        assert undecodable(payload, reader).startswith(expected)
    else:
        assert vars(_native.decode(payload, reader)) == expected


def test_what_this_process_lacks_is_told_apart_from_bytes_that_are_wrong() -> None:
    def missing(payload: bytes, *classes: tuple[type, str]) -> tuple[str, str | None, str | None]:
        registry = _native.Registry()
        for cls, name in classes:
            registry.register(cls, name)
        with pytest.raises(SerializationError) as caught:
            _native.decode(payload, registry)
        return str(caught.value).splitlines()[0], caught.value.hint, caught.value.missing

    @dataclass
    class Shorter:
        id: int
        total: decimal.Decimal

    @dataclass
    class Longer(Order):
        currency: str = field(kw_only=True)

    color = enum.Enum("Color", "GREEN")
    order = _native.encode(Order(1, decimal.Decimal(1)), make_registry())
    assert missing(order) == (
        "type shop.Order is not registered here",
        'if it was renamed, keep its old name: @lineshaft.value(aliases=["shop.Order"]); else app.register it',
        "shop.Order",
    )
    assert missing(order, (Shorter, "shop.Order")) == (
        'shop.Order has no field "items" here',
        (
            'keep "items" until no stored value has it, or say @lineshaft.value(removed=["items"]), '
            'or renamed={"items": …}'
        ),
        "shop.Order.items",
    )
    assert missing(order, (Longer, "shop.Order")) == (
        'field "currency" of shop.Order is not in the value and has no default here',
        'give "currency" a default: stored values are older than it',
        "shop.Order.currency",
    )
    assert missing(_native.encode(Color.RED, make_registry()), (color, "shop.Color")) == (
        'shop.Color has no member "RED" here',
        'keep "RED" until no stored value has it',
        "shop.Color.RED",
    )
    assert missing(order[:-1])[2] is None


def test_aliases_read_old_names() -> None:
    payload = _native.encode(Order(1, decimal.Decimal(1)), make_registry())
    renamed = _native.Registry()
    renamed.register(Order, "store.Purchase", ("shop.Order",))
    assert _native.decode(payload, renamed) == Order(1, decimal.Decimal(1))


@pytest.mark.parametrize("seed", range(300))
def test_damaged_payloads_never_crash(seed: int, registry: _native.Registry) -> None:
    source = random.Random(seed)
    payload = bytearray(_native.encode(random_value(source, 3), registry))
    for _ in range(source.randrange(1, 5)):
        payload[source.randrange(len(payload))] = source.randrange(256)
    payload = payload[: source.randrange(len(payload) // 2, len(payload) + 1)]
    with contextlib.suppress(SerializationError):
        _native.decode(bytes(payload), registry)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", "not a payload: it is empty"),
        (b"\x02\xc0", "payload has format 0x02, which this version cannot read"),
        (b"\x01\x91", "value ends early"),
        (b"\x01\xc0\xc0", "1 bytes follow the end of the value"),
        (b"\x01\x81\x90\x01", "TypeError: unhashable type: 'list'"),
        (b"\x01\xc7\x01\x15\x00", "reference at byte 3 names value 0, which does not come before it"),
        (b"\x01\x91\xc7\x01\x15\x00", "[0]: a reference in a payload that says it has none"),
        (b"\x01\xc7\x09\x0c\x92\x01\x02", "value ends early"),
        (b"\x01\xc7\x04\x09\x93\x01\x0d\x01", "ValueError: month must be in 1..12"),
        (b"\x01\xc7\x03\x06abc", "InvalidOperation"),
    ],
)
def test_malformed_payloads_are_errors(payload: bytes, expected: str) -> None:
    assert undecodable(payload).startswith(expected)


def test_a_payload_that_is_no_call_is_an_error(registry: _native.Registry) -> None:
    for value in (5, [], [1, 2], [[], {}, "3"], [[], {}, 3, 4]):
        with pytest.raises(SerializationError):
            _native.decode_call(_native.encode(value, registry), registry)


# The registry.


def test_registering_what_cannot_be_a_value_is_a_type_error(registry: _native.Registry) -> None:
    class Plain:
        pass

    @dataclass
    class Odd(dict):  # type: ignore[type-arg]
        size: int

    with pytest.raises(TypeError, match="is no dataclass, enumeration, named tuple"):
        registry.register(Plain, "shop.Plain")
    with pytest.raises(TypeError, match="derives from a builtin class"):
        registry.register(Odd, "shop.Odd")


def test_a_name_belongs_to_one_class(registry: _native.Registry) -> None:
    with pytest.raises(DeclarationError) as clash:
        registry.register(Pair, "shop.Order")
    assert str(clash.value) == (
        '"shop.Order" is registered for value_types.Order already, it cannot name value_types.Pair too\n'
        '  hint: give one of them another name: @lineshaft.value("…") or app.register(…, "…")'
    )
    with pytest.raises(OptionError, match="1 to 255 bytes"):
        registry.register(Pair, "")
    assert registry.lookup("shop.Order") is Order
    assert registry.name_of(Order) == "shop.Order"
    assert registry.name_of(int) == "builtins.int"
    assert Order in registry
    assert int not in registry


def test_a_class_defined_anew_takes_the_place_of_the_old_one() -> None:
    def define() -> Any:
        @dataclass
        class Cell:
            size: int

        return Cell

    registry = _native.Registry()
    old, new = define(), define()
    registry.register(old, "notebook.Cell")
    registry.register(new, "notebook.Cell")
    assert type(_native.decode(_native.encode(old(1), registry), registry)) is new


# Exceptions of a task, as they are kept.


def test_an_exception_is_described_with_types_text_and_traceback(registry: _native.Registry) -> None:
    try:
        raise Bounced("a@b.c", 550) from KeyError("inner")
    except Bounced as error:
        types, message, traceback, arguments = _native.describe_exception(error, registry)
    assert types == ["shop.Bounced", "builtins.Exception", "builtins.BaseException"]
    assert message == "a@b.c bounced"
    assert traceback is not None
    assert "KeyError: 'inner'" in traceback
    assert "raise Bounced" in traceback
    assert arguments is not None
    assert _native.decode(arguments, registry) == ["a@b.c bounced"]


def test_an_exception_that_cannot_be_encoded_is_described_anyway(registry: _native.Registry) -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    types, message, _, arguments = _native.describe_exception(Silent(object()), registry)
    assert types[0].endswith("Silent")
    assert "__str__ raises" in message
    assert arguments is None


def test_a_long_exception_is_cut_to_its_limits(registry: _native.Registry) -> None:
    error = ValueError("".join(f"line {number} ä\n" for number in range(20_000)))
    _, message, traceback, arguments = _native.describe_exception(error, registry)
    assert 16_000 < len(message.encode()) <= 16 << 10
    assert message.endswith("…")
    assert traceback is not None
    assert 64_000 < len(traceback.encode()) <= 64 << 10
    assert traceback.startswith("ValueError: line 0 ä\n")
    assert traceback.rstrip().endswith("line 19999 ä")
    assert "\n  … left out …\n" in traceback
    assert arguments is None, "too large to be kept with each attempt"


def test_flags_may_have_many_bits(registry: _native.Registry) -> None:
    many = enum.Flag("Many", [f"bit{number}" for number in range(100)])
    registry.register(many, "shop.Many")
    value = ~many(0)
    assert _native.decode(_native.encode(value, registry), registry) is value


def test_classes_of_main_travel_under_another_name(registry: _native.Registry) -> None:
    cls = type("Job", (Exception,), {"__module__": "__main__"})
    assert registry.name_of(cls) == "__main__.Job"
    registry.set_main("shop.app")
    assert registry.name_of(cls) == "shop.app.Job"


# numpy.


def arrays() -> list[Any]:
    numpy = pytest.importorskip("numpy")
    plain = numpy.arange(24, dtype="<f8").reshape(2, 3, 4)
    structure = numpy.dtype([("a", "<i4"), ("b", "<f8", (2,)), ("c", "U3")])
    return [
        plain,
        plain.T,
        plain[:, ::2, 1:],
        plain[..., ::-1],
        numpy.asfortranarray(plain),
        numpy.zeros((0, 3), dtype="f4"),
        numpy.array(7, dtype=">u2"),
        numpy.array(["a", "bcd", ""]),
        numpy.array([b"x", b"yz"]),
        numpy.array([True, False]),
        numpy.array([1 + 2j]),
        numpy.array(["2026-01-01", "NaT"], dtype="M8[ns]"),
        numpy.array([5], dtype="m8[h]"),
        numpy.zeros(3, dtype=structure),
        numpy.zeros(2, dtype=numpy.dtype([("a", "i1"), ("b", "f8")], align=True)),
        numpy.random.default_rng(1).random((300, 40)),
        numpy.zeros((1000, 1000), dtype="i1"),
    ]


@pytest.mark.parametrize("index", range(17))
def test_arrays_come_back_writable(index: int) -> None:
    value = arrays()[index]
    decoded = round_trip(value)
    assert_same(decoded, value)
    assert decoded.flags.writeable
    assert decoded.flags.aligned
    assert decoded.flags.f_contiguous == value.flags.f_contiguous or not value.flags.forc


def test_array_scalars_come_back() -> None:
    numpy = pytest.importorskip("numpy")
    for value in (
        numpy.float32(1.5),
        numpy.int64(-3),
        numpy.bool_(True),
        numpy.str_(""),
        numpy.datetime64("2026-01-01"),
    ):
        assert_same(round_trip(value), value)


def test_an_array_met_twice_is_sent_once() -> None:
    numpy = pytest.importorskip("numpy")
    noise = numpy.random.default_rng(1).bytes(10_000)
    array = numpy.frombuffer(noise, dtype="u1")
    payload = _native.encode([array, array], make_registry())
    assert len(payload) < 11_000
    first, second = _native.decode(payload, make_registry())
    assert first is second


def test_arrays_of_objects_are_no_values() -> None:
    numpy = pytest.importorskip("numpy")
    assert refusal(numpy.array([object()])) == "args[1]: an array of object is not a value"
    assert refusal(numpy.zeros(1, dtype=[("a", "O")])).endswith("is not a value")
    assert refusal(numpy.ma.masked_array([1])) == "args[1]: MaskedArray is not a value"


def test_a_buffer_must_fit_its_array(registry: _native.Registry) -> None:
    numpy = pytest.importorskip("numpy")
    payload = _native.encode(numpy.zeros(4, dtype="<f8"), registry)
    assert "array needs buffer 0 of 40 bytes" in undecodable(payload.replace(b"\x91\x04\xa1C", b"\x91\x05\xa1C"))
    assert "is not accepted" in undecodable(payload.replace(b"<f8", b"|O8"))
    assert undecodable(payload.replace(b"<f8", b"xyz"))
    assert undecodable(payload[:-1])


def test_copies_of_values_encode_alike(registry: _native.Registry) -> None:
    value = {"orders": [Order(1, decimal.Decimal("1.20"), [Color.RED, (1, 2)])], "at": datetime.date(2026, 1, 1)}
    assert _native.encode(value, registry) == _native.encode(copy.deepcopy(value), registry)
