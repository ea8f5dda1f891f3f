"""A folder with a recipe and a signed archive beside it, for tests of whole commands."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.assembly.connection import ArchiveConnection
from pumice.cli.main import main
from pumice.progress import Silent
from pumice.recipe.load import load_recipe
from pumice.recipe.lock import read_lock
from pumice.store.home import Home, locate
from tests.support import archive
from tests.support.archive import EPOCH, Deb, Suite

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Recipe


class Said(Silent):
    """Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


class Ran(msgspec.Struct, frozen=True):
    """What a command did."""

    code: int
    out: str
    err: str


class Workshop:
    """``recipe.yaml``, a keyring, and an archive that can be published again and again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.recipe_path = root / "recipe.yaml"
        self.lock_path = root / "recipe.lock"
        self.said = Said()
        self.url = (root / "mirror").as_uri()
        self._day = 0
        (root / "keyring.asc").write_bytes(archive.keyring())

    def publish(self, *debs: Deb) -> None:
        """Replace what the archive offers, a day later than before."""
        self._day += 1
        suite = Suite("bookworm", packages=debs, date=EPOCH + self._day * 86400)
        archive.publish(self.root / "mirror", suite)

    def write(self, packages: Sequence[str], **more: Any) -> None:
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
            **more,
        }
        self.recipe_path.write_bytes(msgspec.json.format(msgspec.json.encode(recipe)))

    def recipe(self) -> Recipe:
        return load_recipe(self.recipe_path)

    def lock(self) -> Lock:
        return read_lock(self.lock_path)

    def pins(self, architecture: str = "amd64") -> list[str]:
        """The lock's packages as ``name=version``."""
        return [f"{package.name}={package.version}" for package in self.lock().packages[architecture]]

    def connection(self, *, offline: bool = False) -> ArchiveConnection:
        home = Home(locate(os.environ))
        return ArchiveConnection(self.recipe(), home, os.environ, offline=offline, progress=self.said)

    def run(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> Ran:
        """Run a command of Pumice in this process."""
        capsys.readouterr()
        code = main(arguments)
        done = capsys.readouterr()
        root = f"{self.root}/"
        return Ran(code, done.out.replace(root, ""), done.err.replace(root, ""))
