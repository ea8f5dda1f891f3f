"""JSON Web Tokens: an independent implementation agrees; forged, foreign and outdated ones are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt as peer
from joserfc.jwk import ECKey, KeySet, RSAKey

from pumice.errors import FormatError, PumiceError, TrustError
from pumice.formats import jwt

NOW = 1_800_000_000
KEY = ec.generate_private_key(ec.SECP256R1())
JWK = jwt.make_jwk(KEY)
KEYS = jwt.read_key_set(json.dumps({"keys": [JWK]}).encode())
EXPECTATION = jwt.Expectation("https://issuer.example", ("registry.example", "other.example"))
CLAIMS: dict[str, Any] = {
    "iss": "https://issuer.example",
    "sub": "pod:web:app:web",
    "aud": "registry.example",
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 600,
    "name": "größe",
}


def sign(**changes: Any) -> str:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    return jwt.sign_token(claims, KEY, JWK["kid"])


def test_joserfc_accepts_our_tokens() -> None:
    decoded = peer.decode(sign(), KeySet.import_key_set({"keys": [dict(JWK)]}), algorithms=["ES256"])
    assert decoded.claims == CLAIMS
    assert decoded.header["kid"] == JWK["kid"] == ECKey.import_key(dict(JWK)).thumbprint()


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_we_accept_the_tokens_of_joserfc(algorithm: str) -> None:
    key = ECKey.generate_key("P-256") if algorithm == "ES256" else RSAKey.generate_key(2048)
    key_id = key.thumbprint()
    public = {**key.as_dict(private=False), "kid": key_id}
    token = peer.encode({"alg": algorithm, "kid": key_id}, CLAIMS, key)
    keys = jwt.read_key_set(json.dumps({"keys": [public]}).encode())
    assert jwt.verify_token(token, keys, EXPECTATION, NOW) == CLAIMS


def test_our_tokens_verify() -> None:
    assert jwt.verify_token(sign(), KEYS, EXPECTATION, NOW) == CLAIMS
    assert jwt.verify_token(sign(aud=["x", "other.example"]), KEYS, EXPECTATION, NOW)["aud"][0] == "x"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iss": "https://evil.example"}, "issued by 'https://evil.example'"),
        ({"iss": None}, "issued by None"),
        ({"aud": "elsewhere"}, "for the audience 'elsewhere'"),
        ({"aud": ["elsewhere"]}, "for the audience"),
        ({"aud": None}, "for the audience None"),
        ({"aud": {"registry.example": 1}}, "for the audience"),
        ({"sub": ""}, "no subject"),
        ({"exp": None}, "no expiry time"),
        ({"exp": NOW - 60}, "expired 60 seconds ago"),
        ({"exp": "never"}, "invalid time 'exp'"),
        ({"exp": True}, "invalid time 'exp'"),
        ({"exp": 1e300}, "invalid time 'exp'"),
        ({"nbf": NOW + 61}, "not valid until 61 seconds"),
        ({"iat": NOW + 3600}, "not valid until"),
    ],
)
def test_claims_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrustError, match=message):
        jwt.verify_token(sign(**changes), KEYS, EXPECTATION, NOW)


@pytest.mark.parametrize("skew", [-59, 59])
def test_clocks_may_differ_by_less_than_a_minute(skew: int) -> None:
    token = sign(iat=NOW + skew, nbf=NOW + skew, exp=NOW + skew + 1)
    assert jwt.verify_token(token, KEYS, EXPECTATION, NOW)


def forge(header: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(part).encode() for part in (header, CLAIMS)]
    return ".".join(jwt.encode_base64(part) for part in (*parts, signature))


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "ES384", 5, None])
def test_other_algorithms_are_refused(algorithm: object) -> None:
    with pytest.raises(TrustError, match="not with ES256 or RS256"):
        jwt.verify_token(forge({"alg": algorithm, "kid": JWK["kid"]}), KEYS, EXPECTATION, NOW)


def test_a_token_cannot_choose_another_algorithm_for_a_key() -> None:
    with pytest.raises(jwt.UnknownKeyError):
        jwt.verify_token(forge({"alg": "RS256", "kid": JWK["kid"]}), KEYS, EXPECTATION, NOW)


def test_critical_headers_are_refused() -> None:
    with pytest.raises(TrustError, match="critical"):
        jwt.verify_token(forge({"alg": "ES256", "crit": ["b64"], "b64": False}), KEYS, EXPECTATION, NOW)


@pytest.mark.parametrize("signature", [b"", bytes(64), b"\xff" * 64, bytes(63), bytes(10_000)])
def test_a_signature_that_is_not_one_is_refused(signature: bytes) -> None:
    with pytest.raises(TrustError, match="signature"):
        jwt.verify_token(forge({"alg": "ES256"}, signature), KEYS, EXPECTATION, NOW)


def test_a_key_that_is_not_published_is_an_error_of_its_own() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    token = jwt.sign_token(CLAIMS, other, jwt.make_jwk(other)["kid"])
    with pytest.raises(jwt.UnknownKeyError):
        jwt.verify_token(token, KEYS, EXPECTATION, NOW)
    with pytest.raises(TrustError, match="signature"):  # with the id of a key that is
        jwt.verify_token(jwt.sign_token(CLAIMS, other, JWK["kid"]), KEYS, EXPECTATION, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b",
        "a.b.c.d",
        "....",
        "é.é.é",
        "e30.e30.",
        sign() + "=",
        sign().replace(".", ". ", 1),
        "x" * 20_000 + "..",
        f"{jwt.encode_base64(b'[]')}.e30.e30",
        f"{jwt.encode_base64(b'[' * 9000)}.e30.e30",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(PumiceError):
        jwt.verify_token(text, KEYS, EXPECTATION, NOW)


def test_duplicate_claims_are_refused() -> None:
    header = jwt.encode_base64(b'{"alg":"ES256"}')
    claims = jwt.encode_base64(b'{"aud":"x","aud":"registry.example"}')
    with pytest.raises(FormatError, match="duplicate key"):
        jwt.verify_token(f"{header}.{claims}.AAAA", KEYS, EXPECTATION, NOW)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_character_is_refused(position: int, change: int) -> None:
    token = TOKEN
    position %= len(token)
    letter = chr(33 + change % 90)
    if letter == token[position]:
        return
    with pytest.raises(PumiceError):
        jwt.verify_token(token[:position] + letter + token[position + 1 :], KEYS, EXPECTATION, NOW)


TOKEN = sign()


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": []}',
        b'{"keys": [5, {}, {"kty": "EC"}]}',
        json.dumps({"keys": [JWK] * 101}).encode(),
        json.dumps({"keys": [{**JWK, "use": "enc"}]}).encode(),
        json.dumps({"keys": [{**JWK, "alg": "ES384"}]}).encode(),
        json.dumps({"keys": [{**JWK, "x": "AAAA"}]}).encode(),  # not on the curve
        json.dumps({"keys": [{**JWK, "kid": 5}]}).encode(),
        json.dumps({"keys": [{"kty": "oct", "k": "AAAA"}]}).encode(),
        b'{"keys": ' + b"[" * 100_000,
    ],
)
def test_key_sets_without_a_usable_key_are_refused(document: bytes) -> None:
    with pytest.raises(FormatError):
        jwt.read_key_set(document)


def test_weak_keys_are_left_out() -> None:
    numbers = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
    weak = {
        "kty": "RSA",
        "n": jwt.encode_base64(numbers.n.to_bytes(128, "big")),
        "e": "AQAB",
    }
    assert jwt.read_key_set(json.dumps({"keys": [weak, JWK]}).encode()) == KEYS
