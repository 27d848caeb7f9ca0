"""What is pyarrow's travels in Arrow's own format: copied once each way, and validated where it is read."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from conftest import environment
from lineshaft import SerializationError, _native

pa = pytest.importorskip("pyarrow")
compute = pytest.importorskip("pyarrow.compute")


def payload_of(value: Any) -> bytes:
    return _native.encode(value, _native.Registry())


def round_trip(value: Any) -> Any:
    return _native.decode(payload_of(value), _native.Registry())


def table() -> Any:
    return pa.table(
        {
            "id": pa.array([1, 2, None], pa.int32()),
            "name": ["a", None, "ü"],
            "tags": [["x"], [], None],
            "kind": pa.array(["p", "q", "p"]).dictionary_encode(),
            "at": pa.array([0, 1, 2], pa.timestamp("us", "Europe/Berlin")),
        },
        metadata={"made": "by tests"},
    )


VALUES = {
    "table": table(),
    "sliced table": table().slice(1, 1),
    "table of chunks": pa.concat_tables([table(), table()]),
    "empty table": table().schema.empty_table(),
    "table without columns": pa.table({}),
    "batch": table().to_batches()[0],
    "empty batch": table().to_batches()[0].slice(0, 0),
    "array": pa.array([1, None, 3]),
    "sliced array": pa.array(["a", "bc", None, "d"])[1:3],
    "empty array": pa.array([], pa.string()),
    "dictionary array": pa.array(["a", "b", "a"]).dictionary_encode(),
    "nulls": pa.nulls(3),
    "chunks": pa.chunked_array([[1], [], [2, 3]]),
    "no chunks": pa.chunked_array([], type=pa.int8()),
    "schema": table().schema,
}


@pytest.mark.parametrize("name", VALUES)
def test_tables_arrays_and_schemas_come_back(name):
    value = VALUES[name]
    decoded = round_trip(value)
    assert type(decoded) is type(value)
    if isinstance(value, pa.Schema):
        assert decoded.equals(value, check_metadata=True)
        return
    assert decoded.equals(value)
    decoded.validate(full=True)
    if isinstance(value, pa.ChunkedArray):
        assert [len(chunk) for chunk in decoded.chunks] == [len(chunk) for chunk in value.chunks]
    if isinstance(value, pa.Table | pa.RecordBatch):
        assert decoded.schema.equals(value.schema, check_metadata=True)


def test_a_table_met_twice_is_sent_once():
    value = VALUES["array"]
    first, second, number = round_trip([value, value, 5])
    assert first is second
    assert number == 5


def test_a_table_is_copied_once_each_way():
    column = pa.array(range(1_000_000), pa.int64())
    # Random enough that it is not compressed.
    value = pa.table({"x": compute.multiply(column, pa.scalar(0x9E3779B97F4A7C15 >> 1, pa.int64()))})
    before = pa.total_allocated_bytes()
    payload = payload_of(value)
    assert pa.total_allocated_bytes() == before, "written into the payload, not into memory of Arrow's first"
    assert value.nbytes <= len(payload) < value.nbytes + 2000
    decoded = _native.decode(payload, _native.Registry())
    assert value.nbytes <= pa.total_allocated_bytes() - before < value.nbytes + 2000, "one copy"
    assert decoded.equals(value)


def test_tables_are_shown_and_read_raw():
    payload = payload_of({"t": VALUES["array"]})
    assert re.fullmatch(r"\{'t': <array in Arrow's format, \d+ bytes>\}", _native.show(payload))
    assert _native.decode_raw(payload)["t"].equals(VALUES["array"])


def test_where_there_is_no_pyarrow_a_table_is_an_error_and_raw_a_record():
    payload = payload_of(VALUES["array"])
    program = f"""
import sys
sys.modules["pyarrow"] = None
from lineshaft import _native, SerializationError
payload = bytes.fromhex({payload.hex()!r})
try:
    _native.decode(payload, _native.Registry())
except SerializationError as error:
    print(str(error)[:61])
record = _native.decode_raw(payload)
print(record.name, record.fields["kind"], len(record.fields["stream"]))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.splitlines() == [
        "a table needs pyarrow, which cannot be imported here: ModuleN",
        f"pyarrow.lib array {len(stream_of(pa.RecordBatch.from_arrays([VALUES['array']], [''])))}",
    ]


# Bytes that nobody vouches for.


def payload_with(stream: bytes, kind: str = "table") -> bytes:
    """A payload whose stream is this one."""
    body = bytes([0x92, 0xA0 | len(kind)]) + kind.encode() + b"\x00"
    value = bytes([0xC7, len(body), 24]) + body
    head = b"\x21" + (1).to_bytes(4, "little") + len(value).to_bytes(4, "little") + len(stream).to_bytes(8, "little")
    padding = bytes(-(len(head) + len(value)) % 64)
    return head + value + padding + stream


def stream_of(value: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, value.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write(value)
    return sink.getvalue().to_pybytes()


def refusal(payload: bytes) -> str:
    with pytest.raises(SerializationError) as caught:
        _native.decode(payload, _native.Registry())
    return str(caught.value)


def test_streams_of_others_are_read():
    assert _native.decode(payload_with(stream_of(table())), _native.Registry()).equals(table())


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_compressed_buffers_are_refused_before_they_grow(codec):
    zeros = pa.table({"x": [bytes(8_000_000)]})
    stream = stream_of(zeros, compression=codec)
    assert len(stream) < 100_000
    assert refusal(payload_with(stream)) == "table at byte 0 is not valid: its buffers are compressed"
    words = pa.table({"k": pa.array(["a" * 50, "b" * 50] * 50).dictionary_encode()})
    assert "its buffers are compressed" in refusal(payload_with(stream_of(words, compression=codec)))


def test_offsets_that_lead_out_of_the_stream_are_refused():
    stream = stream_of(pa.table({"name": ["abc", "def"]}))
    offsets = (0).to_bytes(4, "little") + (3).to_bytes(4, "little") + (6).to_bytes(4, "little")
    assert stream.count(offsets) == 1
    wild = (0).to_bytes(4, "little") + (3).to_bytes(4, "little") + (1 << 30).to_bytes(4, "little")
    assert "ArrowInvalid" in refusal(payload_with(stream.replace(offsets, wild)))


def test_a_stream_of_another_kind_is_refused():
    stream = stream_of(table())
    assert refusal(payload_with(stream, "array")) == "a stream for this has one column"
    assert refusal(payload_with(stream_of(VALUES["table of chunks"]), "batch")) == "a stream for this has one batch"
    assert refusal(payload_with(stream, "frame")) == 'nothing of Arrow\'s is called "frame" here'
    assert "cut off or of another format" in refusal(payload_with(stream[:-100]))
    assert "cut off or of another format" in refusal(payload_with(b"ARROW1\0\0" + stream))


def test_damaged_streams_never_crash():
    import random

    source = random.Random(1)
    stream = stream_of(table())
    survived = 0
    for _ in range(400):
        damaged = bytearray(stream)
        for _ in range(source.randrange(1, 4)):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        try:
            _native.decode(payload_with(bytes(damaged)), _native.Registry()).to_pylist()
            survived += 1
        except (SerializationError, pa.ArrowException, ValueError, OverflowError):
            continue
    assert survived, "some damage only changes numbers"


def test_extension_types_of_the_stream_are_not_built():
    field = pa.field(
        "x",
        pa.int64(),
        metadata={"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": b"cos\nsystem\n."},
    )
    value = pa.table([pa.array([1])], schema=pa.schema([field]))
    decoded = round_trip(value)
    assert decoded.schema.field("x").type == pa.int64()
