"""Running App Container images, with all that their manifests say."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from pumice.store.home import Home
from tests.support import aci, images, people

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

LABELS = [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        yield someone


def run(person: Person, app: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an image with this app."""
    name = "hello.aci"
    aci.shell(person.home / name, app, name="example.com/hello", labels=LABELS)
    person.give(person.home / name)
    return person.pumice("run", "--progress", "none", "--insecure-options=image", *arguments, f"aci:{name}")


def handler(name: str, script: str) -> dict[str, Any]:
    return {"name": name, "exec": ["/bin/sh", "-c", script]}


def isolator(name: str, value: Any) -> dict[str, Any]:
    return {"name": name, "value": value}


def test_the_environment_is_that_of_the_specification(person: Person) -> None:
    app = {"exec": ["env"], "user": "web", "group": "www", "workingDirectory": "/tmp"}
    variables = dict(line.split("=", 1) for line in run(person, app).stdout.splitlines())
    assert variables == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "USER": "web",
        "LOGNAME": "web",
        "HOME": "/srv",
        "SHELL": "/bin/sh",
        "AC_APP_NAME": "hello",
        "container": "pumice",
    }


def test_a_working_directory_must_exist(person: Person) -> None:
    app = {"exec": ["pwd"], "workingDirectory": "/srv/nothing"}
    result = run(person, app)
    assert "the working directory '/srv/nothing' is not in the image" in result.stderr
    assert run(person, app, "--workdir", "/bin").stdout == "/bin\n"
    assert run(person, app, "--tmpfs", "/srv").returncode == 0


def test_supplementary_groups_are_given(person: Person) -> None:
    if person.name == "ordinary":
        pytest.skip("an ordinary user has one group")
    app = {"exec": ["id", "-G"], "user": "33", "group": "34", "supplementaryGIDs": [40, 41]}
    assert run(person, app).stdout.split() == ["34", "40", "41"]


def read_capabilities(result: subprocess.CompletedProcess[str]) -> int:
    return int(result.stdout.split()[1], 16)


def test_capabilities_are_retained_and_removed(person: Person) -> None:
    command = ["grep", "CapBnd", "/proc/self/status"]
    kept = {
        "exec": command,
        "isolators": [isolator("os/linux/capabilities-retain-set", {"set": ["CAP_KILL"]})],
    }
    assert read_capabilities(run(person, kept)) == 1 << 5
    assert read_capabilities(run(person, kept, "--cap-add", "SYS_PTRACE")) & 1 << 19
    removed = {"set": ["CAP_KILL", "CAP_MKNOD"]}
    less = {"exec": command, "isolators": [isolator("os/linux/capabilities-remove-set", removed)]}
    assert not read_capabilities(run(person, less)) & (1 << 5 | 1 << 27)
    greedy = {"set": ["CAP_KILL", "CAP_SYS_ADMIN"]}
    result = run(
        person, {"exec": command, "isolators": [isolator("os/linux/capabilities-retain-set", greedy)]}
    )
    assert read_capabilities(result) == 1 << 5
    assert "capabilities-retain-set is modified: an image cannot give itself SYS_ADMIN" in result.stderr


def test_system_calls_are_removed_and_retained(person: Person) -> None:
    removed = {"set": ["mkdir", "mkdirat"], "errno": "ENOSPC"}
    app = {
        "exec": ["mkdir", "/tmp/x"],
        "isolators": [isolator("os/linux/seccomp-remove-set", removed)],
    }
    assert "No space left on device" in run(person, app).stderr
    killed = {**app, "isolators": [isolator("os/linux/seccomp-remove-set", {"set": ["mkdir", "mkdirat"]})]}
    assert run(person, killed).returncode == 128 + 31
    busybox = ["read", "write", "getuid", "setuid", "getgid", "setgid", "arch_prctl", "mprotect", "ioctl"]
    retained = {
        "exec": ["echo", "hello"],
        "isolators": [isolator("os/linux/seccomp-retain-set", {"set": busybox, "errno": "EPERM"})],
    }
    assert run(person, retained).stdout == "hello\n"
    assert "not permitted" in run(person, {**retained, "exec": ["mkdir", "/tmp/x"]}).stderr


def test_an_image_cannot_turn_the_filter_off_and_wildcards_must_exist(person: Person) -> None:
    app = {"exec": ["grep", "Seccomp:", "/proc/self/status"]}
    everything = {**app, "isolators": [isolator("os/linux/seccomp-retain-set", {"set": ["@appc.io/all"]})]}
    result = run(person, everything)
    assert result.stdout.split() == ["Seccomp:", "2"]
    assert "seccomp-retain-set is modified: the default filter stays" in result.stderr
    unknown = {**app, "isolators": [isolator("os/linux/seccomp-retain-set", {"set": ["@systemd/clock"]})]}
    result = run(person, unknown)
    assert "has the wildcard '@systemd/clock', which does not exist here" in result.stderr
    assert result.returncode == 8


def test_isolators_that_are_not_enforced_are_named_and_refused_if_strict(person: Person) -> None:
    app = {
        "exec": ["cat", "/proc/self/oom_score_adj"],
        "isolators": [
            isolator("os/linux/oom-score-adj", 700),
            isolator("resource/cpu", {"request": "10m"}),
            isolator("example.com/unknown", {}),
            isolator("os/linux/no-new-privileges", False),
        ],
    }
    result = run(person, app)
    assert result.stdout == "700\n"
    assert [line for line in result.stderr.splitlines() if "isolator" in line and "is " in line][-3:] == [
        "warning: the isolator resource/cpu is ignored: it has no limit, and Pumice reserves nothing",
        "warning: the isolator example.com/unknown is ignored: Pumice does not know it",
        "warning: the isolator os/linux/no-new-privileges is modified: set-id programs have no effect",
    ]
    assert run(person, app, "--strict").returncode == 11


def test_limits_of_the_command_line_win_over_isolators(person: Person) -> None:
    if person.name == "ordinary":
        pytest.skip("there are no control groups for this user")
    greedy = "x=$(head -c 60000000 /dev/zero | tr '\\0' x); echo done"
    memory = isolator("resource/memory", {"request": "8M", "limit": "20M"})
    app = {"exec": ["sh", "-c", greedy], "isolators": [memory]}
    result = run(person, app)
    assert "resource/memory is modified: the limit is enforced, and nothing is reserved" in result.stderr
    assert result.stdout == ""
    assert run(person, app, "--memory", "1g").stdout == "done\n"


def play(person: Person, app: dict[str, Any], **pod: Any) -> subprocess.CompletedProcess[str]:
    """Play a pod manifest with one app, whose image ignores what it is told."""
    image_app = {"exec": ["echo", "image"], "isolators": [isolator("os/linux/oom-score-adj", 800)]}
    image_id = aci.shell(person.home / "pod.aci", image_app, name="example.com/app", labels=LABELS)
    runtime_app = {"name": "app", "image": {"id": image_id}, **app}
    manifest = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [runtime_app], **pod}
    (person.home / "pod.json").write_text(json.dumps(manifest))
    person.give(person.home)
    options = ("--progress", "none", "--insecure-options=image", "--aci", "pod.aci")
    return person.pumice("play", *options, "pod.json")


def test_the_app_of_a_pod_manifest_replaces_that_of_the_image(person: Person) -> None:
    assert "| image" in play(person, {}).stdout
    app = {"exec": ["cat", "/proc/self/oom_score_adj"], "user": "/bin/busybox", "group": "/bin"}
    result = play(person, {"app": app})
    assert int(result.stdout.partition("| ")[2]) < 800, result.stderr


def test_another_image_behind_an_id_is_refused(person: Person) -> None:
    other = {"id": "sha512-" + "0" * 128, "name": "example.com/app"}
    result = play(person, {"image": other})
    assert "error: pod.aci: the image of the app 'app' is sha512-" in result.stderr
    unknown = play(person, {"image": {"id": other["id"]}})
    assert (
        "cannot find the image sha512-0000000000000000… of the app 'app': it is not in the store"
        in unknown.stderr
    )


def test_an_image_is_found_in_the_store_by_its_id(person: Person) -> None:
    play(person, {})
    copied = person.pumice("copy", "--insecure-options=image", "aci:pod.aci", "store:app:1")
    assert copied.returncode == 0, copied.stderr
    result = person.pumice("play", "--progress", "none", "--insecure-options=image", "pod.json")
    assert result.stdout == "app | image\n", result.stderr


def test_an_oci_image_of_a_pod_has_the_id_that_converting_it_gives(person: Person) -> None:
    place = person.home / "store"
    with Home(place, environ={"PUMICE_SAFE_DIRECTORIES": str(place)}) as home:
        images.make(home, [images.shell()], name="example.com/box:1")
    person.give(person.home)
    options = ("--progress", "none", "--insecure-options=image")
    converted = person.pumice("convert", *options, "example.com/box:1", "aci:box.aci")
    assert converted.returncode == 0, converted.stderr
    image_id = person.pumice("aci", "validate", "box.aci").stdout.split()[-1]
    app = {"exec": ["echo", "ran"], "user": "0", "group": "0"}

    def play_box(image: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        apps = [{"name": "app", "image": image, "app": app}]
        manifest = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps}
        (person.home / "box.json").write_text(json.dumps(manifest))
        person.give(person.home / "box.json")
        return person.pumice("play", *options, "box.json")

    for labels in ([], [{"name": "version", "value": "1"}]):
        result = play_box({"id": image_id, "name": "example.com/box", "labels": labels})
        assert (result.stdout, result.stderr) == ("app | ran\n", ""), result.stderr
    refused = play_box({"id": "sha512-" + "0" * 128, "name": "example.com/box"})
    assert f"the image of the app 'app' is {image_id[:23]}…, not sha512-0000000000000000…" in refused.stderr
    assert refused.returncode == 7


def test_volumes_of_a_pod_are_checked(person: Person) -> None:
    (person.home / "data").mkdir(exist_ok=True)
    (person.home / "link").unlink(missing_ok=True)
    (person.home / "link").symlink_to("data")
    points = [{"name": "data", "path": "/data", "readOnly": True}]
    app = {"exec": ["sh", "-c", "touch /data/x; echo $?"], "user": "0", "group": "0", "mountPoints": points}

    def mount(*targets: str, source: str = "data") -> subprocess.CompletedProcess[str]:
        volume = {"name": "data", "kind": "host", "source": str(person.home / source)}
        mounts = [{"volume": "data", "path": target} for target in targets]
        return play(person, {"app": app, "mounts": mounts}, volumes=[volume])

    assert mount("/data").stdout == "app | 1\n"
    assert "the volumes at '/data' and '/data/in' overlap" in mount("/data/in", "/data").stderr
    assert "is or has a symbolic link" in mount("/data", source="link").stderr
    assert "does not exist" in mount("/data", source="nothing").stderr
    assert "warning: the volume at /bin of the app app hides files of its image" in mount("/bin").stderr
