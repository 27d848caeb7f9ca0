"""The cases that fail on ours as they must, by pattern, each with its reason. "It hangs" is none."""

from __future__ import annotations

from ..report import BY_TIMING

_EXCEPTION_IS_TEXT = (
    "wants the exception itself in the record that handlers get: it is a text by then, so that what waits to be "
    "written keeps nobody's frames alive"
)
_MESSAGE_IS_FILLED = (
    "wants the arguments themselves in the record that handlers get: the message is filled in by who logs, and says "
    "how they were then"
)
EXCLUSIONS = {
    "*::WithProcessesTestQueue::test_queue_feeder_donot_stop_onexc": (
        "puts what cannot be pickled and wants that printed later by a thread: `put` of ours raises it"
    ),
    "*::TestResourceTracker::test_resource_tracker_sigkill": (
        "wants a semaphore to be registered with the standard library's resource tracker: ours has no name in the "
        "system, so that nothing is left of it when all its processes are killed"
    ),
    "*::TestPoolNotLeakOnFailure::test_release_unused_processes": (
        "its imitation of a process can neither be joined with a time-out nor killed, and has no exit code: ours ends "
        "processes whatever they do; tests/python/test_multiprocessing_pool.py has the same with real ones"
    ),
    "*::ThreadPoolShutdownTest::test_thread_names_*": "wants threads to be named as those of ThreadPoolExecutor are",
    "*::*PoolShutdownTest::test_cancel_futures*": (
        BY_TIMING + "wants a call to have begun when `submit` returns: what has not is cancelled, as that shutdown says"
    ),
    "*::TestStartMethod::test_mixed_startmethod": (
        "wants a queue made for forks to be refused by processes that are spawned: ours passes to them as well"
    ),
    "*::ProcessPool*ProcessPoolExecutorTest::test_killed_child": (
        "kills a worker that does nothing and wants the executor and all its futures broken by that: of ours a worker "
        "that dies fails what it was at, and is replaced"
    ),
    "*::ProcessPool*ProcessPoolExecutorTest::test_python_finalization_error": (
        "refuses the second thread that the parent starts, and wants all futures broken by that: ours starts one, so "
        "that the calls are made, and raise what `mul` raises of the one argument that the case gives it"
    ),
    "*::TestLRUC::test_lru_with_types": (
        "wants `f(3)` and `f(x=3)` to be two entries: ours binds arguments first, so that they are one"
    ),
    "*::TestLRUC::test_lru_type_error": "wants arguments without a hash to be refused: ours count by what they contain",
    "*::TestLRUC::test_lru_cache_threaded2": (
        "wants threads that ask for one key at once to compute it each: of ours one does, and the others wait for it"
    ),
    "*::bridge::HandlerTest::test_name": "wants a `Handler` that emits nothing by itself: ours passes records on",
    "*::bridge::ConfigDictTest::test_config4*_ok": _EXCEPTION_IS_TEXT,
    "*::bridge::ConfigFileTest::test_config4_ok": _EXCEPTION_IS_TEXT,
    "*::bridge::LoggerAdapterTest::test_exception_excinfo": _EXCEPTION_IS_TEXT,
    "*::bridge::ExceptionTest::test_formatting": (
        "wants the stack in an attribute of its own: ours stands behind the exception, in one text"
    ),
    "*::bridge::LoggerAdapterTest::test_critical": _MESSAGE_IS_FILLED,
    "*::bridge::LoggerAdapterTest::test_exception": _MESSAGE_IS_FILLED,
    "*::bridge::LoggerAdapterTest::test_nested": _MESSAGE_IS_FILLED,
    "*::bridge::LoggerTest::test_exception": _MESSAGE_IS_FILLED,
    "*::bridge::LogRecordTest::test_dict_arg": _MESSAGE_IS_FILLED,
    "*::bridge::LogRecordTest::test_optional": (
        "wants a record that does not know its process, as `logProcesses = False` makes it: ours always do"
    ),
}
