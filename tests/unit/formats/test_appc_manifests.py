"""App Container manifests of OCI images: valid for any image, and with all that has a counterpart."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.appc.image_manifest import read_image_manifest
from pumice.appc.pod_manifest import read_pod_manifest
from pumice.formats import appc_manifests as appc
from pumice.formats import oci
from tests.support.metadata import CONFIG, DIGEST

IDENTIFIER = re.compile(r"[a-z0-9]+([-._~/][a-z0-9]+)*")
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def test_an_image_manifest_has_what_the_config_says() -> None:
    manifest = appc.make_image_manifest(CONFIG, "registry.example:5000/Team/web_app:1.0@" + DIGEST, DIGEST)
    assert manifest["name"] == "registry.example-5000/team/web_app"
    assert {each["name"]: each["value"] for each in manifest["labels"]} == {
        "os": "linux",
        "arch": "aarch64",
        "version": "1.0",
    }
    assert manifest["app"] == {
        "exec": ["/bin/web", "--serve"],
        "user": "65532",
        "group": "65532",
        "workingDirectory": "/srv",
        "environment": [{"name": "PATH", "value": "/bin"}, {"name": "A", "value": "2"}],
        "mountPoints": [{"name": "volume-var-lib-web-data", "path": "/var/lib/web data"}],
        "ports": [
            {"name": "53-udp", "protocol": "udp", "port": 53},
            {"name": "8080-tcp", "protocol": "tcp", "port": 8080},
        ],
        "userLabels": {"a": "1", "b": "2"},
    }
    assert [each["name"] for each in manifest["annotations"]] == [
        *("appc.io/docker/manifesthash", "appc.io/docker/originalname", "created", "authors")
    ]


def test_the_manifests_are_strictly_valid() -> None:
    image = appc.make_image_manifest(CONFIG, "example.com/web:1.0", DIGEST)
    _, warnings = read_image_manifest(json.dumps(image).encode(), strict=True)
    assert warnings == ()
    app = {**appc.make_app(CONFIG.config), "mountPoints": [{"name": "data", "path": "/data"}]}
    runtime_app = {"app": app, "mounts": [{"volume": "data", "path": "/data"}], "annotations": []}
    volume = {"name": "data", "kind": "host", "source": "/srv", "readOnly": True}
    annotations = {"ip": "10.0.0.1", "Größe": "x"}
    apps = {"web": (image, runtime_app, appc.image_id(image))}
    pod = appc.make_pod_manifest(apps, annotations=annotations, volumes=(volume,))
    _, warnings = read_pod_manifest(json.dumps(pod).encode(), strict=True)
    assert warnings == ()


TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=60)
"""Images with other characters in their config are not run."""


@given(TEXT, TEXT, st.lists(TEXT, max_size=5))
def test_the_manifest_of_any_image_is_strictly_valid(reference: str, text: str, texts: list[str]) -> None:
    run_config = oci.RunConfig(
        user=text,
        env=tuple(texts),
        entrypoint=(text or "x",),
        exposed_ports={each: oci.Empty() for each in texts},
        volumes={f"/{each}": oci.Empty() for each in texts},
    )
    config = msgspec.structs.replace(CONFIG, config=run_config)
    read_image_manifest(json.dumps(appc.make_image_manifest(config, reference, DIGEST)).encode(), strict=True)


def test_an_image_without_a_program_has_no_app() -> None:
    config = msgspec.structs.replace(CONFIG, config=oci.RunConfig())
    assert "app" not in appc.make_image_manifest(config, "x", DIGEST)


def test_image_ids_are_those_of_images() -> None:
    first = appc.make_image_manifest(CONFIG, "x:1", DIGEST)
    assert appc.image_id(first) == appc.image_id(dict(reversed(first.items())))
    assert appc.image_id(first) != appc.image_id(
        appc.make_image_manifest(CONFIG, "x:1", "sha256:" + "0" * 64)
    )
    assert re.fullmatch("sha512-[0-9a-f]{128}", appc.image_id(first))


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("nginx", "nginx"),
        ("nginx:1.2", "nginx"),
        ("localhost:5000/a/My_App:x", "my-app"),
        (DIGEST, "sha256"),
        ("oci:/srv/layouts/web", "web"),
        ("oci:.", "oci"),
        ("", "app"),
    ],
)
def test_the_app_is_named_after_the_image(reference: str, name: str) -> None:
    assert appc.name_app(reference) == name


@given(st.text(max_size=400))
def test_any_text_leads_to_valid_names(text: str) -> None:
    assert IDENTIFIER.fullmatch(appc.make_identifier(text))
    assert NAME.fullmatch(appc.make_name(text))
    assert NAME.fullmatch(appc.name_app(text))
