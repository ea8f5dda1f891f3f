"""The cost of starting, in modules, because their number does not depend on the load of the machine."""

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


def loaded_modules(*arguments: str) -> set[str]:
    """Return the modules that a command loads beyond those of a bare interpreter."""
    process = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=True, timeout=300
    )
    code, modules = json.loads(process.stdout)
    assert code == 0, process.stderr
    return set(modules)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"]])
def test_help_loads_the_table_and_nothing_else(arguments: list[str]) -> None:
    assert loaded_modules(*arguments) == START | {"pumice.cli.commands", "pumice.cli.overview"}


def test_version_loads_a_constant_and_nothing_else() -> None:
    assert loaded_modules("--version") == START | {"pumice.version"}


def test_a_verb_loads_no_other_verb() -> None:
    modules = loaded_modules("completion", "bash")
    verbs = {name for name in modules if name.startswith("pumice.cli.")}
    shared = {
        "commands",
        "display",
        "display.progress_modes",
        "display.streams",
        "main",
        "parsing",
        "parsing.arguments",
    }
    assert verbs == {f"pumice.cli.{name}" for name in {*shared, "completion"}}
    assert modules.isdisjoint(
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

WARM_MODULES = 198
"""The most modules that such a build may load."""


def test_a_build_with_nothing_to_do_loads_nothing_that_fetches_checks_or_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.build()
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    modules = loaded_modules("build", str(world.project / "recipe.yaml"))
    assert modules & HEAVY == set()
    assert [name for name in modules if name.removeprefix("pumice.").startswith(ROOMS_AT_REST)] == []
    assert len(modules) <= WARM_MODULES


VERIFY_MODULES = 200
"""As many modules as verifying by a key may load beyond those of the library for keys."""


def test_verifying_by_a_key_loads_nothing_but_what_reads_images_and_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = trust_world.signed_world(tmp_path)
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "other"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    location, key = f"oci:{world.project}/out", str(world.project / "release.pub")
    modules = loaded_modules("verify", location, "--key", key)
    expected_packages = {"cryptography", "dataclasses", "json"}  # cryptography imports dataclasses
    assert (
        modules & ((HEAVY - expected_packages) | {"nacl", "yaml", "sigstore", "pydantic", "requests", "tuf"})
        == set()
    )
    rooms = ("build", "fetch", "resolve", "runtime", "evidence", "registry", "distro.debian.sources")
    assert [name for name in modules if name.removeprefix("pumice.").startswith(rooms)] == []
    assert len([name for name in modules if not name.startswith("cryptography")]) <= VERIFY_MODULES


def test_running_a_local_build_loads_no_keys_or_signatures() -> None:
    probe = (
        "import sys\n"
        "from pumice.runtime import run\n"
        "from pumice.store.home import Home\n"
        "print(sorted(n for n in sys.modules if n.startswith(('pumice.trust', 'cryptography', 'nacl'))))\n"
    )
    process = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "['pumice.trust', 'pumice.trust.admission', 'pumice.trust.decision']"
