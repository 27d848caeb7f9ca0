"""Replays a trace with libcachesim: `simulated.py FILE CAPACITY ...`, as `examples/replay.rs` of our crate does."""

from __future__ import annotations

import sys
from pathlib import Path

import libcachesim

POLICIES = {
    "s3fifo": libcachesim.S3FIFO,
    "lru": libcachesim.LRU,
    "sieve": libcachesim.Sieve,
    "lfu": libcachesim.WTinyLFU,
}
SAMPLED = 1_000

keys = [int(line) for line in Path(sys.argv[1]).read_text().split()]
for capacity in map(int, sys.argv[2:]):
    for name, policy in POLICIES.items():
        cache, request = policy(cache_size=capacity), libcachesim.Request()
        request.obj_size = 1
        hits = most = 0
        for index, key in enumerate(keys):
            request.obj_id = key
            hits += cache.get(request)
            if index % SAMPLED == 0:
                most = max(most, cache.get_n_obj())
        print(name, capacity, len(keys), hits, most)
