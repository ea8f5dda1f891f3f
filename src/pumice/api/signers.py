"""What signs and what verifies images, for the Python API."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pumice.assembly.signing import SigningKey
    from pumice.trust import keyless as trust_keyless
    from pumice.trust.keyless_signing import TokenSource
    from pumice.trust.trusted_key import TrustedKey

    StrPath = str | os.PathLike[str]


class Keyless(msgspec.Struct, frozen=True, kw_only=True):
    """Signs as an identity instead of with a key (sigstore; needs the extra ``keyless``)."""

    token: StrPath | Callable[[], str] | None = None
    """The OpenID Connect token: the path of a file, or a function that returns the token, which is called
    when the signing starts. By default the CI system is asked in which this process runs (`os.environ`)."""
    trust_config: StrPath | None = None
    """A file with a sigstore instance (ClientTrustConfig, default: the public instance)."""


class Identity(msgspec.Struct, frozen=True):
    """An identity whose keyless signatures are trusted."""

    subject: str
    """The subject of the signing certificate: an e-mail address or a URI."""
    issuer: str
    """The URL of the OpenID Connect issuer that authenticates the subject."""
    trusted_root: StrPath | None = None
    """sigstore's ``trusted_root.json`` (default: that of the public instance)."""


def choose_signer(
    key: StrPath | None, keyless: Keyless | None, environ: Mapping[str, str]
) -> SigningKey | TokenSource | None:
    """Return the private key or the identity that signs, None for neither, without opening it.

    Raises UsageError if both are given, TrustError if the key or the token does not exist.
    """
    if key is None and keyless is None:
        return None
    return require_signer(key, keyless, environ)


def require_signer(
    key: StrPath | None, keyless: Keyless | None, environ: Mapping[str, str]
) -> SigningKey | TokenSource:
    """Return what `choose_signer` does; raises UsageError for neither, too."""
    if key is not None and keyless is not None:
        raise UsageError("a key and an identity cannot sign at once", hint="pass 'key' or 'keyless'")
    if keyless is not None:
        return _find_token(keyless)
    if key is None:
        raise UsageError("nothing to sign with", hint="pass 'key', or 'keyless=pumice.Keyless()'")
    return _find_signing_key(key, environ)


def read_trusted_keys(
    key: StrPath | Sequence[StrPath] | None,
    identity: Identity | Sequence[Identity] | None,
    environ: Mapping[str, str],
) -> tuple[TrustedKey, ...] | None:
    """Return the keys and identities that the caller trusts, None for those of the policy."""
    if key is None and identity is None:
        return None
    from pumice.trust.explicit_keys import read_explicit_keys

    paths = () if key is None else (key,) if isinstance(key, str | os.PathLike) else key
    identities = () if identity is None else (identity,) if isinstance(identity, Identity) else identity
    return read_explicit_keys(
        [os.fspath(path) for path in paths], environ, [_parse_identity(item) for item in identities]
    )


def _find_token(keyless: Keyless) -> TokenSource:
    from pumice.trust.keyless_signing import TokenSource

    token = keyless.token
    source = TokenSource(
        token if token is None or callable(token) else Path(token),
        None if keyless.trust_config is None else Path(keyless.trust_config),
    )
    source.check()
    return source


def _find_signing_key(key: StrPath, environ: Mapping[str, str]) -> SigningKey:
    from pumice.assembly.signing import SigningKey
    from pumice.trust import archive_keys, key_files, keys

    archive_keys.reject_openpgp_key(os.fspath(key), environ)
    path = key_files.find_private_key(os.fspath(key), environ)
    passphrase = keys.passphrase_source(environ, None, None)
    return SigningKey(path, lambda: key_files.load_signer(path, passphrase))


def _parse_identity(identity: Identity) -> trust_keyless.Identity:
    from pumice.trust import keyless

    keyless.require_sigstore()
    root = None if identity.trusted_root is None else Path(identity.trusted_root)
    return keyless.parse_identity(identity.subject, identity.issuer, root)
