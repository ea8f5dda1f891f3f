"""Mirrors are tried first, verified by digest, and skipped when they fail."""

from __future__ import annotations

import pytest

from pumice.formats import oci
from pumice.registry import (
    Client,
    ClientSettings,
    NotFoundError,
    RegistryConfig,
    RetryPolicy,
    parse_reference,
)
from tests.support import registry as support
from tests.support.registry import Registry
from tests.support.transfers import NO_PAUSES

DOCUMENT = b'{"schemaVersion":2,"manifests":[]}'
QUICK = RetryPolicy(attempts=2, initial_delay=0.0, max_delay=0.0)


def filled() -> tuple[Registry, str]:
    registry = Registry()
    return registry, registry.put("team/app", DOCUMENT, oci.INDEX, "1")


def test_a_mirror_is_tried_before_the_origin() -> None:
    origin, digest = filled()
    mirror = Registry()
    data = b"blob"
    mirror.put("kept/app", DOCUMENT, oci.INDEX, "1")
    with support.serving(origin) as origin_host, support.serving(mirror) as mirror_host:
        rules = (RegistryConfig(f"{origin_host}/team", mirrors=("127.0.0.1:1/gone", f"{mirror_host}/kept")),)
        with Client(
            settings=ClientSettings(retry_policy=QUICK, registry_configs=rules), time_sources=NO_PAUSES
        ) as client:
            reference = parse_reference(f"{origin_host}/team/app:1")
            assert client.get_manifest(reference).digest == digest
            assert origin.logged_paths("GET") == []
            assert mirror.logged_paths("GET") == ["/v2/kept/app/manifests/1"]
            mirror.manifests.clear()
            mirror.tags.clear()
            assert client.get_manifest(reference).digest == digest
            assert origin.logged_paths("GET") == ["/v2/team/app/manifests/1"]
            descriptor = oci.Descriptor("text/plain", support_digest(data), len(data))
            client.upload_blob(reference.repository, descriptor, data)
            assert mirror.logged_paths("POST") == []
            with client.open_blob(reference.repository, descriptor.digest, len(data)) as file:
                assert file.read() == data
            with pytest.raises(NotFoundError):
                client.get_manifest(parse_reference(f"{origin_host}/team/app:2"))


def test_a_mirror_with_wrong_content_is_skipped() -> None:
    origin, digest = filled()
    mirror = Registry()
    mirror.manifests["kept/app", digest] = (oci.INDEX, b'{"schemaVersion":2,"manifests":[],"x":1}')
    with support.serving(origin) as origin_host, support.serving(mirror) as mirror_host:
        rules = (RegistryConfig(f"{origin_host}/team", mirrors=(f"{mirror_host}/kept",)),)
        with Client(settings=ClientSettings(retry_policy=QUICK, registry_configs=rules)) as client:
            assert client.get_manifest(parse_reference(f"{origin_host}/team/app@{digest}")).data == DOCUMENT
    assert len(mirror.logged_paths("GET")) == 1


def test_a_rewrite_applies_to_reading_and_writing() -> None:
    registry = Registry()
    with support.serving(registry) as host:
        rules = (RegistryConfig("old.example/team", rewrite=f"{host}/new"),)
        with Client(settings=ClientSettings(retry_policy=QUICK, registry_configs=rules)) as client:
            reference = parse_reference("old.example/team/app:1")
            client.put_manifest(reference, DOCUMENT, oci.INDEX)
            assert client.list_tags(reference.repository) == ["1"]
    assert "1" in registry.tags["new/app"]


def support_digest(data: bytes) -> str:
    import hashlib

    return f"sha256:{hashlib.sha256(data).hexdigest()}"
