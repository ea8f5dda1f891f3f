"""Keys from URLs: from where, from whom, and how much; against servers on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pumice.errors import FetchError, FormatError, PumiceError, UsageError
from pumice.fetch.session import Session
from pumice.store.home import Home
from pumice.trust import key_urls
from pumice.trust.keys import PublicKey
from tests.support import keyserver, tls
from tests.support.signed_images import key

PEM = key(0).public_key.pem()
PLAIN = {
    name: value for name, value in os.environ.items() if "proxy" not in name.lower()
}  # loopback is not for proxies


def fetch_key(tmp_path: Path, url: str) -> PublicKey:
    with Session(Home(tmp_path / "store"), environ=PLAIN, sleep=lambda _: None) as session:
        return key_urls.fetch_key(key_urls.check_url(url), session)


def test_a_key_is_fetched_over_https_with_a_valid_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, secret = tls.self_signed(tmp_path)
    with keyserver.serving({"/a.pub": PEM}, tls.server(certificate, secret)) as (port, requests):
        url = f"https://127.0.0.1:{port}/a.pub"
        with pytest.raises(FetchError, match="cannot verify the certificate"):
            fetch_key(tmp_path, url)
        assert requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetch_key(tmp_path, url) == key(0).public_key


def test_redirects_to_other_hosts_are_refused(tmp_path: Path) -> None:
    answers: dict[str, bytes | str] = {"/old": "/a.pub", "/a.pub": PEM}
    with keyserver.serving(answers) as (port, _):
        answers["/away"] = f"http://localhost:{port}/a.pub"
        base = f"http://127.0.0.1:{port}"
        assert fetch_key(tmp_path, f"{base}/old") == key(0).public_key
        with pytest.raises(FetchError, match="redirects to another host, localhost"):
            fetch_key(tmp_path, f"{base}/away")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "expected one public key"),
        (PEM + PEM, "expected one public key"),
        (b"<html>" * 100, "expected one public key"),
        (b"x" * 70_000, "larger than 65536 bytes"),
        (b"-----BEGIN EC PRIVATE KEY-----", "private key"),
    ],
)
def test_content_that_is_not_a_key_is_refused(tmp_path: Path, body: bytes, message: str) -> None:
    with keyserver.serving({"/a.pub": body}) as (port, _), pytest.raises(FormatError, match=message):
        fetch_key(tmp_path, f"http://127.0.0.1:{port}/a.pub")


@pytest.mark.parametrize("url", ["http://example.com/a.pub", "http://localhost.example/a", "http://[::2]/a"])
def test_plain_http_is_allowed_for_loopback_only(url: str) -> None:
    with pytest.raises(UsageError, match="the connection is not protected"):
        key_urls.check_url(url)
    assert key_urls.check_url(url, plain_http=True) == url


@pytest.mark.parametrize(
    "url", ["ftp://a/b", "file:///etc/passwd", "https://", "://", "http://[::1", "x://y"]
)
def test_invalid_urls_are_refused(url: str) -> None:
    with pytest.raises(PumiceError):
        key_urls.check_url(url, plain_http=True)


def test_credentials_in_a_url_are_not_shown() -> None:
    url = "http://ada:secret@example.com/keys/ada.pub"
    with pytest.raises(UsageError) as caught:
        key_urls.check_url(url)
    assert "secret" not in str(caught.value)
    assert "secret" not in key_urls.redact_url(url)
    assert key_urls.label_from_url(url) == "ada"
