from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import msgspec

from pumice.packing.effects.diversions import diversions_by_path
from pumice.packing.effects.dpkg_database import write_dpkg_database
from tests.support.peers import need
from tests.support.texttree import effect_input, format_entries, package, tree

if TYPE_CHECKING:
    from pathlib import Path

A = package("a", triggers="interest-noawait /usr/lib/x\ninterest a-trigger\nactivate ldconfig\n")
B = msgspec.structs.replace(package("b"), installed=False)


def test_the_database_of_installed_packages() -> None:
    result = write_dpkg_database(effect_input(tree({"usr/": ""}, [B, A])))
    assert format_entries(result.generated, with_content=True).split("0755 0:0 var/lib/dpkg/updates/")[0] == (
        "0755 0:0 var/\n0755 0:0 var/lib/\n0755 0:0 var/lib/dpkg/\n0755 0:0 var/lib/dpkg/alternatives/\n"
        "0644 0:0 var/lib/dpkg/arch 'amd64\\n'\n0644 0:0 var/lib/dpkg/available ''\n"
        "0644 0:0 var/lib/dpkg/diversions ''\n0755 0:0 var/lib/dpkg/info/\n"
        "0644 0:0 var/lib/dpkg/info/format '1\\n'\n0755 0:0 var/lib/dpkg/parts/\n"
        "0644 0:0 var/lib/dpkg/statoverride ''\n"
        "0644 0:0 var/lib/dpkg/status 'Package: a\\nStatus: install ok installed\\nArchitecture: amd64\\n"
        "Version: 1\\nDescription: a\\n\\n'\n0755 0:0 var/lib/dpkg/triggers/\n"
        "0644 0:0 var/lib/dpkg/triggers/File '/usr/lib/x a/noawait\\n'\n"
        "0644 0:0 var/lib/dpkg/triggers/Unincorp ''\n0644 0:0 var/lib/dpkg/triggers/a-trigger 'a\\n'\n"
    )


def test_only_diversions_of_installed_packages_are_recorded() -> None:
    assert diversions_by_path(["dash"])["usr/bin/sh"] == ("dash", "usr/bin/sh.distrib")
    assert diversions_by_path(["bash"]) == {}
    entries = {
        item.entry.path: item
        for item in write_dpkg_database(effect_input(tree({}, [package("dash")]))).generated
    }
    assert entries["var/lib/dpkg/diversions"].content.startswith(b"/bin/sh\n/bin/sh.distrib\ndash\n")


def test_dpkg_accepts_the_database(tmp_path: Path) -> None:
    program = need("dpkg")
    conffile = msgspec.structs.replace(A, conffiles={"/etc/a": "0" * 32})
    fields = {**conffile.fields, "Maintainer": "M <m@example.com>", "Description": "a\n long"}
    packages = [msgspec.structs.replace(conffile, fields=fields)]
    for item in write_dpkg_database(effect_input(tree({}, packages))).generated:
        path = tmp_path / item.entry.path
        if item.entry.kind == "dir":
            path.mkdir()
        else:
            path.write_bytes(item.content)
    admin = tmp_path / "var/lib/dpkg"
    (admin / "info/a.list").write_text("/.\n")
    (admin / "info/a.md5sums").write_text("")
    for command in (["--audit"], ["-l", "a"], ["-s", "a"]):
        process = subprocess.run(
            [program, f"--admindir={admin}", f"--root={tmp_path}", f"--admindir={admin}", *command],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (process.returncode, process.stderr) == (0, ""), command
        if command == ["--audit"]:
            assert process.stdout == ""
