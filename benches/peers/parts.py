"""One part of one system seen from outside: a directory, ports and processes of its own, of which nothing is left."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import processes

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENVIRONMENT = HERE / ".venv"
VICTIMS = ("child", "worker", "server")
PARTS = ("throughput", "latency", *VICTIMS)


def prepare() -> None:
    """The environment of the peers, made anew whenever the list of what belongs into it has changed."""
    requirements, made_from = HERE / "requirements.txt", ENVIRONMENT / "made-from"
    if made_from.exists() and made_from.read_text() == requirements.read_text():
        return
    venv.create(ENVIRONMENT, with_pip=True, clear=True)
    subprocess.run([ENVIRONMENT / "bin/pip", "install", "--quiet", "-r", requirements], check=True)
    made_from.write_text(requirements.read_text())


def run(name: str, part: str, seconds: float, patience: float, directory: Path, limit: float) -> dict[str, Any]:
    """What a part printed, or `error` with why it did not; at most `limit` seconds, none of its processes after."""
    with tempfile.TemporaryDirectory(prefix="peers-", dir=directory, ignore_cleanup_errors=True) as own:
        command = [ENVIRONMENT / "bin/python", HERE / "inside.py", name, part, str(seconds), str(patience)]
        with open(Path(own, "bench.out"), "w+") as said, open(Path(own, "bench.log"), "w") as log:
            process = subprocess.Popen(
                command, cwd=own, env=_environment(own), stdout=said, stderr=log, start_new_session=True
            )
            try:
                process.wait(limit)
            except subprocess.TimeoutExpired:
                return {"figures": {"error": f"stopped after {limit:.0f} s"}, "logs": _logs(own)}
            finally:
                processes.end_descendants()
            said.seek(0)
            lines = said.read().splitlines()
        if process.returncode or not lines:
            logs = _logs(own)
            why = logs.splitlines()[-1] if logs else f"exit code {process.returncode}"
            return {"figures": {"error": why}, "logs": logs}
        return json.loads(lines[-1])


def _environment(directory: str) -> dict[str, str]:
    bins = [ENVIRONMENT / "bin", ROOT / ".venv/bin", os.environ["PATH"]]
    return os.environ | {
        "PEERS_DIRECTORY": str(Path(directory).resolve()),
        "PEERS_PORT": str(free_ports(3)),
        "PATH": os.pathsep.join(map(str, bins)),
        "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT / 'python'}",
    }


def _logs(directory: str) -> str:
    """The ends of what was written, the bench's own words last."""
    names = ("server.log", "worker.log", "bench.log")
    logs = [path for name in names if (path := Path(directory, name)).exists() and path.stat().st_size]
    return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-1500:].rstrip()}" for path in logs)


def free_ports(count: int) -> int:
    """The first of so many ports in a row that are free now."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
        if all(_is_free(port + more) for more in range(count)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def syncs_per_s(directory: Path, seconds: float = 0.5) -> float:
    """What the disk does beside all this: writes of 4 KiB with their fdatasync, in a file written ahead."""
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(bytes(1 << 20))
        file.flush()
        os.fsync(file.fileno())
        made, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            os.pwrite(file.fileno(), bytes(4096), made % 256 * 4096)
            os.fdatasync(file.fileno())
            made += 1
        return made / (time.perf_counter() - began)
