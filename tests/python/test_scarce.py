"""Pools and queues where a process may open few files or use few addresses: a plain word, or less of what is needed."""

from __future__ import annotations

import subprocess
import sys

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


def _said(program: str) -> list[str]:
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LONG_S, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


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
