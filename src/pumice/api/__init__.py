"""The Python API: what ``import pumice`` offers, typed and silent.

It reads no arguments, prints nothing and asks nothing. It raises the classes of `pumice.errors`, and reports
progress to an object that the caller passes. ``docs/reference/python.md`` is its reference page.
"""
