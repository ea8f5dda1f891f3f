"""Measurements against other tools: ``make bench``, or ``python -m bench --help``."""
