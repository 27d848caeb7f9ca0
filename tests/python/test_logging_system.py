"""Records to the system's log and to systemd's journal."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import closing

import pytest

import lineshaft
from lineshaft import OptionError
from lineshaft.logging import configure, flush

log = lineshaft.get_logger("shop.mail")


@pytest.fixture(autouse=True)
def as_it_was():
    yield
    configure(level="warning")


@pytest.fixture
def daemon(tmp_path):
    """A socket as the daemon of the system has it."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as daemon:
        daemon.settimeout(20)
        daemon.bind(str(tmp_path / "log"))
        yield daemon


def test_the_system_s_log_gets_records(daemon):
    configure(
        level="info",
        handlers=[{"kind": "syslog", "address": daemon.getsockname(), "facility": "local3", "program": "shop"}],
    )
    log.warning("late", seconds=2.5)
    said = daemon.recv(65536).decode()
    assert said.startswith(f"<{19 * 8 + 4}>")
    assert said.endswith(f"shop[{os.getpid()}]: shop.mail: late seconds=2.5")


def test_a_host_gets_records_over_udp():
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as host:
        host.settimeout(20)
        host.bind(("127.0.0.1", 0))
        configure(
            level="info",
            handlers=[{"kind": "syslog", "address": host.getsockname(), "program": "shop", "format": "{message}"}],
        )
        log.info("sent")
        said = host.recv(65536).decode()
    assert said.startswith(f"<{1 * 8 + 6}>1 20")
    assert said.endswith(" - - sent")


def test_the_journal_gets_fields(daemon):
    configure(level="info", handlers=[{"kind": "journald", "address": daemon.getsockname(), "program": "shop"}])
    log.error("not sent", to="ada", password="swordfish")
    said = daemon.recv(65536).decode()
    assert {"MESSAGE=not sent", "PRIORITY=3", "SYSLOG_IDENTIFIER=shop", "TO=ada", "PASSWORD=***"} <= set(
        said.splitlines()
    )


def test_the_program_is_this_one_unless_somebody_says_otherwise(daemon, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/my shop.py"])
    configure(level="info", handlers=[{"kind": "journald", "address": daemon.getsockname()}])
    log.info("sent")
    assert "SYSLOG_IDENTIFIER=myshop.py" in daemon.recv(65536).decode().splitlines()


def test_a_log_that_is_not_there_is_named_and_what_was_in_force_stays(daemon, tmp_path):
    configure(level="info", handlers=[{"kind": "syslog", "address": daemon.getsockname()}])
    for kind in ("syslog", "journald"):
        with pytest.raises(FileNotFoundError) as caught:
            configure(level="info", handlers=[{"kind": kind, "address": str(tmp_path / "nothing")}])
        assert caught.value.filename == str(tmp_path / "nothing")
    log.info("still")
    assert daemon.recv(65536).decode().endswith("shop.mail: still ")
    assert flush(20)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "syslog", "address": "logs"}, "`address`: 'logs' is not"),
        ({"kind": "syslog", "address": 514}, "`address`: 514 is not"),
        ({"kind": "syslog", "facility": "shop"}, "`facility`: 'shop' is not"),
        ({"kind": "syslog", "facility": 24}, "`facility`: 24 is not"),
        ({"kind": "journald", "program": "my shop"}, "`program`: 'my shop' is not"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(OptionError) as caught:
        configure(handlers=[options])
    assert said in str(caught.value)
