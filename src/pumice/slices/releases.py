"""The releases that come with Pumice, and how a release is named."""

from __future__ import annotations

from pathlib import Path

from pumice.errors import UsageError

DATA = Path(__file__).parent / "data"


def builtin_names() -> list[str]:
    """Return the names of the releases that come with Pumice."""
    return sorted(path.name for path in DATA.iterdir() if (path / "chisel.yaml").is_file())


def find_release(name: str, directory: Path) -> Path:
    """Return the path of a release: one that comes with Pumice, or a path relative to ``directory``.

    Raises UsageError if there is neither.
    """
    if "/" not in name and name in builtin_names():
        return DATA / name
    path = directory / name
    if "/" not in name:
        hint = f"write ./{name[:100]} for a path, or one of {', '.join(builtin_names())}"
        raise UsageError(f"there is no release {name[:100]!r}", hint=hint)
    return path
