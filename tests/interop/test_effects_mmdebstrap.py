"""Compares the results of effects with an installation by mmdebstrap that ran every script.

The packages, of which more than sixty have a ``postinst``, are installed with their dependencies, and
the same package files make a tree. Every path that differs is listed in ``effects-differences.tsv``.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pumice.packing import effects
from pumice.packing.effects.diversions import diversions_by_path
from pumice.packing.effects.model import EffectSettings
from pumice.packing.tree import Node, Tree
from tests.support import debtree
from tests.support.peers import need

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.mirror, pytest.mark.long]

SUITE = "bookworm"
PACKAGES = [
    "apache2",
    "apt",
    "avahi-daemon",
    "base-files",
    "base-passwd",
    "bash",
    "bind9",
    "ca-certificates",
    "ca-certificates-java",
    "chrony",
    "cron",
    "dash",
    "dbus",
    "debianutils",
    "dnsmasq-base",
    "dovecot-core",
    "fontconfig-config",
    "gawk",
    "git",
    "gnupg",
    "gpgv",
    "haproxy",
    "iproute2",
    "iputils-ping",
    "less",
    "libc-bin",
    "libpam-runtime",
    "lighttpd",
    "login",
    "logrotate",
    "mariadb-client",
    "mawk",
    "memcached",
    "mosquitto",
    "mtr-tiny",
    "nano",
    "netcat-openbsd",
    "netcat-traditional",
    "nginx",
    "nodejs",
    "openjdk-17-jre-headless",
    "openssh-client",
    "openssh-server",
    "openssl",
    "passwd",
    "perl",
    "php8.2-fpm",
    "php8.2-mbstring",
    "php8.2-xml",
    "postfix",
    "postgresql-client",
    "postgresql-common",
    "procps",
    "prometheus-node-exporter",
    "python3",
    "redis-server",
    "rsync",
    "rsyslog",
    "screen",
    "snmpd",
    "squid",
    "ssl-cert",
    "stunnel4",
    "sudo",
    "systemd",
    "tcpdump",
    "tmux",
    "tor",
    "tzdata",
    "ucf",
    "unbound",
    "util-linux",
    "varnish",
    "vim-tiny",
    "vsftpd",
    "wireshark-common",
    "zsh",
]
TABLE = Path(__file__).parent / "effects-differences.tsv"


class Fact(NamedTuple):
    """The compared properties of a path; owners by name, content by digest."""

    kind: str
    mode: int
    owner: tuple[str, str]
    link: str = ""
    content: str = ""
    capability: bytes = b""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a directory with the installation ``root.tar`` and its packages in ``debs``."""
    program = need("mmdebstrap")
    folder = tmp_path_factory.mktemp("installed")
    (folder / "debs").mkdir()
    (folder / "debs").chmod(0o777)
    mode = "root" if os.geteuid() == 0 else "unshare"
    keep = f'cp "$1"/var/cache/apt/archives/*.deb {folder}/debs/'
    command = [program, f"--mode={mode}", "--variant=custom", "--quiet"]
    command += [
        f"--include={','.join(PACKAGES)},?essential",
        "--skip=essential/unlink,cleanup/apt,cleanup/tmp",
    ]
    command += ["--dpkgopt=force-unsafe-io", f"--customize-hook={keep}", SUITE, str(folder / "root.tar")]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    process = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if process.returncode:
        pytest.fail(f"mmdebstrap cannot install {SUITE} here:\n{process.stderr[-2000:]}", pytrace=False)
    yield folder
    shutil.rmtree(folder)  # more than a gigabyte


@pytest.fixture(scope="module")
def ours(installed: Path) -> Iterator[Tree]:
    """Yield the tree of the same packages after all effects."""
    debs = sorted((installed / "debs").glob("*.deb"))
    diverted = diversions_by_path(path.name.split("_")[0] for path in debs)
    with (installed / "spool").open("w+b") as spool:
        package_tree = debtree.tree(debtree.load(debs, spool, diversions=diverted), spool)
        applied_effects = effects.apply(package_tree, EffectSettings(architecture="amd64"))
        image_tree = package_tree.with_entries(applied_effects.generated, applied_effects.removed_paths)
        changed_directories = {
            path: Node(entry, "effects") for path, entry in applied_effects.directories.items()
        }
        yield Tree({**image_tree.nodes, **changed_directories}, image_tree.read, image_tree.packages)


def test_every_difference_is_listed(installed: Path, ours: Tree) -> None:
    with tarfile.open(installed / "root.tar") as archive:
        installed_facts = dict(_installed_facts(archive))
    differences = sorted(_differences(installed_facts, dict(_image_facts(ours))))
    rows = [line.split("\t") for line in TABLE.read_text().splitlines() if line and line[0] != "#"]
    used_rows: set[int] = set()
    unlisted: list[str] = []
    for change, path in differences:
        matching_rows = [
            number
            for number, row in enumerate(rows)
            if row[0] == change and fnmatch.fnmatchcase(path, row[1])
        ]
        used_rows.update(matching_rows)
        if not matching_rows:
            unlisted.append(
                f"{change}\t{path}\tours {_describe(ours, path)} theirs {installed_facts.get(path)}"
            )
    unused_rows = ["\t".join(row) for number, row in enumerate(rows) if number not in used_rows]
    assert not unlisted, "not in the table:\n" + "\n".join(unlisted)
    assert not unused_rows, "rows without a difference:\n" + "\n".join(unused_rows)


def test_accounts_are_equal_except_for_their_ids(installed: Path, ours: Tree) -> None:
    with tarfile.open(installed / "root.tar") as archive:
        installed_files = {name: _read(archive, f"./etc/{name}").decode() for name in ("passwd", "group")}
    image_files = {name: ours.read(f"etc/{name}").decode() for name in ("passwd", "group")}
    assert _users(image_files) - _users(installed_files) == {
        ("nonroot", "nonroot", "nonroot", "/home/nonroot", "/usr/sbin/nologin")
    }
    assert _users(installed_files) - _users(image_files) == set()
    assert _members(image_files) - _members(installed_files) == {("nonroot", frozenset())}
    assert _members(installed_files) - _members(image_files) == set()


def test_at_least_sixty_packages_have_a_script(ours: Tree) -> None:
    scripted = {package.name for package in ours.packages if "postinst" in package.files}
    assert len(scripted & set(PACKAGES)) >= 60


def _differences(installed_facts: dict[str, Fact], image_facts: dict[str, Fact]) -> Iterator[tuple[str, str]]:
    for path in installed_facts.keys() | image_facts.keys():
        image_fact, installed_fact = image_facts.get(path), installed_facts.get(path)
        if image_fact is None or installed_fact is None:
            yield ("+" if installed_fact is None else "-"), path
        elif image_fact.kind != installed_fact.kind:
            yield "kind", path
        elif image_fact.kind == "symlink":
            if image_fact.link != installed_fact.link:
                yield "link", path
        else:
            if (image_fact.mode, image_fact.owner, image_fact.capability) != (
                installed_fact.mode,
                installed_fact.owner,
                installed_fact.capability,
            ):
                yield "owner", path
            if image_fact.content != installed_fact.content:
                yield "content", path


def _installed_facts(archive: tarfile.TarFile) -> Iterator[tuple[str, Fact]]:
    users = _names(_read(archive, "./etc/passwd"))
    groups = _names(_read(archive, "./etc/group"))
    for member in archive:
        path = member.name.removeprefix("./").rstrip("/")
        if path in ("", "."):
            continue
        owner = users.get(member.uid, str(member.uid)), groups.get(member.gid, str(member.gid))
        if member.issym():
            yield path, Fact("symlink", 0, owner, link=member.linkname)
        elif member.isdir():
            yield path, Fact("dir", member.mode, owner)
        elif member.isfile() or member.islnk():
            file = archive.extractfile(member)
            assert file is not None
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type] # IO[bytes] has readinto()
            capability = member.pax_headers.get("SCHILY.xattr.security.capability", "")
            attribute = capability.encode("utf-8", "surrogateescape")
            yield path, Fact("file", member.mode, owner, content=digest, capability=attribute)
        else:
            yield path, Fact("special", member.mode, owner)


def _image_facts(tree: Tree) -> Iterator[tuple[str, Fact]]:
    users, groups = _names(tree.read("etc/passwd")), _names(tree.read("etc/group"))
    for path, node in tree.nodes.items():
        entry = node.entry if node.entry.kind != "hardlink" else tree.nodes[node.entry.link].entry
        owner = users.get(entry.uid, str(entry.uid)), groups.get(entry.gid, str(entry.gid))
        if not path:
            continue
        if entry.kind == "symlink":
            yield path, Fact("symlink", 0, owner, link=entry.link)
        elif entry.kind == "dir":
            yield path, Fact("dir", entry.mode, owner)
        else:
            digest = hashlib.sha256(tree.read(path)).hexdigest()
            capability = entry.xattrs.get("security.capability", b"")
            yield path, Fact("file", entry.mode, owner, content=digest, capability=capability)


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None, name
    return file.read()


def _names(text: bytes) -> dict[int, str]:
    rows = [line.split(":") for line in text.decode().splitlines()]
    return {int(row[2]): row[0] for row in rows}


def _users(files: dict[str, str]) -> set[tuple[str, str, str, str, str]]:
    groups = _names(files["group"].encode())
    rows = (line.split(":") for line in files["passwd"].splitlines())
    return {(row[0], groups[int(row[3])], row[4].rstrip(","), row[5], row[6]) for row in rows}


def _members(files: dict[str, str]) -> set[tuple[str, frozenset[str]]]:
    """Return the members of each group, except users whose primary group it is."""
    rows = [line.split(":") for line in files["group"].splitlines()]
    primary_groups = {(line.split(":")[0], line.split(":")[3]) for line in files["passwd"].splitlines()}
    return {
        (
            row[0],
            frozenset(name for name in row[3].split(",") if name and (name, row[2]) not in primary_groups),
        )
        for row in rows
    }


def _describe(tree: Tree, path: str) -> object:
    node = tree.get(path)
    return node.entry if node else None
