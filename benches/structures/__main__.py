"""`lineshaft.structures` beside what Python has and the best libraries, in one run.

    python benches/structures [--rounds 3] [--rust]

Figures are nanoseconds of CPU of a call, the best of some rounds. `--rust` also has those of the same structures in
Rust (`cargo bench -p lineshaft-structures --bench structures`). Others are installed into an environment of their own
below this directory.
"""

from __future__ import annotations

import argparse
import functools
import graphlib
import random
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lineshaft.structures import BloomFilter, Dag, Trie

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PEERS = HERE / ".venv"
PACKAGES = ["rbloom==1.5.4", "pybloom-live==4.0.0", "pygtrie==2.6.2", "networkx==3.6.1"]
MEMBERS = 200_000
TENANTS = 200
NODES = 2_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python benches/structures", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rust", action="store_true")
    options = parser.parse_args()
    sys.path.append(str(site_of_peers()))
    for subject in (filters, tries, graphs):
        subject(options.rounds)
    if not options.rust:
        return 0
    words = ["cargo", "bench", "--quiet", "-p", "lineshaft-structures", "--bench", "structures", "--manifest-path"]
    return subprocess.run([*words, ROOT / "Cargo.toml"]).returncode


def measured(what: str, rounds: int, calls: int, make: Callable[[], Any], run: Callable[[Any], Any]) -> None:
    """Prints what one of `calls` in `run` takes with what `make` gives."""
    best = float("inf")
    for _ in range(rounds):
        made = make()
        began = time.process_time_ns()
        run(made)
        best = min(best, (time.process_time_ns() - began) / calls)
    print(f"  {what:60} {best:12,.0f} ns")


def filters(rounds: int) -> None:
    from pybloom_live import BloomFilter as Pybloom
    from rbloom import Bloom

    keys = [f"user:{number}:name" for number in range(MEMBERS)]
    others = [f"user:{number}:mail" for number in range(MEMBERS)]
    print(f"{MEMBERS:,} texts, 1 % wrong")
    made: dict[str, Callable[[], Any]] = {
        "lineshaft BloomFilter": lambda: BloomFilter(MEMBERS, 0.01),
        "rbloom": lambda: Bloom(MEMBERS, 0.01),
        "pybloom-live": lambda: Pybloom(MEMBERS, 0.01),
        "set": set,
    }
    for name, make in made.items():
        measured(f"{name}, add", rounds, MEMBERS, make, functools.partial(added, keys))
        filled = make()
        added(keys, filled)
        same = lambda filled=filled: filled  # noqa: E731
        measured(f"{name}, in, not there", rounds, MEMBERS, same, functools.partial(found, others))
        if name != "set":
            print(f"    wrong in {100 * found(others, filled) / MEMBERS:.2f} %")


def added(keys: list[str], members: Any) -> None:
    add = members.add
    for key in keys:
        add(key)


def found(keys: list[str], members: Any) -> int:
    return sum(key in members for key in keys)


def tries(rounds: int) -> None:
    import pygtrie

    chance = random.Random(1)
    keys = [f"tenant:{chance.randrange(TENANTS)}:user:{chance.getrandbits(60):x}" for _ in range(MEMBERS)]
    items = dict.fromkeys(keys, 1)
    texts = [f"{key}:first:name" for key in keys[: MEMBERS // 10]]
    print(f"{MEMBERS:,} keys of {TENANTS} tenants")
    made: dict[str, Callable[[], Any]] = {
        "lineshaft Trie": Trie,
        "pygtrie CharTrie": pygtrie.CharTrie,
        "dict": dict,
    }
    for name, make in made.items():
        measured(f"{name}, store", rounds, MEMBERS, make, lambda mapping: mapping.update(items))
        filled = make()
        filled.update(items)
        same = lambda filled=filled: filled  # noqa: E731
        measured(f"{name}, look up", rounds, MEMBERS, same, lambda filled: sum(filled[key] for key in keys))
        measured(f"{name}, longest prefix", rounds, len(texts), same, lambda filled: longest(filled, texts))
        measured(f"{name}, delete the keys of a tenant", 1, 20, same, delete_tenants)


def longest(mapping: Any, texts: list[str]) -> int:
    if isinstance(mapping, dict):
        return sum(any(text[:length] in mapping for length in range(len(text), -1, -1)) for text in texts)
    return sum(mapping.longest_prefix(text) is not None for text in texts)


def delete_tenants(mapping: Any) -> None:
    for tenant in range(20):
        prefix = f"tenant:{tenant}:"
        if isinstance(mapping, Trie):
            mapping.delete_prefix(prefix)
        elif isinstance(mapping, dict):
            for key in [key for key in mapping if key.startswith(prefix)]:
                del mapping[key]
        else:
            del mapping[prefix:]


def graphs(rounds: int) -> None:
    import networkx

    chance = random.Random(1)
    names = [f"node {number}" for number in range(NODES)]
    edges = [tuple(sorted(chance.sample(range(NODES), 2))) for _ in range(3 * NODES)]
    pairs = [(names[one], names[other]) for one, other in edges]
    print(f"{len(pairs):,} edges between {NODES:,} nodes, none of which closes a cycle")

    def ours(dag: Dag[str]) -> None:
        for before, after in pairs:
            dag.add_edge(before, after)

    def theirs(graph: Any) -> None:
        for before, after in pairs:
            if graph.has_node(before) and graph.has_node(after) and networkx.has_path(graph, after, before):
                raise ValueError
            graph.add_edge(before, after)

    def at_the_end(sorter: graphlib.TopologicalSorter[str]) -> None:
        for before, after in pairs:
            sorter.add(after, before)
        sorter.prepare()

    measured("lineshaft Dag, add_edge", rounds, len(pairs), Dag, ours)
    measured("networkx, has_path and add_edge", 1, len(pairs), networkx.DiGraph, theirs)
    sorter = graphlib.TopologicalSorter
    measured("graphlib, add, and cycles found once at the end", rounds, len(pairs), sorter, at_the_end)


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
