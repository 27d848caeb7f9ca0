"""joblib's own tests of `Parallel`, with our backend in the place of its own."""

from __future__ import annotations

from .pytests import PytestSuite
from .pytests import run as run_suite
from .report import Report

NAME = "joblib"
_OTHERS = "threading|multiprocessing|sequential|back_compat_backend|test_backend_|spawn|backend[0-9]"
_OURS = rf"\[(?!.*({_OTHERS}))|\[.*loky|$"
"""What follows the names of cases that do not name other backends alone."""
_ARRAYS = (
    "permission parallel_isolated managed_backend memmapping_temp_folder multithreaded many_parallel memmap_returned "
    "resource_tracker_silent child_raises numpy_arrays direct_mmap parallel_memmap2d"
)
"""How the names of those cases of arrays begin that use `Parallel`. The others try what loky is made of by itself."""
_WANTED = rf"test_parallel\.py::[^\[]*({_OURS})|test_memmapping\.py::test_({_ARRAYS.replace(' ', '|')})[^\[]*({_OURS})"
_QUICK = r"::test_(nested|error|parallel_pickling|parallel_unordered|many_parallel|numpy_arr)[^\[]*(\[.*loky|\[[rw]|$)"
_NO_NAMES = "asks for the folder of files that arrays are in. Ours are in no folder, and nothing is left of them"
EXCLUSIONS = {
    "test_parallel::test_multiple_generator_call_separated_gc?generator*-loky-True?": (
        "asks that a second call fails, since loky's calls share their workers. Each of ours has its own, and gives "
        "its results, as the case asks of `threading`"
    ),
    "test_parallel::test_nested_parallel_warnings?loky-multiprocessing-True?": (
        "asks for a warning that `multiprocessing` within a task runs in one process. Within ours it runs in several"
    ),
    "test_parallel::test_parallel_with_interactively_defined_bound_method_loky": (
        "asks for the name of loky's processes in the log. The results are as they must be"
    ),
    "test_parallel::test_memmapping_leaks?loky?": _NO_NAMES,
    "test_memmapping::test_parallel_isolated_temp_folders?loky?": _NO_NAMES,
    "test_memmapping::test_memmapping_temp_folder_thread_safety": _NO_NAMES,
}


def run(quick: bool) -> Report:
    """Quickly a part of the cases."""
    modules = ["joblib.test.test_parallel", "joblib.test.test_memmapping"]
    return run_suite(NAME, PytestSuite("joblib", modules, "loky", _QUICK if quick else _WANTED, EXCLUSIONS))
