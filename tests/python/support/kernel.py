"""A Jupyter kernel, driven as a notebook drives it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 60.0


class Kernel:
    """One kernel in a directory of its own, and its client."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        jupyter_client = pytest.importorskip("jupyter_client")
        pytest.importorskip("ipykernel")
        self.directory = directory
        self.manager = jupyter_client.KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(directory), env=environment)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE_S)

    def start(self, cell: str) -> str:
        return self.client.execute(cell)

    def end_of(self, request: str) -> tuple[str, str | None]:
        """What the cell printed on standard output and, as a line, the value of its last expression; and its error."""
        out, error, deadline = "", None, time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            message: dict[str, Any] = self.client.get_iopub_msg(timeout=PATIENCE_S)
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            if message["msg_type"] == "stream" and content["name"] == "stdout":
                out += content["text"]
            elif message["msg_type"] == "execute_result":
                out += content["data"]["text/plain"] + "\n"
            elif message["msg_type"] == "error":
                error = content["ename"]
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return out, error
        return pytest.fail("the cell does not end")

    def run(self, cell: str) -> str:
        out, error = self.end_of(self.start(cell))
        assert error is None, error
        return out

    def restart(self) -> None:
        """As after a crash: what ran in it is gone."""
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=PATIENCE_S)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
