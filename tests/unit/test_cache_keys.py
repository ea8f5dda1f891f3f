from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from pumice import cache_keys
from tests.support.docs import ROOT

SOURCES = ROOT / "src/pumice"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return the package directory of a private checkout."""
    return Path(copytree(SOURCES, tmp_path / "src/pumice", ignore=ignore_patterns("__pycache__")))


def versions(package: Path) -> dict[str, str]:
    """Return the code version of each kind, as computed by a process that runs ``package``."""
    code = "from pumice import cache_keys as c\nfor kind in c.MODULES: print(kind, c.code_version(kind))"
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    return dict(line.split() for line in process.stdout.splitlines())


def changed_kinds(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {kind for kind in before if before[kind] != after[kind]}


def test_an_edit_counts_for_the_kinds_that_the_module_shapes(checkout: Path) -> None:
    before = versions(checkout)
    assert versions(checkout) == before
    built = {"effects", "image", "evidence", "bytecode", "generate", "findings", "uses", "omission"}
    for path, kinds in [
        ("version.py", set()),
        ("cli/build.py", set()),
        ("packing/effects/shells.py", built),
        ("packing/effects/data/users.tsv", built),
        ("evidence/spdx_document.py", {"image", "evidence", "bytecode", "generate", "omission", "license"}),
        ("packing/selection.py", {"segment", "layer", "slices"} | built),
    ]:
        with (checkout / path).open("a") as file:
            file.write("# edited\n")
        after = versions(checkout)
        assert changed_kinds(before, after) == kinds, path
        before = after


def test_an_edit_that_keeps_the_size_counts_by_its_time(checkout: Path) -> None:
    before = versions(checkout)
    facts = (checkout / "packing/segment_writer.py").stat()
    os.utime(checkout / "packing/segment_writer.py", ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert "segment" in changed_kinds(before, versions(checkout))


def test_a_wheel_carries_digests_of_its_modules(tmp_path: Path, checkout: Path) -> None:
    project = checkout.parents[1]
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (project / name).write_bytes((ROOT / name).read_bytes())
    for name in ("tools", "man"):
        copytree(ROOT / name, project / name)
    code = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    build = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=project, check=True, capture_output=True, text=True
    )
    with zipfile.ZipFile(tmp_path / build.stdout.split()[-1]) as wheel:
        wheel.extractall(tmp_path / "installed")
    installed = tmp_path / "installed/pumice"
    text = (installed / cache_keys.DIGESTS).read_text()
    assert text == cache_keys.content_digests(str(checkout)) == cache_keys.content_digests(str(installed))
    assert versions(installed) == dict(line.split() for line in text.splitlines())
    for path in installed.rglob("*.py"):
        os.utime(path, (1, 1))
    assert versions(installed) == dict(line.split() for line in text.splitlines()), "whatever the times"


def test_equal_inputs_of_another_kind_or_order_have_another_key() -> None:
    keys = {
        cache_keys.cache_key("effects", "a", "b"),
        cache_keys.cache_key("effects", "b", "a"),
        cache_keys.cache_key("effects", ["a", "b"]),
        cache_keys.cache_key("bytecode", "a", "b"),
    }
    assert len(keys) == 4
    assert cache_keys.cache_key("effects", {"a": 1, "b": 2}) == cache_keys.cache_key(
        "effects", {"b": 2, "a": 1}
    )
