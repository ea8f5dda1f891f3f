"""Encrypted layers of OCI images, as skopeo and buildah read and write them (ocicrypt).

A layer is encrypted by AES-256 in counter mode, and the result authenticated by HMAC-SHA-256. Key, nonce and
the digest of the layer are in a short document, which is encrypted to each recipient, in annotations.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import msgspec

from pumice import digest
from pumice.errors import FormatError, ImageError, TrustError
from pumice.formats import strictjson
from pumice.formats.oci import Descriptor
from pumice.image.transports import archive_members
from pumice.os_errors import IMAGE, translate_os_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SUFFIX = "+encrypted"
"""What ends the media type of an encrypted layer."""
KEYS = "org.opencontainers.image.enc.keys."
"""The prefix of the annotations with encrypted keys; the scheme follows."""
PREFIX = "org.opencontainers.image.enc."
_OPTIONS = f"{PREFIX}pubopts"
_CIPHER = "AES_256_CTR_HMAC_SHA256"
_KEY_SIZE, _NONCE_SIZE = 32, 16
_CHUNK = 1 << 20
_MAX_KEYS = 100
_MAX_DOCUMENT = 1 << 16


class Recipients(Protocol):
    """Those who can decrypt."""

    def encrypt_key(self, text: bytes) -> dict[str, Sequence[bytes]]:
        """Return encrypted copies of a short text by their scheme, such as ``jwe``."""


class Decryptor(Protocol):
    """The keys that decrypt."""

    def decrypt_key(self, scheme: str, data: bytes) -> bytes | None:
        """Return the text in an encrypted copy, None if no key decrypts it; raises PumiceError."""


class StoredBlob(msgspec.Struct, frozen=True):
    """A blob in an unnamed file, with its descriptor."""

    descriptor: Descriptor
    file: archive_members.ArchiveIndex

    def open(self) -> BinaryIO:
        """Open the blob."""
        return archive_members.open_member(self.file, 0, self.descriptor.size)


def is_encrypted(layer: Descriptor) -> bool:
    """Return whether a layer is encrypted."""
    return layer.media_type.endswith(SUFFIX)


def encrypt_layer(layer: Descriptor, content: BinaryIO, recipients: Recipients) -> StoredBlob:
    """Return an encrypted layer; raises TrustError if the content does not have its digest."""
    key, nonce = os.urandom(_KEY_SIZE), os.urandom(_NONCE_SIZE)
    plain_hash, mac = hashlib.sha256(), hmac.new(key, digestmod=hashlib.sha256)
    cipher = _make_cipher(key, nonce)

    def transform(data: bytes) -> bytes:
        plain_hash.update(data)
        encrypted = cipher(data)
        mac.update(encrypted)
        return encrypted

    file, size, blob_digest = _write(content, layer.size, transform)
    _check_digest(plain_hash.hexdigest(), layer.digest)
    private = {
        "symkey": _encode(key),
        "digest": layer.digest,
        "cipheroptions": {"nonce": _encode(nonce)},
        "previouslayersdigest": "",
    }
    public = {"cipher": _CIPHER, "hmac": _encode(mac.digest()), "cipheroptions": {}}
    keys = recipients.encrypt_key(json.dumps(private).encode())
    annotations = {
        **layer.annotations,
        **{f"{KEYS}{scheme}": ",".join(map(_encode, copies)) for scheme, copies in keys.items() if copies},
        _OPTIONS: _encode(json.dumps(public).encode()),
    }
    descriptor = msgspec.structs.replace(
        layer,
        media_type=f"{layer.media_type}{SUFFIX}",
        digest=blob_digest,
        size=size,
        annotations=annotations,
    )
    return StoredBlob(descriptor, file)


def decrypt_layer(layer: Descriptor, content: BinaryIO, decryptor: Decryptor) -> StoredBlob:
    """Return a decrypted layer, which was checked; raises TrustError, FormatError and ImageError."""
    private = _decrypt_options(layer, decryptor)
    public = _read_document(_decode(layer.annotations.get(_OPTIONS, "")))
    if public.get("cipher") != _CIPHER:
        raise FormatError(f"a layer is encrypted by {str(public.get('cipher'))[:60]!r}, not {_CIPHER}")
    options = {**_table(private), **_table(public)}
    key, nonce = _decode(private.get("symkey")), _decode(options.get("nonce"))
    if len(key) != _KEY_SIZE or len(nonce) != _NONCE_SIZE:
        raise FormatError("the key or the nonce of an encrypted layer has another length")
    mac, encrypted_hash = hmac.new(key, digestmod=hashlib.sha256), hashlib.sha256()
    cipher = _make_cipher(key, nonce)

    def transform(data: bytes) -> bytes:
        mac.update(data)
        encrypted_hash.update(data)
        return cipher(data)

    file, size, blob_digest = _write(content, layer.size, transform)
    _check_digest(encrypted_hash.hexdigest(), layer.digest)
    # Early versions of ocicrypt had it among the options.
    if not hmac.compare_digest(mac.digest(), _decode(public.get("hmac") or options.get("hmac"))):
        raise TrustError("an encrypted layer was changed: its authentication code is wrong")
    # The digest that is encrypted with the key is not compared: that of buildah is of the uncompressed layer.
    kept = {name: value for name, value in layer.annotations.items() if not name.startswith(PREFIX)}
    descriptor = msgspec.structs.replace(
        layer,
        media_type=layer.media_type.removesuffix(SUFFIX),
        digest=blob_digest,
        size=size,
        annotations=kept,
    )
    return StoredBlob(descriptor, file)


def _decrypt_options(layer: Descriptor, decryptor: Decryptor) -> dict[str, Any]:
    schemes = []
    for name, value in sorted(layer.annotations.items()):
        if not name.startswith(KEYS):
            continue
        schemes.append(name.removeprefix(KEYS))
        for text in value.split(",")[:_MAX_KEYS]:
            if (document := decryptor.decrypt_key(schemes[-1], _decode(text))) is not None:
                return _read_document(document)
    if not schemes:
        raise FormatError("a layer is encrypted, but has no key for anybody")
    raise TrustError(
        f"no decryption key fits the layer {layer.digest[:23]}… ({', '.join(schemes)[:60]})",
        hint="pass the right private key with --decryption-key",
    )


def _write(
    content: BinaryIO, size: int, transform: Callable[[bytes], bytes]
) -> tuple[archive_members.ArchiveIndex, int, digest.Digest]:
    """Write content, which has ``size`` bytes, through a cipher; return the file, its size and its digest."""
    blob_hash = hashlib.sha256()
    remaining = size
    with translate_os_errors("a temporary file", IMAGE), tempfile.TemporaryFile() as file:
        while data := content.read(min(_CHUNK, remaining + 1)):
            remaining -= len(data)
            if remaining < 0:
                break
            output = transform(data)
            blob_hash.update(output)
            file.write(output)
        if remaining:
            raise ImageError(f"a layer does not have the {size} bytes that its manifest says")
        file.flush()
        unnamed = archive_members.UnnamedFile(file.fileno())
    index = archive_members.ArchiveIndex({}, {}, unnamed.path, unnamed)
    return index, size, f"sha256:{blob_hash.hexdigest()}"


def _make_cipher(key: bytes, nonce: bytes) -> Callable[[bytes], bytes]:
    """Return the function that encrypts and decrypts, which is the same in counter mode."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    return Cipher(algorithms.AES(key), modes.CTR(nonce)).encryptor().update


def _check_digest(hex_digits: str, expected: digest.Digest) -> None:
    if f"sha256:{hex_digits}" != expected:
        raise TrustError(f"a layer has not the digest {expected[:23]}… that its manifest says")


def _read_document(data: bytes) -> dict[str, Any]:
    return strictjson.read_object(data, "description of an encrypted layer", limit=_MAX_DOCUMENT)


def _table(document: dict[str, Any]) -> dict[str, Any]:
    options = document.get("cipheroptions")
    return options if isinstance(options, dict) else {}


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: object) -> bytes:
    try:
        return base64.b64decode(text if isinstance(text, str) else "", validate=True)
    except (ValueError, binascii.Error):
        raise FormatError("an encrypted layer has text that is not base64") from None
