"""joblib's `Parallel` on our workers: `register_joblib`.

`_backend.py` is what joblib talks to. It packs tasks (`_packing.py`), lays large arrays aside for all workers
(`_arrays.py`) and has a crew of `.._pool` do them (`_worker.py`), whose processes a template forks (`_template.py`).
joblib and numpy are imported only where they are used.
"""

from __future__ import annotations

__all__ = ["register_joblib"]


def register_joblib(*, make_default: bool = False, prepare: int | None = None) -> None:
    """Gives joblib the backend `"lineshaft"`, for `joblib.parallel_config("lineshaft")` and `Parallel(backend=...)`.

    With `make_default` every `Parallel` of this program that names no backend uses it. Nothing is started before the
    first of them runs, unless `prepare` says what `n_jobs` they will have: then the process that workers are copied
    from is started now, and imports what this program has imported of numerical libraries. `ImportError` if joblib is
    not installed, or is older than 1.5.
    """
    try:
        import joblib
    except ModuleNotFoundError as error:
        if error.name != "joblib":
            raise
        raise ImportError("joblib is not installed: pip install 'lineshaft[joblib]'", name="joblib") from None
    if not hasattr(joblib.ParallelBackendBase, "submit"):
        raise ImportError(f"joblib {joblib.__version__} is too old: pip install 'lineshaft[joblib]'", name="joblib")
    from . import _backend

    joblib.register_parallel_backend("lineshaft", _backend.LineshaftBackend, make_default=make_default)
    if prepare is not None:
        _backend.prepare(prepare)


register_joblib.__module__ = "lineshaft"
