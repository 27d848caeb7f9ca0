"""What it costs to turn values into bytes and back, beside pickle, msgspec and a plain copy in the same run.

    python benches/values.py [--json]

Each figure is the best of several rounds, in microseconds: the machine's other work only ever adds.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lineshaft import App

ROUNDS = 30


@dataclass
class Order:
    id: int
    customer: str
    total: float
    paid: bool


def microseconds(work: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """The best time of one call."""
    work()
    begun = time.perf_counter()
    work()
    calls = max(1, int(0.01 / max(time.perf_counter() - begun, 1e-9)))
    best = float("inf")
    for _ in range(rounds):
        begun = time.perf_counter()
        for _ in range(calls):
            work()
        best = min(best, (time.perf_counter() - begun) / calls)
    return best * 1e6


def figures() -> list[dict[str, Any]]:
    app = App("unused")
    app.register(Order)
    types = app._types
    small = {
        "id": 12345,
        "name": "a customer with a name",
        "email": "someone@example.org",
        "tags": ["x", "y"],
        "n": 2.5,
    }
    orders = [Order(number, f"customer {number}", number * 1.5, number % 2 == 0) for number in range(1000)]
    rows = [
        row(
            "dict of 100 bytes", "lineshaft", lambda: types.encode(small), types.decode, types.encode(small), "1.0/1.5"
        ),
        row("dict of 100 bytes", "pickle", lambda: pickle.dumps(small, 5), pickle.loads, pickle.dumps(small, 5)),
        row(
            "1,000 dataclasses",
            "lineshaft",
            lambda: types.encode(orders),
            types.decode,
            types.encode(orders),
            "1200/2500",
        ),
        row("1,000 dataclasses", "pickle", lambda: pickle.dumps(orders, 5), pickle.loads, pickle.dumps(orders, 5)),
    ]
    return rows + structs() + arrays(types)


def structs() -> list[dict[str, Any]]:
    try:
        import msgspec
    except ImportError:
        return []
    struct = msgspec.defstruct("Order", [("id", int), ("customer", str), ("total", float), ("paid", bool)])
    orders = [struct(number, f"customer {number}", number * 1.5, number % 2 == 0) for number in range(1000)]
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(list[struct]).decode  # type: ignore[valid-type]
    app = App("unused")
    app.register(struct, "benches.Struct")
    types = app._types
    return [
        row("1,000 structs", "lineshaft", lambda: types.encode(orders), types.decode, types.encode(orders)),
        row("1,000 structs", "msgspec", lambda: encode(orders), decode, encode(orders)),
    ]


def arrays(types: Any) -> list[dict[str, Any]]:
    try:
        import numpy
    except ImportError:
        return []
    array = numpy.random.default_rng(1).random(10_000_000 // 8)
    payload = types.encode(array)
    copied = bytes(memoryview(array).cast("B"))
    return [
        row("array of 10 MB", "lineshaft", lambda: types.encode(array), types.decode, payload, "one copy"),
        row("array of 10 MB", "bytes(memoryview)", lambda: bytes(memoryview(array).cast("B")), bytearray, copied),
    ]


def row(
    what: str, how: str, encode: Callable[[], Any], decode: Callable[[Any], Any], data: Any, goal: str = ""
) -> dict[str, Any]:
    return {
        "value": what,
        "with": how,
        "encode_us": round(microseconds(encode), 2),
        "decode_us": round(microseconds(lambda: decode(data)), 2),
        "bytes": len(data),
        "goal_us": goal,
    }


def main() -> None:
    rows = figures()
    if "--json" in sys.argv:
        print(json.dumps(rows))
        return
    print(f"{'value':20} {'with':18} {'encode us':>11} {'decode us':>11} {'bytes':>10}  goal")
    for line in rows:
        print(
            f"{line['value']:20} {line['with']:18} {line['encode_us']:11,.2f} {line['decode_us']:11,.2f}"
            f" {line['bytes']:10,}  {line['goal_us']}"
        )


if __name__ == "__main__":
    main()
