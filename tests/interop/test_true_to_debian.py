"""Compares the image of each example with its packages as ``dpkg-deb`` and ``dpkg`` read them.

The intended differences are listed in ``true_to_debian.txt``, each with a reason.
"""

from __future__ import annotations

import json
import posixpath
import re
import subprocess
import tarfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support import real, roots
from tests.support.peers import need
from tests.support.real import EXAMPLES
from tests.support.roots import Fact, Root

pytestmark = [pytest.mark.mirror, pytest.mark.peer("dpkg-deb", "dpkg", "dpkg-query")]

TABLE = Path(__file__).with_name("true_to_debian.txt")
DOC = "usr/share/doc/"


class Row(NamedTuple):
    """A row of the table of differences."""

    change: str
    paths: str
    line: int

    def allows(self, change: str, path: str) -> bool:
        return change == self.change and bool(_pattern(self.paths).fullmatch(path))


class BuiltExample(NamedTuple):
    """The image of an example as a tree, and the trees of its packages."""

    folder: Path
    image: Root
    locked: list[dict[str, str]]
    packages: dict[str, Root]


@cache
def _pattern(paths: str) -> re.Pattern[str]:
    return re.compile(re.escape(paths).replace(r"\*\*", ".*").replace(r"\*", "[^/]*"))


def table() -> list[Row]:
    rows = []
    for number, line in enumerate(TABLE.read_text().splitlines(), 1):
        if line and not line.startswith("#"):
            change, paths, reason = line.split(" | ")
            assert reason, f"{TABLE.name}:{number} gives no reason"
            rows.append(Row(change, paths, number))
    return rows


@pytest.fixture(scope="module")
def used_rows() -> dict[str, set[Row]]:
    """Return the rows that match a difference, by example."""
    return {}


@pytest.fixture(scope="module", params=EXAMPLES)
def built_example(
    request: pytest.FixtureRequest, shared_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> BuiltExample:
    folder = tmp_path_factory.mktemp(request.param)
    recipe = real.example(request.param, folder / "example")
    recipe.write_text(recipe.read_text() + "keep: all\n")  # the image has every package of the lock
    real.must(shared_home, "lock", recipe, "--bundle", folder / "bundle")
    real.must(shared_home, "build", "--locked", recipe, "-o", f"tar:{folder / 'root.tar'}")
    ((locked),) = json.loads(recipe.with_suffix(".lock").read_bytes())["packages"].values()
    packages = {
        package["name"]: _used_part(package, roots.of_package(path))
        for package in locked
        for path in (folder / "bundle").rglob(posixpath.basename(package["path"]))
    }
    assert len(packages) == len(locked)
    return BuiltExample(folder, roots.of_tar(folder / "root.tar"), locked, packages)


LOCALE = "usr/lib/locale/C.utf8"


def _used_part(package: dict[str, Any], root: Root) -> Root:
    """Return the files of a package that an image is meant to have: of libc-bin for base data, its locale."""
    if (package["name"], package.get("role")) != ("libc-bin", "base-data"):
        return root
    directories = (LOCALE, f"{DOC}libc-bin")
    return {
        path: fact
        for path, fact in root.items()
        if any(path == top or path.startswith(f"{top}/") or top.startswith(f"{path}/") for top in directories)
    }


def differences(example: BuiltExample, moved_rows: list[Row]) -> list[tuple[str, str]]:
    """Return (change, path) for each difference; ``moved_rows`` are paths that move below ``usr``."""

    def image_path(path: str) -> str:
        return f"usr/{path}" if any(row.allows("moved", path) for row in moved_rows) else path

    changes: set[tuple[str, str]] = set()
    shipped: dict[str, list[Fact]] = {}
    for root in example.packages.values():
        for path, fact in root.items():
            if image_path(path) != path:
                changes.add(("moved", path))
            package_fact = fact._replace(link=image_path(fact.link)) if fact.kind == "hardlink" else fact
            shipped.setdefault(image_path(path), []).append(package_fact)
    changes |= {("omitted", path) for path in shipped.keys() - example.image.keys()}
    changes |= {("added", path) for path in example.image.keys() - shipped.keys()}
    for path in shipped.keys() & example.image.keys():
        changes |= {
            (change, path)
            for theirs in shipped[path]
            if (change := _changed_fields(theirs, example.image[path]))
        }
    return sorted(changes)


def _changed_fields(package_fact: Fact, image_fact: Fact) -> str:
    """Return the names of the properties that differ, ignoring times of directories."""
    return " ".join(
        name
        for name, package_value, image_value in zip(Fact._fields, package_fact, image_fact, strict=True)
        if package_value != image_value and not (name == "mtime" and package_fact.kind == "dir")
    )


def test_the_image_has_the_files_of_the_packages(
    built_example: BuiltExample, used_rows: dict[str, set[Row]], request: pytest.FixtureRequest
) -> None:
    rows = table()
    unlisted = []
    matching_rows = used_rows.setdefault(request.node.callspec.params["built_example"], set())
    for change, path in differences(built_example, [row for row in rows if row.change == "moved"]):
        allowing = [row for row in rows if row.allows(change, path)]
        matching_rows.update(allowing)
        if not allowing:
            unlisted.append(f"{change} | {path}")
    assert unlisted == []


def test_dpkg_audit_reports_nothing(built_example: BuiltExample, tmp_path: Path) -> None:
    with tarfile.open(built_example.folder / "root.tar") as archive:
        state = [member for member in archive if "var/lib/dpkg" in member.name]
        archive.extractall(tmp_path, state, filter="tar")
    audit = _run(need("dpkg"), f"--root={tmp_path}", "--audit")
    assert audit == ""
    package_list = _run(
        *(need("dpkg-query"), f"--admindir={tmp_path}/var/lib/dpkg", "--show"),
        "--showformat=${Package} ${Version} ${db:Status-Status}\\n",
    )
    assert sorted(package_list.splitlines()) == sorted(
        f"{package['name']} {package['version']} installed"
        for package in built_example.locked
        if package.get("role", "package") == "package"
    )
    # In addition to a status file it makes scanners report every package twice.
    assert not (tmp_path / "var/lib/dpkg/status.d").exists()


def test_dpkg_verify_reports_only_listed_differences(built_example: BuiltExample, tmp_path: Path) -> None:
    with tarfile.open(built_example.folder / "root.tar") as archive:
        archive.extractall(tmp_path, filter="tar")
    process = subprocess.run(
        [need("dpkg"), f"--root={tmp_path}", "--verify"], capture_output=True, text=True, check=False
    )
    # dpkg(1): "??5?????? c /path" for content that differs, "missing     /path" for nothing there.
    paths = {line.split(" /", 1)[1]: line for line in process.stdout.splitlines()}
    rows = [row for row in table() if row.change in {"omitted", "size sha256 mtime"}]
    unlisted = [
        line
        for path, line in paths.items()
        if not any(
            row.allows("omitted" if line.startswith("missing") else "size sha256 mtime", path) for row in rows
        )
    ]
    assert (unlisted, process.stderr) == ([], "")


def test_every_package_keeps_its_copyright(built_example: BuiltExample) -> None:
    lost = []
    for name, root in built_example.packages.items():
        copyright_file = f"{DOC}{name}/copyright"
        linked = root.get(f"{DOC}{name}")
        is_shipped = copyright_file in root or (linked is not None and linked.kind == "symlink")
        if is_shipped and _resolve(copyright_file, built_example.image) is None:
            lost.append(name)
    assert lost == []
    dangling = [
        path
        for path, fact in built_example.image.items()
        if path.startswith(DOC) and fact.kind == "symlink" and _resolve(path, built_example.image) is None
    ]
    assert dangling == []


def _resolve(path: str, root: Root) -> str | None:
    """Return ``path`` with all links resolved in a tree; None if it does not exist."""
    resolved, pending, link_count = "", path.split("/"), 0
    while pending:
        name = pending.pop(0)
        if name == "..":
            resolved = posixpath.dirname(resolved)
            continue
        candidate = posixpath.join(resolved, name)
        fact = root.get(candidate)
        if fact is None:
            return None
        if fact.kind != "symlink":
            resolved = candidate
            continue
        link_count += 1
        if link_count > 40:
            return None
        resolved = "" if fact.link.startswith("/") else resolved
        pending = [component for component in fact.link.split("/") if component not in {"", "."}] + pending
    return resolved


def _run(*command: str) -> str:
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    return process.stdout + process.stderr


def test_every_row_matches_a_difference(used_rows: dict[str, set[Row]]) -> None:
    if set(used_rows) != set(EXAMPLES):
        pytest.skip("not every example was compared")
    idle = [row for row in table() if not any(row in rows for rows in used_rows.values())]
    assert idle == []
