"""Completion in the shells that are installed, as a person presses Tab."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from conftest import environment
from support.terminal import DEADLINE_S, Terminal

START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
PREPARE = {
    "bash": "bind 'set enable-bracketed-paste off' 2>/dev/null; source <(lineshaft completions bash)",
    "zsh": "autoload -Uz compinit && compinit -D -u; source <(lineshaft completions zsh)",
    "fish": "lineshaft completions fish | source",
}


@pytest.fixture(params=sorted(START))
def shell(request, home, tmp_path):
    """A shell that has been taught to complete, and a home with a job."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    variables = environment(
        LINESHAFT_URL=str(home), TERM="xterm", PS1="$ ", HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path)
    )
    command = [sys.executable, "-m", "lineshaft", "enqueue", "mail.send", "--queue", "letters"]
    subprocess.run(command, env=variables, check=True, capture_output=True, timeout=DEADLINE_S)
    terminal = Terminal(START[request.param], variables, columns=200)
    terminal.type(f"{PREPARE[request.param]}; echo ta'ug'ht\n")
    terminal.until("taught")
    yield terminal
    terminal.process.kill()
    terminal.end()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("lineshaft stat", "status"),
        ("lineshaft job canc", "cancel"),
        ("lineshaft worker app.py --proc", "--processes"),
        ("lineshaft serve --durability sy", "sync"),
        ("lineshaft queue pause lett", "letters"),
        ("lineshaft enqueue mail.s", "mail.send"),
        ("lineshaft job list --state avail", "available"),
    ],
)
def test_tab_completes(shell, typed, completed):
    """Under Python, what was offered used to stay in a buffer that nobody flushed: bash and zsh completed nothing."""
    shell.seen = ""
    shell.type(f"{typed}\t")
    shell.until(completed)
