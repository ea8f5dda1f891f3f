"""The command ``pumice inspect`` with a pod."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import pods

if TYPE_CHECKING:
    from tests.support.people import Person

LIMITS = ("--memory", "64m", "--cpus", "0.5", "--pids-limit", "77")


def inspect(person: Person, *arguments: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(pods.run_ok(person, "inspect", "--json", *arguments))
    return result


def test_a_running_pod_is_described(person: Person) -> None:
    (person.home / "data").mkdir()
    person.give(person.home / "data")
    pod = pods.start(
        person,
        *("--name", "whole", "--label", "role=web", "--env", "COLOR=blue", "--workdir", "/srv"),
        *("--volume", f"{person.home}/data:/data:ro", "--tmpfs", "/cache", "--user", "0", "--init"),
        *("--cap-drop", "CHOWN", "--ulimit", "nofile=100:200", "--health-cmd", "true", "--read-only"),
        *("box:1", "echo ready; exec sleep 600"),
    )
    pods.wait_for_log(person, "ready\n", pod)
    status, shown = pods.status(person, pod), inspect(person, "whole")
    for name in ("id", "name", "state", "created", "started", "labels", "stage1", "exit_code"):
        assert shown[name] == status[name]
    assert shown["create_command"][:3] == ["pumice", "run", "--detach"]
    assert shown["network"] == {"type": "host", "name": "", "driver": "", "addresses": []}
    (app,) = shown["apps"]
    assert (app["image"], app["digest"], app["pid"]) == ("box:1", status["digest"], status["pid"])
    assert app["command"] == ["sh", "-c", "echo ready; exec sleep 600"]
    assert app["environment"]["COLOR"] == "blue"
    assert (app["working_directory"], app["user"]["uid"], app["init"]) == ("/srv", 0, True)
    mounts = {mount["target"]: mount for mount in app["mounts"]}
    assert (mounts["/data"]["source"], mounts["/data"]["read_only"]) == (f"{person.home}/data", True)
    assert mounts["/cache"]["type"] == "tmpfs"
    assert "CHOWN" not in app["isolation"]["capabilities"]
    assert app["isolation"]["rlimits"] == {"nofile": [100, 200]}
    assert (app["isolation"]["read_only"], app["isolation"]["seccomp"]) == (True, "default")
    force = app["in_force"]
    assert force["capabilities"] == app["isolation"]["capabilities"]
    assert (force["no_new_privileges"], force["has_seccomp_filter"]) == (True, True)
    assert {"mnt", "pid", "ipc", "uts"} <= set(force["namespaces"])
    assert app["health"]["command"] == ["/bin/sh", "-c", "true"]
    assert "ready" in Path(app["logs"][-1]).read_text()
    text = pods.run_ok(person, "inspect", "whole")
    for line in ("app whole", "COLOR=blue", f"{person.home}/data on /data (read-only)"):
        assert line in text
    assert pods.run_ok(person, "inspect", "--format", "{{range .Apps}}{{.Digest}}{{end}}", pod[:12]) == (
        f"{status['digest']}\n"
    )
    pods.run_ok(person, "rm", "--force", "whole")


def test_limits_in_force_are_those_of_the_control_groups(person: Person) -> None:
    if person.name != "root":
        pytest.skip("only root has control groups here")
    pods.start(person, *LIMITS, "--name", "small", "box:1", "sleep 600")
    force = inspect(person, "small")["apps"][0]["in_force"]
    assert (force["memory"], force["cpus"], force["pids"]) == (64 << 20, 0.5, 77)
    assert all(Path(group).is_dir() for group in force["control_groups"])
    pods.run_ok(person, "pause", "small")
    assert inspect(person, "small")["state"] == "paused"
    pods.run_ok(person, "rm", "--force", "small")


def test_a_pod_that_has_ended_and_one_of_several_apps(person: Person) -> None:
    pods.start(person, "--name", "done", "box:1", "exit 3")
    pods.status(person, "done", "--wait")
    shown = inspect(person, "done")
    assert (shown["state"], shown["exit_code"], shown["supervisor_pid"], shown["ports"]) == (
        "exited",
        3,
        None,
        [],
    )
    assert (shown["apps"][0]["exit_code"], shown["apps"][0]["in_force"]) == (3, None)
    pods.run_ok(person, "rm", "done")
    pods.start(
        person,
        *(
            "--network",
            "none",
            "--name",
            "pair",
            "--app",
            "a",
            "--env",
            "WHO=a",
            "box:1",
            "sleep 600",
        ),
        *("---", "--app", "b", "--cap-drop", "ALL", "box:1", "sleep 600"),
    )
    shown = inspect(person, "pair")
    assert [app["name"] for app in shown["apps"]] == ["a", "b"]
    assert shown["apps"][0]["environment"]["WHO"] == "a"
    assert "WHO" not in shown["apps"][1]["environment"]
    assert shown["apps"][1]["isolation"]["capabilities"] == []
    assert shown["network"]["type"] != "host"
    assert [app["name"] for app in inspect(person, "--app", "b", "pair")["apps"]] == ["b"]
    assert "has no app 'c'" in person.pumice("inspect", "--app", "c", "pair").stderr
    pods.run_ok(person, "rm", "--force", "pair")


def test_a_pod_comes_before_an_image_of_the_same_name(person: Person) -> None:
    pods.start(person, "--name", "box", "box:1", "sleep 600")
    assert inspect(person, "box")["name"] == "box"
    assert inspect(person, "--type", "pod", "box")["name"] == "box"
    assert inspect(person, "--type", "image", "box")["platforms"]
    assert inspect(person, "box:1")["platforms"]
    assert inspect(person, "sick")["platforms"]
    process = person.pumice("inspect", "--type", "pod", "sick")
    assert (process.returncode, "there is no pod 'sick'" in process.stderr) == (10, True)
    process = person.pumice("inspect", "--app", "a", "box:1")
    assert (process.returncode, "--app is for pods" in process.stderr) == (2, True)
    process = person.pumice("inspect", "--format", "{{.Platforms}}", "box")
    assert (process.returncode, "unknown field .Platforms" in process.stderr) == (2, True)
    pods.run_ok(person, "rm", "--force", pods.status(person, "box")["id"])


def test_the_secret_of_the_metadata_service_is_not_shown(person: Person) -> None:
    pods.start(person, "--mds", "--name", "quiet", "box:1", "sleep 600")
    secret = pods.run_ok(person, "exec", "quiet", "sh", "-c", "echo $AC_METADATA_URL").strip()
    shown = pods.run_ok(person, "inspect", "--json", "quiet") + pods.run_ok(person, "inspect", "quiet")
    assert secret.rpartition("/")[2] not in shown
    assert "AC_METADATA_URL" in shown
    pods.run_ok(person, "rm", "--force", "quiet")


@pytest.mark.parametrize("program", ["true", "sleep 1000"])
def test_a_damaged_record_hides_only_what_it_has(person: Person, program: str) -> None:
    pod = pods.start(person, "--name", "torn", "box:1", program)
    if program == "true":
        pods.status(person, "torn", "--wait")
    directory = person.home / "store" / "pods" / pod
    (directory / "plan").write_bytes(b"no options")
    (directory / "spec.json").write_bytes(b"{")
    shown = inspect(person, "torn")
    assert (shown["name"], shown["hostname"], shown["apps"][0]["user"]) == ("torn", "", None)
    pods.run_ok(person, "rm", "--force", "torn")
