"""Every kind of value that the documentation lists comes back as the same type, in the shapes that classes can have."""

from __future__ import annotations

import builtins
import collections
import datetime
import decimal
import enum
import fractions
import pathlib
import subprocess
import sys
import zoneinfo
from typing import Annotated, Any, Literal

import pytest

import value_kinds as kinds
from conftest import environment
from lineshaft import SerializationError, _native

REGISTRY = kinds.make_registry()
is_new = pytest.mark.skipif(sys.version_info < (3, 11), reason="enumerations of Python 3.11")


def round_trip(value: Any, registry: _native.Registry = REGISTRY) -> Any:
    return _native.decode(_native.encode(value, registry), registry)


def check(value: Any, registry: _native.Registry = REGISTRY) -> None:
    again = round_trip(value, registry)
    assert type(again) is type(value)
    assert again == value
    assert repr(again) == repr(value)


# Enumerations.


@pytest.mark.parametrize("member", [kinds.Number.ONE, kinds.Text.A, kinds.Alias.SECOND, kinds.Rich.HEAVY], ids=repr)
def test_a_member_of_any_enumeration_is_the_very_member(member: enum.Enum) -> None:
    assert round_trip(member) is member


@is_new
def test_a_member_of_an_enumeration_of_texts_is_the_very_member() -> None:
    assert round_trip(kinds.Word.A) is kinds.Word.A


@is_new
def test_a_flag_that_keeps_bits_without_a_name_keeps_them() -> None:
    again = round_trip(kinds.Kept(8))
    assert (type(again), again.value) == (kinds.Kept, 8), "in the first 3.11 not even kinds.Kept(8) equals another one"


@pytest.mark.parametrize("bits", range(4))
def test_flags_with_any_of_their_bits_come_back(bits: int) -> None:
    check(kinds.Bits(bits))
    check(~kinds.Bits(bits))
    check(kinds.IntBits(bits))
    check(kinds.IntBits(bits + 8))  # such a flag keeps bits that it has no name for


@is_new
@pytest.mark.parametrize("name", ["Bits", "Ejected"])
def test_bits_that_a_flag_does_not_have_here_are_missing(name: str) -> None:
    """They were a `ValueError`, or a bare number, so that a worker failed the job instead of parking it."""
    newer = enum.Flag(name, {"READ": 1, "ALL": 8})
    registry = _native.Registry()
    registry.register(newer, f"kinds.{name}")
    payload = _native.encode([newer.READ | newer.ALL], registry)
    with pytest.raises(SerializationError) as caught:
        _native.decode(payload, REGISTRY)
    assert caught.value.missing == f"kinds.{name}(9)"
    assert str(caught.value).startswith(f"[0]: kinds.{name} has no members for all bits of 9 here")
    assert _native.decode_raw(payload)[0].fields == {"value": 9}


# Times and numbers.


def berlin(**more: Any) -> datetime.datetime:
    return datetime.datetime(2026, 10, 25, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"), **more)


@pytest.mark.parametrize(
    "moment",
    [
        berlin(),
        berlin(fold=1),
        datetime.datetime.min,
        datetime.datetime.max.replace(tzinfo=datetime.timezone.utc),
        datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(seconds=1, microseconds=7))),
        datetime.time(1, 2, 3, 4, tzinfo=datetime.timezone(datetime.timedelta(hours=-5), "EST"), fold=1),
        datetime.time(1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        datetime.date.min,
        datetime.timedelta.min,
        datetime.timedelta.max,
    ],
    ids=repr,
)
def test_moments_keep_zone_and_fold(moment: Any) -> None:
    check(moment)
    assert getattr(round_trip(moment), "fold", 0) == getattr(moment, "fold", 0)


NUMBERS = "NaN -NaN sNaN sNaN123 -sNaN5 Infinity -Infinity -0 0E-10 1E+999999 -0.000 1234567890123456789012345678.5"


@pytest.mark.parametrize("text", NUMBERS.split())
def test_decimals_keep_sign_digits_and_kind(text: str) -> None:
    again = round_trip(decimal.Decimal(text))
    assert (type(again), str(again)) == (decimal.Decimal, text)


# Tuples and dataclasses.


@pytest.mark.parametrize(
    "value",
    [
        kinds.Plain(1),
        kinds.Plain(1, "x", ([],)),
        kinds.Below(1),
        kinds.Old(1),
        kinds.FrozenSlots(1, [2]),
        kinds.Keywords(a=1),
        kinds.PartlyKeywords(1, b=4),
        kinds.Initial(1, seed=5),
        kinds.Child(1, 2),
        kinds.Undecorated(3),
        kinds.SlotChild(1, 2),
        kinds.Box([1]),
        kinds.Box[int](5),
        kinds.FrozenBox[str]("x"),
        kinds.Mangled(7),
    ],
    ids=repr,
)
def test_tuples_and_dataclasses_of_any_shape_come_back(value: Any) -> None:
    check(value)


# Models.


def test_models_with_a_discriminator_an_alias_and_private_attributes_come_back() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Cat(pydantic.BaseModel):
        kind: Literal["cat"] = "cat"

    class Dog(pydantic.BaseModel):
        kind: Literal["dog"] = "dog"
        name: str

    class Owner(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(str_strip_whitespace=True, populate_by_name=True)
        pet: Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]
        title: str = pydantic.Field(alias="t")
        _seen: list[int] = pydantic.PrivateAttr(default_factory=list)

        @pydantic.computed_field
        @property
        def loud(self) -> bool:
            return self.pet.kind == "dog"

        @pydantic.model_validator(mode="after")
        def no_cats(self) -> Owner:
            assert self.pet.kind == "dog"
            return self

    Owner.model_rebuild(_types_namespace={"Cat": Cat, "Dog": Dog, "Annotated": Annotated, "pydantic": pydantic})
    registry = kinds.make_registry(Cat, Dog, Owner)
    owner = Owner(pet={"kind": "dog", "name": "Rex"}, t=" Dr ")
    owner._seen.append(3)
    owner.pet = Cat()  # not validated, and no validator looks at it on the way
    again = round_trip(owner, registry)
    assert (again, again._seen, again.title, type(again.pet)) == (owner, [3], "Dr", Cat)


def test_tagged_structs_come_back() -> None:
    msgspec = pytest.importorskip("msgspec")
    one = msgspec.defstruct("One", [("x", int)], tag="one")
    two = msgspec.defstruct("Two", [("x", int, 1), ("y", list, [])], tag="two", array_like=True, omit_defaults=True)
    either = msgspec.defstruct("Either", [("u", Any)], frozen=True, order=True, weakref=True, dict=True)
    registry = kinds.make_registry(one, two, either)
    for value in (either(one(1)), either(two(2, [3])), [two(), one(5)]):
        check(value, registry)


def test_attrs_classes_with_converters_and_aliases_come_back() -> None:
    attrs = pytest.importorskip("attrs")

    @attrs.define(slots=False)
    class Converted:
        a: int = attrs.field(converter=int, validator=attrs.validators.ge(0))
        b: list[int] = attrs.field(factory=list, eq=False)
        _secret: int = attrs.field(default=3, alias="secret")

    @attrs.frozen(kw_only=True)
    class Frozen:
        a: int = attrs.field(alias="alpha")

    registry = kinds.make_registry(Converted, Frozen)
    check(Converted("5", [1], secret=4), registry)
    check(Frozen(alpha=1), registry)


# numpy.


def arrays() -> dict[str, Any]:
    numpy = pytest.importorskip("numpy")
    gaps = {"names": ["a", "b"], "formats": ["i4", "f8"], "offsets": [4, 16], "itemsize": 32}
    found = {
        "no dimension": numpy.array(5),
        "a moment without dimension": numpy.array("2026-01-01", dtype="M8[D]"),
        "Fortran's order": numpy.asfortranarray(numpy.arange(6).reshape(2, 3)),
        "backwards": numpy.arange(6).reshape(2, 3)[:, ::-1],
        "repeated": numpy.broadcast_to(numpy.arange(3), (4, 3)),
        "empty": numpy.zeros((0, 3)),
        "big-endian": numpy.arange(3, dtype=">i4"),
        "titles": numpy.zeros(2, dtype=[(("title", "a"), "i4"), ("b", "f8")]),
        "aligned": numpy.zeros(2, dtype=numpy.dtype([("a", "i1"), ("b", "f8")], align=True)),
        "gaps": numpy.zeros(1, dtype=gaps),
        "nested": numpy.zeros(1, dtype=[("a", [("b", "u1"), ("c", "S3", (2,))])]),
        "float16": numpy.array([1.5], dtype="f2"),
        "complex64": numpy.array([1j], dtype="c8"),
        "texts": numpy.array(["aé", ""]),
        "bytes": numpy.array([b"a", b"bc"]),
        "void": numpy.zeros(2, dtype="V5"),
        "no time": numpy.array(["NaT"], dtype="M8[25s]"),
    }
    units = ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"]
    return {**found, **{f"M8[{unit}]": numpy.array([1, -1], dtype=f"M8[{unit}]") for unit in units}}


def test_arrays_of_any_layout_and_element_come_back() -> None:
    for name, array in arrays().items():
        again = round_trip(array)
        assert type(again) is type(array), name
        assert (again.dtype, again.shape, again.tobytes()) == (array.dtype, array.shape, array.tobytes()), name
        assert again.dtype.fields == array.dtype.fields, name
        assert again.flags.writeable, name
        if array.flags.f_contiguous:
            assert again.flags.f_contiguous, name


def test_elements_of_any_type_come_back() -> None:
    numpy = pytest.importorskip("numpy")
    elements = [array[(0,) * array.ndim] for array in arrays().values() if array.size]
    elements += [numpy.bool_(True), numpy.uint64(2**64 - 1), numpy.float32("nan"), numpy.str_(""), numpy.bytes_(b"")]
    for element in elements:
        again = round_trip(element)
        assert type(again) is type(element)
        assert (again.dtype, again.tobytes()) == (element.dtype, element.tobytes())


def test_what_other_machines_read_otherwise_is_no_value() -> None:
    """Long doubles were sent as they lie in memory, which means something else on another processor."""
    numpy = pytest.importorskip("numpy")
    longs = [numpy.longdouble(1), numpy.array([1], dtype="g"), numpy.clongdouble(1)]
    longs += [numpy.zeros(2, dtype=[("a", "i4"), ("b", [("c", "G", (2,))])])]
    for value in longs:
        with pytest.raises(SerializationError, match="is not a value\n  hint: its bytes differ between machines"):
            _native.encode([value], REGISTRY)


def test_other_kinds_of_arrays_are_refused_by_name() -> None:
    numpy = pytest.importorskip("numpy")
    masked = numpy.ma.array([1, 2], mask=[False, True])
    record = numpy.rec.array([(1, 2)], dtype=[("a", int), ("b", int)])
    for value, name in [(masked, "MaskedArray"), (record, "recarray"), (numpy.array([{}]), "an array of object")]:
        with pytest.raises(SerializationError, match=f"{name} is not a value"):
            _native.encode(value, REGISTRY)


MEMORY = """
import resource, numpy
from lineshaft import _native
registry = _native.Registry()
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
array = numpy.random.default_rng(1).random(6_000_000)
_native.decode(_native.encode(array[:10], registry), registry)
before = peak()
payload = _native.encode(array, registry)
encoded = peak()
again = _native.decode(payload, registry)
print((encoded - before) / array.nbytes, (peak() - encoded) / array.nbytes, (again == array).all())
"""


def test_an_array_is_copied_once_each_way() -> None:
    """`encode` copied it into the payload, and the payload into a `bytes`."""
    pytest.importorskip("numpy")
    command = [sys.executable, "-c", MEMORY]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=True)
    encoded, decoded, is_same = ended.stdout.split()
    assert is_same == "True"
    assert float(encoded) < 1.5
    assert float(decoded) < 1.5


# Arrow.


def test_tables_of_dictionaries_extensions_and_nested_types_come_back() -> None:
    pa = pytest.importorskip("pyarrow")
    columns = {
        "dictionary": pa.array(["x", "y", "x"]).dictionary_encode(),
        "lists": pa.array([[1, 2], [], None]),
        "structs": pa.array([{"x": 1}, {"x": None}, None]),
        "maps": pa.array([[("k", 1)], [], None], type=pa.map_(pa.string(), pa.int64())),
        "zoned": pa.array([0, 1, None], type=pa.timestamp("us", "Europe/Berlin")),
        "decimals": pa.array([decimal.Decimal("1.20"), None, None]),
        "fixed": pa.array([[1, 2], None, [3, 4]], type=pa.list_(pa.int8(), 2)),
        "uuids": pa.array([bytes(16), None, bytes(16)], type=pa.uuid()),
        "nulls": pa.nulls(3),
    }
    table = pa.table(columns).replace_schema_metadata({"made": "here"})
    for value in (table, table.slice(1, 1), table.to_batches()[0], *columns.values(), table.schema):
        again = round_trip(value)
        assert type(again) is type(value)
        assert again.equals(value)
    assert round_trip(table).schema.equals(table.schema, check_metadata=True)


# Exceptions.


def test_groups_of_exceptions_come_back() -> None:
    group_of = getattr(builtins, "ExceptionGroup", None)
    if group_of is None:
        pytest.skip("groups are of Python 3.11")
    inner = TypeError("t")
    inner.add_note("a note")
    group = round_trip(group_of("g", [ValueError(1), group_of("h", [inner])]))
    assert repr(group) == "ExceptionGroup('g', [ValueError(1), ExceptionGroup('h', [TypeError('t')])])"
    assert group.exceptions[1].exceptions[0].__notes__ == ["a note"]


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "no such file", "f"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ImportError("x", name="n", path="p"),
        StopIteration(5),
        SystemExit(3),
        KeyError("k"),
    ],
    ids=repr,
)
def test_builtin_exceptions_keep_what_is_theirs(error: BaseException) -> None:
    again = round_trip(error)
    assert (type(again), again.args, str(again)) == (type(error), error.args, str(error))
    for name in ("errno", "filename", "object", "name", "path", "value", "code"):
        assert getattr(again, name, None) == getattr(error, name, None)


def test_an_exception_is_without_its_cause_and_traceback() -> None:
    try:
        try:
            raise KeyError("k")
        except KeyError as cause:
            raise ValueError("v") from cause
    except ValueError as error:
        again = round_trip(error)
    assert (again.__cause__, again.__context__, again.__traceback__) == (None, None, None)


def test_exceptions_whose_causes_form_a_circle_come_back_without_them_and_are_described() -> None:
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__context__ = other, one
    assert round_trip(one).__cause__ is None
    types, message, traceback, _ = _native.describe_exception(one, REGISTRY)
    assert (types[0], message) == ("builtins.ValueError", "one")
    assert traceback.count("ValueError: one") == 1


@pytest.mark.parametrize(
    "error",
    [
        kinds.Keyworded("a@b", code=5),
        kinds.Wordless(),
        kinds.Worded("x", detail=["d"]),
        kinds.Missing(2, "no such file", "f"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exceptions_made_in_any_way_come_back_without_their_init(error: BaseException) -> None:
    error.add_note("a note") if sys.version_info >= (3, 11) else setattr(error, "__notes__", ["a note"])
    before = list(kinds.INITS)
    again = round_trip(error)
    assert (type(again), again.args, str(again), vars(again)) == (type(error), error.args, str(error), vars(error))
    assert again.__notes__ == ["a note"]
    assert before == kinds.INITS


# Cycles.


@pytest.mark.parametrize("cls", [ValueError, KeyError, StopIteration, ImportError, SystemExit, kinds.Wordless])
def test_an_exception_among_its_own_arguments_comes_back(cls: type[BaseException]) -> None:
    """It was written, and could not be read."""
    error = cls()
    error.args = (error, [error], {"k": (error, 1)})
    again = round_trip(error)
    assert type(again) is cls
    assert again.args[0] is again.args[1][0] is again.args[2]["k"][0] is again
    raw = _native.decode_raw(_native.encode(error, REGISTRY))
    args = raw.args if isinstance(raw, BaseException) else raw.fields["args"]
    assert args[0] is raw


def test_an_exception_that_is_made_of_its_arguments_cannot_be_among_them() -> None:
    """Neither a group nor an `OSError` exists before them."""
    error = OSError(1, "x")
    error.args = (1, [error])
    with pytest.raises(SerializationError) as caught:
        _native.encode(error, REGISTRY)
    assert str(caught.value).startswith(
        "value.args[1][0]: PermissionError is among its own arguments\n  hint: an attribute"
    )
    error.args, error.me = (1, "x"), [error]
    again = round_trip(error)
    assert (again.args, again.me[0]) == ((1, "x"), again)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups are of Python 3.11")
def test_a_group_inside_its_own_exceptions_is_refused_and_one_in_an_attribute_comes_back() -> None:
    inner = ValueError()
    group = builtins.ExceptionGroup("g", [inner])
    inner.args = (group,)
    with pytest.raises(SerializationError, match="ExceptionGroup is among its own arguments") as caught:
        _native.encode([group], REGISTRY)
    assert str(caught.value).startswith("value[0].args[1][0].args[0]: ")
    inner.args, group.me = (1,), group
    again = round_trip([group, inner])
    assert again[0].me is again[0]
    assert again[1] is again[0].exceptions[0]


def test_cycles_through_every_container_come_back() -> None:
    node = kinds.Node(1)
    node.kids.append(kinds.Node(2, up=node))
    node.value = node
    again = round_trip(node)
    assert again.value is again
    assert again.kids[0].up is again

    hashed = kinds.Hashed(1)
    hashed.value = {hashed}
    again = round_trip(hashed)
    assert next(iter(again.value)) is again

    key = kinds.Hashed(2)
    key.value = {key: 1}
    again = round_trip(key)
    assert next(iter(again.value)) is again
    assert again.value[again] == 1

    late = kinds.Late({}, 1)
    late.inside[late] = 1
    with pytest.raises(SerializationError, match="AttributeError"):
        round_trip(late)

    error = ValueError("v")
    error.me = {"in": [error]}
    again = round_trip(error)
    assert again.me["in"][0] is again


def test_cycles_through_models_come_back() -> None:
    pydantic, msgspec = pytest.importorskip("pydantic"), pytest.importorskip("msgspec")
    attrs = pytest.importorskip("attrs")
    classes = [
        pydantic.create_model("Model", value=(Any, None)),
        msgspec.defstruct("Struct", [("value", Any, None)], eq=False),
        attrs.make_class("Attrs", {"value": attrs.field(default=None)}, eq=False),
    ]
    registry = kinds.make_registry(*classes)
    for cls in classes:
        one = cls()
        one.value = ([one], bytearray(b"x"))
        again = round_trip([one, one.value[1]], registry)
        assert again[0].value[0][0] is again[0]
        assert again[0].value[1] is again[1]


# What is none.


class OwnText(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (collections.OrderedDict(a=1), "only dict itself is; convert it"),
        (collections.Counter("aa"), "only dict itself is; convert it"),
        (OwnText("x"), "only str itself is; convert it"),
        (collections.deque([1]), "values are data: "),
        (slice(1, 2), "values are data: "),
        (memoryview(b"x"), "values are data: "),
        (fractions.Fraction(1, 2), "values are data: "),
        (pathlib.PurePosixPath("x"), "values are data: "),
        (int, "values are data: "),
        (len, "values are data: "),
        (NotImplemented, "values are data: "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_value_is_refused_by_name(value: Any, hint: str) -> None:
    with pytest.raises(SerializationError) as caught:
        _native.encode([value], REGISTRY)
    assert str(caught.value).startswith(f"value[0]: {type(value).__name__} is not a value")
    assert (caught.value.hint or "").startswith(hint)
