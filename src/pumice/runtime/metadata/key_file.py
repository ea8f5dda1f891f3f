"""The keys of the metadata service: ``metadata/keys.json`` in the store, for its owner only.

The file is replaced atomically under a lock, and read again when it has changed, so a restart loses nothing
and two services agree. The newest key signs. An older one stays in the published set until every token that
it signed has expired. An older key for HMACs verifies forever, because those have no expiry time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import stat
from typing import Any, NamedTuple

from pumice import files
from pumice.errors import FormatError, StoreError, UsageError
from pumice.formats import jwt, strictjson
from pumice.os_errors import translate_os_errors
from pumice.ownership import make_directories

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DIRECTORY = "metadata"
"""The directory in the store."""
FILE = "keys.json"
MAX_LIFETIME = 3600
"""Seconds for which a token is valid at most."""
ROTATION_SECONDS = 30 * 86400
"""Age at which a key is succeeded by a new one."""
_MAX_SIZE = 1 << 20
_MAX_ISSUER = 2048
_MIN_MAC_KEY = 32
_MAC_CONTEXT = b"pumice pod hmac\0"


class SigningKey(NamedTuple):
    """A key for tokens; ``retired`` is when a newer one succeeded it, None for the newest."""

    jwk: dict[str, str]
    private_key: str
    created: int
    retired: int | None = None

    @property
    def key_id(self) -> str:
        """The thumbprint of the key."""
        return self.jwk["kid"]

    def __repr__(self) -> str:
        return f"<signing key {self.key_id}>"


class Keys(NamedTuple):
    """The content of the file: the issuer of the tokens, their keys, the newest last, and that of HMACs."""

    issuer: str
    signing: tuple[SigningKey, ...]
    mac: bytes

    def __repr__(self) -> str:
        return f"<keys of {self.issuer}>"


def key_set(keys: Keys, now: int) -> dict[str, list[dict[str, str]]]:
    """Return the JWKS document with the keys whose tokens may still be valid, the newest first."""
    return {"keys": [key.jwk for key in reversed(keys.signing) if not _is_expired(key, now)]}


def sign_claims(keys: Keys, claims: dict[str, Any]) -> str:
    """Return a token with ``claims``, signed with the newest key."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = keys.signing[-1]
    private_key = load_pem_private_key(key.private_key.encode(), None)
    return jwt.sign_token(claims, private_key, key.key_id)


def sign_content(keys: Keys, uuid: str, content: bytes) -> str:
    """Return the HMAC-SHA512 of ``content`` for a pod, in base64."""
    return base64.b64encode(_mac(keys.mac, uuid, content)).decode("ascii")


def is_signed_content(keys: Keys, uuid: str, content: bytes, signature: bytes) -> bool:
    """Return whether ``signature`` is that of `sign_content`; compared in constant time."""
    return hmac.compare_digest(sign_content(keys, uuid, content).encode(), signature)


def _mac(key: bytes, uuid: str, content: bytes) -> bytes:
    """Each pod has a key of its own, derived from the service's, so that no pod can sign as another."""
    pod_key = hmac.digest(key, _MAC_CONTEXT + bytes.fromhex(uuid.replace("-", "")), hashlib.sha512)
    return hmac.digest(pod_key, content, hashlib.sha512)


# The file -----------------------------------------------------------------------------------------


class KeyFile:
    """The file of one store, with a cache of its content."""

    def __init__(self, home: str, warn: Callable[[str], object] = lambda _: None) -> None:
        """``warn`` learns why a key could not be succeeded in time, which is tried again later."""
        self._directory = os.path.join(home, DIRECTORY)
        self._path = os.path.join(self._directory, FILE)
        self._warn = warn
        self._cached: tuple[files.FileStamp, Keys] | None = None

    def current(self, now: int) -> Keys:
        """Return the keys at the time ``now``; create or succeed the newest one if that is due.

        Raises StoreError if the file cannot be read or created, and FormatError if it is damaged.
        """
        keys = self._read()
        if keys is not None and not _is_due(keys, now):
            return keys
        try:
            return self.rotate(now, only_if_due=True)
        except StoreError as error:
            if keys is None:
                raise
            self._warn(f"cannot write a new signing key: {error}")
            return keys

    def rotate(self, now: int, *, only_if_due: bool = False) -> Keys:
        """Write a new signing key, and forget those whose tokens have expired; return the keys."""
        with self._lock():
            keys = self._read()
            if keys is None:
                keys = Keys(_new_issuer(), (), os.urandom(64))
            elif only_if_due and not _is_due(keys, now):
                return keys
            older = tuple(
                key if key.retired is not None else key._replace(retired=now) for key in keys.signing
            )
            signing = tuple(key for key in older if not _is_expired(key, now))
            return self._write(keys._replace(signing=(*signing, _new_signing_key(now))))

    def set_issuer(self, issuer: str, now: int) -> Keys:
        """Write the issuer of future tokens; raises UsageError for one that is not a URL or URN."""
        issuer = check_issuer(issuer)
        self.current(now)
        with self._lock():
            keys = self._read()
            if keys is None:
                raise StoreError("the file has disappeared", where=self._path)
            return self._write(keys._replace(issuer=issuer))

    def _lock(self) -> files.FileLock:
        with translate_os_errors(self._directory):
            make_directories(self._directory, private=True)
        return files.FileLock(os.path.join(self._directory, "keys.lock"))

    def _read(self) -> Keys | None:
        """Return the content of the file, None if there is no file."""
        try:
            with files.open_regular(self._path) as file:
                status = os.fstat(file.fileno())
                stamp = files.file_stamp(status)
                if self._cached and self._cached[0] == stamp:
                    return self._cached[1]
                _check_permissions(status, self._path)
                data = file.read(_MAX_SIZE)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(
                f"cannot read the keys: {(error.strerror or 'error').lower()}", where=self._path
            ) from None
        keys = _decode(data, self._path)
        self._cached = (stamp, keys)
        return keys

    def _write(self, keys: Keys) -> Keys:
        document = {
            "issuer": keys.issuer,
            "signing": [key._asdict() for key in keys.signing],
            "mac": keys.mac.hex(),
        }
        files.replace(self._path, json.dumps(document, indent=1).encode(), mode=0o600)
        return keys


def check_issuer(text: str) -> str:
    """Return ``text`` if it can be an issuer; raises UsageError."""
    is_uri = text.startswith(("https://", "http://", "urn:")) and text.isascii() and text.isprintable()
    if not is_uri or " " in text or len(text) > _MAX_ISSUER or "?" in text or "#" in text:
        raise UsageError(
            f"{text[:200]!r} is not an issuer", hint="use a URL without a query, such as https://example.com"
        )
    return text.rstrip("/")


def _check_permissions(status: os.stat_result, path: str) -> None:
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise StoreError(
            "cannot use the keys: other users can read the file, or own it",
            where=path,
            hint=f"if nobody has read them, run 'chmod 600 {path}' as their owner; otherwise remove the file",
        )


def _decode(data: bytes, path: str) -> Keys:
    try:
        document = strictjson.read_object(data, "file", limit=_MAX_SIZE)
        keys = Keys(
            check_issuer(document["issuer"]),
            tuple(SigningKey(**entry) for entry in document["signing"]),
            bytes.fromhex(document["mac"]),
        )
        if keys.signing and len(keys.mac) >= _MIN_MAC_KEY and all(map(_is_valid, keys.signing)):
            return keys
    except (ValueError, TypeError, KeyError, AttributeError, FormatError, UsageError):
        pass
    raise FormatError(
        "the file of the keys is damaged",
        where=path,
        hint="restore it, or remove it: then no earlier token and signature can be verified",
    )


def _is_valid(key: SigningKey) -> bool:
    texts = (key.private_key, *key.jwk.values(), key.key_id)
    times = (key.created, key.retired or 0)
    return all(isinstance(text, str) for text in texts) and all(isinstance(time, int) for time in times)


def _new_issuer() -> str:
    return f"urn:pumice:{os.urandom(16).hex()}"


def _new_signing_key(now: int) -> SigningKey:
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec

    private_key = ec.generate_private_key(ec.SECP256R1())
    pem = private_key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    return SigningKey(jwt.make_jwk(private_key), pem.decode("ascii"), now)


def _is_due(keys: Keys, now: int) -> bool:
    return now - keys.signing[-1].created >= ROTATION_SECONDS


def _is_expired(key: SigningKey, now: int) -> bool:
    """Return whether no token of a key can be valid any more, for any clock within the leeway."""
    return key.retired is not None and now > key.retired + MAX_LIFETIME + 2 * jwt.LEEWAY_SECONDS
