"""An app with a task that the workers of `_kills_app` do not know."""

from __future__ import annotations

import os

from lineshaft import App

app = App(os.environ.get("KILLS_HOME", "unused"))


@app.task
def late(number: int) -> int:
    return number + 1
