"""An image holds what its packages hold: each example against ``dpkg-deb`` and ``dpkg`` themselves.

The differences that are meant stand in ``true_to_debian.txt``, each with its reason.
"""

from __future__ import annotations

import json
import posixpath
import re
import subprocess
import tarfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import real, roots
from tests.support.peers import need
from tests.support.real import EXAMPLES
from tests.support.roots import Fact, Root

pytestmark = [pytest.mark.mirror, pytest.mark.peer("dpkg-deb", "dpkg", "dpkg-query")]

TABLE = Path(__file__).with_name("true_to_debian.txt")
DOC = "usr/share/doc/"


class Row(NamedTuple):
    """One line of the table."""

    change: str
    paths: str
    line: int

    def allows(self, change: str, path: str) -> bool:
        return change == self.change and bool(_pattern(self.paths).fullmatch(path))


class Made(NamedTuple):
    """An example's image, as a tree, and the packages it is made of, with what each holds."""

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
def used() -> dict[str, set[Row]]:
    """Return the rows that each example needed."""
    return {}


@pytest.fixture(scope="module", params=EXAMPLES)
def made(request: pytest.FixtureRequest, shared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp(request.param)
    recipe = real.example(request.param, folder / "example")
    real.must(shared_home, "lock", recipe, "--bundle", folder / "bundle")
    real.must(shared_home, "build", "--locked", recipe, "-o", f"tar:{folder / 'root.tar'}")
    ((locked),) = json.loads(recipe.with_suffix(".lock").read_bytes())["packages"].values()
    packages = {
        package["name"]: roots.of_package(path)
        for package in locked
        for path in (folder / "bundle").rglob(posixpath.basename(package["path"]))
    }
    assert len(packages) == len(locked)
    return Made(folder, roots.of_tar(folder / "root.tar"), locked, packages)


def differences(made: Made, moved: list[Row]) -> list[tuple[str, str]]:
    """Return (what happens, path) for each difference; ``moved`` says what is below ``usr`` instead."""

    def place(path: str) -> str:
        return f"usr/{path}" if any(row.allows("moved", path) for row in moved) else path

    found: set[tuple[str, str]] = set()
    shipped: dict[str, list[Fact]] = {}
    for root in made.packages.values():
        for path, fact in root.items():
            if place(path) != path:
                found.add(("moved", path))
            theirs = fact._replace(link=place(fact.link)) if fact.kind == "hardlink" else fact
            shipped.setdefault(place(path), []).append(theirs)
    found |= {("left out", path) for path in shipped.keys() - made.image.keys()}
    found |= {("made", path) for path in made.image.keys() - shipped.keys()}
    for path in shipped.keys() & made.image.keys():
        found |= {(change, path) for theirs in shipped[path] if (change := _fields(theirs, made.image[path]))}
    return sorted(found)


def _fields(theirs: Fact, ours: Fact) -> str:
    """Return the names of what differs; a folder's time does not count."""
    return " ".join(
        name
        for name, one, other in zip(Fact._fields, theirs, ours, strict=True)
        if one != other and not (name == "mtime" and theirs.kind == "dir")
    )


def test_the_tree_is_that_of_the_packages(
    made: Made, used: dict[str, set[Row]], request: pytest.FixtureRequest
) -> None:
    rows = table()
    unlisted = []
    needed = used.setdefault(request.node.callspec.params["made"], set())
    for change, path in differences(made, [row for row in rows if row.change == "moved"]):
        allowing = [row for row in rows if row.allows(change, path)]
        needed.update(allowing)
        if not allowing:
            unlisted.append(f"{change} | {path}")
    assert unlisted == []


def test_dpkg_finds_nothing_wrong(made: Made, tmp_path: Path) -> None:
    with tarfile.open(made.folder / "root.tar") as archive:
        state = [member for member in archive if "var/lib/dpkg" in member.name]
        archive.extractall(tmp_path, state, filter="tar")
    audit = _said(need("dpkg"), f"--root={tmp_path}", "--audit")
    assert audit == ""
    listed = _said(
        *(need("dpkg-query"), f"--admindir={tmp_path}/var/lib/dpkg", "--show"),
        "--showformat=${Package} ${Version} ${db:Status-Status}\\n",
    )
    assert sorted(listed.splitlines()) == sorted(
        f"{package['name']} {package['version']} installed"
        for package in made.locked
        if package.get("role", "package") == "package"
    )
    # Beside a status file it makes scanners report every package twice.
    assert not (tmp_path / "var/lib/dpkg/status.d").exists()


def test_dpkg_finds_every_file_unchanged(made: Made, tmp_path: Path) -> None:
    with tarfile.open(made.folder / "root.tar") as archive:
        archive.extractall(tmp_path, filter="tar")
    done = subprocess.run(
        [need("dpkg"), f"--root={tmp_path}", "--verify"], capture_output=True, text=True, check=False
    )
    # dpkg-query(1): "??5?????? c /path" for content that differs, "missing     /path" for nothing there.
    paths = {line.split(" /", 1)[1]: line for line in done.stdout.splitlines()}
    rows = [row for row in table() if row.change in {"left out", "size sha256 mtime"}]
    unlisted = [
        line
        for path, line in paths.items()
        if not any(
            row.allows("left out" if line.startswith("missing") else "size sha256 mtime", path)
            for row in rows
        )
    ]
    assert (unlisted, done.stderr) == ([], "")


def test_every_package_keeps_its_copyright(made: Made) -> None:
    lost = []
    for name, root in made.packages.items():
        copyright_file = f"{DOC}{name}/copyright"
        linked = root.get(f"{DOC}{name}")
        is_shipped = copyright_file in root or (linked is not None and linked.kind == "symlink")
        if is_shipped and _resolve(copyright_file, made.image) is None:
            lost.append(name)
    assert lost == []
    dangling = [
        path
        for path, fact in made.image.items()
        if path.startswith(DOC) and fact.kind == "symlink" and _resolve(path, made.image) is None
    ]
    assert dangling == []


def _resolve(path: str, root: Root) -> str | None:
    """Return where ``path`` leads in a tree when every link is followed; None if nowhere."""
    done, left, hops = "", path.split("/"), 0
    while left:
        name = left.pop(0)
        if name == "..":
            done = posixpath.dirname(done)
            continue
        here = posixpath.join(done, name)
        fact = root.get(here)
        if fact is None:
            return None
        if fact.kind != "symlink":
            done = here
            continue
        hops += 1
        if hops > 40:
            return None
        done = "" if fact.link.startswith("/") else done
        left = [part for part in fact.link.split("/") if part not in {"", "."}] + left
    return done


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_no_row_is_idle(used: dict[str, set[Row]]) -> None:
    if set(used) != set(EXAMPLES):
        pytest.skip("not every example was compared")
    idle = [row for row in table() if not any(row in needed for needed in used.values())]
    assert idle == []
