"""Mirrors with TLS: certificates are verified, with the settings of apt."""

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


def test_the_ca_of_apt_is_trusted_and_its_logins_are_sent(mirror: Mirror, tmp_path: Path) -> None:
    authority = f'Acquire::https::CAInfo "{tmp_path}/server.crt";'
    assert (
        get(tmp_path, f"{mirror.url}/file", authority, "machine 127.0.0.1 login a password b") == b"content"
    )
    assert mirror.requests[0].headers["authorization"] == "Basic YTpi"


def test_a_ca_can_be_set_for_one_host(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(FetchError):
        get(tmp_path, f"{mirror.url}/file", f'Acquire::https::CAInfo::other.example "{tmp_path}/server.crt";')
    apt_setup = f'Acquire::https::CAInfo::127.0.0.1 "{tmp_path}/server.crt";'
    assert get(tmp_path, f"{mirror.url}/file", apt_setup) == b"content"


def test_another_host_name_is_refused_unless_apt_ignores_it(mirror: Mirror, tmp_path: Path) -> None:
    url = mirror.url.replace("127.0.0.1", "localhost")
    authority = f'Acquire::https::CAInfo "{tmp_path}/server.crt";'
    with pytest.raises(FetchError):
        get(tmp_path, f"{url}/file", authority)
    assert get(tmp_path, f"{url}/file", f'{authority} Acquire::https::Verify-Host "false";') == b"content"
    assert get(tmp_path, f"{url}/file", 'Acquire::https::Verify-Peer "false";') == b"content"


def test_a_client_certificate_is_sent(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/file").write_bytes(b"content")
    client, key = tls.self_signed(tmp_path, "client")
    context = tls.server(*tls.self_signed(tmp_path), clients=client)
    authority = f'Acquire::https::CAInfo "{tmp_path}/server.crt";'
    with Mirror(tmp_path / "mirror", tls=context) as mirror:
        with pytest.raises(FetchError):
            get(tmp_path, f"{mirror.url}/file", authority)
        configuration = f'Acquire::https {{ SSLCert "{client}"; SSLKey "{key}"; }};'
        assert get(tmp_path, f"{mirror.url}/file", authority + configuration) == b"content"


def test_a_missing_certificate_file_is_one_sentence(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="cannot use the certificates in apt's configuration"):
        get(tmp_path, f"{mirror.url}/file", f'Acquire::https::CAInfo "{tmp_path}/gone.crt";')


def test_a_redirect_from_https_to_http_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    mirror.add_fault("/file", Fault(redirect="http://127.0.0.1:1/file"))
    with pytest.raises(FetchError, match="redirects from https to http"):
        get(tmp_path, f"{mirror.url}/file", f'Acquire::https::CAInfo "{tmp_path}/server.crt";')
