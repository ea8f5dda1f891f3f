"""Verifying tokens with keys that are fetched, change, and cannot be fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pumice.clock import FixedClock
from pumice.errors import FetchError, FormatError, StoreError, TrustError, UsageError
from pumice.formats import jwt
from pumice.trust import token_verification
from pumice.trust.token_verification import TokenVerifier

NOW = 1_800_000_000
URL = "https://id.example"


class Issuer:
    """An issuer on the web, with a key that can be replaced."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.is_down = False
        self.configuration: dict[str, Any] = {"issuer": URL, "jwks_uri": f"{URL}/keys"}
        self.rotate()

    def rotate(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.jwk = jwt.make_jwk(self.key)

    def token(self) -> str:
        claims = {"iss": URL, "aud": "a", "sub": "s", "exp": NOW + 100_000}
        return jwt.sign_token(claims, self.key, self.jwk["kid"])

    def fetch(self, url: str, limit: int) -> bytes:
        self.requests.append(url)
        if self.is_down:
            raise FetchError("the server is down")
        document = self.configuration if url.endswith("openid-configuration") else {"keys": [self.jwk]}
        return json.dumps(document).encode()[:limit]


class Clock(FixedClock):
    def __init__(self) -> None:
        self.seconds = NOW

    def now(self) -> int:
        return self.seconds


def make_verifier(issuer: Issuer, clock: Clock) -> TokenVerifier:
    return TokenVerifier(token_verification.key_loader(f"{URL}/", issuer.fetch), ("a",), clock)


def test_keys_are_fetched_when_they_are_needed_and_kept() -> None:
    issuer, clock = Issuer(), Clock()
    verifier = make_verifier(issuer, clock)
    assert issuer.requests == []
    for _ in range(3):
        assert verifier.verify(issuer.token())["sub"] == "s"
    assert issuer.requests == [f"{URL}/.well-known/openid-configuration", f"{URL}/keys"]
    clock.seconds += 300
    verifier.verify(issuer.token())
    assert len(issuer.requests) == 4


def test_an_unknown_key_is_looked_for_once_in_a_while() -> None:
    issuer, clock = Issuer(), Clock()
    verifier = make_verifier(issuer, clock)
    old = issuer.token()
    verifier.verify(old)
    issuer.rotate()
    new = issuer.token()
    with pytest.raises(jwt.UnknownKeyError):
        verifier.verify(new)
    clock.seconds += 10
    assert verifier.verify(new)
    with pytest.raises(jwt.UnknownKeyError):
        verifier.verify(old)
    count = len(issuer.requests)
    for _ in range(20):
        with pytest.raises(jwt.UnknownKeyError):
            verifier.verify(old)
    assert len(issuer.requests) == count


def test_keys_that_cannot_be_fetched_again_are_used_for_an_hour() -> None:
    issuer, clock = Issuer(), Clock()
    verifier = make_verifier(issuer, clock)
    issuer.is_down = True
    with pytest.raises(FetchError):
        verifier.verify(issuer.token())
    issuer.is_down = False
    verifier.verify(issuer.token())
    issuer.is_down = True
    for clock.seconds in (NOW + 400, NOW + 405, NOW + 3599):
        verifier.verify(issuer.token())
    clock.seconds = NOW + 3600
    with pytest.raises(FetchError):
        verifier.verify(issuer.token())


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ({"issuer": "https://evil.example", "jwks_uri": f"{URL}/keys"}, "calls itself"),
        ({"jwks_uri": f"{URL}/keys"}, "calls itself"),
        ({"issuer": URL}, "no 'jwks_uri'"),
        ({"issuer": URL, "jwks_uri": 5}, "no 'jwks_uri'"),
        ({"issuer": URL, "jwks_uri": "http://id.example/keys"}, "over http"),
        ({"issuer": URL, "jwks_uri": "http://127.0.0.1/keys"}, "over http"),
        ({"issuer": URL, "jwks_uri": "file:///etc/passwd"}, "over http"),
    ],
)
def test_configurations_that_lead_astray_are_refused(configuration: dict[str, Any], message: str) -> None:
    issuer = Issuer()
    issuer.configuration = configuration
    with pytest.raises((FormatError, FetchError), match=message):
        make_verifier(issuer, Clock()).verify(issuer.token())


@pytest.mark.parametrize("url", ["http://id.example", "ftp://id.example", "file:///x", "https://", "://"])
def test_other_urls_are_not_issuers(url: str) -> None:
    with pytest.raises(UsageError):
        token_verification.key_loader(url, Issuer().fetch)


def test_an_issuer_on_this_machine_needs_no_tls() -> None:
    token_verification.key_loader("http://127.0.0.1:8080", Issuer().fetch)


def test_a_file_names_its_issuer(tmp_path: Path) -> None:
    issuer, path = Issuer(), tmp_path / "keys.json"
    path.write_text(json.dumps({"issuer": URL, "keys": [issuer.jwk]}))
    verifier = TokenVerifier(token_verification.key_loader(str(path), issuer.fetch), ("a",), Clock())
    assert verifier.verify(issuer.token())["iss"] == URL
    with pytest.raises(TrustError, match="issued by"):
        path.write_text(json.dumps({"issuer": "https://other.example", "keys": [issuer.jwk]}))
        load = token_verification.key_loader(str(path), issuer.fetch)
        TokenVerifier(load, ("a",), Clock()).verify(issuer.token())


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"issuer": ""}', b'{"issuer": "x", "keys": []}', b"x" * 300_000]
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(data)
    with pytest.raises(FormatError):
        token_verification.read_keys(str(path))


@pytest.mark.parametrize("name", ["missing", ".", "x\0y", "x" * 5000])
def test_files_that_cannot_be_read_are_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot read the keys"):
        token_verification.read_keys(str(tmp_path / name))
