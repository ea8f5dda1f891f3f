"""Image and pod manifests: tables of what is valid, what is accepted with a warning, and what is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.appc import isolators
from pumice.appc.app import App, EventHandler, MountPoint, Port
from pumice.appc.image_manifest import (
    Dependency,
    ImageManifest,
    encode_image_manifest,
    is_same_image,
    read_image_manifest,
)
from pumice.appc.isolators import Isolator
from pumice.appc.labels import Annotation, Label, Variable
from pumice.appc.pod_manifest import encode_pod_manifest, is_pod_manifest, read_pod_manifest
from pumice.errors import FormatError

ID = "sha512-" + "0f" * 64
IMAGE: dict[str, Any] = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.com/reduce-worker",
    "labels": [
        {"name": "version", "value": "1.0.0"},
        {"name": "arch", "value": "amd64"},
        {"name": "os", "value": "linux"},
    ],
    "app": {
        "exec": ["/usr/bin/reduce-worker", "--quiet"],
        "user": "100",
        "group": "300",
        "supplementaryGIDs": [400, 500],
        "eventHandlers": [
            {"exec": ["/usr/bin/data-downloader"], "name": "pre-start"},
            {"exec": ["/usr/bin/deregister-worker", "--verbose"], "name": "post-stop"},
        ],
        "workingDirectory": "/opt/work",
        "environment": [{"name": "REDUCE_WORKER_DEBUG", "value": "true"}],
        "isolators": [
            {"name": "resource/cpu", "value": {"request": "250m", "limit": "500m"}},
            {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_NET_BIND_SERVICE"]}},
        ],
        "mountPoints": [{"name": "work", "path": "/var/lib/work", "readOnly": False}],
        "ports": [{"name": "health", "port": 4000, "protocol": "tcp", "socketActivated": True}],
        "userAnnotations": {"Any Thing": "x"},
        "userLabels": {"team": "a"},
    },
    "dependencies": [
        {
            "imageName": "example.com/base",
            "imageID": ID,
            "labels": [{"name": "os", "value": "linux"}],
            "size": 22017258,
        }
    ],
    "pathWhitelist": ["/etc/ca", "/usr/bin/ruby"],
    "annotations": [
        {"name": "authors", "value": "Carly Container <carly@example.com>"},
        {"name": "created", "value": "2014-10-27T19:32:27.67021798Z"},
        {"name": "documentation", "value": "https://example.com/docs"},
        {"name": "appc.io/executor/supports-systemd-notify", "value": "true"},
    ],
}
POD: dict[str, Any] = {
    "acKind": "PodManifest",
    "acVersion": "0.8.11",
    "apps": [
        {
            "name": "reduce-worker",
            "image": {"name": "example.com/reduce-worker", "id": ID, "labels": []},
            "app": {"exec": ["/bin/x"], "user": "0", "group": "0"},
            "mounts": [
                {"volume": "worklib", "path": "/var/lib/work"},
                {"volume": "own", "path": "/o", "appVolume": {"name": "own", "kind": "empty"}},
            ],
            "readOnlyRootFS": True,
            "annotations": [{"name": "foo", "value": "baz"}],
        },
        {"name": "backup", "image": {"id": ID}},
    ],
    "volumes": [
        {
            "name": "worklib",
            "kind": "host",
            "source": "/opt/tenant1/work",
            "readOnly": True,
            "recursive": False,
        },
        {"name": "scratch", "kind": "empty", "mode": "0700", "uid": 1, "gid": 2},
    ],
    "isolators": [{"name": "resource/memory", "value": {"limit": "4G"}}],
    "annotations": [{"name": "ip-address", "value": "10.1.2.3"}],
    "ports": [
        {"name": "ftp", "hostPort": 2121, "hostIP": "192.0.2.1"},
        {"name": "web", "hostPort": 80, "podPort": {"name": "web", "protocol": "tcp", "port": 8080}},
    ],
    "userAnnotations": {"a": "b"},
    "userLabels": {"c": "d"},
}
DELETE = object()


def changed(document: dict[str, Any], path: str, value: object) -> bytes:
    """Return a document with another value at a path such as ``app.ports.0.port``."""
    document = copy.deepcopy(document)
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    target: Any = document
    for part in parents:
        target = target[part]
    if value is DELETE:
        del target[last]
    else:
        target[last] = value
    return json.dumps(document).encode()


def test_a_full_image_manifest_is_read_and_written_without_loss() -> None:
    manifest, warnings = read_image_manifest(json.dumps(IMAGE).encode(), strict=True)
    assert not warnings
    expected = copy.deepcopy(IMAGE)
    del expected["app"]["mountPoints"][0]["readOnly"]  # false is the default
    assert json.loads(encode_image_manifest(manifest)) == expected


def test_a_full_pod_manifest_is_read_and_written_without_loss() -> None:
    manifest, warnings = read_pod_manifest(json.dumps(POD).encode(), strict=True)
    assert not warnings
    expected = copy.deepcopy(POD)
    del expected["apps"][0]["image"]["labels"]
    assert json.loads(encode_pod_manifest(manifest)) == expected
    assert is_pod_manifest(json.dumps(POD).encode())
    assert not is_pod_manifest(json.dumps(IMAGE).encode())
    assert not is_pod_manifest(b"{")


VALID_PODS = [
    ("apps.0.app", DELETE),
    ("apps.0.readOnlyRootFS", DELETE),
    ("apps.0.mounts", []),
    ("apps.0.image.name", DELETE),
    ("volumes.0.recursive", DELETE),
    ("volumes.0", {"name": "worklib", "kind": "empty", "readOnly": True}),
    ("volumes.1.mode", "1777"),
    ("volumes.1.uid", DELETE),
    ("isolators", [{"name": "os/unix/sysctl", "value": {"net.core.somaxconn": "10"}}]),
    ("isolators", [{"name": "resource/network-bandwidth", "value": {"default": True, "limit": "1M"}}]),
    ("ports.0.hostIP", "2001:db8::1"),
    ("ports.1.podPort.socketActivated", True),
    ("annotations", []),
    ("apps", []),
]


@pytest.mark.parametrize(("path", "value"), VALID_PODS)
def test_valid_pod_manifests_are_accepted_without_a_warning(path: str, value: object) -> None:
    read_pod_manifest(changed(POD, path, value), strict=True)


VALID = [
    ("app", DELETE),
    ("app", None),
    ("labels", None),
    ("labels", []),
    ("app.exec", DELETE),
    ("app.exec", []),
    ("app.user", "/etc/passwd"),
    ("app.user", "www-data"),
    ("app.ports.0", {"name": "a", "protocol": "udp", "port": 65535}),
    ("app.ports.0", {"name": "a", "protocol": "tcp", "port": 1, "count": 65535}),
    ("dependencies.0", {"imageName": "a"}),
    ("acVersion", "0.5.1"),
    ("labels.1.value", "aarch64"),
]


@pytest.mark.parametrize(("path", "value"), VALID)
def test_valid_image_manifests_are_accepted_without_a_warning(path: str, value: object) -> None:
    read_image_manifest(changed(IMAGE, path, value), strict=True)


UNUSUAL = [
    ("name", "example.com//a"),
    ("future", {"a": 1}),
    ("app.future", 1),
    ("app.isolators.0", {"name": "example.com/unknown", "value": {"a": 1.5}}),
    ("app.isolators.0", {"name": "os/unix/sysctl", "value": {"net.a": "1"}}),
    ("app.isolators.0", {"name": "resource/cpu", "value": {}}),
    ("app.isolators.0", {"name": "resource/cpu", "value": {"limit": "1K"}}),
    ("app.isolators.1.value.set", ["kill"]),
    ("app.ports.0.protocol", "sctp"),
    ("app.eventHandlers.0.exec", []),
    ("labels.2", {"name": "x", "value": "an arch without an os"}),
]


@pytest.mark.parametrize(("path", "value"), UNUSUAL)
def test_unusual_image_manifests_are_read_with_a_warning_but_not_written(path: str, value: object) -> None:
    manifest, warnings = read_image_manifest(changed(IMAGE, path, value))
    assert len(warnings) == 1
    with pytest.raises(FormatError):
        read_image_manifest(changed(IMAGE, path, value), strict=True)
    assert manifest.ac_kind == "ImageManifest"


@pytest.mark.parametrize("spelling", ["supplementaryGids", "supplementarygids", "SupplementaryGIDs"])
def test_other_capitals_in_names_of_members_are_read_with_a_warning(spelling: str) -> None:
    app = {**IMAGE["app"], spelling: [7]}
    del app["supplementaryGIDs"]
    manifest, warnings = read_image_manifest(changed(IMAGE, "app", app))
    assert manifest.app is not None
    assert manifest.app.supplementary_gids == (7,)
    assert "supplementaryGIDs" in warnings[0]


INVALID = [
    ("acKind", DELETE),
    ("acKind", "PodManifest"),
    ("acKind", "imagemanifest"),
    ("acVersion", DELETE),
    ("acVersion", "0.0.0"),
    ("acVersion", "2.0.0"),
    ("acVersion", 1),
    ("name", DELETE),
    ("name", ""),
    ("name", "Example.com/A"),
    ("name", "a/../../b"),
    ("labels", {}),
    ("labels.0", "version"),
    ("labels.0.name", "name"),
    ("labels.0.name", "arch"),
    ("labels.0.value", 1),
    ("labels.0.value", DELETE),
    ("labels.1.value", "arm64"),
    ("labels.1.value", "x86_64"),
    ("labels.1.value", "riscv64"),
    ("labels.2.value", "plan9"),
    ("app", []),
    ("app.exec", "/bin/sh"),
    ("app.exec", [1]),
    ("app.exec", ["a\0b"]),
    ("app.user", DELETE),
    ("app.user", ""),
    ("app.user", "-1"),
    ("app.user", "99999999999"),
    ("app.user", "/../x"),
    ("app.group", DELETE),
    ("app.supplementaryGIDs", [-1]),
    ("app.supplementaryGIDs", [True]),
    ("app.supplementaryGIDs", [1.5]),
    ("app.supplementaryGIDs", [1 << 32]),
    ("app.supplementarygids", [1]),
    ("app.eventHandlers.0.name", "start"),
    ("app.eventHandlers.0.name", "post-stop"),
    ("app.workingDirectory", "opt"),
    ("app.workingDirectory", "/a/../b"),
    ("app.environment.0.name", "1A"),
    ("app.environment.0.name", "A=B"),
    ("app.environment", [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
    ("app.mountPoints.0.name", "a_b"),
    ("app.mountPoints.0.path", DELETE),
    ("app.mountPoints.0.path", "var"),
    ("app.mountPoints", [{"name": "a", "path": "/1"}, {"name": "a", "path": "/2"}]),
    ("app.ports.0.protocol", DELETE),
    ("app.ports.0.protocol", ""),
    ("app.ports.0.port", 0),
    ("app.ports.0.port", 65536),
    ("app.ports.0.port", "80"),
    ("app.ports.0.count", 0),
    ("app.ports.0", {"name": "a", "protocol": "tcp", "port": 65535, "count": 2}),
    ("app.ports", [{"name": "a", "protocol": "tcp", "port": 1}, {"name": "a", "protocol": "udp", "port": 2}]),
    ("app.userLabels", []),
    ("app.userLabels", {"a": 1}),
    ("dependencies.0.imageName", DELETE),
    ("dependencies.0.imageID", "sha512-abc"),
    ("dependencies.0.imageID", ""),
    ("dependencies.0.size", -1),
    ("dependencies.0.labels", [{"name": "name", "value": "x"}]),
    ("pathWhitelist", ["etc"]),
    ("pathWhitelist", ["/../etc"]),
    ("pathWhitelist", "/etc"),
    ("annotations.0.name", "Authors"),
    ("annotations.0.name", "created"),
    ("annotations.1.value", "yesterday"),
    ("annotations.2.value", "example.com"),
    ("annotations.3.value", "yes"),
]


@pytest.mark.parametrize(("path", "value"), INVALID)
def test_invalid_image_manifests_are_refused_with_the_place(path: str, value: object) -> None:
    with pytest.raises(FormatError) as error:
        read_image_manifest(changed(IMAGE, path, value))
    assert error.value.where


INVALID_ISOLATORS: list[tuple[str, object]] = [
    (isolators.CPU, None),
    (isolators.CPU, {"limit": "-1"}),
    (isolators.CPU, {"limit": "x"}),
    (isolators.CPU, {"limit": True}),
    (isolators.CPU, {"request": "2", "limit": "1"}),
    (isolators.CPU, {"default": True, "limit": "1"}),
    (isolators.MEMORY, "4G"),
    (isolators.BLOCK_BANDWIDTH, {"limit": "1M"}),
    (isolators.BLOCK_BANDWIDTH, {"default": True}),
    (isolators.BLOCK_OPERATIONS, {"default": True, "limit": "1", "request": "1"}),
    (isolators.NETWORK_BANDWIDTH, {"default": False, "limit": "1"}),
    (isolators.RETAIN_CAPABILITIES, {"set": []}),
    (isolators.RETAIN_CAPABILITIES, {}),
    (isolators.REMOVE_CAPABILITIES, {"set": "CAP_KILL"}),
    (isolators.RETAIN_SYSCALLS, {"set": []}),
    (isolators.RETAIN_SYSCALLS, {"set": ["@A"]}),
    (isolators.REMOVE_SYSCALLS, {"set": ["open"], "errno": "eperm"}),
    (isolators.NO_NEW_PRIVILEGES, "true"),
    (isolators.OOM_SCORE, 1001),
    (isolators.OOM_SCORE, -1001),
    (isolators.OOM_SCORE, "1"),
    (isolators.CPU_SHARES, 1),
    (isolators.CPU_SHARES, 262145),
    (isolators.SELINUX, {"user": "u", "role": "r", "type": "t"}),
    (isolators.SELINUX, {"user": "u", "role": "", "type": "t", "level": "l"}),
    (isolators.SELINUX, {"user": "u:x", "role": "r", "type": "t", "level": "l"}),
    (isolators.APPARMOR, {"profile": ""}),
    (isolators.APPARMOR, {}),
]


@pytest.mark.parametrize(("name", "value"), INVALID_ISOLATORS)
def test_invalid_isolators_are_refused(name: str, value: object) -> None:
    with pytest.raises(FormatError):
        read_image_manifest(changed(IMAGE, "app.isolators", [{"name": name, "value": value}]))


VALID_ISOLATORS: list[tuple[str, object, object]] = [
    (isolators.CPU, {"limit": "500m"}, isolators.Resource),
    (isolators.CPU, {"request": 1}, isolators.Resource),
    (isolators.MEMORY, {"request": "1G", "limit": "1G"}, isolators.Resource),
    (isolators.BLOCK_BANDWIDTH, {"default": True, "limit": "1M"}, isolators.Resource),
    (isolators.BLOCK_OPERATIONS, {"default": True, "limit": "1k"}, isolators.Resource),
    (isolators.NETWORK_BANDWIDTH, {"default": True, "limit": "1Gi"}, isolators.Resource),
    (isolators.RETAIN_CAPABILITIES, {"set": ["CAP_KILL"]}, isolators.Capabilities),
    (isolators.REMOVE_CAPABILITIES, {"set": ["CAP_KILL", "CAP_CHOWN"]}, isolators.Capabilities),
    (isolators.RETAIN_SYSCALLS, {"set": ["@appc.io/all"]}, isolators.Syscalls),
    (isolators.REMOVE_SYSCALLS, {"set": ["reboot", "swapon"], "errno": "EPERM"}, isolators.Syscalls),
    (isolators.NO_NEW_PRIVILEGES, True, bool),
    (isolators.OOM_SCORE, -1000, int),
    (isolators.CPU_SHARES, 1024, int),
    (isolators.SELINUX, {"user": "u", "role": "r", "type": "t", "level": "s0:c1"}, isolators.SelinuxContext),
    (isolators.APPARMOR, {"profile": "p"}, isolators.AppArmorProfile),
]


@pytest.mark.parametrize(("name", "value", "kind"), VALID_ISOLATORS)
def test_valid_isolators_have_typed_values(name: str, value: object, kind: type) -> None:
    manifest, _ = read_image_manifest(
        changed(IMAGE, "app.isolators", [{"name": name, "value": value}]), strict=True
    )
    assert manifest.app is not None
    assert isinstance(isolators.read_value(manifest.app.isolators[0]), kind)


@pytest.mark.parametrize(
    "names",
    [
        (isolators.RETAIN_CAPABILITIES, isolators.REMOVE_CAPABILITIES),
        (isolators.RETAIN_SYSCALLS, isolators.REMOVE_SYSCALLS),
        (isolators.CPU_SHARES, isolators.CPU_SHARES),
    ],
)
def test_isolators_that_contradict_each_other_are_refused(names: tuple[str, str]) -> None:
    values = {name: value for name, value, _ in VALID_ISOLATORS}
    both = [{"name": name, "value": values[name]} for name in names]
    with pytest.raises(FormatError):
        read_image_manifest(changed(IMAGE, "app.isolators", both))


KNOWN_ISOLATORS = sorted({name for name, _, _ in VALID_ISOLATORS} | {isolators.SYSCTL})


@pytest.mark.parametrize("name", KNOWN_ISOLATORS)
@pytest.mark.parametrize("isolator", [{}, {"value": None}, {"value": []}, {"value": 1.5}], ids=str)
def test_an_isolator_needs_a_value_of_its_type(name: str, isolator: dict[str, object]) -> None:
    for document, path, read in (
        (IMAGE, "app.isolators", read_image_manifest),
        (POD, "isolators", read_pod_manifest),
    ):
        with pytest.raises(FormatError):
            read(changed(document, path, [{"name": name, **isolator}]))


def test_an_unknown_isolator_is_kept_with_a_warning() -> None:
    unknown = {"name": "example.com/unknown", "value": {"a": [1]}}
    manifest, warnings = read_image_manifest(changed(IMAGE, "app.isolators", [unknown]))
    assert manifest.app is not None
    assert manifest.app.isolators == (Isolator("example.com/unknown", {"a": [1]}),)
    assert len(warnings) == 1


@pytest.mark.parametrize("value", [{"a": 1}, {"a": None}, {"a": "x\0"}, "net.core.somaxconn=1"], ids=str)
def test_invalid_sysctls_of_a_pod_are_refused(value: object) -> None:
    with pytest.raises(FormatError):
        read_pod_manifest(changed(POD, "isolators", [{"name": isolators.SYSCTL, "value": value}]))


def members(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and the value of everything in a document."""
    if path:
        yield path, value
    children: Any = {}
    if isinstance(value, dict | list):
        children = value if isinstance(value, dict) else dict(enumerate(value))
    for key, child in children.items():
        yield from members(child, f"{path}.{key}".lstrip("."))


OTHER_TYPES: dict[type, tuple[object, ...]] = {
    str: (1, True, [], {}),
    bool: ("true", 1, [], {}),
    int: ("1", True, 1.5, [], {}, 1 << 70),
    list: ("a", {"a": 1}, 1, [None], [[]]),
    dict: ("a", [], 1, True),
}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ("image" if document is IMAGE else "pod", path)
        for document in (IMAGE, POD)
        for path, _ in members(document)
        if "isolators.0.value" not in f"{path}." and "isolators.1.value" not in f"{path}."
    ],
)
def test_every_member_has_values_of_one_type(document: str, path: str) -> None:
    whole, read = (IMAGE, read_image_manifest) if document == "image" else (POD, read_pod_manifest)
    own = dict(members(whole))[path]
    for value in OTHER_TYPES[type(own)]:
        with pytest.raises(FormatError):
            read(changed(whole, path, value))


INVALID_PODS = [
    ("acVersion", "0.0.0"),
    ("acVersion", DELETE),
    ("apps.0.name", DELETE),
    ("apps.0.image.name", "A"),
    ("apps.0.image.labels", [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]),
    ("apps.0.annotations", [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]),
    ("apps.0.mounts.0.volume", DELETE),
    ("apps.0.mounts.0.path", DELETE),
    ("apps.0.mounts.0.path", "/a/../b"),
    ("annotations.0.name", "Ip"),
    ("isolators.0.name", "Resource"),
    ("volumes.0.name", "a_b"),
    ("volumes.0.source", "/a/../b"),
    ("volumes.0.uid", 1),
    ("volumes.1.recursive", True),
    ("volumes.1.gid", 1 << 32),
    ("ports.0.hostPort", 65536),
    ("ports.0.hostIP", "192.0.2.256"),
    ("ports.0.hostIP", "192.0.2.1:80"),
    ("ports.1.podPort", {"name": "a", "protocol": "tcp", "port": 65535, "count": 2}),
    ("acKind", "ImageManifest"),
    ("apps", {}),
    ("apps.0.name", "A"),
    ("apps.0.name", "backup"),
    ("apps.0.image", DELETE),
    ("apps.0.image.id", DELETE),
    ("apps.0.image.name", ""),
    ("apps.0.image.id", "sha512-00"),
    ("apps.0.app.user", DELETE),
    ("apps.0.mounts.0.path", "x"),
    ("apps.0.mounts.1.appVolume.kind", "other"),
    ("volumes.0.kind", "nfs"),
    ("volumes.0.source", "relative"),
    ("volumes.0.source", DELETE),
    ("volumes.0.mode", "0700"),
    ("volumes.1.mode", "rwx"),
    ("volumes.1.mode", "99999"),
    ("volumes.1.uid", -1),
    ("volumes.1.source", "/x"),
    ("volumes.1.name", "worklib"),
    ("ports.0.hostPort", 0),
    ("ports.0.hostPort", "80"),
    ("ports.0.hostPort", DELETE),
    ("ports.0.hostIP", "localhost"),
    ("ports.0.name", "web"),
    ("ports.1.podPort.port", 0),
    ("ports.1.podPort.protocol", DELETE),
]


@pytest.mark.parametrize(("path", "value"), INVALID_PODS)
def test_invalid_pod_manifests_are_refused_with_the_place(path: str, value: object) -> None:
    with pytest.raises(FormatError) as error:
        read_pod_manifest(changed(POD, path, value))
    assert error.value.where


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("apps.0.mounts.0.volume", "missing"),
        ("isolators.0", {"name": "os/linux/cpu-shares", "value": 1024}),
        ("isolators.0", {"name": "example.com/unknown", "value": 1}),
        ("future", 1),
    ],
)
def test_unusual_pod_manifests_are_read_with_a_warning(path: str, value: object) -> None:
    _, warnings = read_pod_manifest(changed(POD, path, value))
    assert len(warnings) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"acKind":"ImageManifest","acKind":"ImageManifest","acVersion":"0.8.11","name":"a"}',
        b'{"acKind":"ImageManifest","acVersion":"0.8.11","name":"a","Name":"b"}',
        b'{"acKind":"ImageManifest","acVersion":"0.8.11","name":"a"} {}',
        b'{"acKind":"ImageManifest","acVersion":"0.8.11","name":"\xff"}',
        b'{"acKind":"ImageManifest","acVersion":"0.8.11","name":"a","x":' + b"[" * 200 + b"]" * 200 + b"}",
        b" " * (4 << 20) + b"{}",
    ],
    ids=["empty", "list", "null", "twice", "twice in other capitals", "two", "latin", "deep", "large"],
)
def test_malformed_documents_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        read_image_manifest(data)
    with pytest.raises(FormatError):
        read_pod_manifest(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from([path for path, _ in [*VALID, *UNUSUAL, *INVALID]]),
)
def test_any_value_anywhere_is_read_or_refused(value: object, path: str) -> None:
    try:
        manifest, warnings = read_image_manifest(changed(IMAGE, path, value))
        if not warnings:
            assert read_image_manifest(encode_image_manifest(manifest))[0] == manifest
    except FormatError:
        pass


def test_an_invalid_value_is_not_written() -> None:
    for manifest in (
        ImageManifest(name="Example"),
        ImageManifest(name="a", path_whitelist=("x",)),
        ImageManifest(name="a", app=App(user="0", group="")),
        ImageManifest(name="a", app=App(user="0", group="0", isolators=(Isolator("example.com/x", 1.5),))),
        ImageManifest(name="a", app=App(user="0", group="0", environment=(Variable("A", "\udcff"),))),
    ):
        with pytest.raises(FormatError):
            encode_image_manifest(manifest)


def test_defaults_are_not_written() -> None:
    app = App(
        user="0",
        group="0",
        mount_points=(MountPoint("a", "/a"),),
        ports=(Port("b", "tcp", 1),),
        event_handlers=(EventHandler("pre-start", ("/x",)),),
    )
    manifest = ImageManifest(name="a", app=app, annotations=(Annotation("x", "y"),))
    assert encode_image_manifest(manifest) == (
        b'{"acKind":"ImageManifest","acVersion":"0.8.11","annotations":[{"name":"x","value":"y"}],'
        b'"app":{"eventHandlers":[{"exec":["/x"],"name":"pre-start"}],"group":"0",'
        b'"mountPoints":[{"name":"a","path":"/a"}],"ports":[{"name":"b","port":1,"protocol":"tcp"}],"user":"0"},'
        b'"name":"a"}'
    )


def test_an_image_matches_a_name_and_a_part_of_its_labels() -> None:
    manifest = ImageManifest(name="a", labels=(Label("os", "linux"), Label("version", "1")))
    assert is_same_image(manifest, "a", [Label("version", "1")])
    assert not is_same_image(manifest, "a", [Label("version", "2")])
    assert not is_same_image(manifest, "a", [Label("channel", "x")])
    assert not is_same_image(manifest, "b", [])
    assert Dependency(image_name="a").size == 0
