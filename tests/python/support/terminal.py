"""A real terminal, for tests of what is asked, coloured and typed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping

DEADLINE_S = 60


class Terminal:
    """A program with a terminal of its own, so many columns wide."""

    def __init__(self, command: list[str], env: Mapping[str, str], columns: int = 80) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.seen = ""

    def until(self, words: str) -> str:
        """Reads until the terminal shows `words`."""
        end = time.monotonic() + DEADLINE_S
        while words not in self.seen:
            assert self._read(end), f"{words!r} did not come: {self.seen!r}"
        return self.seen

    def type(self, keys: str | bytes) -> None:
        """Presses these keys."""
        os.write(self._master, keys.encode() if isinstance(keys, str) else keys)

    def end(self) -> tuple[int, str]:
        """Reads to the end; the exit code and all that was shown."""
        end = time.monotonic() + DEADLINE_S
        while self._read(end):
            pass
        os.close(self._master)
        return self.process.wait(DEADLINE_S), self.seen.replace("\r\n", "\n")

    def _read(self, end: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, end - time.monotonic()))
        try:
            some = os.read(self._master, 65_536) if ready else b""
        except OSError:  # Linux says so when the last process has closed the terminal
            return False
        self.seen += some.decode(errors="replace")
        return bool(some)
