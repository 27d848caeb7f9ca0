"""joblib's `Parallel` on our workers."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config

import joblib_works as works
import lineshaft
from lineshaft import WorkerDied
from lineshaft._joblib import _arrays
from support.processes import children_of, is_alive, until

ARRAY = np.arange(1_250_000, dtype=np.float64)
"""10 MB."""


@pytest.fixture(autouse=True)
def backend():
    """`"lineshaft"` is what a `Parallel` uses that names nothing else."""
    lineshaft.register_joblib()
    with parallel_config("lineshaft", n_jobs=2):
        yield


def shared_here() -> list[str]:
    """The arrays that this process keeps for workers."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if "lineshaft-array" in os.readlink(entry):
                found.append(entry.name)
    return found


# What tasks give and raise.


def test_tasks_are_done_in_other_processes():
    assert Parallel()(delayed(pow)(number, 2) for number in range(100)) == [number**2 for number in range(100)]
    assert Parallel()(delayed(sorted)(["b", "a"], reverse=True) for _ in range(2)) == [["b", "a"]] * 2
    pids = set(Parallel()(delayed(works.pid_after)(0.05) for _ in range(8)))
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert Parallel()(iter([])) == []


def test_functions_and_classes_go_along_by_value():
    class Point:
        def __init__(self, x):
            self.x = x

    factor = 3
    assert Parallel()(delayed(lambda point: Point(factor * point.x))(Point(x)) for x in range(3))[2].x == 6


@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_results_come_one_by_one(return_as):
    results = Parallel(return_as=return_as)(delayed(works.pid_after)(seconds) for seconds in (0.01, 30, 0.01))
    next(results)
    if return_as == "generator_unordered":
        next(results)
    with pytest.warns(UserWarning, match="cancelled"):
        del results
    assert Parallel()(delayed(abs)(number) for number in (-1, -2)) == [1, 2]


def test_what_a_task_raises():
    with pytest.raises(ZeroDivisionError) as raised:
        Parallel()(delayed(divmod)(1, number) for number in (1, 0))
    assert "ZeroDivisionError" in str(raised.value.__cause__)

    class OddError(Exception):
        def __init__(self, number, text):
            super().__init__(number, text)

    def fail(number):
        raise OddError(number, "odd")

    with pytest.raises(OddError, match=r"\(7, 'odd'\)") as raised:
        Parallel()(delayed(fail)(7) for _ in range(2))
    assert "in fail" in str(raised.value.__cause__)
    with pytest.raises(KeyboardInterrupt):
        Parallel()(delayed(_interrupt)() for _ in range(2))
    with pytest.raises(SystemExit):
        Parallel()(delayed(sys.exit)(3) for _ in range(2))


def _interrupt():
    raise KeyboardInterrupt


def test_a_task_that_cannot_be_pickled_is_named():
    with pytest.raises(
        pickle.PicklingError, match=r"the task to send to the workers, a call of pow: TypeError: .*lock"
    ):
        Parallel()(delayed(pow)(threading.Lock(), number) for number in range(4))
    assert Parallel()(delayed(abs)(-1) for _ in range(2)) == [1, 1]


def test_a_task_made_later_that_cannot_be_pickled_is_named_too():
    items = [1] * 20 + [threading.Lock()] + [1] * 20
    with pytest.raises(pickle.PicklingError, match="a call of abs"):
        Parallel(batch_size=1)(delayed(abs)(item) for item in items)


def test_what_a_call_leaves_when_it_fails_is_not_done_by_the_next():
    with Parallel() as parallel:
        with pytest.raises(pickle.PicklingError):
            parallel(delayed(abs)(item) for item in [threading.Lock(), 1, 2, 3])
        assert parallel(delayed(abs)(item) for item in [-4, -5]) == [4, 5]


def test_a_result_that_cannot_be_pickled_says_so():
    with pytest.raises(pickle.PicklingError, match=r"the result of the task: .*lock"):
        Parallel()(delayed(threading.Lock)() for _ in range(2))

    class Unsent(Exception):
        def __reduce__(self):
            raise TypeError("stays here")

    def fail():
        raise Unsent("really")

    with pytest.raises(pickle.PicklingError, match="the exception of the task: TypeError: stays here") as raised:
        Parallel()(delayed(fail)() for _ in range(2))
    assert "really" in str(raised.value.__cause__)


def test_a_task_that_takes_too_long():
    with pytest.raises(multiprocessing.TimeoutError):
        Parallel(timeout=0.1)(delayed(time.sleep)(60) for _ in range(4))


# Workers.


def test_a_worker_that_is_killed_is_named_and_replaced():
    with pytest.raises(WorkerDied, match="was killed by SIGKILL over this item") as raised:
        Parallel()(delayed(works.kill_self)(number) for number in range(4))
    assert isinstance(raised.value, BrokenProcessPool)
    assert raised.value.exit_code == -signal.SIGKILL
    assert Parallel()(delayed(abs)(-1) for _ in range(2)) == [1, 1]
    with Parallel() as parallel:
        with pytest.raises(WorkerDied):
            parallel(delayed(works.kill_self)(number) for number in range(4))
        assert parallel(delayed(abs)(-number) for number in range(5)) == [0, 1, 2, 3, 4]
    assert shared_here() == []


def test_a_batch_whose_worker_died_is_done_again_on_request(tmp_path):
    mark = str(tmp_path / "mark")
    assert Parallel(retries=1)(delayed(works.kill_self_once)(mark) for _ in range(2)) == ["alive"] * 2


def test_workers_are_kept_for_the_next_call():
    def pids():
        return set(Parallel()(delayed(works.pid_after)(0.05) for _ in range(8)))

    assert pids() == pids()
    with pytest.raises(ValueError, match="int"):
        Parallel()(delayed(int)("x") for _ in range(2))
    assert len(pids()) == 2


def test_workers_are_replaced_by_the_same_template():
    Parallel()(delayed(abs)(-1) for _ in range(2))
    (first, *_) = Parallel()(delayed(os.getppid)() for _ in range(2))
    assert first != os.getpid()
    with pytest.raises(WorkerDied):
        Parallel()(delayed(works.kill_self)(number) for number in range(4))
    assert Parallel()(delayed(os.getppid)() for _ in range(2)) == [first] * 2


def test_what_a_fork_leaves_alone():
    """A child of the program that ends does not take the template along."""
    (first, *_) = Parallel()(delayed(os.getppid)() for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it has threads
        pid = os.fork()
    if pid == 0:
        os._exit(0 if not lineshaft._joblib._template._templates else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert is_alive(first)
    assert Parallel()(delayed(os.getppid)() for _ in range(2)) == [first] * 2


def test_each_worker_has_chances_of_its_own():
    drawn = Parallel(n_jobs=3, batch_size=1)(delayed(works.chance)(number) for number in range(9))
    assert len({pid for pid, _ in drawn}) > 1
    assert len({number for _, number in drawn}) == 9


def test_an_initializer_runs_in_each_worker():
    options = {"initializer": works.set_up, "initargs": ()}
    told = Parallel(initializer=lambda value: works.set_up(value=value), initargs=(5,))(
        delayed(works.recall)(number) for number in range(6)
    )
    assert {value for _, value in told} == {5}
    with parallel_config("lineshaft", n_jobs=2, **options):
        again = Parallel()(delayed(works.recall)(number) for number in range(6))
    assert {pid for pid, _ in again}.isdisjoint({pid for pid, _ in told})
    assert {value for _, value in again} == {None}


def test_an_initializer_that_fails_is_told():
    with pytest.raises(BrokenProcessPool, match="the initializer raised ValueError: cannot be set up"):
        Parallel(initializer=works.fail_to_set_up)(delayed(abs)(-1) for _ in range(4))


def test_an_option_that_is_unknown():
    with pytest.raises(TypeError, match="colour"):
        Parallel(colour="blue")(delayed(abs)(-1) for _ in range(4))


def test_libraries_use_as_many_threads_as_they_may(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    each = str(max(joblib.cpu_count() // 2, 1))
    assert Parallel()(delayed(works.threads_allowed)(number) for number in range(2)) == [each] * 2
    with parallel_config("lineshaft", n_jobs=2, inner_max_num_threads=7):
        assert Parallel()(delayed(works.threads_allowed)(number) for number in range(2)) == ["7"] * 2


def test_parallel_within_parallel_uses_threads_and_processes_where_asked():
    for pids in Parallel()(delayed(works.nest)(None) for _ in range(4)):
        assert len(set(pids)) == 1
    for pids in Parallel()(delayed(works.nest)("lineshaft") for _ in range(2)):
        assert len(set(pids)) == 2


def test_several_at_the_same_time():
    first = Parallel(return_as="generator")(delayed(works.pid_after)(0.05) for _ in range(4))
    second = Parallel(return_as="generator")(delayed(works.pid_after)(0.05) for _ in range(4))
    assert set(second).isdisjoint(set(first))


# Arrays.


def test_a_large_array_exists_once_for_all_workers():
    with parallel_config("lineshaft", n_jobs=8):
        looks = Parallel(batch_size=1)(delayed(works.look_at)(ARRAY, 0.05) for _ in range(24))
    assert len({look.pid for look in looks}) > 1
    assert {look.file for look in looks} != {(0, 0)}
    assert len({look.file for look in looks}) == 1
    assert {(look.kind, look.is_writable, look.total) for look in looks} == {("memmap", False, float(ARRAY.sum()))}
    assert {look.private_bytes for look in looks} == {0}
    assert shared_here() == []
    with pytest.raises(ValueError, match="read-only"):
        Parallel()(delayed(works.fill)(ARRAY) for _ in range(2))


def test_an_array_is_copied_once_a_call(monkeypatch):
    made: list[int] = []

    class Counted(_arrays.Segment):
        def __init__(self, array, folder):
            made.append(array.nbytes)
            super().__init__(array, folder)

    monkeypatch.setattr(_arrays, "Segment", Counted)
    array = ARRAY.copy()
    with Parallel(batch_size=1) as parallel:
        assert {look.total for look in parallel(delayed(works.look_at)(array) for _ in range(20))} == {array.sum()}
        assert made == [array.nbytes]
        array[0] = 12.0  # which the next call sees
        assert {look.total for look in parallel(delayed(works.look_at)(array) for _ in range(20))} == {array.sum()}
    assert made == [array.nbytes] * 2


def test_arrays_that_nobody_needs_any_more_are_let_go():
    kept: list[int] = []

    def arrays():
        for number in range(60):
            kept.append(len(shared_here()))
            yield np.full(200_000, number, dtype=np.float64)

    tasks = (delayed(works.look_at)(array) for array in arrays())
    looks = Parallel(batch_size=1, pre_dispatch=4)(tasks)
    assert [look.total for look in looks] == [200_000.0 * number for number in range(60)]
    assert max(kept) <= 12
    assert shared_here() == []


def test_more_arrays_than_descriptors(monkeypatch):
    class Full(_arrays.Segment):
        def __init__(self, array, folder):
            raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(_arrays, "Segment", Full)
    looks = Parallel()(delayed(works.look_at)(ARRAY) for _ in range(2))
    assert {(look.kind, look.total) for look in looks} == {("ndarray", ARRAY.sum())}


def test_no_more_arrays_are_kept_than_are_promised(monkeypatch):
    monkeypatch.setattr(_arrays, "_KEPT_MAX", 3)
    arrays = [np.full(200_000, number, dtype=np.float64) for number in range(8)]
    kept: list[int] = []

    def tasks():
        for array in arrays * 3:
            kept.append(len(shared_here()))
            yield delayed(works.look_at)(array)

    looks = Parallel(batch_size=1, pre_dispatch=2)(tasks())
    assert [look.total for look in looks] == [array.sum() for array in arrays] * 3
    assert max(kept) <= 3 + 2 + 2


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(12).reshape(3, 4)),
        np.arange(24).reshape(4, 6)[::2, ::-1],
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.array([("a", 1.5), ("b", 2.5)], dtype=[("name", "U4"), ("size", "f8")]),
        np.array(["2026-11-27", "NaT"], dtype="datetime64[D]"),
        np.array(7.5),
        np.arange(4, dtype=complex),
    ],
    ids=["fortran", "gaps", "big-endian", "structured", "dates", "scalar", "complex"],
)
def test_arrays_of_all_kinds(array):
    for got in Parallel(max_nbytes=0)(delayed(works.give_back)(array) for _ in range(2)):
        assert type(got) is np.ndarray
        assert got.dtype == array.dtype
        np.testing.assert_array_equal(got, array)
        assert got.flags.writeable


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_arrays_of_a_file_are_mapped_where_they_are(tmp_path, mode):
    path = tmp_path / "numbers"
    made = np.memmap(path, dtype=np.int64, mode="w+", shape=(40, 50))
    made[:] = np.arange(2000).reshape(40, 50)
    made.flush()
    mapped = np.memmap(path, dtype=np.int64, mode=mode, offset=400, shape=(39, 50))
    for view in (mapped, mapped[3:7], mapped.T, mapped[::-2, 5:30:3], mapped[4], np.asarray(mapped)[1:3]):
        for look in Parallel(max_nbytes=None)(delayed(works.look_at)(view) for _ in range(2)):
            assert look.total == view.sum()
        (back,) = Parallel()(delayed(works.give_back)(view) for _ in range(1))
        np.testing.assert_array_equal(back, view)
    if mode == "r":
        (look,) = Parallel()(delayed(works.look_at)(mapped) for _ in range(1))
        assert look.file == (path.stat().st_dev, path.stat().st_ino)
    if mode == "c":
        mapped[0, 0] = -1  # which is in no file
        (look,) = Parallel(max_nbytes=0)(delayed(works.look_at)(mapped) for _ in range(1))
        assert look.total == mapped.sum()


def test_modes_and_folders(tmp_path):
    (look, _) = Parallel(mmap_mode=None)(delayed(works.look_at)(ARRAY) for _ in range(2))
    assert (look.kind, look.is_writable) == ("ndarray", True)
    (look, _) = Parallel(max_nbytes=None)(delayed(works.look_at)(ARRAY) for _ in range(2))
    assert look.kind == "ndarray"
    for mode in ("c", "r+", "w+"):
        array = ARRAY.copy()
        Parallel(mmap_mode=mode)(delayed(works.fill)(array) for _ in range(2))
        assert array[-1] == ARRAY[-1]
    (look, _) = Parallel(temp_folder=str(tmp_path))(delayed(works.look_at)(ARRAY) for _ in range(2))
    assert look.file[0] == tmp_path.stat().st_dev
    assert list(tmp_path.iterdir()) == []


# Programs.


def test_a_program_needs_no_guard_and_leaves_nothing(programs):
    programs.write(
        "plain.py",
        """
        import os
        import joblib
        import lineshaft

        lineshaft.register_joblib(make_default=True)

        def square(number):
            return number * number

        print(joblib.Parallel(n_jobs=2)(joblib.delayed(square)(number) for number in range(5)))
        unread = joblib.Parallel(n_jobs=2, return_as="generator")(joblib.delayed(square)(n) for n in range(500))
        """,
    )
    ended = programs.run("-W", "ignore", "plain.py")
    assert (ended.returncode, ended.stdout) == (0, "[0, 1, 4, 9, 16]\n"), ended.stderr
    assert ended.stderr == ""


BUSY = """
import os, sys, time
import joblib, numpy
import lineshaft

lineshaft.register_joblib(make_default=True)

def work(array, number):
    os.write(1, b"%d %d\\n" % (os.getpid(), os.getppid()))  # at once: two do so together
    time.sleep(60)

joblib.Parallel(n_jobs=2)(joblib.delayed(work)(numpy.ones(200_000), number) for number in range(4))
"""


def test_workers_are_prepared_before_they_are_needed(programs):
    programs.write(
        "ahead.py",
        """
        import sys
        import joblib
        import numpy.linalg
        import lineshaft

        def imported():
            return "numpy.linalg" in sys.modules

        lineshaft.register_joblib(make_default=True, prepare=2)
        (template,) = lineshaft._joblib._template._templates
        before = template._process.pid
        print(joblib.Parallel(n_jobs=2)(joblib.delayed(imported)() for _ in range(2)), template._process.pid == before)
        lineshaft.register_joblib(prepare=1)
        print(len(lineshaft._joblib._template._templates))
        """,
    )
    ended = programs.run("ahead.py")
    assert ended.stdout == "[True, True] True\n1\n", ended.stderr


def test_a_program_that_is_killed_takes_its_workers_along(programs):
    programs.write("busy.py", BUSY)
    program = programs.start("busy.py")
    assert program.stdout is not None
    pids = {int(pid) for _ in range(2) for pid in program.stdout.readline().split()}
    assert len(pids) == 3
    program.kill()
    program.wait()
    until(lambda: not any(is_alive(pid) for pid in pids), "the workers and their template end", 20)
    program.communicate()


def test_ctrl_c_ends_a_program_with_its_workers(programs):
    programs.write("busy.py", BUSY)
    program = programs.start("busy.py")
    assert program.stdout is not None
    pids = {int(pid) for _ in range(2) for pid in program.stdout.readline().split()}
    # As a terminal does, all get it.
    for pid in [*pids, program.pid]:
        os.kill(pid, signal.SIGINT)
    _, err = program.communicate(timeout=30)
    assert program.returncode != 0
    assert err.count("KeyboardInterrupt") == 1, err
    until(lambda: not any(is_alive(pid) for pid in pids), "the workers and their template end", 20)


def test_no_child_is_left_behind_by_a_template():
    """One that is not needed any more is reaped."""
    for threads in (3, 4, 5, 6):
        with parallel_config("lineshaft", n_jobs=2, inner_max_num_threads=threads):
            Parallel()(delayed(abs)(-1) for _ in range(2))
    servers = lineshaft._joblib._template._templates
    assert len(servers) <= 2
    assert {template._process.pid for template in servers} <= set(children_of(os.getpid()))


def test_joblib_is_asked_for_where_it_is_missing(programs):
    programs.write(
        "without.py",
        """
        import sys
        sys.modules["joblib"] = None
        import lineshaft
        try:
            lineshaft.register_joblib()
        except ImportError as error:
            print(error)
        """,
    )
    ended = programs.run("without.py")
    assert ended.stdout == "joblib is not installed: pip install 'lineshaft[joblib]'\n", ended.stderr
    programs.write("joblib.py", "__version__ = '1.4.2'\nclass ParallelBackendBase: ...\n")
    programs.write(
        "old.py", (programs.directory / "without.py").read_text().replace('sys.modules["joblib"] = None', "")
    )
    ended = programs.run("old.py")
    assert ended.stdout == "joblib 1.4.2 is too old: pip install 'lineshaft[joblib]'\n", ended.stderr


# scikit-learn.


def test_searches_scores_and_forests_are_those_of_one_process():
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    grid = {"logisticregression__C": [0.1, 1.0, 10.0]}
    forest = RandomForestClassifier(20, random_state=0)

    def scores(jobs):
        search = GridSearchCV(pipeline, grid, cv=3, n_jobs=jobs).fit(features, labels)
        each = cross_val_score(forest, features, labels, cv=3, n_jobs=jobs)
        return search.best_params_, list(search.cv_results_["mean_test_score"]), list(each)

    assert scores(2) == scores(1)
