"""What the Python API returns."""

from __future__ import annotations

from pathlib import Path

import msgspec


class BuiltImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that was built."""

    name: str
    """``NAME:VERSION``, its name in the store."""
    digest: str
    """Of the manifest of the only platform, or of the index of several."""
    platforms: dict[str, str]
    """Each platform, such as ``linux/amd64``, and the digest of its manifest."""
    lock: Path


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """The packages that a recipe is locked to."""

    path: Path
    packages: dict[str, dict[str, str]]
    """By platform, such as ``linux/amd64``: the version of each package by its name."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """How to run an image (OCI image-spec, config.md)."""

    platform: str
    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    """Default arguments (OCI: Cmd)."""
    directory: str
    environment: tuple[str, ...]
    """``NAME=VALUE`` each."""
    ports: tuple[str, ...]
    volumes: tuple[str, ...]
    labels: dict[str, str]
    stop_signal: str
    created: str
    """RFC 3339, "" if unknown."""


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer; ``size`` is in bytes as stored, ``diff_id`` is the digest of its decompressed tar."""

    digest: str
    diff_id: str
    media_type: str
    size: int


class Signer(msgspec.Struct, frozen=True, kw_only=True):
    """A trusted key or identity that signed an image."""

    fingerprint: str
    label: str
    signed_at: int
    """In seconds since 1970, 0 if unknown."""
    identity: str = ""
    """The subject of the certificate of a keyless signature, "" for a key."""
    issuer: str = ""
    """The OpenID Connect issuer that authenticated the identity."""


class SignedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image, or a statement about it, that was signed."""

    digest: str
    name: str
    """The name that it is signed as."""
    signer: str
    """The fingerprint of the key, or the identity and its issuer."""
    is_new: bool
    """Whether a signature was added: an existing one by the same key is kept."""
    attestations: tuple[str, ...]
    """The types of the statements that were signed."""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """An image that is signed by trusted keys or identities, not outdated, and intact."""

    digest: str
    name: str
    """The name that it is signed as."""
    signers: tuple[Signer, ...]
    attestations: tuple[str, ...]
    """The types of the attestations by trusted keys and identities."""
