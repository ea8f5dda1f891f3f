"""`pumice.image.layer_encryption` and `pumice.image.encrypted_images`: what strangers may have written."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pumice.errors import PumiceError, TrustError
from pumice.formats import oci
from pumice.image import layer_encryption

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA = bytes(range(256)) * 40
OPTIONS = "org.opencontainers.image.enc.pubopts"
KEYS = "org.opencontainers.image.enc.keys.plain"


class Plain:
    """Keys that are not encrypted at all, so that tests can change what is inside."""

    def encrypt_key(self, text: bytes) -> dict[str, Sequence[bytes]]:
        return {"plain": [text]}

    def decrypt_key(self, scheme: str, data: bytes) -> bytes | None:
        return data if scheme == "plain" else None


def encrypt(data: bytes = DATA) -> layer_encryption.StoredBlob:
    layer = oci.Descriptor(oci.LAYER_TAR, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), {"a": "b"})
    return layer_encryption.encrypt_layer(layer, io.BytesIO(data), Plain())


def decrypt(layer: oci.Descriptor, data: bytes) -> layer_encryption.StoredBlob:
    return layer_encryption.decrypt_layer(layer, io.BytesIO(data), Plain())


def change(layer: oci.Descriptor, annotation: str, member: str, value: Any) -> oci.Descriptor:
    """Return a layer with another member in one of its documents."""
    document = json.loads(base64.b64decode(layer.annotations[annotation]))
    document[member] = value
    text = base64.b64encode(json.dumps(document).encode()).decode()
    return msgspec.structs.replace(layer, annotations={**layer.annotations, annotation: text})


@pytest.mark.parametrize("data", [b"", b"x", DATA, bytes(3 << 20)], ids=len)
def test_a_layer_is_the_same_after_decryption(data: bytes) -> None:
    encrypted = encrypt(data)
    content = encrypted.open().read()
    assert encrypted.descriptor.media_type == f"{oci.LAYER_TAR}+encrypted"
    assert content != data or not data
    decrypted = decrypt(encrypted.descriptor, content)
    assert decrypted.open().read() == data
    assert decrypted.descriptor.media_type == oci.LAYER_TAR
    assert decrypted.descriptor.annotations == {"a": "b"}


def test_equal_layers_are_encrypted_differently() -> None:
    assert encrypt().descriptor.digest != encrypt().descriptor.digest


def test_content_that_has_another_digest_or_size_is_refused() -> None:
    layer = oci.Descriptor(oci.LAYER_TAR, f"sha256:{'0' * 64}", len(DATA))
    with pytest.raises(TrustError, match="has not the digest"):
        layer_encryption.encrypt_layer(layer, io.BytesIO(DATA), Plain())
    encrypted = encrypt()
    content = encrypted.open().read()
    for wrong in (content[:-1], content + b"x", b"", content[:-1] + b"\0"):
        with pytest.raises(PumiceError):
            decrypt(encrypted.descriptor, wrong)


@pytest.mark.parametrize(
    ("annotation", "member", "value"),
    [
        (OPTIONS, "cipher", "AES_128"),
        (OPTIONS, "cipher", None),
        (OPTIONS, "hmac", ""),
        (OPTIONS, "hmac", "AAAA"),
        (OPTIONS, "hmac", {"a": 1}),
        (OPTIONS, "cipheroptions", {"nonce": "AAAA"}),
        (KEYS, "symkey", "AAAA"),
        (KEYS, "symkey", 1),
        (KEYS, "symkey", base64.b64encode(bytes(32)).decode()),
        (KEYS, "cipheroptions", []),
        (KEYS, "cipheroptions", {"nonce": "!"}),
    ],
)
def test_documents_that_do_not_fit_are_refused(annotation: str, member: str, value: Any) -> None:
    encrypted = encrypt()
    with pytest.raises(PumiceError):
        decrypt(change(encrypted.descriptor, annotation, member, value), encrypted.open().read())


@pytest.mark.parametrize(
    "annotations", [{}, {OPTIONS: "e30="}, {KEYS: ""}, {KEYS: "!"}, {f"{KEYS}x": "e30="}]
)
def test_missing_and_foreign_keys_are_refused(annotations: dict[str, str]) -> None:
    encrypted = encrypt()
    layer = msgspec.structs.replace(encrypted.descriptor, annotations=annotations)
    with pytest.raises(PumiceError):
        decrypt(layer, encrypted.open().read())


def test_random_changes_end_in_an_error_or_in_the_same_content() -> None:
    encrypted = encrypt()
    content = encrypted.open().read()
    source = random.Random(7)
    for _ in range(300):
        name = source.choice((OPTIONS, KEYS))
        text = bytearray(base64.b64decode(encrypted.descriptor.annotations[name]))
        for _ in range(source.randint(1, 4)):
            text[source.randrange(len(text))] = source.randrange(256)
        annotations = {**encrypted.descriptor.annotations, name: base64.b64encode(text).decode()}
        layer = msgspec.structs.replace(encrypted.descriptor, annotations=annotations)
        try:
            assert decrypt(layer, content).open().read() == DATA
        except PumiceError:
            continue
