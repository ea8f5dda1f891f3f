"""The command ``pumice build`` on a small synthetic distribution."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.deb import Deb, Item, text
from tests.support.docs import ROOT
from tests.support.world import BASE, HELLO, LIBHELLO, PACKAGES, World, blob

GOLDEN = "sha256:cabc34cdfadf622e700bf0a61150f53199279692dd476d919a9f9779f51ca607"
"""Of what the committed lock names: it may only change together with the format number."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_digest_matches_the_recorded_one(tmp_path: Path) -> None:
    # Without compression, the digests of the packages and of the lock are equal on every machine.
    world = World(tmp_path, [Deb(**{**package.__dict__, "compression": "none"}) for package in PACKAGES])
    shutil.copy(ROOT / "tests/golden/lock/build-test.lock", world.project / "recipe.lock")
    assert world.build("--locked") == GOLDEN


@pytest.mark.parametrize(
    ("environment", "umask"),
    [
        ({"TZ": "Pacific/Kiritimati", "LANG": "tr_TR.UTF-8", "LC_ALL": "C"}, 0o077),
        ({"PYTHONHASHSEED": "1", "TZ": "America/New_York"}, 0o000),
        ({"PYTHONHASHSEED": "4294967295", "USER": "somebody", "HOME": "/nonexistent"}, 0o027),
    ],
)
def test_the_environment_of_a_build_does_not_change_the_image(
    world: World, tmp_path: Path, environment: dict[str, str], umask: int
) -> None:
    files = "files:\n  - {from: app, to: /app}\n  - {text: 'x', to: /etc/x, mode: '0600'}\n"
    world.write(files, "[hello, libhello]")
    (world.project / "app").mkdir()
    for name in ("b", "a", "c.sh"):
        (world.project / "app" / name).write_text(name)
    (world.project / "app" / "c.sh").chmod(0o755)
    first = world.build("-o", "oci:one")
    other_folder = tmp_path / "some" / "where else"
    shutil.copytree(world.project, other_folder)
    (other_folder / "recipe.lock").unlink()
    recipe = other_folder / "recipe.yaml"
    how: dict[str, Any] = {"environment": environment, "umask": umask, "cwd": other_folder, "store": "empty"}
    second_build = world.run("build", str(recipe), "-o", "oci:two", **how)
    assert second_build.stdout == first, second_build.stderr
    assert _files(world.project / "one") == _files(other_folder / "two")  # evidence included
    recipe.write_text(recipe.read_text().replace("[hello, libhello]", "[libhello, hello]"))
    assert world.run("build", str(recipe), **how).stdout == first  # with another provenance


def _files(layout: Path) -> dict[str, bytes]:
    return {str(path.relative_to(layout)): path.read_bytes() for path in layout.rglob("*") if path.is_file()}


def test_the_number_of_processors_does_not_change_the_image(world: World) -> None:
    first = world.build()
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("processors cannot be chosen here")
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(everywhere)})
    try:
        assert world.build(store="empty") == first
    finally:
        os.sched_setaffinity(0, everywhere)


def test_a_changed_file_with_equal_size_and_time_is_detected(world: World) -> None:
    world.write("files:\n  - {from: app.txt, to: /app.txt}\n")
    source = world.project / "app.txt"
    source.write_text("one")
    os.utime(source, (1, 1))
    first = world.build()
    source.write_text("two")
    os.utime(source, (1, 1))
    assert world.build() != first


def test_locking_the_same_packages_again_gives_the_same_image(world: World) -> None:
    first = world.build()
    lock = world.project / "recipe.lock"
    before = lock.read_bytes()
    lock.unlink()
    world.publish(PACKAGES, date=1_800_000_000)
    assert world.build() == first
    assert lock.read_bytes() != before  # a newly signed index of the same packages


def test_a_second_build_fetches_and_cuts_nothing(world: World) -> None:
    first = world.build()
    shutil.rmtree(world.mirror)
    assert world.build("--locked", "--offline") == first


def test_the_image_matches_the_recipe(world: World) -> None:
    world.write(
        "description: Says hello\n"
        "labels: {team: rock}\n"
        "environment: {GREETING: hi}\n"
        "users: [{name: app, uid: 1234}]\n"
        "files: [{text: x, to: /srv/x, owner: app}]\n"
        "run:\n  user: app\n  command: [/bin/hello]\n  arguments: [--loud]\n  directory: /srv\n"
        "  ports: {http: 8080, dns: 53/udp}\n  volumes: {data: /data}\n  stop_signal: SIGINT\n"
    )
    world.build("-o", "oci:image:v1")
    image = world.project / "image"
    manifest = world.blobs(image)
    config = manifest["_config"]
    assert config["config"] == {
        "Cmd": ["--loud"],
        "Entrypoint": ["/bin/hello"],
        "Env": [
            "GREETING=hi",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ],
        "ExposedPorts": {"53/udp": {}, "8080/tcp": {}},
        "Labels": {"team": "rock"},
        "StopSignal": "SIGINT",
        "User": "1234",
        "Volumes": {"/data": {}},
        "WorkingDir": "/srv",
    }
    assert (config["architecture"], config["os"], config["created"]) == (
        *("amd64", "linux"),
        "2023-11-14T22:13:20Z",
    )
    assert len(config["history"]) == len(config["rootfs"]["diff_ids"]) == len(manifest["layers"])
    assert manifest["annotations"]["org.opencontainers.image.description"] == "Says hello"
    index = json.loads((image / "index.json").read_bytes())
    (descriptor,) = index["manifests"]
    assert descriptor["annotations"].pop("dev.pumice.referrers").startswith("sha256:")
    assert descriptor["annotations"] == {
        "io.containerd.image.name": "example.com/hello:v1",
        "org.opencontainers.image.ref.name": "v1",
    }


def _root(world: World, *arguments: str) -> dict[str, tarfile.TarInfo]:
    world.build("-o", "tar:root.tar", *arguments)
    with tarfile.open(world.project / "root.tar") as archive:
        return {member.name.removeprefix("./"): member for member in archive}


def test_the_tree_is_merged_usr_with_a_correct_dpkg_database(world: World) -> None:
    root = _root(world)
    assert root["bin"].linkname == "usr/bin"
    assert root["usr/bin/hello"].mode == 0o755
    assert "usr/share/doc/hello/copyright" in root
    assert "usr/share/doc/hello/README" not in root
    assert root["tmp"].mode == 0o1777
    with tarfile.open(world.project / "root.tar") as archive:
        status = archive.extractfile(root["var/lib/dpkg/status"].name)
        assert status
        package_lines = [line for line in status.read().decode().splitlines() if line.startswith("Package: ")]
    assert package_lines == ["Package: hello", "Package: libhello"]


def test_recipe_files_replace_package_files_and_follow_links(world: World) -> None:
    world.write(
        "files:\n  - {text: 'mine', to: /etc/hello.conf}\n  - {text: 'tool', to: /bin/tool, mode: '0755'}\n"
    )
    root = _root(world)
    assert root["etc/hello.conf"].size == 4
    assert "usr/bin/tool" in root
    assert root["bin"].issym()


@pytest.mark.parametrize("policy", ["auto", "packages", "single"])
def test_every_layer_policy_gives_the_same_tree(world: World, policy: str) -> None:
    world.write(f"layers: {policy}\n")
    root = _root(world)
    facts = {
        path: (member.mode, member.uid, member.gid, member.size, member.linkname, member.type)
        for path, member in root.items()
    }
    world.write()
    expected = _root(world, "--digest-file", "digest")
    assert facts == {
        path: (member.mode, member.uid, member.gid, member.size, member.linkname, member.type)
        for path, member in expected.items()
    }


def test_layers_have_no_duplicate_paths_and_parents_first(world: World) -> None:
    world.build("-o", "oci:image")
    image = world.project / "image"
    manifest = world.blobs(image)
    diff_ids = manifest["_config"]["rootfs"]["diff_ids"]
    assert len(set(diff_ids)) == len(diff_ids)
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(blob(image, layer["digest"]))) as archive:
            paths = [member.name.removeprefix("./") for member in archive]
        assert paths[0] in (".", "")
        assert len(paths) == len(set(paths))
        parents = {""}
        for path in paths[1:]:
            assert path.rpartition("/")[0] in parents
            parents.add(path)


def test_several_architectures_give_an_index(world: World) -> None:
    arm = Deb(**{**LIBHELLO.__dict__, "architecture": "arm64", "files": [text("usr/lib/hello/data", "arm")]})
    arm64_packages = [
        Deb(**{**package.__dict__, "architecture": "arm64"})
        for package in PACKAGES
        if package is not LIBHELLO
    ]
    world.publish([*PACKAGES, arm, *arm64_packages])
    world.build("--arch", "amd64", "--platform", "linux/arm64", "-o", "oci:image")
    index = world.blobs(world.project / "image")
    assert [descriptor["platform"] for descriptor in index["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
    ]
    lock = json.loads((world.project / "recipe.lock").read_bytes())
    assert sorted(lock["packages"]) == ["amd64", "arm64"]


def test_source_date_epoch_is_the_creation_time_of_the_image(world: World) -> None:
    world.build("-o", "oci:image", environment={"SOURCE_DATE_EPOCH": "86400"})
    assert world.blobs(world.project / "image")["_config"]["created"] == "1970-01-02T00:00:00Z"


def test_standard_output_is_the_digest_or_the_image(world: World) -> None:
    digest = world.build("--digest-file", "digest", "--report", "report.json")
    assert digest == (world.project / "digest").read_text().strip()
    report = json.loads((world.project / "report.json").read_bytes())
    assert report["digest"] == digest
    assert [package["name"] for package in report["platforms"]["amd64"]["packages"]] == [
        *("base-files", "base-passwd"),
        *("hello", "libhello"),
    ]
    pumice_run = world.run("build", "recipe.yaml", "-o", "oci-archive:-")
    assert digest in pumice_run.stderr
    with tarfile.open(fileobj=io.BytesIO(pumice_run.stdout_bytes)) as archive:
        assert "index.json" in archive.getnames()


def test_every_key_of_the_report_is_documented(world: World) -> None:
    world.build("--report", "report.json")
    report = json.loads((world.project / "report.json").read_bytes())
    page = (ROOT / "docs" / "reference" / "build.md").read_text()
    section = page.partition("## The report")[2]
    keys = {*report, *report["platforms"]["amd64"]}
    assert {key for key in keys if f"`{key}`" not in section and f"`….{key}`" not in section} == set()


def test_skipped_script_actions_are_reported(world: World) -> None:
    script = "#!/bin/sh\ndeb-systemd-helper enable x.service\nvendor-setup --init\n"
    scripted = Deb("scripted", control_files={"postinst": script})
    world.publish([*PACKAGES, scripted])
    world.write(packages="[scripted]")
    for _ in range(2):  # also when the image is made already
        outcome = world.run("build", "recipe.yaml", "--report", "report.json")
        assert "skipped actions of 1 package: vendor-setup (1); see report.json" in outcome.stderr
    report = json.loads((world.project / "report.json").read_bytes())
    (package,) = [p for p in report["platforms"]["amd64"]["packages"] if p["name"] == "scripted"]
    assert package["scripts_not_run"] == ["services", "vendor-setup"]


def test_an_update_changes_only_the_layers_of_the_package_and_the_state(world: World) -> None:
    big = [
        Deb(f"big{number}", files=[Item(f"usr/lib/big{number}", os.urandom(400_000))]) for number in range(3)
    ]
    world.publish([*PACKAGES, *big])
    world.write(packages="[hello, big0, big1, big2]")
    world.build("-o", "oci:one")
    newer = Deb("big1", "1.1", files=[Item("usr/lib/big1", os.urandom(400_000))])
    world.publish([*PACKAGES, big[0], newer, big[2]])
    (world.project / "recipe.lock").unlink()
    world.build("-o", "oci:two")
    layers_before, layers_after = (
        {layer["digest"]: layer["size"] for layer in world.blobs(world.project / name)["layers"]}
        for name in ("one", "two")
    )
    new_sizes = [size for digest, size in layers_after.items() if digest not in layers_before]
    assert len(new_sizes) == 2
    assert 400_000 < sum(new_sizes) < 1.2 * 400_000 + 300_000


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "sentence"),
    [
        (["nothing.yaml"], {}, 3, "nothing.yaml"),
        (["recipe.yaml", "-o", "floppy:a"], {}, 2, "floppy"),
        (["recipe.yaml", "--arch", "riscv64"], {}, 6, "no packages for riscv64"),
        (["recipe.yaml", "--locked"], {}, 4, "recipe.lock"),
        (["recipe.yaml"], {"SOURCE_DATE_EPOCH": "yesterday"}, 2, "SOURCE_DATE_EPOCH is 'yesterday'"),
        (["recipe.yaml", "--no-such"], {}, 2, "no option '--no-such'"),
        (["recipe.yaml", "-o", "oci:/proc/nowhere/x"], {}, 10, "/proc/nowhere"),
        (["recipe.yaml"], {"PUMICE_HOME": "/proc/pumice"}, 9, "/proc"),
    ],
)
def test_an_error_is_reported_in_one_sentence(
    world: World, arguments: list[str], environment: dict[str, str], code: int, sentence: str
) -> None:
    pumice_run = world.run("build", *arguments, environment=environment)
    assert (pumice_run.code, pumice_run.stdout) == (code, ""), pumice_run.stderr
    errors = [line for line in pumice_run.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, pumice_run.stderr
    assert sentence in pumice_run.stderr
    assert "Traceback" not in pumice_run.stderr


@pytest.mark.parametrize(
    ("package", "sentence"),
    [
        (Deb("evil", files=[Item("../../etc/passwd", b"x", raw=True)]), "outside the root"),
        (Deb("evil", files=[Item("dev/sda", kind="block", device=(8, 0))]), "special file"),
        (
            Deb("evil", files=[text("usr/bin/hello", "mine")], fields={"Depends": "hello"}),
            "conflict at /usr/bin/hello",
        ),
    ],
)
def test_a_hostile_package_leaves_nothing_behind(world: World, package: Deb, sentence: str) -> None:
    world.publish([*PACKAGES, package])
    world.write(packages="[evil]")
    pumice_run = world.run("build", "recipe.yaml", "-o", "oci:image")
    assert pumice_run.code in (8, 10)
    assert sentence in pumice_run.stderr
    assert "evil" in pumice_run.stderr
    assert not (world.project / "image").exists()


def test_a_package_that_differs_from_the_lock_is_rejected(world: World) -> None:
    world.run("lock", "recipe.yaml")
    (path,) = world.mirror.rglob("hello_*.deb")
    path.write_bytes(path.read_bytes().replace(b"2.0\n", b"2.1\n", 1))
    pumice_run = world.run("build", "recipe.yaml", store="empty")
    assert pumice_run.code in (6, 7)
    assert "hello" in pumice_run.stderr


def test_unknown_users_are_errors_with_a_location(world: World) -> None:
    world.write("run: {user: ghost}\n")
    pumice_run = world.run("build", "recipe.yaml")
    assert pumice_run.code == 10
    assert "ghost" in pumice_run.stderr


def test_base_none_installs_no_base(world: World) -> None:
    world.write("base: none\n", packages="[libhello]")
    root = _root(world)
    assert "usr/share/base-passwd/passwd.master" not in root
    assert "usr/lib/hello/data" in root


def test_base_essential_installs_the_essential_packages(world: World) -> None:
    world.write("base: essential\n")
    world.build()
    lock = json.loads((world.project / "recipe.lock").read_bytes())
    assert {package["name"] for package in lock["packages"]["amd64"]} >= {
        package.name for package in (*BASE, HELLO)
    }


def test_an_app_container_image_has_the_same_bytes_again(world: World) -> None:
    world.build("-o", "aci:one.aci")
    world.build("-o", "aci:two.aci")
    assert (world.project / "one.aci").read_bytes() == (world.project / "two.aci").read_bytes()
    assert "valid App Container image" in world.run("aci", "validate", "one.aci").stdout


def test_a_platform_that_app_container_does_not_have_is_refused_before_the_build(world: World) -> None:
    build = world.run("build", "recipe.yaml", "--arch", "riscv64", "-o", "aci:image.aci")
    assert build.code == 8
    assert "App Container has no platform 'linux/riscv64'" in build.stderr
    assert not (world.project / "image.aci").exists()
