"""A small interpreter of Starlark, for the scripts of slices; it has limits for everything.

It runs the statements and expressions that `syntax` lists on the syntax tree of Python's ``ast``. Strings are
sequences of UTF-8 bytes, as in go-starlark, so ``len("ä")`` is 2. Specified in ``docs/reference/slices.md``.
"""
