"""``scripts: sandbox``: the scripts of packages run on the image, and what they write is part of it."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support import images, real
from tests.support.deb import Deb, Item, symlink, text
from tests.support.world import PACKAGES, World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.world import PumiceRun

_APPLETS = (
    *("cat", "chmod", "chown", "cp", "date", "echo", "env", "grep", "head", "hostname", "id", "install"),
    *("ln", "mkdir", "mv", "rm", "sed", "sh", "stat", "touch", "test"),
)


def _tools() -> Deb:
    busybox = images.shell()["bin/busybox"]
    assert isinstance(busybox, bytes)
    return Deb(
        "tools",
        architecture="all",
        files=[
            Item("usr/bin/busybox", busybox, mode=0o755),
            *(symlink(f"usr/bin/{applet}", "busybox") for applet in _APPLETS),
            text("usr/bin/dpkg-trigger", "#!/bin/sh\nexit 1\n", mode=0o755),
            text("usr/share/tools/list", "one\n"),
        ],
    )


def _package(name: str, postinst: str, *, preinst: str = "", **fields: str) -> Deb:
    control = {"postinst": f"#!/bin/sh\nset -e\n{postinst}\n"}
    if preinst:
        control["preinst"] = f"#!/bin/sh\nset -e\n{preinst}\n"
    depends = fields.pop("depends", "tools")
    triggers = fields.pop("triggers", "")
    if triggers:
        control["triggers"] = triggers
    return Deb(name, architecture="all", fields={"Depends": depends, **fields}, control_files=control)


def _build(
    tmp_path: Path, *packages: Deb, extra: str = "", options: tuple[str, ...] = ()
) -> tuple[World, PumiceRun]:
    world = World(tmp_path, [*PACKAGES, _tools(), *packages])
    names = ", ".join(package.name for package in packages)
    world.write("scripts: sandbox\n", packages=f"[{names}]")
    return world, world.run("build", "recipe.yaml", "-o", "tar:root.tar", *options)


def _read(world: World, path: str) -> str:
    with tarfile.open(world.project / "root.tar") as archive:
        file = archive.extractfile(path)
        assert file
        return file.read().decode()


def _members(world: World) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(world.project / "root.tar") as archive:
        return {member.name.removeprefix("./"): member for member in archive}


def test_scripts_run_in_the_order_of_dpkg_with_its_environment(tmp_path: Path) -> None:
    # In a shell of its own, because an effect would carry out the redirection as well.
    log = """sh -c 'echo "$DPKG_MAINTSCRIPT_PACKAGE $DPKG_MAINTSCRIPT_NAME $*" >> /etc/order' sh "$@\""""
    world, built = _build(
        tmp_path,
        _package("aaa", f"{log}; dpkg-trigger --no-await refresh", preinst=log, depends="tools, zzz"),
        _package("zzz", log, preinst=log, triggers="interest-noawait refresh\n"),
    )
    assert built.code == 0, built.stderr
    assert _read(world, "etc/order").splitlines() == [
        "zzz preinst install",
        "aaa preinst install",
        "zzz postinst configure ",
        "aaa postinst configure ",
        "zzz postinst triggered refresh",
    ]


def test_owners_modes_and_times_are_those_that_scripts_ask_for(tmp_path: Path) -> None:
    script = """
mkdir -p /var/lib/app/data; echo x > /var/lib/app/data/file; ln -sf file /var/lib/app/data/link
chown -R 33:34 /var/lib/app; chown 7:34 /var/lib/app/data/file; chown -h 9:9 /var/lib/app/data/link
chmod 2750 /var/lib/app/data; chown :42 /usr/share/tools/list
echo new > /etc/app.new; chown 5:5 /etc/app.new; mv /etc/app.new /etc/app
rm /usr/bin/touch; mkdir -p /var/log/app; sh -c "id > /var/log/app/log"
mkdir -p /var/cache/app; sh -c "id > /var/cache/app/x"; id -u > /etc/id
"""
    world, built = _build(tmp_path, _package("app", script))
    assert built.code == 0, built.stderr
    members = _members(world)
    owners = {name: (members[name].uid, members[name].gid) for name in members}
    assert owners["var/lib/app"] == owners["var/lib/app/data"] == (33, 34)
    assert owners["var/lib/app/data/file"] == (7, 34)
    assert owners["var/lib/app/data/link"] == (9, 9)
    assert owners["usr/share/tools/list"] == (0, 42)
    assert owners["etc/app"] == (5, 5)
    assert members["var/lib/app/data"].mode == 0o2750
    assert members["etc/app"].mtime == 0  # as that of files that effects write
    assert _read(world, "etc/id") == "0\n"
    absent = {"usr/bin/touch", "var/log/app/log", "var/cache/app/x", "usr/sbin/policy-rc.d"}
    assert sorted(absent & members.keys()) == []
    assert _read(world, "usr/bin/dpkg-trigger") == "#!/bin/sh\nexit 1\n"


def test_equal_builds_are_equal_and_are_not_marked(tmp_path: Path) -> None:
    package = _package("app", "env > /etc/seen; echo 1 > /etc/one")
    world, built = _build(tmp_path, package, options=("--report", "report.json"))
    # The surroundings differ between the two runs, and show in this file.
    assert built.code == 0
    assert "do not write the same twice: /etc/seen" in built.stderr
    package = _package("app", "echo 1 > /etc/one")
    world, built = _build(tmp_path / "other", package, options=("--report", "report.json"))
    assert built.code == 0
    assert "twice" not in built.stderr
    report = json.loads((world.project / "report.json").read_text())
    (platform,) = report["platforms"].values()
    assert platform["not_reproducible"] == []
    assert all(not row["scripts_not_run"] for row in platform["packages"])


def test_differences_are_listed_and_the_image_is_marked(tmp_path: Path) -> None:
    package = _package("app", "date +%s > /etc/time; hostname > /etc/name; echo 1 > /etc/one")
    world, built = _build(tmp_path, package, options=("--report", "report.json"))
    assert built.code == 0
    assert "the scripts of packages do not write the same twice: /etc/name, /etc/time" in built.stderr
    report = json.loads((world.project / "report.json").read_text())
    (platform,) = report["platforms"].values()
    assert platform["not_reproducible"] == ["/etc/name", "/etc/time"]
    built = world.run("build", "recipe.yaml", "-o", "oci:layout")
    index = json.loads((world.project / "layout/index.json").read_text())
    digest = index["manifests"][0]["digest"].removeprefix("sha256:")
    manifest = json.loads((world.project / "layout/blobs/sha256" / digest).read_text())
    assert manifest["annotations"]["dev.pumice.reproducible"] == "false"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("mkdir -p /etc/ssh; echo k > /etc/ssh/ssh_host_rsa_key", "an SSH host key"),
        ("mkdir -p /etc/ssl/private; echo k > /etc/ssl/private/ssl-cert-snakeoil.key", "a snakeoil key"),
        ("echo 0123456789abcdef0123456789abcdef > /etc/machine-id", "a machine id"),
        ("mkdir -p /srv; echo '-----BEGIN EC PRIVATE KEY-----' > /srv/x", "a private key"),
    ],
)
def test_generated_secrets_are_refused_by_name(tmp_path: Path, script: str, kind: str) -> None:
    _, built = _build(tmp_path, _package("app", script))
    assert built.code == 10, built.stderr
    assert f"generate {kind}, which all containers would share: /" in built.stderr


def test_a_script_has_no_network_and_its_failure_is_reported(tmp_path: Path) -> None:
    script = "grep -c : /proc/net/dev; echo not good >&2; exit 3"
    _, built = _build(tmp_path, _package("app", script))
    assert built.code == 10
    assert "error: app's postinst configure fails with exit code 3: not good" in built.stderr


def test_a_missing_shell_is_reported(tmp_path: Path) -> None:
    _, built = _build(tmp_path, Deb("lone", control_files={"postinst": "#!/bin/none\n"}))
    assert built.code == 10
    assert "cannot run lone's postinst configure: " in built.stderr
    assert "hint: add what it needs: 'base: essential'" in built.stderr


def _build_real(tmp_path: Path, packages: str) -> PumiceRun:
    recipe = f"""name: example.com/real
version: "1"
from: {{debian: bookworm}}
base: essential
packages: {packages}
scripts: sandbox
"""
    (tmp_path / "recipe.yaml").write_text(recipe)
    arguments = ("build", "recipe.yaml", "-o", "tar:root.tar", "--report", "report.json")
    return real.run(tmp_path / "store", *arguments, cwd=tmp_path)


def test_the_scripts_of_real_packages_write_the_same_twice(tmp_path: Path) -> None:
    built = _build_real(tmp_path, "[man-db, ca-certificates]")
    assert built.code == 0, built.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    (platform,) = report["platforms"].values()
    assert platform["not_reproducible"] == []
    with tarfile.open(tmp_path / "root.tar") as archive:
        names = {member.name.removeprefix("./") for member in archive}
    assert "etc/systemd/system/timers.target.wants/man-db.timer" in names


def test_the_host_keys_of_openssh_are_refused(tmp_path: Path) -> None:
    built = _build_real(tmp_path, "[openssh-server]")
    assert built.code == 10
    assert "generate an SSH host key, which all containers would share: /etc/ssh/ssh_host_" in built.stderr
