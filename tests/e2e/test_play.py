"""The command ``pumice play``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import pods, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

POD = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {text: from-config}
---
apiVersion: v1
kind: Pod
metadata: {name: shop, labels: {app: shop}}
spec:
  volumes: [{name: data, emptyDir: {}}, {name: conf, configMap: {name: conf}}]
  initContainers:
  - name: first
    image: box:1
    args: ["sleep 1; echo init > /data/f"]
    volumeMounts: [{name: data, mountPath: /data}]
  containers:
  - name: web
    image: box:1
    command: [sh, -c]
    args: ["cat /data/f /conf/text; echo; echo $(A); hostname; id -u; touch /x; true"]
    env: [{name: A, value: hello}]
    securityContext: {runAsUser: 1000, readOnlyRootFilesystem: true}
    volumeMounts: [{name: data, mountPath: /data}, {name: conf, mountPath: /conf}]
  - {name: last, image: box:1, args: ["exit 4"]}
"""
COMPOSE = """\
services:
  web:
    image: ${IMAGE:-box}:1
    command: ["nc db 7000; echo $$A; exit 3"]
    environment: {A: "1"}
    depends_on: {db: {condition: service_healthy}}
  db:
    image: box:1
    command: ["(sleep 1; touch /tmp/ok) & nc -l -p 7000 -e echo from-db"]
    healthcheck: {test: cat /tmp/ok, interval: 200ms, retries: 1000}
    restart: always
"""


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with pods.person_with_images(request.param) as someone:
        pods.run_ok(someone, "run", "box:1", "true")  # unpacks the image
        yield someone


def test_a_kubernetes_pod_runs(person: Person) -> None:
    (person.home / "pod.yaml").write_text(POD)
    process = person.pumice("play", "--network", "none", "pod.yaml")
    assert process.returncode == 4, process.stderr
    web = [line.partition(" | ")[2] for line in process.stdout.splitlines() if line.startswith("web")]
    assert web == ["init", "from-config", "hello", "shop", "1000"]
    assert "Read-only file system" in process.stderr
    assert pods.run_ok(person, "ps", "--all", "--quiet") == ""


def test_services_wait_for_one_another_and_find_one_another_by_name(person: Person) -> None:
    (person.home / "compose.yaml").write_text(COMPOSE)
    process = person.pumice("play", "--network", "none", "--name", "pair", "compose.yaml")
    assert (process.returncode, process.stdout) == (3, "web | from-db\nweb | 1\n"), process.stderr
    assert process.stderr == "warning: ignored services.db.restart (compose.yaml:11:5)\n"
    state = pods.status(person, "pair")
    assert [(app["name"], app["exit_code"], app["after"]) for app in state["apps"]] == [
        ("web", 3, ["db"]),
        ("db", 0, []),
    ]
    pods.run_ok(person, "rm", "pair")


def test_strict_refuses_what_is_not_used(person: Person) -> None:
    (person.home / "compose.yaml").write_text(COMPOSE)
    process = person.pumice("play", "--strict", "compose.yaml")
    assert process.returncode == 2
    assert process.stderr.startswith("error: services.db.restart (compose.yaml:11:5) is not supported\n")


def test_an_app_that_depends_on_a_failure_does_not_start(person: Person) -> None:
    text = POD.replace("sleep 1; echo init > /data/f", "exit 9")
    process = person.pumice("play", "--network", "none", "--detach", "-", input=text)
    assert process.returncode == 0, process.stderr
    assert pods.run_ok(person, "wait", "shop") == "9\n"
    apps = {app["name"]: app for app in pods.status(person, "shop")["apps"]}
    assert apps["first"]["exit_code"] == 9
    assert apps["web"]["error"] == "the app first, which it depends on, has not succeeded"
    assert apps["web"]["started"] is None
    pods.run_ok(person, "rm", "shop")


def test_a_pod_that_waits_can_be_stopped(person: Person) -> None:
    text = POD.replace("sleep 1; echo init > /data/f", "sleep 600")
    (person.home / "slow.yaml").write_text(text)
    with person.running_pumice("play", "--network", "none", "--name", "slow", "slow.yaml") as running:
        waiting.until(lambda: "running" in pods.run_ok(person, "ps", "--format", "{{.State}}"))
        pods.run_ok(person, "stop", "slow")
        assert running.wait() == 143
    assert [app["state"] for app in pods.status(person, "slow")["apps"]] == ["exited"] * 3
    pods.run_ok(person, "rm", "slow")


def test_pods_leave_nothing(person: Person) -> None:
    marker = pods.lasting_sleep()
    container = {"name": "a", "image": "box:1", "args": [marker]}
    for number in range(3):
        containers = [{**container, "name": name} for name in ("a", "b", "c")]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"many-{number}"}}
        text = json.dumps({**pod, "spec": {"containers": containers}})
        process = person.pumice("play", "--network", "none", "--detach", "-", input=text)
        assert process.returncode == 0, process.stderr
    assert len(pods.run_ok(person, "ps", "--quiet").split()) == 3
    pods.remove_all(person)
    pods.wait_for_end(marker)
    store = person.home / "store"
    assert [*(store / "pods").iterdir(), *(store / "tmp").iterdir()] == []


def test_a_generated_pod_does_the_same(person: Person) -> None:
    process = person.pumice("play", "--network", "none", "--detach", "-", input=POD)
    assert process.returncode == 0, process.stderr
    assert pods.run_ok(person, "wait", "shop") == "4\n"
    generated = pods.run_ok(person, "generate", "kube", "shop")
    pods.run_ok(person, "rm", "shop")
    process = person.pumice("play", "--network", "none", "-", input=generated)
    assert process.returncode == 4, process.stderr
    assert "web   | from-config" in process.stdout
    assert "web   | 1000" in process.stdout


PROBED = """\
apiVersion: v1
kind: Pod
metadata: {name: probed}
spec:
  containers:
  - name: web
    image: box:1
    args:
    - while :; do (echo "HTTP/1.0 $$(cat /tmp/status)"; echo) | nc -l -p 7100; done
    ports: [{name: http, containerPort: 7100}]
    livenessProbe:
      httpGet: {port: http, path: /health, httpHeaders: [{name: X-A, value: b}]}
      periodSeconds: 1
  - name: raw
    image: box:1
    args: ["nc -ll -p 7101 -e true"]
    readinessProbe: {tcpSocket: {port: 7101}, periodSeconds: 1}
  - name: closed
    image: box:1
    args: ["sleep 600"]
    livenessProbe: {tcpSocket: {port: 7102}, periodSeconds: 1, failureThreshold: 1}
"""


def _wait_for_health(person: Person, app: str, status: str) -> None:
    waiting.until(
        lambda: (
            {item["name"]: item["health"] for item in pods.status(person, "probed")["apps"]}[app] == status
        )
    )


def test_http_and_tcp_probes_ask_in_the_network_of_the_pod(person: Person) -> None:
    process = person.pumice("play", "--network", "none", "--detach", "-", input=PROBED)
    assert process.returncode == 0, process.stderr
    pods.run_ok(person, "exec", "--app", "web", "probed", "sh", "-c", "echo 200 OK > /tmp/status")
    _wait_for_health(person, "web", "healthy")
    _wait_for_health(person, "raw", "healthy")
    _wait_for_health(person, "closed", "unhealthy")
    pods.run_ok(person, "exec", "--app", "web", "probed", "sh", "-c", "echo 500 NO > /tmp/status")
    _wait_for_health(person, "web", "unhealthy")
    kube = pods.run_ok(person, "generate", "kube", "probed")
    assert "/health" in kube
    pods.run_ok(person, "rm", "--force", "probed")
