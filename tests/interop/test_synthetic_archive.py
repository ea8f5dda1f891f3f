"""dpkg and apt accept the synthetic archives of the other tests."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support import archive
from tests.support.archive import Deb, Suite, hardlink, symlink, text
from tests.support.deb import Compression
from tests.support.peers import need

if TYPE_CHECKING:
    from pathlib import Path

HELLO = Deb(
    "hello",
    "1:2.0-1",
    fields={"Depends": "data", "Description": "greets\n at length"},
    files=[
        text("usr/bin/hello", "#!/bin/sh\necho hello\n", 0o755),
        symlink("usr/bin/hi", "hello"),
        hardlink("usr/bin/hey", "usr/bin/hello"),
        text("etc/hello.conf", "x\n"),
        text(f"usr/share/{'long' * 40}/file", "x\n"),
    ],
    control_files={"postinst": "#!/bin/sh\ntrue\n"},
    conffiles=["/etc/hello.conf"],
)


@pytest.mark.parametrize("compression", ["none", "gz", "xz", "zst", "bz2", "lzma"])
def test_dpkg_unpacks_synthetic_packages(compression: Compression, tmp_path: Path) -> None:
    program = need("dpkg-deb")
    deb = replace(HELLO, compression=compression)
    assert deb.build() == deb.build()
    (tmp_path / deb.filename).write_bytes(deb.build())
    subprocess.run([program, "-R", tmp_path / deb.filename, tmp_path / "tree"], check=True)
    tree = tmp_path / "tree"
    assert (tree / "usr/bin/hello").stat().st_mode & 0o777 == 0o755
    assert (tree / "usr/bin/hello").samefile(tree / "usr/bin/hey")
    assert str((tree / "usr/bin/hi").readlink()) == "hello"
    assert (tree / "DEBIAN/conffiles").read_text() == "/etc/hello.conf\n"
    assert (tree / "DEBIAN/md5sums").read_text().endswith(f"  usr/share/{'long' * 40}/file\n")


def test_apt_accepts_the_signed_archive(tmp_path: Path) -> None:
    apt = need("apt-get")
    mirror = archive.publish(tmp_path / "mirror", Suite("bookworm", [HELLO, Deb("data", architecture="all")]))
    for folder in ("etc", "state/lists/partial", "cache/archives/partial"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/keys.asc").write_bytes(archive.keyring())
    (tmp_path / "etc/sources.list").write_text(
        f"deb [arch=amd64 signed-by={tmp_path}/etc/keys.asc] {mirror.as_uri()} bookworm main\n"
    )
    (tmp_path / "status").write_bytes(b"")
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc "{tmp_path}/etc"; Dir::State "{tmp_path}/state"; Dir::Cache "{tmp_path}/cache";'
        f'Dir::State::status "{tmp_path}/status"; APT::Architecture "amd64";'
        'APT::Architectures { "amd64"; };'
        'APT::Sandbox::User ""; Acquire::Languages "none"; Dir::Etc::parts "/dev/null";'
    )
    environ = {**os.environ, "APT_CONFIG": str(tmp_path / "apt.conf"), "LC_ALL": "C.UTF-8"}

    def run(*arguments: str) -> str:
        process = subprocess.run([apt, *arguments], env=environ, capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout + process.stderr

    assert "W:" not in run("update", "--error-on=any")
    assert "Inst hello (1:2.0-1" in run("install", "-s", "hello")
