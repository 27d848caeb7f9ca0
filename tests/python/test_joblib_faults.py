"""What joblib's backend meets in the wild: no shared memory, no room, options that are none."""

from __future__ import annotations

import sys

import pytest

joblib = pytest.importorskip("joblib")
numpy = pytest.importorskip("numpy")

import lineshaft  # noqa: E402
from lineshaft._joblib import _arrays  # noqa: E402
from support.without_memory import WITHOUT_MEMORY  # noqa: E402


@pytest.mark.skipif(sys.platform != "linux", reason="it filters calls of Linux")
def test_a_system_without_shared_memory_has_arrays_in_files_and_is_told_of(programs):
    """Tasks with large arrays could not be sent there: `memfd_create` was asked for each, and nothing else."""
    programs.write("refusing.py", WITHOUT_MEMORY)
    programs.write(
        "filed.py",
        """
        import joblib, numpy
        import lineshaft
        from joblib import delayed
        from refusing import refuse_memory

        def look(array):
            return type(array).__name__, bool(array.flags.writeable), float(array.sum())

        if __name__ == "__main__":
            refuse_memory()
            lineshaft.register_joblib(make_default=True)
            array = numpy.ones(500_000)
            print(set(joblib.Parallel(n_jobs=2)(delayed(look)(array) for _ in range(4))))
        """,
    )
    ended = programs.run("filed.py", timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "{('memmap', False, 500000.0)}\n"
    assert ended.stderr.count("RuntimeWarning: the system gives no shared memory: arrays of tasks lie in files of") == 1
    assert ended.stderr.count("RuntimeWarning: the system gives no shared memory: this pool lies in files of") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="a file that is always full is Linux's")
def test_a_folder_without_room_is_named(monkeypatch):
    """It was a task that could not be pickled, and `No space left on device`."""
    monkeypatch.setattr(_arrays, "_new_file", lambda _: open("/dev/full", "wb", buffering=0))  # noqa: SIM115
    lineshaft.register_joblib()
    said = "an array of 4000000 bytes has no room in /somewhere, give another temp_folder"
    with joblib.parallel_config("lineshaft", n_jobs=2, temp_folder="/somewhere"), pytest.raises(Exception, match=said):
        joblib.Parallel()(joblib.delayed(len)(numpy.ones(500_000)) for _ in range(2))


def test_retries_that_are_no_number_are_named():
    lineshaft.register_joblib()
    with pytest.raises(lineshaft.OptionError, match="option `retries`: -1 is not accepted"):
        joblib.Parallel(n_jobs=2, backend="lineshaft", retries=-1)(joblib.delayed(abs)(-1) for _ in range(2))


def test_one_that_is_open_goes_on_after_another_one_within_the_same_configuration():
    """Both had the same object for a backend, and the second one took the workers of the first along when it ended."""
    lineshaft.register_joblib()
    tasks = [joblib.delayed(abs)(-number) for number in range(4)]
    with joblib.parallel_config("lineshaft", n_jobs=2), joblib.Parallel() as first:
        assert first(tasks) == [0, 1, 2, 3]
        assert joblib.Parallel()(tasks) == [0, 1, 2, 3]
        assert first(tasks) == [0, 1, 2, 3]
