"""What a large argument costs on its way into the journal, beside the socket and the disk alone, in turns.

Usage: python benches/large_payloads.py [--megabytes N] [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from rounds import LINESHAFT

from lineshaft import App


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    payload = os.urandom(options.megabytes << 20)
    with tempfile.TemporaryDirectory(prefix="lineshaft-", dir=".") as directory:
        home, probe = Path(directory, "home"), Path(directory, "probe")
        app = App(str(home))
        size = app.task(length, name="size")
        size.enqueue(b"")  # starts the server
        measured = {
            "enqueue": lambda: size.enqueue(payload),
            "a socket": lambda: through_a_socket(payload),
            "write and fdatasync": lambda: to_disk(payload, probe),
        }
        times: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(options.rounds):
            for name, call in measured.items():
                began = time.perf_counter()
                call()
                times[name].append((time.perf_counter() - began) * 1e3)
        subprocess.run([LINESHAFT, "stop", "--home", home], check=True, stdout=subprocess.DEVNULL)
    print(f"{options.megabytes} MiB, ms, median of {options.rounds} (least)")
    for name, values in times.items():
        print(f"  {name:20} {statistics.median(values):7.1f}  ({min(values):.1f})")


def length(value: bytes) -> int:
    return len(value)


def through_a_socket(payload: bytes) -> None:
    near, far = socket.socketpair()
    with near, far:
        reader = threading.Thread(target=read, args=(far, len(payload)))
        reader.start()
        near.sendall(payload)
        reader.join()


def read(end: socket.socket, count: int) -> None:
    room = memoryview(bytearray(count))
    while room:
        room = room[end.recv_into(room) :]


def to_disk(payload: bytes, path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(payload)
        os.fdatasync(file.fileno())


if __name__ == "__main__":
    main()
