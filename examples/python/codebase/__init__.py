"""The parts of `codebase_report.py` that are not about Lineshaft: finding files, measuring, drawing the report."""
