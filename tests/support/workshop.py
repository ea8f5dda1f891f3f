"""A folder with a recipe and a signed archive, for tests of whole commands."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.assembly.connection import ArchiveConnection
from pumice.cli.main import main
from pumice.recipe.load import load_recipe
from pumice.recipe.lock_reader import read_lock
from pumice.store.home import Home, locate
from tests.support import archive
from tests.support.archive import EPOCH, Deb, Suite
from tests.support.recording_progress import RecordingProgress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Recipe


class CommandResult(msgspec.Struct, frozen=True):
    """The result of a command."""

    code: int
    out: str
    err: str


class Workshop:
    """``recipe.yaml``, a keyring, and an archive that can be published repeatedly."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.recipe_path = root / "recipe.yaml"
        self.lock_path = root / "recipe.lock"
        self.progress = RecordingProgress()
        self.url = (root / "mirror").as_uri()
        self._day = 0
        (root / "keyring.asc").write_bytes(archive.keyring())

    def publish(self, *debs: Deb) -> None:
        """Replace the packages of the archive; each call publishes a day later."""
        self._day += 1
        suite = Suite("bookworm", packages=debs, date=EPOCH + self._day * 86400)
        archive.publish(self.root / "mirror", suite)

    def write(self, packages: Sequence[str], **keys: Any) -> None:
        """Write the recipe."""
        recipe = {
            "name": "example.com/app",
            "version": "1",
            "from": {
                "debian": "bookworm",
                "suites": ["bookworm"],
                "mirrors": [self.url],
                "keyrings": ["keyring.asc"],
            },
            "base": "none",
            "packages": list(packages),
            **keys,
        }
        self.recipe_path.write_bytes(msgspec.json.format(msgspec.json.encode(recipe)))

    def recipe(self) -> Recipe:
        return load_recipe(self.recipe_path)

    def lock(self) -> Lock:
        return read_lock(self.lock_path)

    def pins(self, architecture: str = "amd64") -> list[str]:
        """Return the packages of the lock as ``name=version``."""
        return [f"{package.name}={package.version}" for package in self.lock().packages[architecture]]

    def connection(self, *, offline: bool = False) -> ArchiveConnection:
        home = Home(locate(os.environ))
        return ArchiveConnection(self.recipe(), home, os.environ, offline=offline, progress=self.progress)

    def run(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> CommandResult:
        """Run a command of Pumice in this process."""
        capsys.readouterr()
        code = main(arguments)
        output = capsys.readouterr()
        root = f"{self.root}/"
        return CommandResult(code, output.out.replace(root, ""), output.err.replace(root, ""))
