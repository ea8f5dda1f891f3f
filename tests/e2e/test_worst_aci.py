"""The worst App Container images and manifests, fed to each command that reads them.

Whatever an image is, a command reports it in one sentence that names the file, with a documented exit code,
and leaves nothing behind.
"""

from __future__ import annotations

import copy
import gzip
import itertools
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from pumice.cli.main import main
from pumice.formats.tar import Entry
from tests.support import aci
from tests.support.publishers import enter_home

if TYPE_CHECKING:
    from collections.abc import Iterator

Out = pytest.CaptureFixture[str]
GOOD = (aci.manifest_file(), aci.ROOT)
ROOT = "rootfs"
LARGE_MANIFEST = 100_000_000


def json_manifest(data: bytes) -> bytes:
    return aci.archive(aci.manifest_file(data), aci.ROOT)


def missing_owner() -> bytes:
    app = {"exec": ["/a"], "user": "/nothing", "group": "0"}
    return json_manifest(aci.manifest(app=app))


def pod_manifest() -> bytes:
    return json_manifest(json.dumps({**POD, "apps": []}).encode())


def archive(*entries: Any) -> bytes:
    return aci.archive(*GOOD, *entries)


def link(path: str, target: str, kind: Any = "symlink") -> Entry:
    return Entry(f"{ROOT}/{path}", kind, 0o777, link=target)


def huge_manifest() -> bytes:
    annotation = {"name": "a", "value": "x" * LARGE_MANIFEST}
    return gzip.compress(json_manifest(aci.manifest(annotations=[annotation])), 1)


IMAGES: dict[str, tuple[Any, str]] = {
    "truncated gzip": (
        lambda: gzip.compress(archive(aci.file(f"{ROOT}/a", bytes(range(256)) * 40)))[:-300],
        "the gzip data is",
    ),
    "damaged gzip": (lambda: gzip.compress(archive())[:-8] + bytes(8), "the gzip data is damaged"),
    "truncated tar": (lambda: archive(aci.file(f"{ROOT}/a", b"a"))[:1800], "the archive is truncated"),
    "data after the end": (lambda: archive() + b"x" * 512, "has data after its end mark"),
    "manifest of 100 MB": (huge_manifest, "the manifest is larger than 4 MiB"),
    "two manifests": (lambda: aci.archive(GOOD[0], *GOOD), "'manifest' is in the archive twice"),
    "no manifest": (lambda: aci.archive(aci.ROOT), "the archive has no manifest"),
    "manifest is a link": (
        lambda: aci.archive(Entry("manifest", "symlink", 0o777, link="/etc/passwd"), aci.ROOT),
        "the manifest is a symlink, not a file",
    ),
    "no root": (lambda: aci.archive(GOOD[0]), "rootfs"),
    "root is a file": (lambda: aci.archive(GOOD[0], aci.file(ROOT)), "'rootfs' is a file"),
    "path traversal": (lambda: archive(aci.file(f"{ROOT}/../../etc/x")), "is outside the root"),
    "absolute path": (lambda: archive(aci.file("/etc/x")), "outside of rootfs/"),
    "beside the root": (lambda: archive(aci.file("rootfs-evil/x")), "outside of rootfs/"),
    "file below a link": (lambda: archive(link("a", "/etc"), aci.file(f"{ROOT}/a/x")), "not a directory"),
    "file below a loop": (
        lambda: archive(link("a", "b"), link("b", "a"), aci.file(f"{ROOT}/a/x")),
        "not a directory",
    ),
    "hard link out of the root": (lambda: archive(link("a", "../x", "hardlink")), "is outside the root"),
    "hard link to itself": (
        lambda: archive(link("a", f"{ROOT}/a", "hardlink")),
        "which is not a file before it",
    ),
    "a path twice": (lambda: archive(aci.file(f"{ROOT}/a"), aci.file(f"{ROOT}/a")), "in the archive twice"),
    "a key twice": (
        lambda: json_manifest(b'{"acKind":"ImageManifest","acKind":"ImageManifest"}'),
        "duplicate key 'acKind'",
    ),
    "manifest that is not text": (lambda: json_manifest(b'{"acKind":"\xff"}'), "byte 11 is not UTF-8"),
    "deep manifest": (lambda: json_manifest(b"[" * 50_000), "not valid strict JSON"),
    "manifest that is null": (lambda: json_manifest(b"null"), "is not a JSON object"),
    "pod manifest": (pod_manifest, "the document is a 'PodManifest'"),
    "zstd": (lambda: zstandard.compress(archive()), "which App Container does not have"),
    "garbage": (lambda: b"\xff\x00" * 5000, "not an App Container image"),
}
COMMANDS = (
    "aci validate {}",
    "aci patch-manifest --exec /a {} new.aci",
    "aci extract {} out",
    "aci render {} dir:out",
    "aci render top.aci --dependency {} dir:out",
    "aci encrypt --passphrase-file passphrase {} new.aci",
    "convert aci:{} oci:out:1",
    "copy --insecure-options=image aci:{} store:a:1",
    "files aci:{}",
    "run --insecure-options=image aci:{}",
    "prepare --insecure-options=image --name made aci:{}",
    "play --insecure-options=image --aci {} pod.json",
)
LABELS = [{"name": "version", "value": "1.0"}, {"name": "os", "value": "linux"}]
APP: dict[str, Any] = {
    "exec": ["/a"],
    "user": "0",
    "group": "0",
    "supplementaryGIDs": [1],
    "eventHandlers": [{"name": "pre-start", "exec": ["/a"]}],
    "workingDirectory": "/srv",
    "environment": [{"name": "A", "value": "b"}],
    "isolators": [
        {"name": "resource/cpu", "value": {"request": "100m", "limit": "1"}},
        {"name": "os/linux/seccomp-remove-set", "value": {"set": ["mount"], "errno": "EPERM"}},
        {"name": "os/linux/oom-score-adj", "value": 10},
    ],
    "mountPoints": [{"name": "data", "path": "/data", "readOnly": True}],
    "ports": [{"name": "http", "protocol": "tcp", "port": 80, "count": 2, "socketActivated": True}],
    "userAnnotations": {"dev.pumice.oci.config.Labels": '{"a": "b"}'},
    "userLabels": {"c": "d"},
}
IMAGE: dict[str, Any] = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.com/a",
    "labels": LABELS,
    "app": APP,
    "dependencies": [{"imageName": "example.com/b", "imageID": "sha512-" + "0" * 128, "size": 1}],
    "pathWhitelist": ["/a"],
    "annotations": [{"name": "created", "value": "2020-01-02T03:04:05Z"}],
}
MOUNT = {"volume": "data", "path": "/data", "appVolume": {"name": "own", "kind": "empty", "mode": "0755"}}
POD: dict[str, Any] = {
    "acKind": "PodManifest",
    "acVersion": "0.8.11",
    "apps": [{"name": "a", "image": {"id": "sha512-" + "0" * 128}, "app": APP, "mounts": [MOUNT]}],
    "volumes": [{"name": "data", "kind": "host", "source": "/tmp", "readOnly": True}],
    "isolators": [{"name": "os/unix/sysctl", "value": {"net.core.somaxconn": "10"}}],
    "annotations": [{"name": "a", "value": "b"}],
    "ports": [{"name": "http", "hostPort": 8080, "hostIP": "127.0.0.1"}],
}
WRONG: tuple[Any, ...] = (
    None,
    [],
    {},
    "",
    -1,
    1.5,
    10**30,
    True,
    "\x00",
    "\ud800",
    [[]],
    {"": None},
    "/../..",
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an image that depends on another, a pod manifest and a passphrase."""
    folder = tmp_path / "project"
    folder.mkdir()
    enter_home(tmp_path, monkeypatch)
    monkeypatch.chdir(folder)
    dependencies = [{"imageName": "example.com/hello"}]
    aci.image(folder / "top.aci", [], name="example.com/top", dependencies=dependencies)
    app = {"name": "a", "image": {"id": "sha512-" + "0" * 128}}
    Path("pod.json").write_text(json.dumps({**POD, "apps": [app], "ports": []}))
    Path("passphrase").write_text("x")
    return folder


def run_refused(command: str, capsys: Out) -> tuple[int, str]:
    """Run a command that fails; return its exit code and the message."""
    code = main(command.split())
    out, err = capsys.readouterr()
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (out, len(errors)) == ("", 1), (command, out, err)
    assert all(word not in err for word in ("Traceback", "PUMICE_DEBUG", "Errno")), (command, err)
    return code, errors[0]


@pytest.mark.parametrize("name", IMAGES)
def test_every_command_refuses_a_bad_image(name: str, project: Path, capsys: Out) -> None:
    make, sentence = IMAGES[name]
    Path("bad.aci").write_bytes(make())
    before = sorted(project.rglob("*"))
    for command in COMMANDS:
        code, message = run_refused(command.format("bad.aci"), capsys)
        assert (code, sentence in message, "bad.aci" in message) == (8, True, True), (command, message)
        assert sorted(project.rglob("*")) == before, command
    assert not list(Path(os.environ["PUMICE_HOME"], "tmp").glob("*"))


@pytest.mark.parametrize("kind", ["pipe", "loop", "directory"])
def test_every_command_refuses_what_is_not_a_file(kind: str, project: Path, capsys: Out) -> None:
    path = project / "bad.aci"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to("bad.aci")
    else:
        path.mkdir()
    for command in (*COMMANDS, "aci cat-manifest {}", "aci decrypt --passphrase-file passphrase {} new.aci"):
        code, message = run_refused(command.format("bad.aci"), capsys)
        assert (code, "bad.aci" in message) == (10, True), (command, message)


def test_a_missing_owner_is_an_error_with_the_file(project: Path, capsys: Out) -> None:
    Path("bad.aci").write_bytes(missing_owner())
    for command in ("convert aci:{} oci:out:1", "aci render {} dir:out", "files aci:{}"):
        code, message = run_refused(command.format("bad.aci"), capsys)
        assert code == 8
        assert message.startswith("error: bad.aci: the user or group is the owner of '/nothing'"), command
    assert not (project / "out").exists()


def list_places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of each value in a document."""
    yield place
    if isinstance(document, dict | list):
        for key, value in document.items() if isinstance(document, dict) else enumerate(document):
            yield from list_places(value, (*place, key))


def replace_value(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Return a document with another value at a place."""
    if not place:
        return value
    changed = copy.deepcopy(document)
    parent = changed
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    return changed


@pytest.mark.parametrize("document", [IMAGE, POD], ids=["image", "pod"])
def test_wrong_types_at_each_level_are_reported(document: Any, project: Path, capsys: Out) -> None:
    path = project / "m.json"
    count = itertools.count()
    for place in list_places(document):
        for value in WRONG:
            path.write_text(json.dumps(replace_value(document, place, value)))
            code = main(["aci", "validate", "--type", "manifest", "m.json"])
            out, err = capsys.readouterr()
            errors = [line for line in err.splitlines() if line.startswith("error: ")]
            assert (code, len(errors), "PUMICE_DEBUG" in err) in {(0, 0, False), (8, 1, False)}, (place, err)
            assert code == 0 or errors[0].startswith("error: m.json: "), (place, value, err)
            assert bool(out) == (code == 0)
            next(count)
    assert next(count) > 500


def test_unknown_isolators_may_have_any_value(project: Path, capsys: Out) -> None:
    isolators = [{"name": "example.com/new", "value": {"rate": 1.5}}]
    app = {"exec": ["/a"], "user": "0", "group": "0", "isolators": isolators}
    aci.image(project / "a.aci", [], name="example.com/a", labels=LABELS, app=app)
    assert main(["convert", "--progress", "none", "aci:a.aci", "oci:out"]) == 0
    assert "example.com/new" in capsys.readouterr().err
    assert main(["inspect", "oci:out"]) == 0
    shutil.rmtree("out")
