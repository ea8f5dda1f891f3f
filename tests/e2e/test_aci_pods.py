"""Pod manifests of App Container: volumes, ports and what apps get, as the programs see it."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pumice.appc.pod_manifest import read_pod_manifest
from tests.support import aci, networks, people

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.networks import Machine
    from tests.support.people import Person

LABELS = [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]
OPTIONS = ("--progress", "none", "--insecure-options=image", "--aci", "pod.aci")


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        yield someone


def program(script: str, *, user: str = "0", group: str = "0", **more: Any) -> dict[str, Any]:
    """Return the app of a pod manifest that runs a script."""
    return {"exec": ["sh", "-c", script], "user": user, "group": group, **more}


def write_pod(person: Person, apps: dict[str, dict[str, Any]], **pod: Any) -> None:
    """Write a pod manifest with apps of one image."""
    image_id = aci.shell(person.home / "pod.aci", {}, name="example.com/pod", labels=LABELS)
    runtime_apps = [{"name": name, "image": {"id": image_id}, **app} for name, app in apps.items()]
    manifest = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": runtime_apps, **pod}
    (person.home / "pod.json").write_text(json.dumps(manifest))
    person.give(person.home)


def play(person: Person, app: dict[str, Any], *options: str, **pod: Any) -> subprocess.CompletedProcess[str]:
    """Play a pod with one app."""
    write_pod(person, {"app": app}, **pod)
    return person.pumice("play", *OPTIONS, *options, "pod.json")


def lines(result: subprocess.CompletedProcess[str], app: str = "app") -> list[str]:
    """Return what an app has printed."""
    prefix = f"{app} | "
    assert result.stdout.startswith(prefix) or not result.stdout, result.stderr
    return [line.removeprefix(prefix) for line in result.stdout.splitlines() if line.startswith(prefix)]


def test_the_metadata_service_shows_volumes_and_isolators_as_they_are(person: Person) -> None:
    ask = program('busybox wget -q -O - "$AC_METADATA_URL/acMetadata/v1/pod/manifest"; echo')
    host_volume = {"name": "files", "kind": "host", "source": str(person.home)}
    volumes = [{"name": "own", "kind": "empty", "mode": "2750"}, host_volume]
    mounts = [{"volume": "own", "path": "/files"}, {"volume": "files", "path": "/own"}]
    isolators = [{"name": "os/linux/oom-score-adj", "value": 100}]
    app = {"app": {**ask, "isolators": isolators}, "mounts": mounts}
    (line,) = lines(play(person, app, volumes=volumes))
    manifest, warnings = read_pod_manifest(line.encode(), strict=True)
    assert warnings == ()
    (runtime_app,) = manifest.apps
    assert {(mount.volume, mount.path) for mount in runtime_app.mounts} == {
        ("own", "/files"),
        ("volume-own", "/own"),
    }
    by_name = {volume.name: volume for volume in manifest.volumes}
    assert (by_name["own"].kind, by_name["own"].mode) == ("empty", "2750")
    assert (by_name["volume-own"].kind, by_name["volume-own"].source) == ("host", str(person.home))
    pod_isolators = [{"name": "resource/memory", "value": {"limit": "64Mi"}}]
    (line,) = lines(play(person, {"app": ask}, isolators=pod_isolators))
    assert json.loads(line)["isolators"] == pod_isolators


# Volumes ------------------------------------------------------------------------------------------


def test_an_empty_volume_has_the_mode_and_the_owner_that_it_asks_for(person: Person) -> None:
    script = program("busybox stat -c '%a %u %g' /plain /own; touch /own/x; echo $?", user="33", group="34")
    mounts = [{"volume": "plain", "path": "/plain"}, {"volume": "own", "path": "/own"}]
    volumes = [
        {"name": "plain", "kind": "empty"},
        {"name": "own", "kind": "empty", "mode": "2750", "uid": 33, "gid": 34},
    ]
    result = play(person, {"app": script, "mounts": mounts}, volumes=volumes)
    plain, own, code = lines(result)
    assert plain.split()[0] == "755"
    assert (own, code) == ("2750 33 34", "0"), result.stderr
    if person.name == "root":
        assert plain == "755 0 0"
        assert "owner" not in result.stderr
    else:
        reason = "only root can choose it, so it is the user of the program"
        assert f"warning: the owner of the volume 'own' is modified: {reason}" in result.stderr


def test_a_volume_of_one_app_is_not_that_of_another(person: Person) -> None:
    shared = [{"volume": "data", "path": "/data"}]
    own = [{**shared[0], "appVolume": {"name": "data", "kind": "empty", "mode": "0777"}}]
    app = program("ls -a /data; echo > /data/$AC_APP_NAME")
    mounts = {"a": own, "b": own, "c": shared}
    apps = {name: {"app": app, "mounts": mount} for name, mount in mounts.items()}
    write_pod(person, apps, volumes=[{"name": "data", "kind": "empty", "mode": "0777"}])
    result = person.pumice("play", *OPTIONS, "pod.json")
    expected = [f"{name} | {entry}" for name in "abc" for entry in (".", "..")]
    assert sorted(result.stdout.splitlines()) == expected, result.stderr


@contextmanager
def mounted_below(folder: Path) -> Iterator[None]:
    """Mount a file system with a file on a directory."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "below").write_text("")
    subprocess.run(["mount", "-t", "tmpfs", "none", str(folder)], check=True)
    try:
        (folder / "mounted").write_text("")
        folder.chmod(0o755)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("recursive", [None, True, False])
def test_a_volume_has_the_mounts_below_it_unless_it_is_not_recursive(
    person: Person, recursive: bool | None
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    source = person.home / "tree"
    volume = {"name": "tree", "kind": "host", "source": str(source), "readOnly": True}
    volume |= {} if recursive is None else {"recursive": recursive}
    app = {"app": program("ls /tree/in"), "mounts": [{"volume": "tree", "path": "/tree"}]}
    with mounted_below(source / "in"):
        result = play(person, app, volumes=[volume])
    if recursive is not False:
        assert lines(result) == ["mounted"], result.stderr
    elif person.name == "root":
        assert lines(result) == ["below"], result.stderr
    else:  # the kernel does not let other users uncover what a mount hides
        assert "only root can leave out what is mounted below it" in result.stderr


def test_run_leaves_out_mounts_below_a_volume_with_every_stage(person: Person) -> None:
    if person.name != "root" or os.geteuid() != 0:
        pytest.skip("only root can")
    source = person.home / "tree"
    aci.shell(person.home / "run.aci", {"exec": ["ls", "/tree/in"]}, name="example.com/run", labels=LABELS)
    with mounted_below(source / "in"):
        for stage in ("builtin", "fly", "runc", "bwrap"):
            options = ("--progress", "none", "--insecure-options=image", "--stage1", stage)
            for volume in (("--volume", f"{source}:/tree:ro,bind"),
                           ("--mount", f"type=bind,src={source},dst=/tree,bind-nonrecursive")):  # fmt: skip
                result = person.pumice("run", *options, *volume, "aci:run.aci")
                assert result.stdout.split() == ["below"], (stage, result.stderr)


# Apps ---------------------------------------------------------------------------------------------


def test_a_read_only_root_has_writable_volumes(person: Person) -> None:
    script = program("touch /x /data/x; ls /x /data/x")
    volumes = [{"name": "data", "kind": "empty", "mode": "0777"}]
    mounts = [{"volume": "data", "path": "/data"}]
    app = {"app": script, "mounts": mounts, "readOnlyRootFS": True}
    result = play(person, app, volumes=volumes)
    assert "/data/x" in lines(result)
    assert "/x" not in lines(result)
    assert "Read-only file system" in result.stdout + result.stderr
    writable = play(person, {**app, "readOnlyRootFS": False}, volumes=volumes)
    assert {"/x", "/data/x"} <= set(lines(writable))


def test_an_app_gets_supplementary_groups_or_a_warning_names_them(person: Person) -> None:
    app = program("id -G", user="33", group="34", supplementaryGIDs=[40, 41])
    result = play(person, {"app": app})
    is_ignored = "warning: supplementaryGIDs is ignored: the program of an ordinary user has" in result.stderr
    assert (lines(result), is_ignored) == (
        (["34"], True) if person.name == "ordinary" else (["34 40 41"], False)
    )


def test_an_app_without_its_working_directory_does_not_start(person: Person) -> None:
    app = program("pwd", workingDirectory="/srv/nothing")
    result = play(person, {"app": app})
    assert "the working directory '/srv/nothing' is not in the image" in result.stderr
    assert (result.stdout, result.returncode) == ("", 10)


# Ports --------------------------------------------------------------------------------------------


@pytest.fixture(params=["root", "ordinary"])
def host(request: pytest.FixtureRequest, machine: Machine) -> Iterator[Person]:
    networks.need_private_networks(request.param)
    with people.person(request.param) as someone:
        yield machine.host(someone)


@pytest.mark.peer("curl")
def test_ports_are_published_by_name_or_as_the_manifest_says(host: Person, machine: Machine) -> None:
    serve = "mkdir /tmp/{0}; echo {0} > /tmp/{0}/index.html; busybox httpd -p {1} -h /tmp/{0}"
    ask = (
        'busybox wget -q -O /tmp/whole "$AC_METADATA_URL/acMetadata/v1/pod/manifest" &&'
        " busybox mv /tmp/whole /tmp/own/manifest"
    )
    script = "; ".join([serve.format("named", 80), serve.format("own", 8081), ask, "exec sleep 1000"])
    app = program(script, ports=[{"name": "web", "protocol": "tcp", "port": 80}])
    ports = [
        {"name": "web", "hostPort": 8480, "hostIP": "127.0.0.1"},
        {
            "name": "admin",
            "hostPort": 8481,
            "podPort": {"name": "admin-web", "protocol": "tcp", "port": 8081},
        },
    ]
    write_pod(host, {"app": {"app": app}}, ports=ports)
    private = {"PUMICE_NETWORK": "private"}
    paths = (str(host.home / "pod.aci"), str(host.home / "pod.json"))
    started = host.pumice("play", "--detach", "--name", "ports", *OPTIONS[:-1], *paths, env=private)
    assert started.returncode == 0, started.stderr
    try:
        assert machine.fetch("http://127.0.0.1:8480/") == "named\n"
        assert machine.fetch("http://127.0.0.1:8481/") == "own\n"
        elsewhere = f"http://{networks.MACHINE_ADDRESS}"
        assert machine.fetch(f"{elsewhere}:8481/", beside=True) == "own\n"
        refused = machine.run_beside("curl", "--silent", "--max-time", "5", f"{elsewhere}:8480/", check=False)
        assert refused == ""
        manifest = json.loads(machine.fetch("http://127.0.0.1:8481/manifest"))
        assert manifest["ports"] == ports
    finally:
        host.pumice("rm", "--force", "ports")
