"""MessagePack and the envelope of docs/values.md, as far as tiny.py needs them.

Known are None, bool, int of 64 bits, float, str, bytes, list, dict and tuple; other extension types are read as `Ext`.
"""

import itertools
import struct
from typing import NamedTuple


class Ext(NamedTuple):
    """An extension type as it is."""

    code: int
    data: bytes


PACK = {
    type(None): lambda _: b"\xc0",
    bool: lambda value: b"\xc3" if value else b"\xc2",
    int: lambda value: struct.pack(">BQ", 0xCF, value) if value > 0 else struct.pack(">Bq", 0xD3, value),
    float: lambda value: struct.pack(">Bd", 0xCB, value),
    str: lambda value: struct.pack(">BI", 0xDB, len(value.encode())) + value.encode(),
    bytes: lambda value: struct.pack(">BI", 0xC6, len(value)) + value,
    list: lambda value: struct.pack(">BI", 0xDD, len(value)) + b"".join(map(pack, value)),
    dict: lambda value: struct.pack(">BI", 0xDF, len(value)) + b"".join(map(pack, itertools.chain(*value.items()))),
    tuple: lambda value: pack(Ext(1, pack(list(value)))),
    Ext: lambda value: struct.pack(">BIb", 0xC9, len(value.data), value.code) + value.data,
}
NUMBERS = dict(zip(range(0xCA, 0xD4), "fdBHIQbhiq", strict=True))
SIZED = {0xC4: "bB", 0xC5: "bH", 0xC6: "bI", 0xC7: "eB", 0xC8: "eH", 0xC9: "eI", 0xD9: "sB", 0xDA: "sH", 0xDB: "sI"}
SIZED |= {0xDC: "aH", 0xDD: "aI", 0xDE: "mH", 0xDF: "mI"}


def pack(value):
    if type(value) not in PACK:
        raise TypeError(f"{type(value).__name__} is not a value of this program")
    return PACK[type(value)](value)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        if self.at > len(self.data):
            raise ValueError("the bytes end too early")
        return self.data[self.at - count : self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def value(self, depth=128):
        first = self.number("B")
        if first < 0x80 or first >= 0xE0:
            return first - 256 * (first >= 0xE0)
        if first < 0xC0:
            kind, length = "mass"[first - 0x80 >> 4], first & (31 if first >= 0xA0 else 15)
        elif first in NUMBERS:
            return self.number(">" + NUMBERS[first])
        elif first in SIZED:
            kind, length = SIZED[first][0], self.number(">" + SIZED[first][1])
        elif 0xD4 <= first <= 0xD8:
            kind, length = "e", 1 << first - 0xD4
        else:
            return {0xC0: None, 0xC2: False, 0xC3: True}[first]
        return self.sized(kind, length, depth - 1)

    def sized(self, kind, length, depth):
        if kind in "am" and depth:
            items = [self.value(depth) for _ in range(length * (1 + (kind == "m")))]
            return items if kind == "a" else dict(zip(items[::2], items[1::2], strict=True))
        if kind == "e" and depth:
            ext = Ext(self.number("b"), self.take(length))
            return tuple(Reader(ext.data).value(depth)) if ext.code == 1 else ext
        if not depth:
            raise ValueError("nested too deeply")
        return self.take(length).decode() if kind == "s" else self.take(length)


def encode_value(value):
    return b"\x01" + pack(value)


def decode_value(payload):
    if payload[0] not in (0x01, 0x11):
        raise ValueError(f"payload of format {payload[0]:#x}: references and buffers are beyond this program")
    return Reader(payload[1:] if payload[0] == 0x01 else unpack_lz4(Reader(payload[5:]))).value()


def unpack_lz4(block):
    def length(count):
        more = 255 * (count == 15)
        while more == 255:
            more = block.number("B")
            count += more
        return count

    out = bytearray()
    while True:
        token = block.number("B")
        out += block.take(length(token >> 4))
        if block.at == len(block.data):
            return bytes(out)
        offset = block.number("<H")
        for _ in range(length(token & 15) + 4):
            out.append(out[-offset])
