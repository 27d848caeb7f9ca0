"""Other systems and ours on the same work in one run: what they take and run in a second, and what kills lose.

Everything is installed into an environment of its own below this directory, servers are started on free ports of the
loopback with the settings that they ship, and each measurement has a directory and processes of its own. Adding a
system is one file in `systems`: its PACKAGES, WORKER and server, its three tasks, and how it enqueues and waits.

Usage: python benches/peers [SYSTEM…] [--seconds S] [--patience S] [--json FILE] [--markdown FILE]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENVIRONMENT = HERE / ".venv"
SYSTEMS = sorted(path.stem for path in (HERE / "systems").glob("*.py"))
VICTIMS = ("child", "worker", "server")
PARTS = ("throughput", "latency", *VICTIMS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python benches/peers", description=__doc__.splitlines()[0])
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=f"which ones: {', '.join(SYSTEMS)} (default all)")
    parser.add_argument("--seconds", type=float, default=5, help="how long each rate is measured (default 5)")
    parser.add_argument("--patience", type=float, default=60, help="how long to wait after a kill (default 60)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    parser.add_argument("--inside", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.systems) - set(SYSTEMS):
        parser.error(f"no such system: {', '.join(sorted(unknown))}; there are {', '.join(SYSTEMS)}")
    if options.inside:
        print(json.dumps(inside(options.systems[0], options.inside, options.seconds, options.patience)))
        return 0
    prepare()
    figures = {name: measure(name, options.seconds, options.patience) for name in options.systems or SYSTEMS}
    page = tables(figures, options.patience)
    print(page)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.markdown:
        options.markdown.write_text(page + "\n")
    return 0


def prepare() -> None:
    """The environment of the peers, made once."""
    if not (ENVIRONMENT / "ready").exists():
        venv.create(ENVIRONMENT, with_pip=True)
        requirements = HERE / "requirements.txt"
        subprocess.run([ENVIRONMENT / "bin/pip", "install", "--quiet", "-r", requirements], check=True)
        (ENVIRONMENT / "ready").touch()


def measure(name: str, seconds: float, patience: float) -> dict[str, object]:
    """All parts of one system, each in a process and a directory of its own."""
    figures: dict[str, object] = {}
    for part in PARTS:
        with tempfile.TemporaryDirectory(prefix="peers-") as directory:
            bins = [ENVIRONMENT / "bin", ROOT / ".venv/bin", os.environ["PATH"]]
            own = {
                "PEERS_DIRECTORY": directory,
                "PEERS_PORT": str(free_port()),
                "PATH": os.pathsep.join(map(str, bins)),
                "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT / 'python'}",
            }
            command = [ENVIRONMENT / "bin/python", HERE, name, "--inside", part]
            command += ["--seconds", str(seconds), "--patience", str(patience)]
            run = subprocess.run(command, env=os.environ | own, stdout=subprocess.PIPE, text=True, check=False)
            said = json.loads(run.stdout.splitlines()[-1]) if run.returncode == 0 else {"error": run.returncode}
            if run.returncode:
                logs = [path for path in Path(directory).glob("*.log") if path.stat().st_size]
                print("\n".join(path.read_text(errors="replace")[-1500:] for path in logs), file=sys.stderr)
        figures |= {"versions": said.pop("versions", figures.get("versions"))}
        figures |= {part: said} if part in VICTIMS else said
        print(f"{name:16} {part:10} {said}", file=sys.stderr)
    return figures


def free_port() -> int:
    """A port that is free now, and whose next one is too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def inside(name: str, part: str, seconds: float, patience: float) -> dict[str, object]:
    """One part of one system; its server runs as long as this does."""
    system = importlib.import_module(f"systems.{name}")
    if part == "server" and system.server is None:
        return {}
    if system.server:
        system.server.start()
    try:
        getattr(system, "connect", lambda: None)()
        if part in VICTIMS:
            figures = importlib.import_module("kills").measure(system, patience, part)
        else:
            call = {"throughput": "measure", "latency": "latency"}[part]
            figures = getattr(importlib.import_module("throughput"), call)(system, seconds)
    finally:
        if system.server:
            system.server.kill()
    return figures | {"versions": {package: version(package) for package in system.PACKAGES}}


COLUMNS = {
    "enqueue_per_s": "one by one /s",
    "enqueue_many_per_s": "in batches /s",
    "drain_per_s": "drained /s",
    "start_p50_ms": "start p50 ms",
    "start_p99_ms": "start p99 ms",
    "roundtrip_p50_ms": "round trip p50 ms",
    "server_bytes_per_queued_job": "server bytes per queued job",
    "disk_bytes_per_queued_job": "disk bytes per queued job",
    "cold_start_s": "worker's start to first result s",
}


def tables(figures: dict[str, dict], patience: float) -> str:
    """Both tables in Markdown."""
    rows = [
        ["system", *COLUMNS.values()],
        ["---", *["--:"] * len(COLUMNS)],
        *([name, *(number(of.get(key)) for key in COLUMNS)] for name, of in figures.items()),
        [],
        ["", "one worker process killed", "whole worker killed", "server killed"],
        ["---"] * 4,
        *([name, *(outcome(of[victim], patience) for victim in VICTIMS)] for name, of in figures.items()),
    ]
    return "\n".join("| " + " | ".join(row) + " |" if row else "" for row in rows)


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def outcome(of: dict, patience: float) -> str:
    if not of or "error" in of:
        return "error" if of else "-"
    words = f"{of['not_run']} of 200 not run after {patience:g} s" if of["not_run"] else "0 lost"
    again = of["again_after_s"]
    return words if again is None else f"{words}, again after {again:.2g} s"


if __name__ == "__main__":
    sys.exit(main())
