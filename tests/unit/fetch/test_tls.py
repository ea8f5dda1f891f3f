"""Encrypted mirrors: certificates are checked, and apt's settings for them count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pumice.distro.debian.apt_setup import AptSetup
from pumice.errors import FetchError
from pumice.fetch.session import Session
from pumice.formats import aptconf
from pumice.store.home import Home
from tests.support import tls
from tests.support.mirror import Fault, Mirror

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/file").write_bytes(b"content")
    with Mirror(tmp_path / "mirror", tls=tls.server(*tls.self_signed(tmp_path))) as server:
        yield server


def get(folder: Path, url: str, configuration: str = "", logins: str = "") -> bytes:
    machine = AptSetup(
        configuration=aptconf.read_configuration([("c", configuration.encode())]),
        logins=tuple(aptconf.read_logins(logins.encode())),
    )
    with (
        Home(folder / "home") as home,
        Session(home, machine=machine, environ={}, sleep=lambda _: None) as session,
    ):
        return session.get(url, limit=100).body


def test_an_unknown_certificate_is_refused_at_once(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="cannot verify the certificate of the server"):
        get(tmp_path, f"{mirror.url}/file")
    assert mirror.requests == []


def test_apts_authority_is_accepted_and_its_logins_are_sent(mirror: Mirror, tmp_path: Path) -> None:
    authority = f'Acquire::https::CAInfo "{tmp_path}/server.crt";'
    assert (
        get(tmp_path, f"{mirror.url}/file", authority, "machine 127.0.0.1 login a password b") == b"content"
    )
    assert mirror.requests[0].headers["authorization"] == "Basic YTpi"


def test_an_authority_can_be_for_another_host(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(FetchError):
        get(tmp_path, f"{mirror.url}/file", f'Acquire::https::CAInfo::other.example "{tmp_path}/server.crt";')
    here = f'Acquire::https::CAInfo::127.0.0.1 "{tmp_path}/server.crt";'
    assert get(tmp_path, f"{mirror.url}/file", here) == b"content"


def test_a_name_that_does_not_fit_is_refused_unless_apt_is_told_not_to_look(
    mirror: Mirror, tmp_path: Path
) -> None:
    url = mirror.url.replace("127.0.0.1", "localhost")
    authority = f'Acquire::https::CAInfo "{tmp_path}/server.crt";'
    with pytest.raises(FetchError):
        get(tmp_path, f"{url}/file", authority)
    assert get(tmp_path, f"{url}/file", f'{authority} Acquire::https::Verify-Host "false";') == b"content"
    assert get(tmp_path, f"{url}/file", 'Acquire::https::Verify-Peer "false";') == b"content"


def test_a_client_certificate(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/file").write_bytes(b"content")
    client, key = tls.self_signed(tmp_path, "client")
    context = tls.server(*tls.self_signed(tmp_path), clients=client)
    authority = f'Acquire::https::CAInfo "{tmp_path}/server.crt";'
    with Mirror(tmp_path / "mirror", tls=context) as mirror:
        with pytest.raises(FetchError):
            get(tmp_path, f"{mirror.url}/file", authority)
        ours = f'Acquire::https {{ SSLCert "{client}"; SSLKey "{key}"; }};'
        assert get(tmp_path, f"{mirror.url}/file", authority + ours) == b"content"


def test_a_certificate_file_that_is_gone_is_one_sentence(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="cannot use the certificates in apt's configuration"):
        get(tmp_path, f"{mirror.url}/file", f'Acquire::https::CAInfo "{tmp_path}/gone.crt";')


def test_an_encrypted_mirror_cannot_send_us_to_a_plain_one(mirror: Mirror, tmp_path: Path) -> None:
    mirror.fault("/file", Fault(redirect="http://127.0.0.1:1/file"))
    with pytest.raises(FetchError, match="redirects from https to http"):
        get(tmp_path, f"{mirror.url}/file", f'Acquire::https::CAInfo "{tmp_path}/server.crt";')
