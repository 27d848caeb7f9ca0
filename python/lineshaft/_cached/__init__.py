"""`lineshaft.cached`: functions that keep their results. `_decorator` is where to read first."""
