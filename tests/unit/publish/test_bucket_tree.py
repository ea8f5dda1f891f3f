from __future__ import annotations

import sys

import pytest

from pumice.errors import FetchError, UsageError
from pumice.publish.bucket_tree import open_bucket

ENVIRON = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    with pytest.raises(UsageError, match="not installed") as caught:
        open_bucket("s3://images", ENVIRON)
    assert "pumice[s3]" in str(caught.value.hint)


@pytest.mark.parametrize("url", ["s3://", "s3:///", "https://images.example", "s3:images"])
def test_what_is_not_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not the URL of a bucket"):
        open_bucket(url, ENVIRON)


@pytest.mark.parametrize("url", ["s3://a b", "s3://[", "s3://%zz"])
def test_an_invalid_bucket_is_refused_when_it_is_used(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises((UsageError, FetchError)):
        open_bucket(url, ENVIRON).list_files()


def test_a_server_without_tls_is_used_only_if_the_environment_allows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(UsageError, match="has no TLS"):
        open_bucket("s3://images", ENVIRON).list_files()
