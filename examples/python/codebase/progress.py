"""A progress bar on standard error: one line that is redrawn, or a line now and then where it is not a terminal."""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from typing import TextIO

WINDOW_S = 4.0
"""The rate is that of the last seconds."""


class Progress:
    """Counts what is done; `say` prints above the bar."""

    def __init__(self, what: str, total: int, stream: TextIO | None = None) -> None:
        self._what = what
        self._total = total
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self._every_s = 0.1 if self._is_terminal else 2.0
        self._shown_at = self._started = time.monotonic()
        self._marks = deque([(self._started, 0)])
        self.done = 0

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        now = time.monotonic()
        if now - self._shown_at >= self._every_s:
            self._show(now)

    def say(self, text: str) -> None:
        """Prints a line that stays."""
        self._clear()
        print(text, file=self._stream, flush=True)

    def close(self, last_word: str | None = None) -> None:
        """Leaves what was done in what time, after `last_word` if there is one."""
        if last_word is not None:
            self.say(last_word)
        self.say(f"{self._what} {self.done:,} of {self._total:,} in {time.monotonic() - self._started:.1f} s")

    def _show(self, now: float) -> None:
        self._shown_at = now
        self._marks.append((now, self.done))
        while len(self._marks) > 2 and now - self._marks[1][0] > WINDOW_S:
            self._marks.popleft()
        then, before = self._marks[0]
        rate = (self.done - before) / (now - then)
        left = _duration((self._total - self.done) / rate) if rate else "?"
        facts = f"{self.done:,}/{self._total:,}  {rate:,.0f}/s  {left} left"
        if self._is_terminal:
            self._draw(facts)
        else:
            print(f"{self._what} {facts}", file=self._stream, flush=True)

    def _draw(self, facts: str) -> None:
        columns = shutil.get_terminal_size().columns
        room = max(0, min(40, columns - len(self._what) - len(facts) - 4))
        full = round(room * self.done / self._total)
        bar = _block(self._stream) * full + "·" * (room - full)
        self._stream.write(f"\r\x1b[K{self._what} {bar} {facts}"[: columns + 4])
        self._stream.flush()

    def _clear(self) -> None:
        if self._is_terminal:
            self._stream.write("\r\x1b[K")


def _block(stream: TextIO) -> str:
    return "█" if (stream.encoding or "").lower().startswith("utf") else "#"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
