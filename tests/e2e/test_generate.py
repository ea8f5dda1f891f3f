"""``generate``: programs of the image write files at build, in the sandbox."""

from __future__ import annotations

import json
import os
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

import pumice
from pumice.errors import PumiceError
from pumice.formats import platforms
from tests.support import images
from tests.support.deb import EPOCH, Deb, Item, folder, symlink, text
from tests.support.world import PACKAGES, World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.world import PumiceRun

if platforms.to_debian(platforms.from_machine(os.uname().machine)) != "amd64":
    pytest.skip("the synthetic archive is for amd64", allow_module_level=True)

APPLETS = (
    "sh",
    "cat",
    "chmod",
    "cp",
    "date",
    "env",
    "hostname",
    "ln",
    "mkdir",
    "mkfifo",
    "mv",
    "rm",
    "touch",
)


def tools() -> Deb:
    """Return a package with busybox, and files for it to work on."""
    busybox = images.shell()["bin/busybox"]
    assert isinstance(busybox, bytes)
    return Deb(
        "tools",
        architecture="all",
        files=[
            Item("usr/bin/busybox", busybox, mode=0o755),
            *(symlink(f"usr/bin/{applet}", "busybox") for applet in APPLETS),
            folder("var/lib/tools"),
            folder("var/cache/tools"),
            text("usr/share/tools/source", "source\n"),
            text("usr/share/tools/index", "none\n"),
        ],
    )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, [*PACKAGES, tools()])


def generate(world: World, *commands: object, extra: str = "", options: tuple[str, ...] = ()) -> PumiceRun:
    """Build an image with ``commands`` into ``root.tar``."""
    world.write(f"generate: {json.dumps(commands)}\n{extra}", packages="[tools]")
    return world.run("build", "recipe.yaml", "-o", "tar:root.tar", *options)


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def members(world: World) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(world.project / "root.tar") as archive:
        return {member.name.removeprefix("./"): member for member in archive}


def content(world: World, path: str) -> str:
    with tarfile.open(world.project / "root.tar") as archive:
        file = archive.extractfile(path)
        assert file
        return file.read().decode()


def test_files_that_a_command_writes_are_in_the_image(world: World) -> None:
    script = """
set -e
mkdir /var/lib/tools/db; cat /usr/share/tools/source > /var/lib/tools/db/copy
echo 2 > /usr/share/tools/index; ln -s copy /var/lib/tools/db/link; ln /var/lib/tools/db/copy /etc/hard
chmod 640 /var/lib/tools/db/copy; cp -p /etc/os-release /etc/new; mv /etc/new /etc/os-release
echo x > /tmp/a; echo x > /run/a; mkdir -p /var/log/a; echo x > /var/log/a/b; echo x > /var/tmp/x
"""
    built = generate(world, shell(script), ["/bin/sh", "-c", "cat /var/lib/tools/db/link > /etc/second"])
    assert built.code == 0, built.stderr
    found = members(world)
    assert content(world, "var/lib/tools/db/copy") == content(world, "etc/second") == "source\n"
    assert content(world, "usr/share/tools/index") == "2\n"
    assert found["var/lib/tools/db/link"].linkname == "copy"
    copy, hard = found["var/lib/tools/db/copy"], found["etc/hard"]
    assert {copy.islnk(), hard.islnk()} == {True, False}
    assert copy.mode == hard.mode == 0o640
    assert (hard.mtime, hard.uid, hard.gid, hard.uname) == (EPOCH, 0, 0, "")
    assert found["var/lib/tools/db"].isdir()
    assert not {"tmp/a", "run/a", "proc", "dev", "var/log/a", "var/tmp/x"} & found.keys()


def test_surroundings_are_fixed(world: World) -> None:
    built = generate(
        world,
        shell("{ env; hostname; cat /proc/self/uid_map /proc/net/dev; } > /etc/seen; touch /etc/mask"),
        extra="environment: {LANG: de_DE.UTF-8, TZ: Asia/Tokyo, FLAVOR: vanilla}\n",
    )
    assert built.code == 0, built.stderr
    lines = content(world, "etc/seen").splitlines()
    assert {
        "TZ=UTC",
        "LC_ALL=C.UTF-8",
        "FLAVOR=vanilla",
        "HOME=/tmp",
        "PYTHONHASHSEED=0",
        f"SOURCE_DATE_EPOCH={EPOCH}",
        "pumice",
    } <= set(lines)
    assert not any("PUMICE" in line or "eth" in line for line in lines)
    assert any(line.split()[0::2] == ["0", "1"] for line in lines if line.startswith(" "))
    assert members(world)["etc/mask"].mode == 0o644


def test_commands_run_once_for_equal_images(world: World) -> None:
    """A random number stays the same, until something that the commands could read changes."""
    command = shell("cat /proc/sys/kernel/random/uuid > /etc/random")
    first = generate(world, command)
    assert first.code == 0, first.stderr
    uuid = content(world, "etc/random")
    for extra in ("", "description: another\n", "labels: {a: b}\n"):
        assert generate(world, command, extra=extra).code == 0
        assert content(world, "etc/random") == uuid
    assert generate(world, command, extra="files: [{text: x, to: /etc/x}]\n").code == 0
    assert content(world, "etc/random") != uuid


def test_all_layer_policies_give_the_same_files(world: World) -> None:
    listings = []
    for policy in ("auto", "packages", "single"):
        built = generate(world, shell("echo 2 > /usr/share/tools/index"), extra=f"layers: {policy}\n")
        assert built.code == 0, built.stderr
        listings.append({name: (found.size, found.mode, found.uid) for name, found in members(world).items()})
        assert content(world, "usr/share/tools/index") == "2\n"
    assert listings[0] == listings[1] == listings[2]


def test_paths_select_what_is_kept(world: World) -> None:
    script = "rm /usr/share/tools/source; echo 1 > /var/cache/tools/a; echo 2 > /etc/other; echo > /bin/made"
    command = {"command": shell(script), "paths": ["/var/cache/tools", "/bin/made"]}
    built = generate(world, command, options=("--report", "report.json"))
    assert built.code == 0, built.stderr
    found = members(world)
    assert {"usr/share/tools/source", "var/cache/tools/a", "usr/bin/made"} <= found.keys()
    assert "etc/other" not in found
    report = json.loads((world.project / "report.json").read_text())["platforms"]["amd64"]
    assert report["generated"] == ["/usr/bin/made", "/var/cache/tools/a"]
    assert report["generated_and_dropped"] == ["/etc/other"]


@pytest.mark.parametrize(
    ("command", "messages"),
    [
        (shell("echo first; echo no input >&2; exit 3"), ["failed with exit code 3: no input"]),
        (["/bin/none"], ["cannot run '/bin/none'", "not found in the image", "add the package"]),
        (shell("rm /usr/share/tools/source"), ["removes /usr/share/tools/source", "under 'paths'"]),
        (shell("mkfifo /etc/pipe"), ["leave /etc/pipe, which is not a file, link or directory"]),
        (
            {"command": shell("true"), "paths": ["/etc/x"]},
            ["does not create /etc/x", "correct 'paths'"],
        ),
        (
            shell("echo > /var/cache/tools/x"),
            ["writes only to directories whose content is dropped", "paths: [/var/cache/tools/x]"],
        ),
        (shell("echo > /etc/own"), ["change /etc/own, which is one of the recipe's files"]),
    ],
    ids=("failure", "missing", "removal", "pipe", "path", "cache", "own"),
)
def test_a_command_that_cannot_be_used_is_reported_with_its_location(
    world: World, command: object, messages: list[str]
) -> None:
    built = generate(world, command, extra="files: [{text: x, to: /etc/own}]\n")
    assert built.code == 10, built.stderr
    for message in messages:
        assert message in built.stderr
    if "which is" not in messages[0]:
        assert "error: recipe.yaml:10:12: " in built.stderr
    assert not list((world.root / "store" / "tmp").iterdir())


def test_links_and_modes_of_hostile_programs_lead_nowhere(world: World, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    script = f"""
ln -s {secret} /etc/stolen; ln -s / /etc/up; mkdir -p /etc/closed/in; echo x > /etc/closed/in/x
chmod 4755 /usr/bin/busybox; echo > /etc/set; chmod 6711 /etc/set
echo > /etc/unreadable; chmod 0 /etc/unreadable
chmod 000 /etc/closed/in /etc/closed
"""
    built = generate(world, shell(script))
    assert built.code == 0, built.stderr
    found = members(world)
    assert (found["etc/stolen"].linkname, found["etc/up"].linkname) == (str(secret), "/")
    assert (found["etc/set"].mode, found["etc/unreadable"].mode & 0o377) == (0o711, 0)
    assert found["usr/bin/busybox"].mode == 0o755
    assert content(world, "etc/closed/in/x") == "x\n"
    assert not any(name.startswith("etc/up/") for name in found)
    assert not list((world.root / "store" / "tmp").iterdir())


def test_generated_files_are_marked_in_provenance(world: World) -> None:
    world.write(f"generate: {json.dumps([shell('echo x > /etc/made')])}\n", packages="[tools]")
    world.build()
    world.build("-o", "oci:layout")
    statements = [
        json.loads(path.read_bytes())
        for path in (world.project / "layout/blobs/sha256").iterdir()
        if path.read_bytes()[:1] == b"{"
    ]
    (provenance,) = [item for item in statements if "slsa" in str(item.get("predicateType"))]
    definition = provenance["predicate"]["buildDefinition"]
    (file,) = definition["internalParameters"]["generatedFiles"]
    assert file["name"] == "/etc/made"
    assert definition["externalParameters"]["effectiveRecipe"]["generate"] == [
        {"command": shell("echo x > /etc/made")}
    ]
    reproduced = world.run("reproduce", "example.com/hello:1.0", "--offline")
    assert reproduced.code == 0, reproduced.stderr


def test_two_rounds_name_the_files_that_differ(world: World) -> None:
    assert generate(world, shell("echo same > /etc/a"), options=("--rounds", "2")).code == 0
    script = (
        "echo same > /etc/a; date +%s > /etc/time; ln -s $(hostname) /etc/name; case $(hostname) in pumice) "
        "chmod 600 /etc/a;; *) echo > /etc/second; cat /etc/a /etc/time > /etc/x; mv /etc/x /etc/time;; esac"
    )
    built = generate(world, shell(script), options=("--rounds", "2"))
    assert built.code == 1
    differences = (
        "/etc/a (mode 0600 or 0644), /etc/name (link to pumice or round-2), /etc/second (only in one round), "
        "/etc/time (11 or 16 bytes)\n"
    )
    assert f"do not write the same twice: {differences}" in built.stderr
    assert generate(world, shell(script)).code == 0
    assert generate(world, shell(script), options=("--rounds", "2")).code == 1  # the cache does not hide it
    assert "is not a number of rounds" in generate(world, shell("true"), options=("--rounds", "0")).stderr


def test_the_python_api_runs_rounds_too(world: World) -> None:
    script = "cat /proc/sys/kernel/random/uuid > /etc/random"
    world.write(f"generate: {json.dumps([shell(script)])}\n", packages="[tools]")
    options: dict[str, Any] = {
        "store": world.root / "store",
        "environ": os.environ,
    }
    recipe = world.project / "recipe.yaml"
    pumice.build(recipe, **options)
    with pytest.raises(PumiceError, match=r"twice: /etc/random \(content\)"):
        pumice.build(recipe, rounds=2, **options)
    with pytest.raises(PumiceError, match="0 is not a number of rounds"):
        pumice.build(recipe, rounds=0, **options)


def test_permissions_see_and_change_what_commands_write(world: World) -> None:
    """Commands see the changed permissions of packages' files, which stay after the commands."""
    script = "[ -x /usr/share/tools/source ] && echo 2 > /usr/share/tools/index; echo > /var/lib/tools/new"
    permissions = """permissions:
  - {path: /usr/share/tools/source, mode: "4755"}
  - {path: /usr/share/tools/index, mode: "0640", owner: "root:nonroot"}
  - {path: /var/lib/tools, mode: "0750", owner: nonroot}
"""
    built = generate(world, shell(script), extra=permissions)
    assert built.code == 0, built.stderr
    found = members(world)
    index, directory = found["usr/share/tools/index"], found["var/lib/tools"]
    assert content(world, "usr/share/tools/index") == "2\n"
    assert found["usr/share/tools/source"].mode == 0o4755
    assert (index.mode, index.uid, index.gid) == (0o640, 0, 65532)
    assert (directory.mode, directory.uid, directory.gid) == (0o750, 65532, 65532)
    assert found["var/lib/tools/new"].uid == 0
    assert "root nonroot 640 /usr/share/tools/index\n" in content(world, "var/lib/dpkg/statoverride")


def test_a_command_that_runs_too_long_is_reported_with_its_location(world: World) -> None:
    built = generate(world, {"command": shell("while :; do :; done"), "timeout": "1s"})
    assert built.code == 10
    assert "error: recipe.yaml:10:12: " in built.stderr
    assert "was stopped because it ran longer than 1 s" in built.stderr
    assert "timeout: 1h" in built.stderr
    assert not list((world.root / "store" / "tmp").iterdir())


def test_another_architecture_is_refused_before_anything_is_fetched(world: World) -> None:
    built = generate(world, shell("true"), options=("--platform", "linux/arm64"))
    assert built.code != 0
    assert "cannot run the commands of 'generate' for linux/arm64" in built.stderr
    assert "on linux/amd64: programs of the image must run" in built.stderr
    assert "cutting" not in built.stderr
    assert "remove 'generate'" in built.stderr
