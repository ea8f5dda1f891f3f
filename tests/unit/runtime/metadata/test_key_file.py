"""The keys of the metadata service: rotation, two writers, and files that cannot be used."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from pumice import files
from pumice.errors import FormatError, PumiceError, StoreError, UsageError
from pumice.formats import jwt
from pumice.runtime.metadata import key_file
from pumice.runtime.metadata.key_file import KeyFile

NOW = 1_800_000_000
DAY = 86400


def path_of(home: Path) -> Path:
    return home / "metadata" / "keys.json"


def published(keys: key_file.Keys, now: int) -> list[str]:
    return [key["kid"] for key in key_file.key_set(keys, now)["keys"]]


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    KeyFile(str(tmp_path)).current(NOW)
    assert path_of(tmp_path).stat().st_mode & 0o7777 == 0o600
    assert path_of(tmp_path).parent.stat().st_mode & 0o7777 == 0o700


def test_another_service_has_the_same_keys(tmp_path: Path) -> None:
    keys = KeyFile(str(tmp_path)).current(NOW)
    assert KeyFile(str(tmp_path)).current(NOW + DAY) == keys


def test_a_retired_key_is_published_until_its_tokens_have_expired(tmp_path: Path) -> None:
    file = KeyFile(str(tmp_path))
    first = file.current(NOW)
    old = published(first, NOW)
    assert file.current(NOW + 29 * DAY) == first
    later = NOW + 30 * DAY
    second = file.current(later)
    assert len(published(second, later)) == 2
    assert published(second, later)[1:] == old
    assert (second.issuer, second.mac) == (first.issuer, first.mac)
    end = later + key_file.MAX_LIFETIME + 2 * jwt.LEEWAY_SECONDS
    assert published(second, end) == published(second, later)
    assert published(second, end + 1) == published(second, later)[:1]
    third = file.rotate(end + 1)
    assert len(third.signing) == 2


def test_tokens_of_a_retired_key_still_verify(tmp_path: Path) -> None:
    file = KeyFile(str(tmp_path))
    keys = file.current(NOW)
    claims = {"iss": keys.issuer, "aud": "a", "sub": "s", "exp": NOW + 600}
    token = key_file.sign_claims(keys, claims)
    document = json.dumps(key_file.key_set(file.rotate(NOW + 1), NOW + 1)).encode()
    expectation = jwt.Expectation(keys.issuer, ("a",))
    assert jwt.verify_token(token, jwt.read_key_set(document), expectation, NOW + 1) == claims


def test_a_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "a", tmp_path / "b"
    file = KeyFile(str(ours))
    file.current(NOW)
    other = KeyFile(str(theirs)).current(NOW)
    path_of(theirs).replace(path_of(ours))
    assert file.current(NOW) == other


def test_racing_services_agree_on_the_keys(tmp_path: Path) -> None:
    results: list[Any] = []

    def create() -> None:
        results.append(KeyFile(str(tmp_path)).current(NOW))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(keys == results[0] for keys in results)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    KeyFile(str(tmp_path)).current(NOW)
    path_of(tmp_path).chmod(mode)
    with pytest.raises(StoreError, match="other users"):
        KeyFile(str(tmp_path)).current(NOW)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"issuer": "urn:x", "signing": [], "mac": "' + b"ab" * 64 + b'"}',
        b'{"issuer": "urn:x", "signing": [{"jwk": {"kid": ""}, "private_key": "", "created": 1}], "mac": ""}',
        b'{"issuer": "urn:x", "signing": [{"jwk": {}, "private_key": "", "created": 1}], "mac": "'
        + b"ab" * 64
        + b'"}',
    ],
)
def test_a_damaged_file_is_an_error_and_stays(tmp_path: Path, data: bytes) -> None:
    path_of(tmp_path).parent.mkdir()
    path_of(tmp_path).write_bytes(data)
    path_of(tmp_path).chmod(0o600)
    with pytest.raises(FormatError, match="damaged"):
        KeyFile(str(tmp_path)).current(NOW)
    assert path_of(tmp_path).read_bytes() == data


@pytest.mark.parametrize("kind", ["directory", "pipe", "link"])
def test_what_is_not_a_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = path_of(tmp_path)
    path.parent.mkdir()
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(PumiceError):
        KeyFile(str(tmp_path)).current(NOW)


def test_a_key_that_cannot_be_succeeded_goes_on_signing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    file = KeyFile(str(tmp_path), warnings.append)
    keys = file.current(NOW)

    def fail(*_: object, **__: object) -> None:
        raise StoreError("no space left on the device")

    monkeypatch.setattr(files, "replace", fail)
    assert file.current(NOW + 31 * DAY) == keys
    assert warnings
    assert "no space left" in warnings[0]
    with pytest.raises(StoreError, match="no space"):
        KeyFile(str(tmp_path / "new")).current(NOW)


def test_the_issuer_can_be_set(tmp_path: Path) -> None:
    file = KeyFile(str(tmp_path))
    assert file.current(NOW).issuer.startswith("urn:pumice:")
    assert file.set_issuer("https://id.example/", NOW).issuer == "https://id.example"
    assert KeyFile(str(tmp_path)).current(NOW).issuer == "https://id.example"


@pytest.mark.parametrize(
    "text", ["", "x", "ftp://x", "https://x?y", "https://x#y", "https://a b", "urn:é", "urn:\n"]
)
def test_other_texts_are_not_issuers(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="is not an issuer"):
        KeyFile(str(tmp_path)).set_issuer(text, NOW)
