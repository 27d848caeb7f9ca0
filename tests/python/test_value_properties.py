"""Any value comes back as it was; no bytes crash, hang or take more memory than they may."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import random
import struct
import subprocess
import sys
import textwrap
import zoneinfo
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import environment
from lineshaft import SerializationError, _native
from value_types import Bounced, Color, Level, Order, Pair, Permission, Point, make_registry

VECTORS = Path(__file__).parents[2] / "crates/lineshaft-wire/tests/it/vectors.json"
#: What a fuzzer found in Rust, and what it began with.
CORPUS = Path(__file__).parents[2] / "fuzz/corpus/value"
REGISTRY = make_registry()
quick = settings(derandomize=True, deadline=None, max_examples=100)


def round_trip(value: Any) -> Any:
    return _native.decode(_native.encode(value, REGISTRY), REGISTRY)


def bits(number: float) -> bytes:
    return struct.pack("<d", number)


def same(one: Any, other: Any, pairs: dict[int, Any]) -> bool:
    """Whether two objects are alike in type, value and every part, and shared and circular in the same places."""
    if id(one) in pairs:
        return pairs[id(one)] is other
    if type(one) is not type(other):
        return False
    if isinstance(one, enum.Enum | type(None) | bool | type(...)):
        return one is other
    if isinstance(one, float):
        return bits(one) == bits(other)
    if isinstance(one, complex):
        return bits(one.real) + bits(one.imag) == bits(other.real) + bits(other.imag)
    if isinstance(one, decimal.Decimal):
        return str(one) == str(other)
    if isinstance(one, datetime.datetime | datetime.time):
        return repr(one) == repr(other) and one.fold == other.fold
    if isinstance(one, set | frozenset):
        return look(one) == look(other)
    if isinstance(one, list | dict | bytearray | BaseException | Order):
        pairs[id(one)] = other
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b, pairs) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict):
        return same(tuple(one.items()), tuple(other.items()), pairs)
    if isinstance(one, BaseException):
        return same((one.args, *vars(one).items()), (other.args, *vars(other).items()), pairs)
    if isinstance(one, Order):
        return same((one.id, one.total, one.items), (other.id, other.total, other.items), pairs)
    return bool(one == other)


def look(value: Any) -> Any:
    """What a hashable value looks like; elements of sets have no order."""
    if isinstance(value, set | frozenset):
        return type(value).__name__, sorted(map(repr, map(look, value)))
    return (type(value).__name__, [look(part) for part in value]) if isinstance(value, tuple) else repr(value)


floats = st.binary(min_size=8, max_size=8).map(lambda raw: struct.unpack("<d", raw)[0]) | st.floats()
zones = st.sampled_from(
    [
        None,
        datetime.timezone.utc,
        datetime.timezone(datetime.timedelta(hours=-3, microseconds=5)),
        datetime.timezone(datetime.timedelta(minutes=330), "IST"),
        zoneinfo.ZoneInfo("America/New_York"),
    ]
)
texts = st.text(st.characters(exclude_categories=()), max_size=40)
hashable_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.just(...),
    st.integers(),
    st.integers(-(2**300), 2**300),
    floats,
    st.builds(complex, floats, floats),
    texts,
    st.binary(max_size=300),
    st.decimals(allow_nan=False) | st.just(decimal.Decimal("NaN123")),
    st.uuids(),
    st.dates(),
    st.timedeltas(),
    st.builds(lambda moment, fold: moment.replace(fold=fold), st.datetimes(timezones=zones), st.integers(0, 1)),
    st.builds(lambda time, fold: time.replace(fold=fold), st.times(), st.integers(0, 1)),
    st.sampled_from([Color.RED, Level.HIGH, *map(Permission, range(8))]),
    st.builds(range, st.integers(-(2**70), 2**70), st.integers(), st.integers(1, 9)),
    st.builds(Point, st.floats(allow_nan=False), st.floats(allow_nan=False)),
)
hashables = st.recursive(
    hashable_leaves,
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4) | st.builds(Pair, inner),
    max_leaves=10,
)
values = st.recursive(
    hashables | st.binary(max_size=40).map(bytearray) | st.sets(hashables, max_size=5),
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(hashables, inner, max_size=5),
        st.builds(Order, st.integers(), st.decimals(allow_nan=False), st.lists(inner, max_size=3)),
        st.lists(inner, max_size=3).map(lambda args: ValueError(*args)),
        st.builds(Bounced, texts, inner),
    ),
    max_leaves=25,
)


@quick
@given(values)
def test_any_value_comes_back(value: Any) -> None:
    payload = _native.encode(value, REGISTRY)
    assert same(value, _native.decode(payload, REGISTRY), {})
    assert _native.show(payload, 100_000)
    _native.decode_raw(payload)


@st.composite
def webs(draw: st.DrawFn) -> Any:
    """Lists, dicts and dataclasses that hold each other in any way, cycles included."""
    makers = [list, dict, lambda: Order(0, decimal.Decimal(0))]
    nodes: list[Any] = [draw(st.sampled_from(makers))() for _ in range(draw(st.integers(1, 8)))]
    for node in nodes:
        for place in range(draw(st.integers(0, 4))):
            part = draw(st.sampled_from(nodes) | st.sampled_from(nodes).map(lambda node: (node, 1)) | st.integers())
            if isinstance(node, dict):
                node[place] = part
            else:
                (node if isinstance(node, list) else node.items).append(part)
    return nodes[0]


@quick
@given(webs())
def test_shared_and_circular_objects_come_back_as_such(web: Any) -> None:
    assert same(web, round_trip(web), {})


@quick
@given(values.filter(lambda value: value == value))
def test_rust_reads_and_shows_what_python_writes(value: Any) -> None:
    """Rust's own model of values takes each apart, and shows none as something that it is not."""
    payload = _native.encode(value, REGISTRY)
    shown = _native.show(payload, 1_000_000)
    if type(value) in (int, str, bool, type(None)) and "\\ud" not in ascii(value):
        assert eval(shown) == value


# numpy.


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Arrays of any element type without objects, in any order, with gaps, reversed and empty."""
    import hypothesis.extra.numpy as hnp

    plain = st.one_of(
        hnp.scalar_dtypes(),
        hnp.unicode_string_dtypes(max_len=5),
        hnp.byte_string_dtypes(max_len=5),
    )
    dtype = draw(plain | hnp.nested_dtypes(plain, max_leaves=4, max_itemsize=200))
    array = draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
    twist = draw(st.sampled_from(["none", "transpose", "reverse", "step", "fortran"]))
    if array.ndim == 0 or twist == "none":
        return array
    if twist == "fortran":
        return array.copy(order="F")
    return {"transpose": array.T, "reverse": array[::-1], "step": array[..., ::2]}[twist]


@quick
@given(st.data())
def test_any_array_and_any_element_comes_back(data: st.DataObject) -> None:
    numpy = pytest.importorskip("numpy")
    array = data.draw(arrays())
    decoded = round_trip(array)
    assert type(decoded) is numpy.ndarray
    assert (decoded.dtype, decoded.shape) == (array.dtype, array.shape)
    assert decoded.tobytes() == array.tobytes()
    assert decoded.flags.writeable
    if array.size:
        element = array[(0,) * array.ndim]
        again = round_trip(element)
        assert type(again) is type(element)
        assert (again.dtype, again.tobytes()) == (element.dtype, element.tobytes())


# Bytes that nobody vouches for.


HOSTILE = """
    import json, random, resource, sys, time
    from pathlib import Path
    import numpy
    from lineshaft import SerializationError, _native
    sys.path.insert(0, {tests!r})
    from value_types import make_registry

    def damaged(source, payload):
        payload = bytearray(payload)
        for _ in range(source.randrange(1, 6)):
            kind, at = source.randrange(4), source.randrange(len(payload))
            if kind == 0:
                payload[at] = source.randrange(256)
            elif kind == 1:
                payload[at] = source.choice([0xdc, 0xdd, 0xde, 0xdf, 0xc6, 0xc9, 0xdb, 0xff, 0x7f, 0x80, 0, 0x15])
            elif kind == 2:
                del payload[at : at + source.randrange(9)]
            else:
                payload[at:at] = payload[at // 2 : at // 2 + source.randrange(20)]
            payload = payload or bytearray(b"\\1")
        return bytes(payload)

    source = random.Random({seed})
    registry = make_registry()
    vectors = [bytes.fromhex(vector["hex"]) for vector in json.load(open({vectors!r}, encoding="utf-8"))]
    vectors += [path.read_bytes() for path in sorted(Path({corpus!r}).iterdir())]
    for vector in vectors:
        try:
            _native.decode(vector, registry)
        except SerializationError:
            pass
    # From here on: 192 MiB more of address space than the program has, for payloads of a few hundred bytes.
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (192 << 20),) * 2)
    read = refused = 0
    slowest = 0.0
    for _ in range({count}):
        noise = bytes([source.choice([1, 0x21, 0x41, 0x61, 0x11])]) + source.randbytes(source.randrange(60))
        payload = damaged(source, source.choice(vectors)) if source.random() < 0.8 else noise
        for decode in (lambda: _native.decode(payload, registry), lambda: _native.decode_raw(payload),
                       lambda: _native.decode_call(payload, registry), lambda: _native.show(payload)):
            begun = time.perf_counter()
            try:
                decode()
                read += 1
            except SerializationError:
                refused += 1
            slowest = max(slowest, time.perf_counter() - begun)
    print(json.dumps([read, refused, slowest]))
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_bytes_never_crash_hang_or_take_much_memory(seed: int) -> None:
    pytest.importorskip("numpy")
    program = textwrap.dedent(HOSTILE).format(
        tests=str(Path(__file__).parent), vectors=str(VECTORS), corpus=str(CORPUS), seed=seed, count=3000
    )
    # Its threads would each reserve address space.
    variables = environment(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", PYTHONWARNINGS="ignore")
    ended = subprocess.run(
        [sys.executable, "-c", program], env=variables, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    read, refused, slowest = json.loads(ended.stdout)
    assert read > 500, "some damage leaves a value"
    assert refused > 5000
    assert slowest < 10, "no bytes of a few hundred take long"


def test_small_bytes_cannot_claim_large_memory() -> None:
    """Announcements of what does not follow, and repetitions that a compressor would write in a few bytes."""
    import tracemalloc

    source = random.Random(1)
    claims = [
        b"\x01\xdd\xff\xff\xff\xff",
        b"\x01\xdf\x7f\xff\xff\xff",
        b"\x01\xc6\xff\xff\xff\xff",
        b"\x01\xc9\xff\xff\xff\xff\x04",
        b"\x11\xff\xff\xff\x03" + source.randbytes(100),
        b"\x21\xff\xff\xff\xff\xff\xff\xff\xff" + source.randbytes(100),
    ]
    tracemalloc.start()
    try:
        for payload in claims:
            with pytest.raises(SerializationError):
                _native.decode(payload, REGISTRY)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
