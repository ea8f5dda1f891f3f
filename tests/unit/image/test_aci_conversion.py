"""Conversion between OCI and App Container: the root file system and the config survive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pumice.appc.image_manifest import ImageManifest, encode_image_manifest, read_image_manifest
from pumice.errors import FormatError, UsageError
from pumice.formats import oci
from pumice.image import aci_conversion, aci_reader, aci_rewriter
from pumice.image.aci_conversion import OciDocuments
from pumice.image.model import Image
from pumice.image.output import Output
from pumice.image.rootfs import merge_layers
from pumice.progress import Silent
from tests.support import aci, handmade
from tests.support import locations as support
from tests.support.handmade import ARM64, ImageContents, file, folder, hardlink, symlink

NAME = "example.com/hello"


def convert(config: dict[str, Any], annotations: dict[str, str] | None = None) -> ImageManifest:
    documents = OciDocuments({"os": "linux", "architecture": "amd64", **config}, annotations or {})
    return aci_conversion.make_manifest(documents, NAME, "1.0", lambda _: "50")


def back(manifest: ImageManifest) -> dict[str, Any]:
    encoded_manifest = encode_image_manifest(manifest)
    config, _ = aci_conversion.make_config(read_image_manifest(encoded_manifest)[0])
    return config


RUN: list[dict[str, Any]] = [
    {},
    {"User": "1000"},
    {"User": "1000:1000"},
    {"User": "www-data"},
    {"User": "/odd"},
    {"User": ":5"},
    {"User": "99999999999"},
    {"Entrypoint": ["/a", "b"]},
    {"Cmd": ["/a"]},
    {"Entrypoint": ["/a"], "Cmd": ["b", "c d"]},
    {"Env": ["PATH=/bin", "A=", "B=x=y"]},
    {"Env": ["A=1", "A=2"]},
    {"Env": ["no equals", "1A=x", "=y"]},
    {"WorkingDir": "/app"},
    {"WorkingDir": "app"},
    {"ExposedPorts": {"80/tcp": {}, "53/udp": {}}},
    {"ExposedPorts": {"80": {}, "1/sctp": {}, "x": {}, "8000-8010/tcp": {}}},
    {"Volumes": {"/data": {}, "/Data": {}, "/data/": {}, "relative": {}}},
    {"Labels": {"a": "b", "Ä": ""}},
    {"StopSignal": "SIGINT"},
    {"Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 1000000000}},
    {"OnBuild": ["RUN x"], "ArgsEscaped": True, "Shell": ["/bin/sh"], "x-future": {"a": [1.5, None]}},
]


@pytest.mark.parametrize("run", RUN, ids=str)
def test_every_member_of_a_config_survives(run: dict[str, Any]) -> None:
    config = {"config": run, "created": "2024-01-01T00:00:00Z", "author": "Ada"} if run else {"config": {}}
    expected = {"os": "linux", "architecture": "amd64", **config}
    if not run:
        del expected["config"]
    assert back(convert(config)) == expected


_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_configs = st.fixed_dictionaries(
    {},
    optional={
        "User": _texts,
        "Entrypoint": st.lists(_texts, max_size=3),
        "Cmd": st.lists(_texts, max_size=3),
        "Env": st.lists(st.builds("{}={}".format, _texts, _texts) | _texts, max_size=4),
        "ExposedPorts": st.dictionaries(
            st.builds("{}/{}".format, st.integers(0, 70000), st.sampled_from(["tcp", "udp", "x"])) | _texts,
            st.just({}),
            max_size=3,
        ),
        "Volumes": st.dictionaries(st.builds("/{}".format, _texts) | _texts, st.just({}), max_size=3),
        "WorkingDir": _texts | st.builds("/{}".format, _texts),
        "Labels": st.dictionaries(_texts, _texts, max_size=3),
        "StopSignal": _texts,
    },
)


@given(_configs, st.fixed_dictionaries({}, optional={"author": _texts, "created": _texts, "x-y": _texts}))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_config_survives(run: dict[str, Any], others: dict[str, str]) -> None:
    result = back(convert({"config": run, **others}))
    assert {key: value for key, value in result.pop("config", {}).items() if value} == {
        key: value for key, value in run.items() if value
    }
    assert {key: value for key, value in result.items() if value} == {
        "os": "linux",
        "architecture": "amd64",
        **{key: value for key, value in others.items() if value},
    }


@pytest.mark.parametrize(
    ("platform", "architecture"),
    [
        (("linux", "amd64", ""), "amd64"),
        (("linux", "386", ""), "i386"),
        (("linux", "arm64", ""), "aarch64"),
        (("linux", "arm64", "v8"), "aarch64"),
        (("linux", "arm", "v6"), "armv6l"),
        (("linux", "arm", "v7"), "armv7l"),
        (("linux", "arm", ""), "armv7l"),
        (("linux", "ppc64le", ""), "ppc64le"),
        (("linux", "s390x", ""), "s390x"),
        (("freebsd", "amd64", ""), "amd64"),
        (("darwin", "amd64", ""), "x86_64"),
    ],
)
def test_platforms_have_the_names_of_the_specification(
    platform: tuple[str, str, str], architecture: str
) -> None:
    system, name, variant = platform
    config = {"os": system, "architecture": name, **({"variant": variant} if variant else {})}
    manifest = convert(config)
    assert {label.name: label.value for label in manifest.labels}["arch"] == architecture
    result = back(manifest)
    assert {key: value for key, value in result.items() if value} == config


@pytest.mark.parametrize("platform", [("linux", "riscv64"), ("linux", "loong64"), ("windows", "amd64")])
def test_platforms_outside_of_the_specification_are_refused(platform: tuple[str, str]) -> None:
    with pytest.raises(FormatError, match="has no platform"):
        convert({"os": platform[0], "architecture": platform[1]})


@pytest.mark.parametrize("name", ["", "Example", "a--b", "a:b"])
def test_a_name_that_does_not_fit_is_refused_with_the_option(name: str) -> None:
    with pytest.raises(UsageError) as error:
        aci_conversion.check_image_name(name)
    assert "--name" in str(error.value.hint)


def test_kept_members_do_not_override_fields_that_were_changed_later() -> None:
    manifest = convert({"config": {"Entrypoint": ["/a"], "Cmd": ["b"], "StopSignal": "SIGINT"}})
    assert manifest.app is not None
    app = msgspec.structs.replace(manifest.app, exec=("/new",))
    config = back(msgspec.structs.replace(manifest, app=app))["config"]
    assert config["Entrypoint"] == ["/new"]
    assert "Cmd" not in config
    assert config["StopSignal"] == "SIGINT"


def visible(image: Image) -> dict[str, tuple[object, ...]]:
    names: dict[object, str] = {}
    tree: dict[str, tuple[object, ...]] = {}
    for path, (entry, origin) in merge_layers(image.layers()).items():
        first = names.setdefault(origin, path) if entry.kind == "file" else path
        times = entry.mtime if origin.layer >= 0 else 0
        tree[path] = (
            entry.kind,
            entry.mode,
            entry.uid,
            entry.gid,
            entry.size,
            times,
            entry.xattrs,
            entry.link,
            first,
        )
    return tree


ROOTFS = ImageContents(
    [
        [
            folder("etc"),
            file("etc/z", b"1"),
            file("etc/a", b"22", uid=1000, gid=5_000_000, mode=0o4755, mtime=1_700_000_000),
            hardlink("bin", "etc/a"),
            symlink("link", "../etc/a"),
            file("gone"),
            file("ü" + "x" * 120, b"long"),
            file("cap", b"x", xattrs={"security.capability": b"\1\0\0\2" + bytes(16)}),
        ],
        [
            file(".wh.gone"),
            file("etc/z", b"333"),
            folder("etc", 0o700),
            file("etc/passwd", b"app:x:7:77::/:/\n"),
        ],
    ],
    run=oci.RunConfig(user="app"),
)


def write(image: Image, path: Path) -> None:
    support.write(image, f"aci:{path}", name=NAME, version="1.0")


def read(path: Path) -> aci_reader.ReadAci:
    return aci_reader.read_aci(path, Silent())


@pytest.mark.parametrize(
    "contents", [handmade.small(), ROOTFS, ImageContents([])], ids=["small", "all", "empty"]
)
def test_the_root_file_system_survives(tmp_path: Path, contents: ImageContents) -> None:
    image = handmade.image(contents)
    write(image, tmp_path / "a.aci")
    again = read(tmp_path / "a.aci").image()
    assert visible(again) == visible(image)
    write(again, tmp_path / "b.aci")
    assert (tmp_path / "a.aci").read_bytes() == (tmp_path / "b.aci").read_bytes()


def test_the_layers_do_not_change_the_bytes(tmp_path: Path) -> None:
    one = ImageContents([[folder("d"), file("d/a", b"1"), file("d/b", b"2")]])
    two = ImageContents([[folder("d"), file("d/b", b"2"), file("d/a", b"0")], [file("d/a", b"1")]])
    ids = set()
    for number, contents in enumerate((one, two)):
        image = handmade.image(contents)
        write(image, tmp_path / str(number))
        with aci_reader.open_reader(tmp_path / str(number)) as reader:
            ids.add(tuple((entry.path, body.read()) for entry, body in reader.entries()))
    assert len(ids) == 1


def test_the_group_of_a_user_without_one_is_the_primary_group(tmp_path: Path) -> None:
    write(handmade.image(ROOTFS), tmp_path / "a.aci")
    app = read(tmp_path / "a.aci").validated.manifest.app
    assert app is not None
    assert (app.user, app.group) == ("app", "77")


def test_digests_of_the_original_are_annotations(tmp_path: Path) -> None:
    image = handmade.image(ROOTFS)
    write(image, tmp_path / "a.aci")
    annotations = {each.name: each.value for each in read(tmp_path / "a.aci").validated.manifest.annotations}
    assert annotations["dev.pumice/oci/manifest-digest"] == image.root.digest
    assert annotations["dev.pumice/oci/config-digest"] == image.manifest().config.digest


def test_an_app_container_image_survives_a_conversion_to_oci_and_back(tmp_path: Path) -> None:
    app = {
        "exec": ["/a"],
        "user": "/etc/passwd",
        "group": "5",
        "eventHandlers": [{"name": "pre-start", "exec": ["/b"]}],
        "isolators": [{"name": "resource/memory", "value": {"limit": "1G"}}],
        "ports": [{"name": "web", "protocol": "tcp", "port": 80, "count": 2, "socketActivated": True}],
        "mountPoints": [{"name": "work", "path": "/w", "readOnly": True}],
        "supplementaryGIDs": [7],
    }
    labels = [{"name": "version", "value": "1.0"}, {"name": "channel", "value": "x"}]
    labels += [{"name": "os", "value": "linux"}, {"name": "arch", "value": "aarch64"}]
    items = [folder(""), folder("etc"), file("etc/passwd", b"x", uid=42)]
    aci.image(tmp_path / "a.aci", items, name=NAME, app=app, labels=labels)
    image = read(tmp_path / "a.aci").image()
    run = image.config().config
    assert run.user == "42:5"
    assert set(run.exposed_ports) == {"80/tcp", "81/tcp"}
    assert image.platforms() == (ARM64,) or image.platforms()[0].architecture == "arm64"
    write(image, tmp_path / "b.aci")
    manifests = [json.loads(aci_reader.read_manifest(tmp_path / name)) for name in ("a.aci", "b.aci")]
    assert manifests[0] == manifests[1]


def test_ranges_of_ports_are_limited_together() -> None:
    ports = [{"name": f"p{number}", "protocol": "tcp", "port": 1, "count": 65000} for number in range(1000)]
    app = {"user": "0", "group": "0", "ports": ports}
    manifest, _ = read_image_manifest(aci.manifest(app=app))
    with pytest.raises(FormatError, match="more than 131072 ports"):
        aci_conversion.make_config(manifest)


def test_whiteouts_cannot_be_converted(tmp_path: Path) -> None:
    aci.image(tmp_path / "a.aci", [folder(""), file(".wh.x")])
    with pytest.raises(FormatError, match=r"begins with \.wh\."):
        read(tmp_path / "a.aci")


def test_another_manifest_leaves_the_files(tmp_path: Path) -> None:
    write(handmade.image(ROOTFS), tmp_path / "a.aci")
    first = read(tmp_path / "a.aci")
    manifest = msgspec.structs.replace(first.validated.manifest, name="example.com/other")
    with Output(str(tmp_path / "b.aci")) as output:
        image_id = aci_rewriter.rewrite_aci(tmp_path / "a.aci", manifest, output, "none", Silent())
    second = read(tmp_path / "b.aci")
    assert second.validated.image_id == image_id
    assert second.validated.manifest == manifest
    assert second.layer.diff_id == first.layer.diff_id
