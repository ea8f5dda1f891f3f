"""``python: {bytecode: true}`` with the interpreter of the distribution."""

from __future__ import annotations

import re
import shutil
import tarfile
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support import real

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.mirror

UNCHECKED = b"\x01\x00\x00\x00"
"""PEP 552: the file is valid by a hash of its source, which Python does not compare."""


class Compiled(NamedTuple):
    """An image with bytecode in a store, and its inputs."""

    home: Path
    folder: Path
    digest: str


@pytest.fixture(scope="module")
def compiled(shared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    folder = tmp_path_factory.mktemp("bytecode")
    recipe = real.recipe(
        folder / "project",
        ["python3"],
        "python: {bytecode: true}",
        "files: [{text: 'print(1)', to: /app/main.py}, {text: 'print(', to: /app/broken.py}]",
        "run: {user: nonroot, command: [/usr/bin/python3]}",
    )
    real.must(shared_home, "lock", recipe, "--bundle", folder / "bundle")
    return Compiled(shared_home, folder, real.must(shared_home, "build", "--locked", recipe))


def test_an_empty_store_gives_the_same_digest(compiled: Compiled, tmp_path: Path) -> None:
    shutil.copytree(compiled.folder / "project", tmp_path / "elsewhere")
    recipe = tmp_path / "elsewhere" / "recipe.yaml"
    rebuilt_digest = real.must(
        *(
            tmp_path / "store",
            "build",
            "--locked",
            "--offline",
            "--bundle",
            compiled.folder / "bundle",
            recipe,
        ),
        PYTHONHASHSEED="7",
        TZ="Asia/Kathmandu",
    )
    assert rebuilt_digest == compiled.digest


def test_every_module_has_unchecked_bytecode(compiled: Compiled, tmp_path: Path) -> None:
    recipe = compiled.folder / "project" / "recipe.yaml"
    real.must(compiled.home, "build", "--locked", recipe, "-o", f"tar:{tmp_path / 'root.tar'}")
    sources, compiled_ones = set(), set()
    with tarfile.open(tmp_path / "root.tar") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if name.endswith(".py") and member.isreg():
                sources.add(name)
            elif name.endswith(".pyc"):
                body = archive.extractfile(member)
                assert body
                assert body.read(8)[4:] == UNCHECKED, name
                assert (member.mtime, member.mode, member.uid) == (0, 0o644, 0)
                compiled_ones.add(re.sub(r"__pycache__/(.+)\.cpython-\d+\.pyc$", r"\1.py", name))
    assert len(compiled_ones) > 400
    assert compiled_ones <= sources
    # Invalid Python is not compiled; it fails when somebody runs it.
    assert sources - compiled_ones == {"app/broken.py"}


def test_the_interpreter_uses_the_bytecode(compiled: Compiled) -> None:
    pumice_run = real.run(
        *(compiled.home, "run", compiled.digest, "-v", "-c"),
        "import json, http.server; print(http.server.__cached__)",
    )
    assert pumice_run.code == 0, pumice_run.stderr
    assert pumice_run.stdout.endswith("/usr/lib/python3.11/http/__pycache__/server.cpython-311.pyc")
    assert (
        "# code object from '/usr/lib/python3.11/http/__pycache__/server.cpython-311.pyc'"
        in pumice_run.stderr
    )
    from_sources = re.findall(r"^# code object from (/\S+\.py)$", pumice_run.stderr, re.MULTILINE)
    # A link to a file in /etc, which users can edit; unchecked bytecode would hide their changes.
    assert from_sources == ["/usr/lib/python3.11/sitecustomize.py"]
