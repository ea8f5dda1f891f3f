"""Slices: parts of packages, defined by a release in the formats v1 to v3 of Canonical's Chisel.

A release is a directory with ``chisel.yaml`` and a file ``slices/PACKAGE.yaml`` for each package.
Specified in ``docs/reference/slices.md``.
"""
