"""Mirrors are asked first, believed only by digest, and never in the way."""

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

DOCUMENT = b'{"schemaVersion":2,"manifests":[]}'
QUICK = RetryPolicy(attempts=2, initial_delay=0.0, max_delay=0.0)


def filled() -> tuple[Registry, str]:
    registry = Registry()
    return registry, registry.put("team/app", DOCUMENT, oci.INDEX, "1")


def test_a_mirror_is_asked_before_and_the_origin_when_it_fails() -> None:
    origin, digest = filled()
    mirror = Registry()
    data = b"blob"
    mirror.put("kept/app", DOCUMENT, oci.INDEX, "1")
    with support.serving(origin) as there, support.serving(mirror) as here:
        rules = (RegistryConfig(f"{there}/team", mirrors=("127.0.0.1:1/gone", f"{here}/kept")),)
        with Client(
            settings=ClientSettings(retry_policy=QUICK, registry_configs=rules), sleep=lambda _: None
        ) as client:
            reference = parse_reference(f"{there}/team/app:1")
            assert client.get_manifest(reference).digest == digest
            assert origin.asked("GET") == []
            assert mirror.asked("GET") == ["/v2/kept/app/manifests/1"]
            mirror.manifests.clear()
            mirror.tags.clear()
            assert client.get_manifest(reference).digest == digest
            assert origin.asked("GET") == ["/v2/team/app/manifests/1"]
            descriptor = oci.Descriptor("text/plain", support_digest(data), len(data))
            client.upload_blob(reference.repository, descriptor, data)
            assert mirror.asked("POST") == []
            with client.open_blob(reference.repository, descriptor.digest, len(data)) as file:
                assert file.read() == data
            with pytest.raises(NotFoundError):
                client.get_manifest(parse_reference(f"{there}/team/app:2"))


def test_a_mirror_that_lies_is_passed_over() -> None:
    origin, digest = filled()
    mirror = Registry()
    mirror.manifests["kept/app", digest] = (oci.INDEX, b'{"schemaVersion":2,"manifests":[],"x":1}')
    with support.serving(origin) as there, support.serving(mirror) as here:
        rules = (RegistryConfig(f"{there}/team", mirrors=(f"{here}/kept",)),)
        with Client(settings=ClientSettings(retry_policy=QUICK, registry_configs=rules)) as client:
            assert client.get_manifest(parse_reference(f"{there}/team/app@{digest}")).data == DOCUMENT
    assert len(mirror.asked("GET")) == 1


def test_a_rewrite_holds_for_reading_and_writing() -> None:
    registry = Registry()
    with support.serving(registry) as here:
        rules = (RegistryConfig("old.example/team", rewrite=f"{here}/new"),)
        with Client(settings=ClientSettings(retry_policy=QUICK, registry_configs=rules)) as client:
            reference = parse_reference("old.example/team/app:1")
            client.put_manifest(reference, DOCUMENT, oci.INDEX)
            assert client.list_tags(reference.repository) == ["1"]
    assert "1" in registry.tags["new/app"]


def support_digest(data: bytes) -> str:
    import hashlib

    return f"sha256:{hashlib.sha256(data).hexdigest()}"
