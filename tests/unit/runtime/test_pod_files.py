"""Pods from files: Kubernetes, compose and App Container manifests."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import PumiceError, RecipeError
from pumice.formats.yaml import Scalar
from pumice.runtime.network.port_options import PortRequest
from pumice.runtime.pod_inputs.files import read_pod_file, split_documents
from pumice.runtime.pod_inputs.interpolation import Interpolation
from pumice.runtime.pod_inputs.model import PodInput
from pumice.runtime.pods.records import Dependency

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: shop, labels: {app: shop}}
spec:
  hostname: shop-1
  hostAliases: [{ip: 10.0.0.1, hostnames: [legacy, old]}]
  dnsConfig: {nameservers: [9.9.9.9], searches: [example.com], options: [{name: ndots, value: "2"}]}
  shareProcessNamespace: true
  initContainers:
  - {name: first, image: box:1}
  - {name: second, image: box:1}
  containers:
  - name: web
    image: example.com/web:1.0
    command: [/bin/web]
    args: [--port, $(PORT), $$(PORT)]
    workingDir: /srv
    env: [{name: PORT, value: 8080}, {name: KEY, valueFrom: {secretKeyRef: {name: keys, key: api}}}]
    envFrom: [{prefix: C_, configMapRef: {name: conf}}]
    ports: [{containerPort: 8080, name: http, hostPort: 80, hostIP: 127.0.0.1}, {containerPort: 9090}]
    resources: {limits: {cpu: 1500m, memory: 64Mi}}
    securityContext:
      runAsUser: 33
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}
    livenessProbe: {exec: {command: [true]}, periodSeconds: 5}
    volumeMounts:
    - {name: data, mountPath: /data}
    - {name: conf, mountPath: /etc/conf, readOnly: true}
    - {name: host, mountPath: /host}
  volumes:
  - {name: data, emptyDir: {}}
  - {name: conf, configMap: {name: conf}}
  - {name: host, hostPath: {path: /srv}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {mode: fast}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
data: {api: c2VjcmV0}
"""


def read(text: str, environ: dict[str, str] | None = None) -> PodInput:
    return read_pod_file("-", environ or {}, io.BytesIO(text.encode()))


def test_a_kubernetes_pod_is_read() -> None:
    pod = read(POD)
    web = pod.apps[2].options
    assert (pod.name, pod.hostname, pod.labels, pod.shares_pids) == ("shop", "shop-1", {"app": "shop"}, True)
    assert pod.names.hosts == (("10.0.0.1", "legacy"), ("10.0.0.1", "old"))
    assert (pod.names.servers, pod.names.options) == (("9.9.9.9",), ("ndots:2",))
    assert [app.options.after for app in pod.apps] == [
        (),
        (Dependency("first", "succeeded"),),
        (Dependency("second", "succeeded"),),
    ]
    assert web.process.command == ("/bin/web",)
    assert web.process.arguments == ("--port", "8080", "$(PORT)")
    assert web.process.environment == ("C_mode=fast", "PORT=8080", "KEY=secret")
    assert (web.process.user, web.process.directory, web.read_only) == ("33", "/srv", True)
    assert (web.isolation.limits.cpus, web.isolation.limits.memory) == (1500, 64 << 20)
    assert web.isolation.capabilities == ("NET_BIND_SERVICE",)
    assert web.health_check is not None
    assert web.health_check.test == ("CMD", "true")
    assert [(mount.volume, mount.target, mount.read_only) for mount in web.volumes] == [
        ("data", "/data", False),
        ("conf", "/etc/conf", True),
    ]
    assert [(mount.source, mount.target) for mount in web.mounts] == [("/srv", "/host")]
    assert pod.publish == (PortRequest(container=8080, address="127.0.0.1", candidates=(80,), name="http"),)
    assert {volume.name: volume.files for volume in pod.volumes} == {"data": {}, "conf": {"mode": b"fast"}}
    assert pod.ignored == ()


def test_a_deployment_is_its_template() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "image": "box:1"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    text = json.dumps(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    )
    pod = read(text)
    assert (pod.name, [app.reference for app in pod.apps]) == ("d", ["box:1"])
    assert pod.ignored == ("replicas: 3 (one pod is run)",)


COMPOSE = """\
name: shop
x-common: &common
  restart: always
services:
  web:
    <<: {}
    image: ${IMAGE:-web}:${TAG}
    command: serve --name 'a b'
    entrypoint: [/bin/web]
    environment: [A=1, B]
    ports: ["127.0.0.1:8080:80/tcp", {target: 443, published: "8443", name: tls}]
    depends_on: {db: {condition: service_healthy}}
    volumes: [data:/data:ro, /srv:/srv]
    tmpfs: /tmp:size=1m
    user: "33:33"
    working_dir: /srv
    hostname: web-1
    read_only: true
    cap_drop: [ALL]
    ulimits: {nofile: {soft: 10, hard: 20}}
    mem_limit: 64m
    cpus: "1.5"
    stop_signal: SIGINT
  db:
    image: db:1
    healthcheck: {test: "ok $$X", interval: 1m30s, retries: 5}
volumes: {data: {}}
"""


def test_a_request_for_selinux_labels_is_read() -> None:
    volumes = "[data:/data:z, '/srv:/srv:ro,Z', own:/own:Z, /srv:/z]"
    web = read(COMPOSE.replace("[data:/data:ro, /srv:/srv]", volumes).replace("    <<: {}\n", "")).apps[0]
    mounts = {mount.target: mount.relabel for mount in web.options.mounts}
    mounts |= {mount.target: mount.relabel for mount in web.options.volumes}
    assert mounts == {"/data": True, "/srv": True, "/own": True, "/z": False, "/tmp": False}


def test_unknown_flags_of_volumes_are_named() -> None:
    volumes = "['data:/data:ro,nocopy', '/srv:/srv:rslave:x', own:/own:cached]"
    pod = read(COMPOSE.replace("[data:/data:ro, /srv:/srv]", volumes).replace("    <<: {}\n", ""))
    assert pod.ignored[:2] == (
        "nocopy of the volume data:/data:ro,nocopy",
        "rslave:x of the volume /srv:/srv:rslave:x",
    )


def test_a_compose_file_is_read() -> None:
    pod = read(COMPOSE.replace("    <<: {}\n", ""), {"TAG": "2"})
    web, db = (app.options for app in pod.apps)
    assert [app.reference for app in pod.apps] == ["web:2", "db:1"]
    assert (web.process.command, web.process.arguments) == (("/bin/web",), ("serve", "--name", "a b"))
    assert web.process.environment == ("A=1", "B")
    assert web.after == (Dependency("db", "healthy"),)
    assert [(port.container, port.candidates, port.address) for port in pod.publish] == [
        (80, (8080,), "127.0.0.1"),
        (443, (8443,), ""),
    ]
    assert [(mount.volume, mount.read_only) for mount in web.mounts[:1]] == [("shop_data", True)]
    assert [mount.target for mount in web.mounts] == ["/data", "/srv", "/tmp"]
    assert (web.read_only, web.stop_signal, pod.hostname) == (True, "SIGINT", "web-1")
    assert (web.isolation.limits.memory, web.isolation.limits.cpus) == (64 << 20, 1500)
    assert db.health_check is not None
    assert db.health_check.test == ("CMD-SHELL", "ok $X")
    assert (db.health_check.interval, db.health_check.retries) == (90_000_000_000, 5)
    assert ("127.0.0.1", "db") in pod.names.hosts
    assert pod.ignored == ()


def test_a_pod_manifest_is_read() -> None:
    image = {
        "id": "sha512-" + "0" * 128,
        "name": "example.com/web",
        "labels": [{"name": "version", "value": "1"}],
    }
    app = {
        "exec": ["/web"],
        "user": "0",
        "group": "0",
        "environment": [{"name": "A", "value": "1"}],
        "ports": [{"name": "http", "protocol": "tcp", "port": 80}],
        "isolators": [
            {"name": "resource/memory", "value": {"limit": "1G"}},
            {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_KILL"]}},
        ],
    }
    manifest = {
        "acVersion": "0.8.11",
        "acKind": "PodManifest",
        "apps": [{"name": "web", "image": image, "app": app, "mounts": [{"volume": "d", "path": "/d"}]}],
        "volumes": [{"name": "d", "kind": "empty"}],
        "ports": [{"name": "http", "hostPort": 8080}],
    }
    pod = read(json.dumps(manifest))
    options = pod.apps[0].options
    assert pod.apps[0].reference == "example.com/web:1"
    assert json.loads(options.pod_app) == app
    assert options.image_id == image["id"]
    assert pod.has_metadata
    assert (options.volumes[0].target, pod.publish[0].candidates) == ("/d", (8080,))


def test_a_kubernetes_container_has_at_least_the_processors_that_the_kernel_accepts() -> None:
    (app,) = read(one("    resources: {limits: {cpu: 1m}}\n")).apps
    assert app.options.isolation.limits.cpus == 10


def one(container: str, spec: str = "") -> str:
    head = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n"
    return f"{head}{spec}  containers:\n  - name: a\n    image: box:1\n{container}"


def service(text: str) -> str:
    return f"services:\n  a:\n    image: box:1\n{text}"


def mounting(path: str) -> str:
    """Return an App Container pod manifest that mounts a volume on a path."""
    mounts = [{"volume": "d", "path": path}]
    apps = [{"name": "a", "image": {"id": "sha512-" + "0" * 128}, "mounts": mounts}]
    volumes = [{"name": "d", "kind": "empty"}]
    return json.dumps({"acVersion": "0.8.11", "acKind": "PodManifest", "apps": apps, "volumes": volumes})


EMPTY = "  volumes: [{name: d, emptyDir: {}}]\n"
PROBLEMS = {
    "root of a Kubernetes container": (
        one("    volumeMounts: [{name: d, mountPath: /}]\n", EMPTY),
        "mountPath '/' is not a path below /",
    ),
    "root of a service": (service("    volumes: ['.:/']\n"), "'/' is not an absolute path below /"),
    "root of an app": (mounting("/"), "the mount path '/' is not below /"),
    "root of an app by another name": (mounting("//./"), "the mount path '//./' is not below /"),
    "little memory of a Kubernetes container": (
        one("    resources: {limits: {memory: 1}}\n"),
        "the memory limit is too little",
    ),
    "little memory of a service": (service("    mem_limit: 1\n"), "'1' is too little"),
    "few processors of a service": (service("    cpus: 0.001\n"), "'0.001' is not a number of processors"),
    "wrong type": (one("    ports: 80\n"), "-:8:12: 'spec.containers[0].ports' must be a list, not '80'"),
    "missing": (one("    env: [{value: x}]\n"), "-:8:11: spec.containers[0].env[0]: 'name' is missing"),
    "number": (one("    ports: [{containerPort: x}]\n"), "must be a whole number, not 'x'"),
    "quantity": (one("    resources: {limits: {cpu: lots}}\n"), "'lots' is not a quantity"),
    "privileged": (
        one("    securityContext: {privileged: true}\n"),
        "privileged containers are not supported",
    ),
    "volume": (one("    volumeMounts: [{name: d, mountPath: /d}]\n"), "there is no volume 'd'"),
    "sub path": (
        one(
            "    volumeMounts: [{name: d, mountPath: /d, subPath: ../x}]\n",
            "  volumes: [{name: d, emptyDir: {}}]\n",
        ),
        "leads out of the volume",
    ),
    "source": (one("", "  volumes: [{name: d, nfs: {}}]\n"), "has no source that Pumice supports"),
    "config map": (
        one("    envFrom: [{configMapRef: {name: c}}]\n"),
        "the ConfigMap 'c' is not in this file",
    ),
    "no pod": ("apiVersion: v1\nkind: Service\n", "the file has no Pod or Deployment"),
    "nothing": ("a: 1\n", "the file does not describe a pod"),
    "empty": ("", "the file is empty"),
    "yaml": ("services: {a: [}\n", "-:1:"),
    "duplicate key": (service("    user: a\n    user: b\n"), "-:5:5: "),
    "dependency": (service("    depends_on: [b]\n"), "there is no service 'b'"),
    "cycle": (service("    depends_on: [a]\n"), "the apps a wait for one another"),
    "build": ("services:\n  a: {build: .}\n", "the service 'a' has no image"),
    "required variable": (
        service("    user: ${U:?say who}\n"),
        "-:4:11: the variable 'U' is not set: say who",
    ),
    "variable": (service("    user: ${U\n"), "the variable 'U' has no '}' at its end"),
    "duration": (service("    healthcheck: {test: x, interval: soon}\n"), "'soon' is not a duration"),
    "mode": (service("    network_mode: service:b\n"), "network_mode 'service:b' is not possible"),
    "bind": (service("    volumes: ['./nosuch:/x']\n"), "cannot mount './nosuch'"),
    "name": ("services:\n  A B: {image: box:1}\n", "'A B' is not a name for an app"),
}


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_a_problem_is_located(name: str) -> None:
    text, message = PROBLEMS[name]
    with pytest.raises(PumiceError) as caught:
        read(text)
    assert message in str(caught.value)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        read(one("    ports: 80\n    env: 1\n    args: {}\n"))
    assert [problem.where for problem in caught.value.problems] == ["-:8:12", "-:9:10", "-:10:11"]


def test_unknown_fields_are_named_with_their_places() -> None:
    pod = read(one("    lifecycle: {}\n", "  affinity: {}\n"))
    assert pod.ignored == ("spec.affinity (-:5:3)", "spec.containers[0].lifecycle (-:9:5)")


def expand(text: str, values: dict[str, str]) -> str:
    interpolation = Interpolation(values)
    node = interpolation.replace(Scalar(text, True, "-", 1, 1))
    assert isinstance(node, Scalar)
    assert not interpolation.problems, text
    return node.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A-${A}", "1-1"),
        ("$$A", "$A"),
        ("${E:-x}${E-x}", "x"),
        ("${N:-${A}}${N-$A}", "11"),
        ("${A:+y}${E:+y}${E+y}${N+y}", "yy"),
        ("${A:?no}${N:-}", "1"),
        ("a}b", "a}b"),
    ],
)
def test_variables_are_replaced(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "E": ""}) == expected


@given(st.text(alphabet="${}:-?+AB_ x"))
def test_any_text_with_variables_ends(text: str) -> None:
    Interpolation({"A": "$B", "B": ""}).replace(Scalar(text, True, "-", 1, 1))


@given(st.binary(max_size=200), st.sampled_from([POD, COMPOSE]), st.integers(0, 2000), st.integers(0, 40))
def test_damaged_files_are_refused_or_read(junk: bytes, text: str, start: int, length: int) -> None:
    data = text.encode()
    data = data[:start] + junk + data[start + length :]
    try:
        read_pod_file("-", {"TAG": "1"}, io.BytesIO(data))
    except PumiceError as error:
        assert error.message


def test_documents_keep_their_line_numbers() -> None:
    documents = split_documents(b"# only a comment\n---\na: 1\n--- # second\nb: 2\n")
    assert documents == [b"\n\na: 1\n", b"\n\n\n\nb: 2\n"]


def test_paths_and_variables_of_a_compose_file_belong_to_its_directory(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TAG='7'\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "vars").write_text("X=1\n")
    text = "services:\n  a: {image: 'box:$TAG', volumes: ['./data:/d'], env_file: vars}\n"
    (tmp_path / "compose.yaml").write_text(text)
    pod = read_pod_file(str(tmp_path / "compose.yaml"), {}, io.BytesIO())
    options = pod.apps[0].options
    assert pod.apps[0].reference == "box:7"
    assert options.mounts[0].source == str(tmp_path / "data")
    assert options.process.environment == ("X=1",)
