"""Other systems and ours on the same work in one run: what they take and run in a second, and what kills lose.

Their packages are installed into an environment of their own below this directory; servers and workers run on free
ports of the loopback, two worker processes each, with the settings that they ship and results kept. A job has one
argument, a text of 100 bytes. Each part (throughput, latency, and a kill of a child, of the worker, of the server) has
a directory and processes of its own, of which nothing is left, also after Ctrl-C. A system whose server is not on this
machine, or that fails, is told and passed over. Adding a system is one file in `systems`: its TITLE, what its answer to
an enqueue means (ACKNOWLEDGED), PACKAGES, WORKER and server, its three tasks, and how it enqueues and waits.

Usage: python benches/peers [SYSTEM…] [--parts PART…] [--quick] [--minutes M] [--seconds S] [--patience S] [--dir DIR]
                            [--json FILE] [--markdown FILE]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import parts
import processes
import report

SYSTEMS = sorted(path.stem for path in (parts.HERE / "systems").glob("*.py"))


def main() -> int:
    options = arguments()
    processes.adopt_orphans()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is not signal.SIG_IGN:  # under nohup it goes on
            signal.signal(ending, signal.default_int_handler)
    figures = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    try:
        parts.prepare()
        measure(options, figures)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    finally:
        processes.end_descendants()
        page = report.page(figures)
        print(page)
        if options.markdown:
            options.markdown.write_text(page + "\n")
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python benches/peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=f"which ones: {', '.join(SYSTEMS)} (default all)")
    parser.add_argument(
        "--parts",
        nargs="+",
        metavar="PART",
        choices=parts.PARTS,
        default=parts.PARTS,
        help=f"of {', '.join(parts.PARTS)} (default all)",
    )
    parser.add_argument("--quick", action="store_true", help="the same as --seconds 1 --patience 10: says less")
    parser.add_argument("--minutes", type=float, default=60, help="no part goes on after these (default 60)")
    parser.add_argument("--seconds", type=float, help="how long each rate is measured (default 5)")
    parser.add_argument("--patience", type=float, help="how long to wait for jobs after a kill (default 60)")
    parser.add_argument("--dir", type=Path, default=Path(), help="where homes and files of servers are (default here)")
    parser.add_argument("--json", type=Path, help="add the figures to this file, after each part")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file, too")
    options = parser.parse_args()
    if unknown := set(options.systems) - set(SYSTEMS):
        parser.error(f"no such system: {', '.join(sorted(unknown))}; there are {', '.join(SYSTEMS)}")
    options.seconds = options.seconds or (1 if options.quick else 5)
    options.patience = options.patience or (10 if options.quick else 60)
    return options


def measure(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    """Fills in `figures`: system -> part -> key, beside `about` of the system, `at` and `commit` of the part."""
    deadline = time.monotonic() + 60 * options.minutes
    todo = [(name, part) for name in options.systems or SYSTEMS for part in options.parts]
    for number, (name, part) in enumerate(todo, 1):
        progress = f"[{number}/{len(todo)}] {name} {part}"
        left = deadline - time.monotonic()
        if left < 1:
            print(f"{progress}: not measured within {options.minutes:g} minutes", file=sys.stderr)
            continue
        print(f"{progress} …", file=sys.stderr, flush=True)
        syncs = parts.syncs_per_s(options.dir)
        limit = min(left, 240 + 10 * options.seconds + options.patience)
        said = parts.run(name, part, options.seconds, options.patience, options.dir, limit)
        if "logs" in said:
            print(said["logs"], file=sys.stderr)
        own = figures.setdefault(name, {"about": {"title": name}})
        own["about"] |= said.get("about", {})
        own[part] = said["figures"] | stamp() | {"probe_fdatasync_per_s": syncs, "patience_s": options.patience}
        print(f"    {json.dumps(said['figures'])}", file=sys.stderr)
        if options.json:
            write(options.json, figures)


def stamp() -> dict[str, str]:
    """When and what: the commit that is checked out, with `+` where files differ from it."""
    git = ["git", "-C", str(parts.ROOT), "describe", "--always", "--exclude=*", "--dirty=+"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {"at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "commit": commit}


def write(path: Path, figures: dict[str, Any]) -> None:
    """Whole or not at all, also when it is stopped here."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(figures, indent=2) + "\n")
    beside.replace(path)


if __name__ == "__main__":
    sys.exit(main())
