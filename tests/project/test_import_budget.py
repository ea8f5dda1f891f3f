"""What starting costs, counted in modules: a count is the same on a busy machine, a time is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import trust_world
from tests.support.world import World

PROBE = """
import sys
before = set(sys.modules)
from pumice.cli.main import main
sys.stdout = open("/dev/null", "w")
code = main(sys.argv[1:])
loaded = sorted(set(sys.modules) - before)
import json
sys.__stdout__.write(json.dumps([code, loaded]))
"""

START = {"__future__", "pumice", "pumice.cli", "pumice.cli.main"}


def loaded(*arguments: str) -> set[str]:
    """Return the modules that a command loads beyond those of a bare interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=True, timeout=300
    )
    code, modules = json.loads(done.stdout)
    assert code == 0, done.stderr
    return set(modules)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"]])
def test_help_loads_the_table_and_nothing_else(arguments: list[str]) -> None:
    assert loaded(*arguments) == START


def test_version_loads_a_constant_and_nothing_else() -> None:
    assert loaded("--version") == START | {"pumice.version"}


def test_a_verb_loads_no_other_verb() -> None:
    seen = loaded("completion", "bash")
    verbs = {name for name in seen if name.startswith("pumice.cli.")}
    helpers = {f"pumice.cli.{name}" for name in ("main", "arguments", "output", "streams")}
    assert verbs == helpers | {"pumice.cli.completion"}
    assert seen.isdisjoint(
        {"rich", "msgspec", "yaml", "urllib3", "dataclasses", "inspect", "asyncio", "email"}
    )


HEAVY = {
    "rich",
    "urllib3",
    "pysequoia",
    "cryptography",
    "asyncio",
    "email",
    "dataclasses",
    "http",
    "ssl",
    "tarfile",
    "lzma",
    "zstandard",
    "deflate",
    "subprocess",
    "tempfile",
    "concurrent",
    "json",
    "logging",
    "difflib",
}

ROOMS_AT_REST = (
    "fetch",
    "resolve",
    "runtime",
    "distro",
    "packing.effects",
    "packing.segments",
    "assembly.pipeline",
)
"""Rooms that finding an existing image must not load."""

WARM_MODULES = 174
"""The most modules that such a build may load."""


def test_a_build_with_nothing_to_do_loads_nothing_that_fetches_checks_or_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.build()
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    seen = loaded("build", str(world.project / "recipe.yaml"))
    assert seen & HEAVY == set()
    assert [name for name in seen if name.removeprefix("pumice.").startswith(ROOMS_AT_REST)] == []
    assert len(seen) <= WARM_MODULES


VERIFY_MODULES = 200
"""As many modules as verifying by a key may load beyond those of the library for keys."""


def test_verifying_by_a_key_loads_nothing_but_what_reads_images_and_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = trust_world.signed_world(tmp_path)
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "other"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    place, key = f"oci:{world.project}/out", str(world.project / "release.pub")
    seen = loaded("verify", place, "--key", key)
    needed = {"cryptography", "dataclasses", "json"}  # the second by the first
    assert seen & ((HEAVY - needed) | {"nacl", "yaml", "sigstore", "pydantic", "requests", "tuf"}) == set()
    rooms = ("build", "fetch", "resolve", "runtime", "evidence", "registry", "distro.debian.sources")
    assert [name for name in seen if name.removeprefix("pumice.").startswith(rooms)] == []
    assert len([name for name in seen if not name.startswith("cryptography")]) <= VERIFY_MODULES


def test_running_what_was_built_here_loads_nothing_that_knows_about_keys() -> None:
    probe = (
        "import sys\n"
        "from pumice.runtime import run\n"
        "from pumice.store.home import Home\n"
        "print(sorted(n for n in sys.modules if n.startswith(('pumice.trust', 'cryptography', 'nacl'))))\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['pumice.trust', 'pumice.trust.admission', 'pumice.trust.decision']"
