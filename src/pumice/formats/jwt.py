"""JSON Web Tokens (RFC 7519) in their compact form, and the sets of keys that verify them (RFC 7517).

Tokens are signed with ES256; ES256 and RS256 are verified, because other issuers use RS256. The algorithm
belongs to the key, and a token that names another one is refused (RFC 8725, 3.1). Signing imports only the
standard library and ``cryptography``, because the metadata service has little memory.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from pumice.errors import FormatError, TrustError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

ES256, RS256 = "ES256", "RS256"
LEEWAY_SECONDS = 60
"""By how much the clocks of two machines may differ."""
MAX_TOKEN = 16 << 10
"""Characters of a token."""
MAX_KEY_SET = 256 << 10
"""Bytes of a set of keys."""
_MAX_KEYS = 100
_COORDINATE = 32
_MIN_RSA_BITS, _MAX_RSA_BITS = 2048, 8192
_BASE64_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class UnknownKeyError(TrustError):
    """A token is signed with a key that is not in the set, which may be out of date."""


class VerificationKey(NamedTuple):
    """A public key for ``algorithm``; ``key_id`` is "" if the set does not name it."""

    key_id: str
    algorithm: str
    numbers: tuple[int, int]
    """The coordinates of a point on P-256, or the modulus and exponent of RSA."""


class Expectation(NamedTuple):
    """What the claims of a token must say: who issued it, and for which of these audiences."""

    issuer: str
    audiences: Collection[str]


# Writing ------------------------------------------------------------------------------------------


def sign_token(claims: Mapping[str, Any], private_key: Any, key_id: str) -> str:
    """Return a token with ``claims``, signed by an elliptic curve key on P-256 (RFC 7518, 3.4)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    header = {"alg": ES256, "kid": key_id, "typ": "JWT"}
    signed_part = f"{_encode_json(header)}.{_encode_json(claims)}"
    signature = private_key.sign(
        signed_part.encode("ascii"), ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    )
    numbers = utils.decode_dss_signature(signature)
    return f"{signed_part}.{encode_base64(b''.join(_encode_coordinate(number) for number in numbers))}"


def make_jwk(private_key: Any) -> dict[str, str]:
    """Return the public part of a key on P-256 as a JWK, named by its thumbprint (RFC 7638)."""
    numbers = private_key.public_key().public_numbers()
    members = {
        "crv": "P-256",
        "kty": "EC",
        "x": encode_base64(_encode_coordinate(numbers.x)),
        "y": encode_base64(_encode_coordinate(numbers.y)),
    }
    text = json.dumps(members, separators=(",", ":"), sort_keys=True)
    thumbprint = encode_base64(hashlib.sha256(text.encode()).digest())
    return {**members, "alg": ES256, "use": "sig", "kid": thumbprint}


def encode_base64(data: bytes) -> str:
    """Return base64url without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _encode_json(value: Mapping[str, Any]) -> str:
    return encode_base64(json.dumps(value, separators=(",", ":")).encode())


def _encode_coordinate(number: int) -> bytes:
    return number.to_bytes(_COORDINATE, "big")


# Reading ------------------------------------------------------------------------------------------


def read_key_set(data: bytes) -> tuple[VerificationKey, ...]:
    """Return the keys of a JWKS document that can verify tokens; raises FormatError if it has none.

    Keys of other kinds, for encryption, or that are too weak are left out, as RFC 7517, 5 asks.
    """
    from pumice.formats import strictjson

    document = strictjson.read_object(data, "key set", limit=MAX_KEY_SET)
    entries = document.get("keys")
    if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
        raise FormatError(f"the key set has no list 'keys' of at most {_MAX_KEYS} keys")
    keys = tuple(key for entry in entries if (key := _read_key(entry)) is not None)
    if not keys:
        raise FormatError("the key set has no key for ES256 or RS256")
    return keys


def _read_key(entry: object) -> VerificationKey | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    key_id = entry.get("kid", "")
    if not isinstance(key_id, str):
        return None
    try:
        if entry.get("kty") == "EC" and entry.get("crv") == "P-256":
            algorithm, members = ES256, (entry["x"], entry["y"])
        elif entry.get("kty") == "RSA":
            algorithm, members = RS256, (entry["n"], entry["e"])
        else:
            return None
        numbers = tuple(int.from_bytes(decode_base64(member), "big") for member in members)
    except (KeyError, FormatError):
        return None
    if entry.get("alg", algorithm) != algorithm:
        return None
    key = VerificationKey(key_id, algorithm, (numbers[0], numbers[1]))
    return key if _is_usable(key) else None


def _is_usable(key: VerificationKey) -> bool:
    """Return whether the numbers of a key are a point on the curve, or a large enough modulus."""
    first, second = key.numbers
    if key.algorithm == RS256 and not (
        _MIN_RSA_BITS <= first.bit_length() <= _MAX_RSA_BITS and 3 <= second < 1 << 32
    ):
        return False
    try:
        _public_key(key)
    except ValueError:
        return False
    return True


def verify_token(
    token: str, keys: Sequence[VerificationKey], expectation: Expectation, now: int
) -> dict[str, Any]:
    """Return the claims of a token at the time ``now``, in seconds since the epoch.

    Raises TrustError if a key of ``keys`` did not sign it, if it is not valid now, or if it is not what
    ``expectation`` says; raises UnknownKeyError for a key that is not in ``keys``. A text that is not a
    token is FormatError.
    """
    header, claims, signature = _split_token(token)
    algorithm, key_id = header.get("alg"), header.get("kid", "")
    if algorithm not in (ES256, RS256):
        raise TrustError(f"the token is signed with {str(algorithm)[:40]!r}, not with ES256 or RS256")
    if "crit" in header:
        raise TrustError("the token has critical headers, which are not supported")
    candidates = [
        key for key in keys if key.algorithm == algorithm and (not key_id or key.key_id in ("", key_id))
    ]
    if not candidates:
        raise UnknownKeyError("the token is signed with a key that its issuer does not publish")
    signed_part = token.rpartition(".")[0].encode("ascii")
    if not any(_is_signed(key, signed_part, signature) for key in candidates):
        raise TrustError("the signature of the token is not valid")
    _check_claims(claims, expectation, now)
    return claims


def _split_token(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    from pumice.formats import strictjson

    if len(token) > MAX_TOKEN or not token.isascii() or token.count(".") != 2:
        raise FormatError("the text is not a JSON Web Token")
    parts = [decode_base64(part) for part in token.split(".")]
    header, claims = (strictjson.read_object(part, "token", limit=MAX_TOKEN) for part in parts[:2])
    return header, claims, parts[2]


def decode_base64(text: object) -> bytes:
    """Return the bytes of base64url without padding; raises FormatError for any other spelling."""
    if isinstance(text, str) and _BASE64_CHARACTERS.issuperset(text) and len(text) % 4 != 1:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        if encode_base64(data) == text:
            return data
    raise FormatError("the token is not base64url")


def _public_key(key: VerificationKey) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    first, second = key.numbers
    if key.algorithm == ES256:
        return ec.EllipticCurvePublicNumbers(first, second, ec.SECP256R1()).public_key()
    return rsa.RSAPublicNumbers(second, first).public_key()


def _is_signed(key: VerificationKey, signed_part: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

    public_key = _public_key(key)
    try:
        if key.algorithm == RS256:
            public_key.verify(signature, signed_part, padding.PKCS1v15(), hashes.SHA256())
            return True
        if len(signature) != 2 * _COORDINATE:
            return False
        numbers = (int.from_bytes(half, "big") for half in (signature[:_COORDINATE], signature[_COORDINATE:]))
        public_key.verify(utils.encode_dss_signature(*numbers), signed_part, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _check_claims(claims: dict[str, Any], expectation: Expectation, now: int) -> None:
    if claims.get("iss") != expectation.issuer:
        raise TrustError(f"the token was issued by {_quote(claims.get('iss'))}, not by {expectation.issuer}")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if not any(isinstance(name, str) and name in expectation.audiences for name in audiences):
        raise TrustError(
            f"the token is for the audience {_quote(audience)}, not for"
            f" {' or '.join(sorted(expectation.audiences))}"
        )
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise TrustError("the token has no subject")
    expires = _read_time(claims, "exp")
    if expires is None:
        raise TrustError("the token has no expiry time")
    if now >= expires + LEEWAY_SECONDS:
        raise TrustError(f"the token expired {int(now - expires)} seconds ago")
    for name in ("nbf", "iat"):
        begins = _read_time(claims, name)
        if begins is not None and now < begins - LEEWAY_SECONDS:
            raise TrustError(f"the token is not valid until {int(begins - now)} seconds from now")


def _read_time(claims: dict[str, Any], name: str) -> float | None:
    """Return a NumericDate, None if there is none; raises TrustError for anything else."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 53:
        raise TrustError(f"the token has an invalid time {name!r}")
    return value


def _quote(value: object) -> str:
    return repr(value[:200]) if isinstance(value, str) else repr(value)[:200]


def find_token(authorization: str) -> str | None:
    """Return the token in an Authorization header, None if it has none.

    It follows ``Bearer`` (RFC 6750), or is the password of ``Basic``, because many clients have nothing else.
    """
    scheme, _, value = authorization.partition(" ")
    value = value.strip()
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode("ascii").partition(":")[2]
        except ValueError:
            return None
    elif scheme.lower() != "bearer":
        return None
    # The header of a token is a JSON object, which begins with the letters of `{"`.
    return value if value.startswith("eyJ") and value.count(".") == 2 else None


def matches_claim(claims: Mapping[str, Any], name: str, pattern: str) -> bool:
    """Return whether a claim is a text that matches a pattern, in which ``*`` stands for any text."""
    from fnmatch import fnmatchcase

    value = claims.get(name)
    return isinstance(value, str) and fnmatchcase(value, pattern.replace("[", "[[]").replace("?", "[?]"))
