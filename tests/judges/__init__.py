"""Outside judges: suites that others wrote for what this package stands in for, run on it (`make judges`).

A judge is a module with `NAME` and `run(quick) -> Report`. `__main__` runs them and writes what came out to
`docs/operations/judges.md`.
"""
