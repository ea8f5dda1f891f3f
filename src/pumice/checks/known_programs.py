"""The packages of programs that scripts commonly run: ``data/programs.tsv``."""

from __future__ import annotations

import functools
from importlib import resources


@functools.lru_cache
def packages_by_program() -> dict[str, str]:
    """Return Debian's package for each program of the table."""
    text = resources.files("pumice.checks").joinpath("data/programs.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return {program: package for package, programs in rows for program in programs.split()}


def package_hint(program: str) -> str:
    """Return a hint that names the package of ``program`` (a name or a path), empty if it is unknown."""
    package = packages_by_program().get(program.rpartition("/")[2])
    return f"add {package} to 'packages'" if package else ""
