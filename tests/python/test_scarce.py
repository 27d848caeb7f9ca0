"""Few open files, few addresses or a small `/dev/shm`: a plain word, or less of what is needed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

LONG_S = 60.0

_ADDRESSES = """
import resource
from lineshaft.multiprocessing import Queue
from lineshaft import Pool

def limit(more):
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return limit
"""

_FEW_FILES = """
import errno, resource
from lineshaft.multiprocessing import Queue

resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
files = []
try:
    while True:
        files.append(open("/dev/null"))
except OSError:
    pass
try:
    Queue()
except OSError as error:
    assert error.errno == errno.EMFILE, error
    print(error.strerror)
"""

_FEWER_ADDRESSES = (
    _ADDRESSES
    + """
limit(400 << 20)
queue = Queue()
array = bytes(8 << 20)
queue.put(array)
assert queue.get() == array
print(queue._channel.is_in_memory())
"""
)

_NO_ADDRESSES = (
    _ADDRESSES
    + """
print(limit(8 << 20))
try:
    Pool(1)
except OSError as error:
    print(error.strerror)
"""
)

_SMALL_SHARED_MEMORY = """
import logging, os, warnings
from lineshaft import App, Pool
from lineshaft.multiprocessing import Queue
from lineshaft.testing import private_engine

logging.basicConfig(format="%(message)s", level=logging.WARNING)
warnings.simplefilter("error")
queue = Queue()
queue.put(bytes(3 << 20))
with Pool(1) as pool:
    print(len(queue.get()), queue._channel.is_in_memory(), pool.map(len, [bytes(4 << 20)]))

app = App("home")

@app.cached
def zeros(count):
    return bytes(count)

assert zeros(3) == zeros(3)
print(zeros.cache.info().hits)

with private_engine():
    print(App()._connection.client() and os.environ["LINESHAFT_URL"])
print(os.listdir("/dev/shm"))
"""


def _said(program: str, *before: str, cwd: Path | None = None) -> list[str]:
    ran = subprocess.run(
        [*before, sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, timeout=LONG_S, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return [*ran.stdout.splitlines(), *ran.stderr.splitlines()]


@pytest.fixture
def small_shared_memory():
    """What a command begins with to have a `/dev/shm` of 1 MiB that nobody else sees."""
    mount = 'mount -t tmpfs -o size=1m lineshaft-test /dev/shm && exec "$@"'
    before = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare command")
    mounted = subprocess.run([*before, "true"], capture_output=True, text=True, timeout=LONG_S, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a small /dev/shm cannot be mounted: {mounted.stderr.strip()}")
    return before


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
class TestScarce:
    def test_too_many_open_files_are_named_and_not_the_directory_for_temporary_files(self):
        """It was said that no segment can be made in `/tmp`."""
        [said] = _said(_FEW_FILES)
        assert "has 40 files open" in said
        assert "`ulimit -n`" in said
        assert "/tmp" not in said

    def test_a_queue_has_less_room_for_large_messages_where_addresses_are_few(self):
        assert _said(_FEWER_ADDRESSES) == ["True"]

    def test_addresses_that_are_too_few_for_a_pool_are_named(self):
        limit, said = _said(_NO_ADDRESSES)
        assert f"may use {limit} bytes of addresses" in said
        assert "`ulimit -v`" in said

    def test_a_small_dev_shm_is_nothing_to_queues_and_pools_and_others_do_without(self, small_shared_memory, tmp_path):
        carried, hits, home, left, *words = _said(_SMALL_SHARED_MEMORY, *small_shared_memory, cwd=tmp_path)
        assert (carried, hits, left) == ("3145728 True [4194304]", "1", "[]")
        assert home.startswith(tempfile.gettempdir()), "the engine of a test"
        [said] = words
        assert said.startswith("the processes of this host cannot share results, so each keeps its own: ")
        assert "No space left" in said
