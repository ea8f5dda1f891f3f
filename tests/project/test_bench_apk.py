"""The benchmark's packages suit apko, which follows no links and creates no parent directories."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from bench import apk
from pumice.packing.selection import ALIASED_DIRECTORIES
from tests.support.deb import Deb, folder, hardlink, symlink, text

PACKAGES = [
    Deb(
        "libc6",
        files=[
            text("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "the loader"),
            symlink("lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
        ],
    ),
    Deb(
        "npm",
        files=[
            symlink("usr/share/npm/man", "../man"),
            symlink("usr/share/doc/npm", "nodejs"),
            text("bin/npm", "a program"),
            hardlink("bin/npx", "bin/npm"),
        ],
    ),
    Deb(
        "nodejs",
        files=[
            folder("usr/share/npm/man"),
            text("usr/share/npm/man/node.1", "a page"),
            text("usr/share/doc/npm/copyright", "a license"),
            text("usr/share/doc/nodejs/changelog", "changes"),
        ],
    ),
]


def repack(tmp_path: Path) -> tuple[list[str], dict[str, list[tarfile.TarInfo]]]:
    files = []
    for package in PACKAGES:
        path = tmp_path / package.filename
        path.write_bytes(package.build())
        files.append(path)
    names = apk.repack(files, tmp_path / "apks")
    return names, {name: members(tmp_path / "apks" / "x86_64" / f"{name}-1-r0.apk") for name in names}


def members(path: Path) -> list[tarfile.TarInfo]:
    """Return the members of the data part, which follows the control part in a gzip member of its own."""
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes()), mode="r:gz", ignore_zeros=True) as archive:
        return [member for member in archive if member.name != ".PKGINFO"]


def test_every_member_has_its_folders_before_it_and_none_is_below_a_link(tmp_path: Path) -> None:
    _, packages = repack(tmp_path)
    links = {member.name for data in packages.values() for member in data if member.issym()}
    for data in packages.values():
        folders = {"."}
        for member in data:
            assert str(Path(member.name).parent) in folders, member.name
            assert not links & {str(parent) for parent in Path(member.name).parents}, member.name
            if member.isdir():
                assert member.name not in links
                folders.add(member.name)


def test_the_links_of_merged_usr_are_a_package_of_their_own(tmp_path: Path) -> None:
    names, packages = repack(tmp_path)
    assert names == [apk.MERGED, "libc6", "nodejs", "npm"]
    links = {member.name: member.linkname for member in packages[apk.MERGED] if member.issym()}
    assert links == {name: f"usr/{name}" for name in ALIASED_DIRECTORIES}


def test_what_is_below_a_link_is_where_the_link_points(tmp_path: Path) -> None:
    _, packages = repack(tmp_path)
    files = {member.name for data in packages.values() for member in data if not member.isdir()}
    assert files - set(ALIASED_DIRECTORIES) == {
        "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "usr/lib64/ld-linux-x86-64.so.2",
        "usr/share/npm/man",
        "usr/share/doc/npm",
        "usr/bin/npm",
        "usr/bin/npx",
        "usr/share/man/node.1",
        "usr/share/doc/nodejs/copyright",
        "usr/share/doc/nodejs/changelog",
    }
