"""Hints name the command that works for the way in which Pumice was installed."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from pumice import installation


class Installed:
    """A distribution with this record of its origin."""

    def __init__(self, direct_url: str | None) -> None:
        self._direct_url = direct_url

    def read_text(self, name: str) -> str | None:
        return self._direct_url if name == "direct_url.json" else None


@pytest.mark.parametrize(
    ("marker", "direct_url", "command"),
    [
        ("", None, "pip install 'pumice[serve]'"),
        (
            "",
            '{"url": "file:///src/pumice", "dir_info": {}}',
            "pip install 'pumice[serve] @ file:///src/pumice'",
        ),
        ("", "not JSON", "pip install 'pumice[serve]'"),
        ("", "[]", "pip install 'pumice[serve]'"),
        ("pipx_metadata.json", None, "pipx install --force 'pumice[serve]'"),
        ("uv-receipt.toml", None, "uv tool install --force 'pumice[serve]'"),
    ],
)
def test_the_command_fits_the_installation(
    marker: str, direct_url: str | None, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if marker:
        (tmp_path / marker).touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed(direct_url))
    assert installation.command_for_extra("serve") == command
