"""What an image leaves out: packages that only package scripts use, and those that the recipe gives up."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.deb import Deb, text
from tests.support.world import BASE, World

if TYPE_CHECKING:
    from pathlib import Path

SERVER = Deb(
    "server",
    "2.0-1",
    fields={"Depends": "adduser, openssl, perl, ssl-cert"},
    files=[
        text("usr/sbin/server", "#!/bin/sh\nexec /usr/lib/server/main\n", 0o755),
        text("usr/share/server/top", "#!/usr/bin/perl\n", 0o755),
    ],
    control_files={"postinst": "#!/bin/sh\nadduser --system --group server\n"},
)
ADDUSER = Deb("adduser", "3.1", fields={"Depends": "passwd"}, files=[text("usr/sbin/adduser", "x", 0o755)])
PASSWD = Deb("passwd", "4", fields={"Depends": "libsemanage2"}, files=[text("usr/sbin/useradd", "x", 0o755)])
LIBRARY = Deb("libsemanage2", "3.4", files=[text("usr/lib/libsemanage.so.2", "x")])
OPENSSL = Deb(
    "openssl",
    "3.0",
    files=[text("usr/bin/openssl", "x" * 5000, 0o755), text("etc/ssl/openssl.cnf", "[default]\n")],
    conffiles=["/etc/ssl/openssl.cnf"],
)
PERL = Deb("perl", "5.36", fields={"Depends": "perl-base"}, files=[text("usr/share/perl/5.36/Env.pm", "1")])
PERL_BASE = Deb("perl-base", "5.36", files=[text("usr/bin/perl", "x", 0o755)])
SSL_CERT = Deb(
    "ssl-cert", "1.1", control_files={"postinst": "#!/bin/sh\naddgroup --system ssl-cert\n"}, files=[]
)
ARCHIVE = (*BASE, SERVER, ADDUSER, PASSWD, LIBRARY, OPENSSL, PERL, PERL_BASE, SSL_CERT)
TOOLS = {"adduser", "passwd", "libsemanage2", "openssl", "perl", "perl-base", "ssl-cert"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, ARCHIVE)
    world.write(packages="[server]")
    return world


def read_image(world: World, *options: str) -> dict[str, bytes]:
    """Return the regular files of the image, built now, by path."""
    world.build("-o", "tar:rootfs.tar", *options)
    with tarfile.open(fileobj=io.BytesIO((world.project / "rootfs.tar").read_bytes())) as archive:
        return {
            member.name.removeprefix("./"): content.read()
            for member in archive
            if (content := archive.extractfile(member)) is not None
        }


def installed(files: dict[str, bytes]) -> set[str]:
    lines = files["var/lib/dpkg/status"].decode().splitlines()
    return {line.partition(" ")[2] for line in lines if line.startswith("Package: ")}


def report(world: World) -> dict[str, Any]:
    world.build("--report", "report.json")
    platform: dict[str, Any] = json.loads((world.project / "report.json").read_bytes())["platforms"]["amd64"]
    return platform


def test_an_image_leaves_out_what_only_package_scripts_use(world: World) -> None:
    files = read_image(world)
    assert installed(files) == {"server"}
    assert "usr/sbin/useradd" not in files
    assert "usr/lib/libsemanage.so.2" not in files
    status = files["var/lib/dpkg/status"].decode()
    assert "Depends: adduser, openssl, perl, ssl-cert" in status, "the record of dpkg stays true"


def test_effects_of_omitted_packages_still_run(world: World) -> None:
    files = read_image(world)
    assert b"server:" in files["etc/passwd"]
    assert b"ssl-cert:" in files["etc/group"]


def test_files_that_others_read_stay(world: World) -> None:
    files = read_image(world)
    assert files["etc/ssl/openssl.cnf"] == b"[default]\n"
    assert "usr/bin/openssl" not in files


@pytest.mark.skipif(not shutil.which("dpkg"), reason="needs dpkg")
def test_dpkg_finds_no_fault_in_the_image(world: World, tmp_path: Path) -> None:
    world.build("-o", f"dir:{tmp_path / 'root'}")
    audit = subprocess.run(
        ["dpkg", "--root", tmp_path / "root", "--audit"], capture_output=True, text=True, check=True
    )
    assert audit.stdout == ""


def test_the_report_says_who_needs_what_is_left_out_and_why(world: World) -> None:
    omitted = {package["name"]: package for package in report(world)["omitted"]}
    assert omitted.keys() == TOOLS
    assert omitted["adduser"]["needed_by"] == ["server"]
    assert omitted["adduser"]["reason"].startswith("only package scripts use it: adds users")
    assert omitted["libsemanage2"]["reason"] == "only packages that are left out need it"
    assert omitted["perl-base"]["not_kept_for"] == ["/usr/share/server/top of server uses /usr/bin/perl"]


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        ("keep: all", TOOLS),
        ("keep: [passwd]", {"passwd", "libsemanage2"}),
        ("base: essential", TOOLS | {"base-files", "base-passwd"}),
        ("run: {command: [/usr/share/server/top]}", {"perl", "perl-base"}),
        ("run: {command: [openssl, version]}", {"openssl"}),
        ("run: {command: [/bin/sh, -c, 'openssl rand 1']}", {"openssl"}),
        ("files: [{to: /usr/bin/x, mode: '0755', text: \"#!/usr/bin/perl\\n\"}]", {"perl-base"}),
        ("files: [{to: /x, mode: '0755', text: \"#!/bin/sh\\nuseradd x\\n\"}]", {"passwd", "libsemanage2"}),
        ("files: [{to: /x.sh, text: \"[[ a ]] && useradd x\\n\"}]", {"passwd", "libsemanage2"}),
        ("files: [{to: /x.py, text: \"os.system('openssl rand 1')\\n\"}]", {"openssl"}),
        ("files: [{to: /node_modules/x/x.js, text: \"exec('openssl')\\n\"}]", set()),
        ("files: [{to: /etc/x.conf, text: \"run = /usr/bin/openssl rand\\n\"}]", {"openssl"}),
        ("files: [{to: /etc/cron.d/x, text: \"* * * * * root /usr/bin/openssl\\n\"}]", set()),
        ("environment: {SSL: /usr/bin/openssl}", {"openssl"}),
    ],
)  # fmt: skip
def test_a_use_keeps_a_package_with_its_dependencies(world: World, keys: str, kept: set[str]) -> None:
    world.write(keys + "\n", packages="[server]")
    assert installed(read_image(world)) == {"server"} | kept


def test_named_packages_stay(world: World) -> None:
    world.write(packages="[server, adduser]")
    assert installed(read_image(world)) == {"server", "adduser"}


def test_a_locked_build_gives_the_same_image_in_another_store(world: World) -> None:
    assert world.build() == world.build("--locked", store="other")


def test_a_lock_without_the_list_keeps_everything(world: World) -> None:
    world.build()
    path = world.project / "recipe.lock"
    lock = json.loads(path.read_bytes())
    assert lock["omittable"] == {"amd64": ["adduser", "openssl", "passwd", "perl", "perl-base", "ssl-cert"]}
    del lock["omittable"]
    path.write_text(json.dumps(lock))
    assert installed(read_image(world, "--locked")) == {"server"} | TOOLS


def locked_names(world: World, key: str) -> list[str]:
    lock = json.loads((world.project / "recipe.lock").read_bytes())
    names: list[str] = lock.get(key, {}).get("amd64", [])
    return names


def test_a_build_records_in_the_lock_what_it_left_out(world: World) -> None:
    world.run("lock", "recipe.yaml")
    assert locked_names(world, "omitted") == [], "only a build knows it"
    world.build()
    assert locked_names(world, "omitted") == sorted(TOOLS)
    written = (world.project / "recipe.lock").read_bytes()
    world.run("lock", "recipe.yaml", "--upgrade")
    world.build()
    assert (world.project / "recipe.lock").read_bytes() == written
    world.write("run: {command: [openssl, version]}\n", packages="[server]")
    note = "left out other packages than the lock records for amd64: -openssl; 'pumice build'"
    assert note in world.run("build", "--locked", "recipe.yaml").stderr
    assert (world.project / "recipe.lock").read_bytes() == written
    world.build()
    assert locked_names(world, "omitted") == sorted(TOOLS - {"openssl"})
    assert "left out other packages" not in world.run("build", "--locked", "recipe.yaml").stderr


def test_the_record_in_the_lock_decides_nothing(world: World) -> None:
    digest = world.build()
    path = world.project / "recipe.lock"
    lock = json.loads(path.read_bytes())
    lock["omitted"]["amd64"] = ["server", "unknown"]
    path.write_text(json.dumps(lock))
    assert world.build("--locked") == world.build() == digest
    assert locked_names(world, "omitted") == sorted(TOOLS)


def test_without_gives_up_a_program_that_files_use(world: World) -> None:
    world.write("run: {command: [/usr/sbin/server]}\n", packages="[server, tool]")
    tool = Deb(
        "tool", "1", fields={"Depends": "perl"}, files=[text("usr/bin/tool", "#!/usr/bin/perl\n", 0o755)]
    )
    world.publish([*ARCHIVE, tool])
    assert installed(read_image(world)) == {"server", "tool", "perl", "perl-base"}
    world.write("run: {command: [/usr/sbin/server]}\nwithout: [perl]\n", packages="[server, tool]")
    assert installed(read_image(world)) == {"server", "tool"}
    (package,) = (item for item in report(world)["omitted"] if item["name"] == "perl-base")
    assert package["reason"] == "the recipe gives it up"
    assert "/usr/bin/tool of tool uses /usr/bin/perl" in package["not_kept_for"]
    note = "note: without perl, perl-base, 2 files do not work: /usr/bin/tool, /usr/share/server/top"
    assert note in world.run("build", "recipe.yaml").stderr


def test_without_is_refused_where_the_command_needs_it(world: World) -> None:
    world.write("run: {command: [/usr/share/server/top]}\nwithout: [perl]\n", packages="[server]")
    result = world.run("build", "recipe.yaml")
    assert result.code != 0
    assert "cannot leave out perl-base: /usr/share/server/top of server uses /usr/bin/perl" in result.stderr


def test_without_names_that_match_nothing_are_reported(world: World) -> None:
    world.write("without: [perll]\n", packages="[server]")
    assert "'without': no package of the image is 'perll'" in world.run("lock", "recipe.yaml").stderr


def test_kept_names_that_match_nothing_are_reported(world: World) -> None:
    world.write("keep: [perll]\n", packages="[server]")
    assert "'keep': no package of the image is 'perll'" in world.run("lock", "recipe.yaml").stderr


def test_explain_says_who_would_bring_a_package_and_why_it_stays_out(world: World) -> None:
    before = world.run("explain", "recipe.yaml", "adduser").stdout
    assert "the next build leaves it out if nothing in the image uses it" in before
    world.build()
    lines = world.run("explain", "recipe.yaml", "adduser").stdout.splitlines()
    assert lines[0] == "adduser 3.1 is left out of the image"
    assert lines[2].strip() == "adduser: server needs adduser"
    assert "only package scripts use it" in lines[3]
    assert "keep: [adduser]" in lines[-1]
    world.write("run: {command: [/usr/bin/openssl]}\n", packages="[server]")
    world.build()
    assert (
        "the recipe's command uses /usr/bin/openssl" in world.run("explain", "recipe.yaml", "openssl").stdout
    )


def test_evidence_names_what_is_left_out(world: World) -> None:
    world.build()
    spdx = json.loads(world.run("sbom", "example.com/hello:1.0").stdout)
    assert "Left out, because nothing in the image uses them: adduser 3.1," in json.dumps(spdx)
    cyclonedx = json.loads(world.run("sbom", "--format", "cyclonedx", "example.com/hello:1.0").stdout)
    properties = {item["name"]: item["value"] for item in cyclonedx["metadata"]["component"]["properties"]}
    assert "perl-base 5.36" in properties["pumice:omitted"]


READS = """
import json, sys
import pumice.omission.uses as uses
from pumice.cli.main import main

read = []
original = uses.read_package_uses
def record(segment, blobs):
    read.append(segment.facts.name)
    return original(segment, blobs)
uses.read_package_uses = record
code = main(sys.argv[2:])
open(sys.argv[1], "w").write(json.dumps(sorted(read)))
sys.exit(code)
"""


def read_packages(world: World) -> list[str]:
    """Build, and return the packages whose contents were read for what their files use."""
    subprocess.run(
        [sys.executable, "-c", READS, "reads.json", "build", "recipe.yaml"],
        cwd=world.project,
        env={**os.environ, "PUMICE_HOME": str(world.root / "store")},
        check=True,
    )
    names: list[str] = json.loads((world.project / "reads.json").read_bytes())
    return names


def test_the_contents_of_a_package_are_read_once_for_all_builds(world: World) -> None:
    assert read_packages(world) == ["server"], "packages that are left out are not read"
    assert read_packages(world) == []
    world.write("run: {command: [/usr/bin/openssl]}\n", packages="[server]")
    assert read_packages(world) == ["openssl"], "another recipe needs another decision, by the same facts"
    world.write("environment: {A: b}\n", packages="[server, openssl]")
    assert read_packages(world) == []


def test_a_build_with_nothing_to_do_loads_no_decision(world: World) -> None:
    world.build()
    program = (
        "import sys\nfrom pumice.cli.main import main\ncode = main(sys.argv[1:])\n"
        "assert 'pumice.omission.uses' not in sys.modules\n"
        "assert 'pumice.omission.decision' not in sys.modules\n"
        "sys.exit(code)"
    )
    subprocess.run(
        [sys.executable, "-c", program, "build", "recipe.yaml"],
        cwd=world.project,
        env={**os.environ, "PUMICE_HOME": str(world.root / "store")},
        check=True,
    )


def test_files_that_the_recipe_excludes_keep_nothing(world: World) -> None:
    helper = Deb(
        "helper", fields={"Depends": "perl-base"}, files=[text("usr/bin/helper", "#!/usr/bin/perl\n", 0o755)]
    )
    world.publish((*ARCHIVE, helper))
    world.write(packages="[server, helper]")
    assert "perl-base" in installed(read_image(world))
    world.write("exclude: [/usr/bin/helper]\n", "[server, helper]")
    assert "perl-base" not in installed(read_image(world))
    world.write("exclude: [openssl.cnf]\n", "[server, helper]")
    files = read_image(world)
    assert "perl-base" in installed(files)
    assert "etc/ssl/openssl.cnf" not in files


def test_a_pattern_that_matches_only_omitted_packages_is_a_finding(world: World) -> None:
    world.write("exclude: [/usr/sbin/useradd]\n", "[server]")
    ran = world.run("build", "recipe.yaml")
    assert "the pattern '/usr/sbin/useradd' matches no file [exclude]" in ran.stderr
    assert report(world)["excluded"] == []
