"""What logging and profiling cost, ours beside others in one run.

    python benches/see calls [--rounds 5]
    python benches/see processes [--records 100000]
    python benches/see filter
    python benches/see profiles [--pairs 9]
    python benches/see memory [--pairs 7]
    python benches/see native [--pairs 9]
    python benches/see waits [--seconds 3]
    python benches/see accounts [--jobs 100000] [--pairs 7] [--beside SITE]
    python benches/see search [--records 1000000]

`calls` has what a record with two fields takes whoever logs it to a file, and a call that nobody hears, beside the
standard library, picologging, structlog and loguru; ours also with what its threads take. `processes` has four
processes that write so many records each to one file, from start to end, and looks that every line is there and
whole. `filter` has what it takes to ask 1,000 directives about a logger. `profiles` has by how much a profiler makes
Python slower, beside pyinstrument and cProfile, `memory` by how much slower attempts are whose memory is profiled,
`native` what it takes to see native functions, `waits` what a profile says threads waited for. `search` has what it
takes to store that many records of attempts and to find some of them, beside a search through the same records as
lines of JSON. `accounts` has what CPU time a job with an empty body takes, beside a Lineshaft without accounts whose
packages are in SITE.

Others are installed into an environment of their own below this directory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PEERS = HERE / ".venv"
PACKAGES = ["picologging==0.9.3", "structlog==26.1.0", "loguru==0.7.3", "pyinstrument==5.1.3"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python benches/see", description=(__doc__ or "").splitlines()[0])
    subjects = parser.add_subparsers(dest="subject", required=True)
    calls = subjects.add_parser("calls")
    calls.add_argument("--rounds", type=int, default=5)
    processes = subjects.add_parser("processes")
    processes.add_argument("--records", type=int, default=100_000)
    subjects.add_parser("filter")
    profiles = subjects.add_parser("profiles")
    profiles.add_argument("--pairs", type=int, default=9)
    memory = subjects.add_parser("memory")
    memory.add_argument("--pairs", type=int, default=7)
    native = subjects.add_parser("native")
    native.add_argument("--pairs", type=int, default=9)
    waits = subjects.add_parser("waits")
    waits.add_argument("--seconds", type=float, default=3.0)
    search = subjects.add_parser("search")
    search.add_argument("--records", type=int, default=1_000_000)
    accounts = subjects.add_parser("accounts")
    accounts.add_argument("--jobs", type=int, default=100_000)
    accounts.add_argument("--pairs", type=int, default=7)
    accounts.add_argument("--beside", metavar="SITE")
    options = parser.parse_args()
    if options.subject == "calls":
        words = [str(HERE / "calls.py"), str(options.rounds), str(site_of_peers())]
    elif options.subject == "profiles":
        words = [str(HERE / "profiles.py"), str(options.pairs), str(site_of_peers())]
    elif options.subject == "memory":
        words = [str(HERE / "memory.py"), str(options.pairs)]
    elif options.subject == "native":
        words = [str(HERE / "native.py"), str(options.pairs)]
    elif options.subject == "waits":
        words = [str(HERE / "waits.py"), str(options.seconds)]
    elif options.subject == "processes":
        words = [str(HERE / "processes.py"), str(options.records)]
    elif options.subject == "accounts":
        beside = [options.beside] if options.beside else []
        words = [str(HERE / "accounts.py"), str(options.jobs), str(options.pairs), *beside]
    elif options.subject == "search":
        return run_example("lineshaft-store", "log_search", str(options.records))
    else:
        return run_example("lineshaft-log", "verdicts")
    return subprocess.run([sys.executable, *words]).returncode


def run_example(package: str, name: str, *words: str) -> int:
    command = ["cargo", "run", "--quiet", "--release", "-p", package, "--example", name]
    return subprocess.run([*command, "--manifest-path", str(ROOT / "Cargo.toml"), "--", *words]).returncode


def site_of_peers() -> Path:
    python, installed = PEERS / "bin" / "python", PEERS / "installed"
    if not python.exists():
        venv.create(PEERS, with_pip=True)
    if not installed.exists() or installed.read_text().split() != PACKAGES:
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        installed.write_text("\n".join(PACKAGES))
    [site] = PEERS.glob("lib/python3*/site-packages")
    return site


if __name__ == "__main__":
    sys.exit(main())
