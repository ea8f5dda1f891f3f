"""Envelopes, statements and bundles: written as specified, and read with suspicion."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice import digest
from pumice.errors import FormatError, PumiceError
from pumice.formats import dsse, intoto, sigstore, simplesigning, strictjson

ENVELOPE = dsse.Envelope(dsse.IN_TOTO, b"payload", (dsse.Signature(b"sig", "id"),))
DIGEST = digest.of(b"")


def test_encodes_the_example_of_the_specification() -> None:
    # protocol.md 1.0, "Test Vectors"
    signed = dsse.encode_pae("http://example.com/HelloWorld", b"hello world")
    assert signed == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_envelopes_round_trip() -> None:
    assert dsse.read_envelope(dsse.encode_envelope(ENVELOPE)) == ENVELOPE


def test_base64_may_be_url_safe() -> None:
    document = dsse.envelope_to_json(
        dsse.Envelope(dsse.IN_TOTO, b"\xff\xfe\xfb\xf0", (dsse.Signature(b"\xff\xef"),))
    )
    text = (
        json.dumps(document)
        .replace("/", "_")
        .replace("+", "-")
        .replace("application_vnd.in-toto-json", dsse.IN_TOTO)
    )
    assert dsse.read_envelope(text.encode()).payload == b"\xff\xfe\xfb\xf0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"payloadType":"text/plain","payload":"","signatures":[{"sig":""}]}',
            "has payload type 'text/plain'",
        ),
        ('{"payloadType":"a","payloadType":"b"}', "duplicate key"),
        ('{"payloadType":"application/vnd.in-toto+json","payload":"","signatures":[]}', "1 to 64"),
        ('{"payloadType":"application/vnd.in-toto+json","payload":"!","signatures":[{"sig":""}]}', "base64"),
        ('{"payloadType":"application/vnd.in-toto+json","payload":"","signatures":[7]}', "not an object"),
        ('{"payloadType":7}', "has no string"),
        ("[]", "not a JSON object"),
        ("NaN", "NaN is not allowed"),
        ("[" * 200 + "]" * 200, "nested deeper"),
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ('{"a":"\\ud800"}', "unpaired surrogate"),
        ("1" * 5000, "not valid strict JSON"),
        ("", "not valid strict JSON"),
    ],
)
def test_refuses_malformed_envelopes(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        dsse.read_envelope(text.encode())


def test_refuses_json_larger_than_the_limit() -> None:
    with pytest.raises(FormatError, match="larger than 10 bytes"):
        strictjson.read_value(b" " * 11, "thing", limit=10)


def test_bundles_round_trip() -> None:
    bundle = sigstore.Bundle(ENVELOPE, "hint")
    assert sigstore.read_bundle(sigstore.encode_bundle(bundle)) == bundle


def test_reads_a_bundle_without_hint_and_key() -> None:
    document = {"mediaType": sigstore.BUNDLE, "dsseEnvelope": dsse.envelope_to_json(ENVELOPE)}
    assert sigstore.read_bundle(json.dumps(document).encode()) == sigstore.Bundle(ENVELOPE)


def test_recognizes_a_bundle_with_a_certificate() -> None:
    document = {
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "verificationMaterial": {"certificate": {}},
        "dsseEnvelope": dsse.envelope_to_json(ENVELOPE),
    }
    assert sigstore.read_bundle(json.dumps(document).encode()).is_keyless


@pytest.mark.parametrize(
    "text", ["{}", '{"mediaType":"x"}', json.dumps({"mediaType": sigstore.BUNDLE, "messageSignature": {}})]
)
def test_refuses_other_bundles(text: str) -> None:
    with pytest.raises(FormatError):
        sigstore.read_bundle(text.encode())


def test_payloads_round_trip() -> None:
    payload = simplesigning.Payload("example.com/hello:1.0", DIGEST)
    assert simplesigning.read_payload(simplesigning.encode_payload(payload)) == payload


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "other"}, "unsupported type"),
        ({"expires": 7}, "unknown critical field"),
        ({"image": {"docker-manifest-digest": "md5:0"}}, "is not a sha256 digest"),
        ({"identity": {}}, "has no string"),
    ],
)
def test_refuses_other_payloads(change: dict[str, object], message: str) -> None:
    document = json.loads(simplesigning.encode_payload(simplesigning.Payload("x", DIGEST)))
    document["critical"] |= change
    with pytest.raises(FormatError, match=message):
        simplesigning.read_payload(json.dumps(document).encode())


READERS = [dsse.read_envelope, intoto.read_statement, sigstore.read_bundle, simplesigning.read_payload]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "payload",
                    "payloadType",
                    "signatures",
                    "sig",
                    "_type",
                    "subject",
                    "predicateType",
                    "digest",
                    "sha256",
                    "mediaType",
                    "dsseEnvelope",
                    "verificationMaterial",
                    "publicKey",
                    "critical",
                    "identity",
                    "image",
                ]
            ),
            inner | st.sampled_from([dsse.IN_TOTO, sigstore.BUNDLE, intoto.V1, DIGEST[7:], DIGEST]),
            max_size=5,
        )
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("reader", READERS)
@given(data=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_return_a_value_or_raise_format_error(
    reader: Callable[[bytes], object], data: bytes
) -> None:
    try:
        reader(data)
    except PumiceError:
        pass
