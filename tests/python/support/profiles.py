"""Work that takes time of a processor, and what pprof makes of a profile."""

from __future__ import annotations

import gzip
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lineshaft import Profile, profile


def burn(cpu_s: float) -> None:
    """Takes so much time of a processor, however busy the machine is."""
    end = time.thread_time() + cpu_s
    while time.thread_time() < end:
        sum(range(200))


def hot(cpu_s: float) -> None:
    burn(cpu_s)


def cool(cpu_s: float) -> None:
    burn(cpu_s)


def spin(cpu_s: float) -> None:
    end = time.thread_time() + cpu_s
    number = 0
    while time.thread_time() < end:
        for each in range(500):
            number ^= each


def profiled(work: Callable[[], object], **options) -> Profile:
    with profile(**options) as found:
        work()
    return found


def of(found: Profile, name: str):
    """The function of a name, which is qualified from Python 3.11 on."""
    return next((one for one in found.hot_functions(10_000) if one.function.split(".")[-1] == name), None)


def stacks_cpu(found: Profile) -> list[tuple[list[str], int]]:
    """Names of the functions of each stack, with the time of a processor, as pprof reads them."""
    return [(names, values[2]) for names, values, _ in samples_of(parsed(found))]


def parsed(found: Profile):
    """What pprof's own definition of the format makes of it: github.com/google/pprof/blob/main/proto/profile.proto."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "found.pb.gz")
        found.save(path)
        message = pprof_profile()()
        message.ParseFromString(gzip.decompress(path.read_bytes()))
        return message


PPROF = {
    "ValueType": {"type": (1, "int64"), "unit": (2, "int64")},
    "Label": {"key": (1, "int64"), "str": (2, "int64"), "num": (3, "int64"), "num_unit": (4, "int64")},
    "Sample": {"location_id": (1, "*uint64"), "value": (2, "*int64"), "label": (3, "*Label")},
    "Mapping": {"id": (1, "uint64")},
    "Line": {"function_id": (1, "uint64"), "line": (2, "int64"), "column": (3, "int64")},
    "Location": {
        "id": (1, "uint64"),
        "mapping_id": (2, "uint64"),
        "address": (3, "uint64"),
        "line": (4, "*Line"),
        "is_folded": (5, "bool"),
    },
    "Function": {
        "id": (1, "uint64"),
        "name": (2, "int64"),
        "system_name": (3, "int64"),
        "filename": (4, "int64"),
        "start_line": (5, "int64"),
    },
    "Profile": {
        "sample_type": (1, "*ValueType"),
        "sample": (2, "*Sample"),
        "mapping": (3, "*Mapping"),
        "location": (4, "*Location"),
        "function": (5, "*Function"),
        "string_table": (6, "*string"),
        "drop_frames": (7, "int64"),
        "keep_frames": (8, "int64"),
        "time_nanos": (9, "int64"),
        "duration_nanos": (10, "int64"),
        "period_type": (11, "ValueType"),
        "period": (12, "int64"),
        "comment": (13, "*int64"),
        "default_sample_type": (14, "int64"),
    },
}
"""profile.proto, as fields with numbers and types."""


def pprof_profile():
    pytest.importorskip("google.protobuf")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="profile.proto", package="perftools.profiles", syntax="proto3")
    for name, fields in PPROF.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            plain = kind.removeprefix("*")
            added = message.field.add(name=field, number=number, label=3 if kind != plain else 1)
            if plain in PPROF:
                added.type, added.type_name = added.TYPE_MESSAGE, f".perftools.profiles.{plain}"
            else:
                added.type = getattr(added, f"TYPE_{plain.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("perftools.profiles.Profile"))


def samples_of(message) -> list[tuple[list[str], list[int], dict[str, str]]]:
    """Names from the innermost, values and labels of each sample."""
    text = message.string_table
    functions = {one.id: text[one.name] for one in message.function}
    locations = {one.id: functions[one.line[0].function_id] for one in message.location}
    return [
        (
            [locations[number] for number in sample.location_id],
            list(sample.value),
            {text[label.key]: text[label.str] for label in sample.label},
        )
        for sample in message.sample
    ]


def threads_now() -> int:
    return len(os.listdir("/proc/self/task"))
