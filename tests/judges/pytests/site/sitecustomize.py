"""Imported by every process of a suite that `tests/judges/pytests` runs: has its `Parallel` work on Lineshaft.

`JUDGED_BACKEND=loky` puts our backend in the place of joblib's own, under its name; `JUDGED_BACKEND=context` makes it
what every `Parallel` uses that names none, with two workers where no number is given. `JUDGED_BACKEND=reference` does
that with joblib's own.
"""

import os

backend = os.environ.get("JUDGED_BACKEND")
if backend == "reference":
    import joblib

    joblib.parallel_config("loky", n_jobs=2).__enter__()
elif backend:
    import joblib

    import lineshaft

    lineshaft.register_joblib()
    if backend == "context":
        joblib.parallel_config("lineshaft", n_jobs=2).__enter__()
    else:
        from joblib import _parallel_backends

        from lineshaft._joblib._backend import LineshaftBackend

        class LokyBackend(LineshaftBackend):
            """Has the name that cases ask for."""

        _parallel_backends.LokyBackend = LokyBackend
        joblib.register_parallel_backend("loky", LokyBackend, make_default=True)
        joblib.parallel.DEFAULT_PROCESS_BACKEND = "loky"
        del joblib.parallel.BACKENDS["lineshaft"]  # or each case would be there twice
