"""The fields that the server reads from a manifest; any other input is rejected with a reason."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError
from pumice.registry.server import manifests

DIGEST = "sha256:" + "a" * 64
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.just(DIGEST)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "config",
                    "layers",
                    "manifests",
                    "blobs",
                    "subject",
                    "digest",
                    "size",
                    "mediaType",
                    "annotations",
                ]
            ),
            inner,
        ),
    ),
    max_leaves=20,
)


@given(st.one_of(st.binary(), JSON.map(lambda value: json.dumps(value).encode())), st.text(max_size=20))
def test_any_input_is_a_manifest_or_rejected(body: bytes, content_type: str) -> None:
    try:
        fields = manifests.parse(body, content_type)
    except FormatError as error:
        assert error.message
        return
    assert all(reference.size >= 0 for reference in fields.references)
    json.loads(manifests.referrer_descriptor(fields, DIGEST, len(body)))


def test_a_referrer_is_listed_with_its_type_and_annotations() -> None:
    config = {"mediaType": "application/vnd.example.config", "digest": DIGEST, "size": 2}
    body = json.dumps(
        {"schemaVersion": 2, "config": config, "annotations": {"a": "b", "odd": 1}, "subject": config}
    ).encode()
    fields = manifests.parse(body, "application/vnd.oci.image.manifest.v1+json")
    assert fields.subject == DIGEST
    assert json.loads(manifests.referrer_descriptor(fields, DIGEST, 7)) == {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": DIGEST,
        "size": 7,
        "artifactType": "application/vnd.example.config",
        "annotations": {"a": "b"},
    }


def test_the_media_type_is_derived_if_neither_header_nor_field_has_one() -> None:
    assert manifests.parse(b'{"schemaVersion":2,"manifests":[]}', "").media_type.endswith("index.v1+json")
    assert manifests.parse(b'{"schemaVersion":2,"layers":[]}', "text/plain").media_type.endswith(
        "manifest.v1+json"
    )
