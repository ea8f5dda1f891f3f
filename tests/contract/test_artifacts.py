"""Artifacts that are not images: copied between all transports, and shown by the commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pumice import digest
from pumice.cli.main import main
from pumice.formats import oci
from pumice.store.home import Home
from tests.support import images, serving, transfers
from tests.support import registry as support
from tests.support.registry import Registry

LAYER = b"content of a layer"
HELM = "application/vnd.cncf.helm.config.v1+json"
CACHE = "application/vnd.buildkit.cacheconfig.v0"


def descriptor(home: Home, content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": images.put(home, content), "size": len(content), **more}


def manifest(home: Home, config: dict[str, Any], *layers: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "config": config, "layers": layers, **more}).encode()


def helm(home: Home) -> tuple[bytes, str]:
    layer = descriptor(home, LAYER, "application/vnd.cncf.helm.chart.content.v1.tar+gzip")
    return manifest(home, descriptor(home, b'{"name": "chart"}', HELM), layer), oci.MANIFEST


def typed(home: Home) -> tuple[bytes, str]:
    empty = descriptor(home, b"{}", oci.EMPTY, data="e30=")
    layer = descriptor(home, LAYER, "text/plain", annotations={"org.opencontainers.image.title": "a.txt"})
    return manifest(
        home, empty, layer, artifactType="application/x-thing", mediaType=oci.MANIFEST
    ), oci.MANIFEST


def config_of_nothing(home: Home) -> tuple[bytes, str]:
    """Return an artifact with an empty image config, as some tools push it."""
    config = descriptor(home, b"{}", oci.CONFIG)
    return manifest(home, config, descriptor(home, LAYER, "application/wasm")), oci.MANIFEST


def go_nulls(home: Home) -> tuple[bytes, str]:
    layer = descriptor(home, LAYER, "text/plain", annotations=None, urls=None, platform=None)
    config = descriptor(home, b"{}", "application/x-config", annotations=None)
    return manifest(home, config, layer, annotations=None, subject=None), oci.MANIFEST


def cache(home: Home) -> tuple[bytes, str]:
    descriptors = [
        descriptor(home, LAYER, oci.LAYER_GZIP),
        descriptor(home, b"another layer", oci.LAYER_ZSTD),
        descriptor(home, b'{"layers": []}', CACHE),
    ]
    return json.dumps(
        {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": descriptors}
    ).encode(), oci.INDEX


def attested(home: Home) -> tuple[bytes, str]:
    """Return an index as BuildKit writes it: an image, and an attestation for an unknown platform."""
    image = images.make(home, [{"file": "content"}]).root
    unknown = {"architecture": "unknown", "os": "unknown"}
    config = descriptor(
        home, json.dumps({**unknown, "rootfs": {"type": "layers", "diff_ids": []}}).encode(), oci.CONFIG
    )
    data = manifest(
        home, config, descriptor(home, b"{}", "application/vnd.in-toto+json"), mediaType=oci.MANIFEST
    )
    notes = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.digest}
    descriptors = [
        {"mediaType": image.media_type, "digest": image.digest, "size": image.size}
        | {"platform": {"architecture": "amd64", "os": "linux"}},
        descriptor(home, data, oci.MANIFEST, platform=unknown, annotations=notes),
    ]
    return json.dumps(
        {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": descriptors}
    ).encode(), oci.INDEX


def empty_index(home: Home) -> tuple[bytes, str]:
    return json.dumps({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": []}).encode(), oci.INDEX


KINDS = [helm, typed, config_of_nothing, go_nulls, cache, attested, empty_index]
SHOWN = {
    helm: HELM,
    typed: "application/x-thing",
    config_of_nothing: oci.CONFIG,
    go_nulls: "application/x-config",
    cache: CACHE,
    attested: oci.CONFIG,
    empty_index: "index",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    with Home(tmp_path / "store") as opened_home:
        yield opened_home


def store(home: Home, kind: Any) -> str:
    data, media_type = kind(home)
    root = oci.Descriptor(media_type, images.put(home, data), len(data))
    home.refs.set("example.com/thing:1", root)
    return root.digest


@pytest.fixture(params=["memory", "ours", pytest.param("debian", marks=pytest.mark.peer("docker-registry"))])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory":
        with support.serving(Registry()) as where:
            yield where
    elif request.param == "ours":
        with serving.serving(tmp_path / "served") as registry:
            yield registry.host
    else:
        (tmp_path / "debian").mkdir()
        with support.debian(tmp_path / "debian") as where:
            yield where


@pytest.mark.parametrize("kind", KINDS)
def test_an_artifact_is_copied_between_all_transports(
    home: Home, tmp_path: Path, kind: Any, host: str
) -> None:
    name = store(home, kind)
    contents_before = transfers.everything("example.com/thing:1", home)
    assert contents_before[name]
    hops = [
        *(
            "example.com/thing:1",
            f"docker://{host}/a:1",
            f"oci:{tmp_path}/x:1",
            f"oci-archive:{tmp_path}/y.tar:1",
        ),
        *("store:example.com/b:1", f"oci-archive:{tmp_path}/z.tar:1", f"docker://{host}/b:1"),
        *(
            f"docker://{host}/c:1",
            f"oci-archive:{tmp_path}/o.tar:1",
            f"oci:{tmp_path}/v:1",
            "store:example.com/c:1",
        ),
    ]
    for source, target in pairwise(hops):
        assert transfers.copy(source, target, home).root.digest == name
        assert transfers.everything(target, home) == contents_before, target


@pytest.mark.parametrize("kind_of_location", ["store", "oci", "oci-archive", "docker"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_artifact_is_shown_by_inspect_and_tree(
    home: Home, tmp_path: Path, kind: Any, kind_of_location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = store(home, kind)
    with support.serving(Registry()) as host:
        where = {
            "store": "example.com/thing:1",
            "oci": f"oci:{tmp_path}/x:1",
            "oci-archive": f"oci-archive:{tmp_path}/y.tar:1",
            "docker": f"docker://{host}/a:1",
        }[kind_of_location]
        if kind_of_location != "store":
            transfers.copy("example.com/thing:1", where, home)
        for verb in ("tree", "inspect"):
            assert main([verb, where]) == 0
            assert SHOWN[kind] in capsys.readouterr().out.replace("linux/unknown", oci.CONFIG).replace(
                "unknown/unknown", oci.CONFIG
            )
        assert main(["inspect", "--format", "json", where]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["digest"] == name
        blobs = [blob["digest"] for artifact in document["artifacts"] for blob in artifact["blobs"]]
        if kind not in (attested, empty_index):
            assert digest.of(LAYER) in blobs
