"""How this copy of Pumice was installed, for hints that say what to type on this machine."""

from __future__ import annotations

import sys
from pathlib import Path


def command_for_extra(extra: str) -> str:
    """Return the command that adds the packages of an extra, such as ``serve``, to this installation.

    pipx and uv record in the environment that they made it. An installation from a folder or a file has a
    direct URL (PEP 610), and a package index may not have it.
    """
    prefix = Path(sys.prefix)
    requirement = f"'pumice[{extra}]{_source()}'"
    if (prefix / "pipx_metadata.json").exists():
        return f"pipx install --force {requirement}"
    if (prefix / "uv-receipt.toml").exists():
        return f"uv tool install --force {requirement}"
    return f"pip install {requirement}"


def _source() -> str:
    import json  # not at the top: importing them costs more than most commands
    from importlib import metadata

    try:
        url = json.loads(metadata.distribution("pumice").read_text("direct_url.json") or "{}").get("url", "")
    except (metadata.PackageNotFoundError, ValueError, AttributeError):
        return ""
    return f" @ {url}" if url else ""
