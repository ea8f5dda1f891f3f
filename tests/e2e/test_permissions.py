"""``permissions``: other modes and owners for files of packages."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support.deb import Deb, folder, hardlink, symlink, text
from tests.support.world import BASE, World

if TYPE_CHECKING:
    from pathlib import Path

TOOL = Deb(
    "tool",
    "1.0-1",
    files=[
        text("usr/bin/ping", "a", 0o4755),
        text("usr/bin/zping", "b", 0o755),
        hardlink("usr/bin/zping6", "usr/bin/zping"),
        symlink("usr/bin/link", "ping"),
        folder("var/lib/tool"),
        text("var/lib/tool/.hidden", "c"),
        text("var/lib/tool/a/b.conf", "d"),
        text("var/lib/tool/c.conf", "e"),
    ],
)
OTHER = Deb("other", "1.0", files=[text("usr/bin/other", "f", 0o755)])
RULES = """permissions:
  - {path: /bin/ping, mode: "0755"}
  - {path: "/usr/bin/zpin?", mode: "2755", owner: "root:shadow"}
  - {path: /var/lib/tool, owner: nonroot}
  - {path: "/var/lib/tool/**", owner: "1234:7", mode: "0640"}
  - {path: "/var/lib/tool/*.conf", mode: "0600"}
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, [*BASE, TOOL, OTHER])


def members(world: World, *options: str) -> dict[str, tuple[str, int, int]]:
    """Return mode, uid and gid by path of the image, built now."""
    world.build("-o", "tar:rootfs.tar", *options)
    with tarfile.open(world.project / "rootfs.tar") as archive:
        return {
            member.name.removeprefix("./"): (f"{member.mode:04o}", member.uid, member.gid)
            for member in archive
        }


def read_text(world: World, path: str) -> str:
    with tarfile.open(fileobj=io.BytesIO((world.project / "rootfs.tar").read_bytes())) as archive:
        name = next(name for name in archive.getnames() if name.removeprefix("./") == path)
        content = archive.extractfile(name)
        assert content
        return content.read().decode()


@pytest.mark.parametrize("layers", ["auto", "packages", "single"])
def test_files_of_packages_get_other_modes_and_owners(world: World, layers: str) -> None:
    world.write(f"{RULES}layers: {layers}\n", "[tool, other]")
    files = members(world)
    assert files["usr/bin/ping"] == ("0755", 0, 0)
    assert files["usr/bin/zping"] == files["usr/bin/zping6"] == ("2755", 0, 42)
    assert files["var/lib/tool"] == ("0755", 65532, 65532)
    assert files["var/lib/tool/.hidden"] == ("0644", 0, 0)
    assert files["var/lib/tool/a"] == ("0750", 1234, 7)
    assert files["var/lib/tool/a/b.conf"] == ("0640", 1234, 7)
    assert files["var/lib/tool/c.conf"] == ("0600", 1234, 7)
    assert files["usr/bin/other"] == ("0755", 0, 0)
    assert read_text(world, "usr/bin/zping") == "b"
    assert read_text(world, "var/lib/dpkg/statoverride") == (
        "root root 755 /usr/bin/ping\n"
        "root shadow 2755 /usr/bin/zping\n"
        "root shadow 2755 /usr/bin/zping6\n"
        "nonroot nonroot 755 /var/lib/tool\n"
        "#1234 #7 750 /var/lib/tool/a\n"
        "#1234 #7 640 /var/lib/tool/a/b.conf\n"
        "#1234 #7 600 /var/lib/tool/c.conf\n"
    )


def test_the_files_still_belong_to_their_package(world: World) -> None:
    world.write(RULES, "[tool, other]")
    world.build()
    listed = json.loads(world.run("files", "example.com/hello:1.0", "--json").stdout)
    owners = {item["path"]: item.get("package") or item.get("owner") for item in listed}
    assert owners["/usr/bin/ping"] == "tool"


def test_only_the_layer_of_the_package_changes(world: World) -> None:
    world.write("layers: packages\n", "[tool, other]")
    world.build("-o", "oci:before")
    world.write('layers: packages\npermissions: [{path: /usr/bin/ping, mode: "0755"}]\n', "[tool, other]")
    world.build("-o", "oci:after", "--locked")
    before, after = (
        {layer["digest"] for layer in world.blobs(world.project / name)["layers"]}
        for name in ("before", "after")
    )
    assert len(before) == len(after)
    assert len(after - before) == 2  # the package and the state, which has dpkg's overrides


def test_a_rule_for_another_place_in_the_file_builds_nothing_again(world: World) -> None:
    world.write('permissions: [{path: /usr/bin/ping, mode: "0755"}]\n', "[tool]")
    digest = world.build()
    world.write('# a comment\npermissions: [{path: /usr/bin/ping, mode: "0755"}]\n', "[tool]")
    assert world.build("--locked") == digest


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ('{path: /usr/bin/none, mode: "0755"}', "11:5: /usr/bin/none matches no file of a package"),
        ('{path: "/opt/**", mode: "0755"}', "11:5: /opt/** matches no file of a package"),
        ('{path: /usr/bin/link, mode: "0755"}', "it is a link to ping: name its target"),
        (
            '{path: /own, mode: "0755"}',
            "it is one of your own files: set its 'mode' and 'owner' under 'files'",
        ),
        ("{path: /usr/bin/ping, owner: nobody2}", "11:5: the image has no user 'nobody2'"),
        ("{path: /usr/bin/ping}", "11:5: the item has neither 'mode' nor 'owner'"),
    ],
)
def test_a_rule_that_changes_nothing_is_an_error_with_a_location(
    world: World, rule: str, sentence: str
) -> None:
    world.write(f"permissions:\n  - {rule}\nfiles: [{{text: x, to: /own}}]\n", "[tool]")
    outcome = world.run("build", "recipe.yaml")
    assert outcome.code != 0
    assert sentence in outcome.stderr


def test_a_set_id_bit_of_the_recipe_is_named_by_the_check(world: World) -> None:
    world.write('permissions: [{path: /usr/bin/other, mode: "4755"}]\n', "[tool, other]")
    outcome = world.run("build", "recipe.yaml")
    assert "/usr/bin/other runs with the rights of its owner (mode 4755)" in outcome.stderr
    assert "under 'permissions'" in outcome.stderr
    assert "/usr/bin/ping" not in outcome.stderr


def test_a_lock_of_format_1_has_no_permissions(world: World) -> None:
    world.write("", "[tool]")
    world.build()
    lock = world.project / "recipe.lock"
    lock.write_text(lock.read_text().replace('"format": 2', '"format": 1'))
    world.write('permissions: [{path: /usr/bin/ping, mode: "0755"}]\n', "[tool]")
    outcome = world.run("build", "recipe.yaml")
    assert "'permissions' needs a lock of format 2, and this one has format 1" in outcome.stderr
    assert "pumice lock --upgrade recipe.yaml" in outcome.stderr
