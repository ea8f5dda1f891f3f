"""Releases of slice definitions for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.formats.openpgp import read_keyring
from pumice.slices import conflicts
from pumice.slices.release import parse_release, read_files, sort_problems
from tests.support.archive import KEYS

if TYPE_CHECKING:
    from pathlib import Path

ARMOR = (KEYS / "good.asc").read_text().strip()
KEY_ID = read_keyring(ARMOR.encode()).certificates[0].fingerprint[-16:].upper()

_KEYS = "public-keys:\n  test-key:\n    id: {id}\n    armor: |\n{armor}\n"


def release_file(release_format: str = "v1", archives: str = "", maintenance: str = "") -> str:
    """Return a ``chisel.yaml``; ``archives`` replaces the only archive, ``maintenance`` the dates."""
    keys = _KEYS.format(id=KEY_ID, armor="\n".join(f"      {line}" for line in ARMOR.splitlines()))
    default = (
        "archives:\n  debian: {version: '12', components: [main], suites: [bookworm],"
        " public-keys: [test-key]}\n"
    )
    dates = "maintenance: {standard: 2023-06-10, end-of-life: 2028-06-30}\n"
    return f"format: {release_format}\n{maintenance or dates}{archives or default}{keys}"


def write_release(folder: Path, definitions: dict[str, str], chisel_yaml: str = "") -> Path:
    """Write a release whose definitions are given by package name, or by path with ``/``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "chisel.yaml").write_text(chisel_yaml or release_file())
    (folder / "slices").mkdir(exist_ok=True)
    for name, text in definitions.items():
        path = folder / (name if "/" in name else f"slices/{name}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def list_problems(folder: Path) -> list[str]:
    """Return the problems of a release as ``place: message``."""
    release, problems = parse_release(read_files(folder).contents)
    problems = problems or conflicts.find_conflicts(release)
    return [f"{problem.where}: {problem.message}" for problem in sort_problems(problems)]
