"""Several implementations of one function, of which the fastest does the work."""
