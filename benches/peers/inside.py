"""One part of one system, run in the environment of the peers by `parts.py`; its figures are the last line printed.

Usage: inside.py SYSTEM PART SECONDS PATIENCE
"""

from __future__ import annotations

import importlib
import json
import sys
from importlib.metadata import version
from types import ModuleType

import kills
import throughput


def main(name: str, part: str, seconds: float, patience: float) -> None:
    """The server runs as long as this does; what is left of its processes is ended by who started this."""
    system = importlib.import_module(f"systems.{name}")
    about = {
        "title": system.TITLE,
        "acknowledged": system.ACKNOWLEDGED,
        "versions": {package: version(package) for package in system.PACKAGES},
    }
    missing = system.server and system.server.missing()
    figures = {"skipped": missing} if missing else measure(system, part, seconds, patience)
    print(json.dumps({"about": about, "figures": figures}))


def measure(system: ModuleType, part: str, seconds: float, patience: float) -> dict[str, object]:
    if part == "server" and not system.server:
        return {"skipped": "it has no server"}
    if system.server:
        system.server.start()
    try:
        getattr(system, "connect", lambda: None)()
        if part == "throughput":
            return throughput.measure(system, seconds)
        if part == "latency":
            return throughput.latency(system, seconds)
        return kills.measure(system, patience, part)
    finally:
        if system.server:
            system.server.kill()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
