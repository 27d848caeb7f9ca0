"""The servers that systems need, each on a free port of the loopback and in the bench's own directory, as it comes."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

DIRECTORY = Path(os.environ["PEERS_DIRECTORY"])
PORT = int(os.environ["PEERS_PORT"])


@dataclass
class Server:
    """A broker: how it is started; `restart` after a kill uses the same port and files."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    process: psutil.Popen | None = None

    def start(self) -> None:
        """Starts it and waits until it accepts connections."""
        with open(DIRECTORY / "server.log", "a") as log:
            self.process = psutil.Popen(
                self.command, cwd=DIRECTORY, env=os.environ | self.environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while not _accepts():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{self.command[0]} does not start:\n{(DIRECTORY / 'server.log').read_text()[-2000:]}")
            time.sleep(0.05)

    def memory(self) -> int:
        """Resident bytes of all of its processes."""
        return sum(process.memory_info().rss for process in tree(self.process))

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        kill(self.process)


def tree(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that it started."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(process: psutil.Popen | None) -> None:
    """SIGKILL to a process and all that it started."""
    if process is None:
        return
    for each in reversed(tree(process)):
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def _accepts() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) == 0


def redis() -> Server:
    """Redis with its append-only file, synced each second: more than it does as it ships."""
    where = ["--port", str(PORT), "--bind", "127.0.0.1", "--dir", str(DIRECTORY)]
    return Server(["redis-server", *where, "--appendonly", "yes"])


def nats() -> Server:
    """NATS with JetStream on files, synced every two minutes as it ships."""
    return Server(["nats-server", "-a", "127.0.0.1", "-p", str(PORT), "-js", "-sd", str(DIRECTORY)])


def rabbitmq() -> Server:
    """RabbitMQ as it ships; started without Debian's wrapper, which would change the user."""
    (DIRECTORY / "rabbitmq.conf").write_text(f"listeners.tcp.default = 127.0.0.1:{PORT}\n")
    own = {
        "HOME": DIRECTORY,
        "RABBITMQ_NODENAME": f"peers{PORT}@localhost",
        "RABBITMQ_DIST_PORT": PORT + 1,
        "RABBITMQ_MNESIA_BASE": DIRECTORY,
        "RABBITMQ_LOG_BASE": DIRECTORY,
        "RABBITMQ_ENABLED_PLUGINS_FILE": DIRECTORY / "plugins",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",  # nor what this machine's own one is told
        "RABBITMQ_CONFIG_FILE": DIRECTORY / "rabbitmq.conf",
        "RABBITMQ_CONFIG_FILES": DIRECTORY / "*.conf",
    }
    return Server(["/usr/lib/rabbitmq/bin/rabbitmq-server"], {key: str(value) for key, value in own.items()})
