"""A process that shares alternatives with others: `choiceworks.py HOME LOOK_EVERY VERIFY`.

It calls a function whose second implementation is fast and wrong, and prints a line for each thing that it finds out.
"""

from __future__ import annotations

import logging
import sys
import time

from lineshaft import App
from lineshaft._alternatives import _sharing


def wrong(number: int) -> int:
    return -number


def main(home: str, look_every: str, verify: str) -> None:
    _sharing.LOOK_EVERY_S = float(look_every)
    logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s", level=logging.WARNING)
    app = App(home)

    @app.alternatives(wrong, key=None, verify=float(verify))
    def right(number: int) -> int:
        time.sleep(0.002)
        return number

    said = ""
    while True:
        gives = "right" if right(5) == 5 else "wrong"
        pinned = "pinned" if "pinned" in right.explain() else "free"
        (rows,) = right.implementations().values()
        state = f"{pinned} {gives} {next((row.name for row in rows if row.standing == 'best'), 'none')}"
        if state != said:
            print(state, flush=True)
            said = state
        time.sleep(0.001)


if __name__ == "__main__":
    main(*sys.argv[1:])
