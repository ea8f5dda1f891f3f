"""The packages of programs that scripts commonly run, and the commands that shells have built in."""

from __future__ import annotations

import functools
from importlib import resources


@functools.lru_cache
def packages_by_program() -> dict[str, str]:
    """Return Debian's package for each program of the table."""
    rows = (line.split("\t") for line in _read_lines("programs.tsv"))
    return {program: package for package, programs in rows for program in programs.split()}


@functools.lru_cache
def shell_builtins() -> frozenset[str]:
    """Return the commands that dash and bash have built in."""
    return frozenset(word for line in _read_lines("builtins.txt") for word in line.split())


def _read_lines(name: str) -> list[str]:
    text = resources.files("pumice.checks").joinpath("data", name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def package_hint(program: str) -> str:
    """Return a hint that names the package of ``program`` (a name or a path), empty if it is unknown."""
    package = packages_by_program().get(program.rpartition("/")[2])
    return f"add {package} to 'packages'" if package else ""
