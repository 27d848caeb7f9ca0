"""The servers that systems need, each on free ports of the loopback and in the bench's own directory."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import processes

DIRECTORY = Path(os.environ["PEERS_DIRECTORY"])
PORT = int(os.environ["PEERS_PORT"])  # and the two that follow are free as well


@dataclass
class Server:
    """A broker: how it is started, and how its program comes onto a machine that has none."""

    command: list[str]
    install: str
    environment: dict[str, str] = field(default_factory=dict)
    memory_tells: bool = True  # its resident memory grows with the jobs that are queued
    process: subprocess.Popen | None = None

    def missing(self) -> str | None:
        """What to install, if its program is not there."""
        found = shutil.which(self.command[0])
        return None if found else f"{self.command[0]} is not on this machine; to install it: {self.install}"

    def start(self) -> None:
        """Starts it, again after a kill too, and waits until it accepts connections."""
        with open(DIRECTORY / "server.log", "a") as log:
            self.process = subprocess.Popen(
                self.command, cwd=DIRECTORY, env=os.environ | self.environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while not _accepts():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{self.command[0]} does not start")
            time.sleep(0.005)

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        if self.process:
            kill(self.process)


def kill(process: subprocess.Popen) -> None:
    """SIGKILL to a process and all that it started."""
    if process.poll() is None:
        processes.kill(processes.tree(process.pid))
        process.wait()


def _accepts() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) == 0


def redis() -> Server:
    """Redis with its append-only file, synced each second, in place of the snapshots that it makes as it ships."""
    command = ["redis-server", "--port", str(PORT), "--bind", "127.0.0.1", "--dir", str(DIRECTORY)]
    return Server([*command, "--appendonly", "yes", "--save", ""], "apt install redis-server")


def nats() -> Server:
    """NATS with JetStream on files, synced every two minutes as it ships."""
    command = ["nats-server", "-a", "127.0.0.1", "-p", str(PORT), "-js", "-sd", str(DIRECTORY)]
    return Server(command, "apt install nats-server")


def rabbitmq() -> Server:
    """RabbitMQ as it ships; started without Debian's wrapper, which would change the user."""
    (DIRECTORY / "rabbitmq.conf").write_text(f"listeners.tcp.default = 127.0.0.1:{PORT}\n")
    own: dict[str, object] = {
        "HOME": DIRECTORY,
        "ERL_EPMD_PORT": PORT + 2,  # a daemon of its own, which ends with this run
        "RABBITMQ_NODENAME": f"peers{PORT}@localhost",
        "RABBITMQ_DIST_PORT": PORT + 1,
        "RABBITMQ_MNESIA_BASE": DIRECTORY,
        "RABBITMQ_LOG_BASE": DIRECTORY,
        "RABBITMQ_ENABLED_PLUGINS_FILE": DIRECTORY / "plugins",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",  # nor what this machine's own one is told
        "RABBITMQ_CONFIG_FILE": DIRECTORY / "rabbitmq.conf",
        "RABBITMQ_CONFIG_FILES": DIRECTORY / "*.conf",
    }
    debian = "/usr/lib/rabbitmq/bin/rabbitmq-server"
    program = debian if os.access(debian, os.X_OK) else "rabbitmq-server"
    environment = {key: str(value) for key, value in own.items()}
    return Server(
        [program], "apt install rabbitmq-server", environment, memory_tells=False
    )  # but with what it did last
