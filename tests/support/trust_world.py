"""A `World` with keys and trust rules."""

from __future__ import annotations

import copy
import shutil
from typing import TYPE_CHECKING, Any

from pumice.trust import policy_edit as rules
from pumice.trust import public_keys
from pumice.trust.policy_files import PolicyDirectory
from tests.support.world import PumiceRun, World

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct horse"


class TrustWorld(World):
    """A `World` with a configuration directory and a passphrase in the environment."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.config = root / "config"

    def copy_to(self, root: Path) -> TrustWorld:
        """Return a copy, which has the same archive and may be changed otherwise."""
        shutil.copytree(self.root, root, symlinks=True, ignore=shutil.ignore_patterns("mirror"))
        other = copy.copy(self)
        other.root, other.project, other.config = root, root / "project", root / "config"
        return other

    def do(self, *arguments: str, **options: Any) -> PumiceRun:
        """Run pumice with the keys and rules of this world."""
        environment = {
            "XDG_CONFIG_HOME": str(self.config),
            "PUMICE_KEY_PASSPHRASE": SECRET,
            **options.pop("environment", {}),
        }
        return self.run(*arguments, environment=environment, **options)

    def must(self, *arguments: str, **options: Any) -> str:
        """Run pumice, require exit code 0, and return standard output."""
        pumice_run = self.do(*arguments, **options)
        assert pumice_run.code == 0, pumice_run.stderr
        return pumice_run.stdout

    def trust(self, key: str, prefix: str = "") -> None:
        """Trust a public key of the project's folder for a prefix, or for every name."""
        rules.add_key(self.rules, public_keys.read_public_key(self.project / key), prefix)

    @property
    def rules(self) -> PolicyDirectory:
        """The folder of the user's rules."""
        return PolicyDirectory("user", self.config / "pumice" / "trust")

    def refused(self, *arguments: str, code: int = 7, **options: Any) -> str:
        """Run pumice, require the exit code, and return standard error."""
        pumice_run = self.do(*arguments, **options)
        assert (pumice_run.code, pumice_run.stdout) == (code, ""), pumice_run.stderr
        assert "Traceback" not in pumice_run.stderr
        assert SECRET not in pumice_run.stderr
        return pumice_run.stderr


def signed_world(root: Path) -> TrustWorld:
    """Return a world with the pair ``release`` and the signed layout ``oci:out``."""
    world = TrustWorld(root)
    world.must("key", "generate", "--output", "release")
    world.must("build", "recipe.yaml", "--sign", "release.key", "-o", "oci:out")
    return world
