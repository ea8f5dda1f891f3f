"""Downloads over HTTP from a mirror with faults."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.distro.debian.apt_setup import AptSetup
from pumice.errors import FetchError, FormatError
from pumice.fetch.session import Session
from pumice.fetch.transfer import ATTEMPTS, MissingError
from pumice.formats import aptconf
from pumice.store.home import Home
from tests.support.mirror import Fault, Mirror

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/file").write_bytes(CONTENT)
    with Mirror(tmp_path / "mirror") as server:
        yield server


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def session(tmp_path: Path, pauses: list[float]) -> Iterator[Session]:
    with Home(tmp_path / "home") as home, Session(home, environ={}, sleep=pauses.append) as session:
        yield session


def download(session: Session, url: str, size: int = len(CONTENT)) -> bytes:
    body = bytearray()
    session.download(url, body.extend, size=size)
    return bytes(body)


def test_a_file_is_downloaded(mirror: Mirror, session: Session) -> None:
    assert session.get(f"{mirror.url}/file", limit=len(CONTENT)).body == CONTENT
    assert download(session, f"{mirror.url}/file") == CONTENT


def test_escaped_names_are_requested_unchanged(mirror: Mirror, session: Session) -> None:
    (mirror.root / "a+b c").write_bytes(b"x")
    assert session.get(f"{mirror.url}/a+b%20c", limit=1).body == b"x"


def test_a_missing_file_has_its_own_error_and_no_retry(
    mirror: Mirror, session: Session, pauses: list[float]
) -> None:
    with pytest.raises(MissingError) as caught:
        session.get(f"{mirror.url}/none", limit=1)
    assert caught.value.where == f"{mirror.url}/none"
    assert len(mirror.requests) == 1
    assert pauses == []


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_transient_failures_are_retried(
    status: int, mirror: Mirror, session: Session, pauses: list[float]
) -> None:
    mirror.add_fault("/file", Fault(status=status, times=2))
    assert download(session, f"{mirror.url}/file") == CONTENT
    assert len(pauses) == 2
    assert pauses[0] < pauses[1]


def test_retries_are_limited(mirror: Mirror, session: Session) -> None:
    mirror.add_fault("/file", Fault(status=503))
    with pytest.raises(FetchError, match="the download failed: the server responded 503 Service Unavailable"):
        download(session, f"{mirror.url}/file")
    assert len(mirror.requests) == ATTEMPTS


def test_permanent_failures_are_not_retried(mirror: Mirror, session: Session) -> None:
    mirror.add_fault("/file", Fault(status=403))
    with pytest.raises(FetchError, match="the server responded 403 Forbidden"):
        download(session, f"{mirror.url}/file")
    assert len(mirror.requests) == 1


def test_retry_after_is_honored_up_to_a_limit(mirror: Mirror, session: Session, pauses: list[float]) -> None:
    mirror.add_fault("/file", Fault(status=429, times=1, headers={"Retry-After": "7"}))
    assert download(session, f"{mirror.url}/file") == CONTENT
    assert pauses == [7.0]
    mirror.add_fault("/file", Fault(status=429, headers={"Retry-After": "86400"}))
    with pytest.raises(FetchError):
        download(session, f"{mirror.url}/file")
    assert pauses == [7.0]


def test_a_broken_connection_is_resumed(mirror: Mirror, session: Session) -> None:
    mirror.add_fault("/file", Fault(truncate=300_000, times=2))
    assert download(session, f"{mirror.url}/file") == CONTENT
    ranges = [request.headers.get("range") for request in mirror.requests]
    assert ranges[0] is None
    assert ranges[1] is not None
    assert ranges[1].startswith("bytes=")


def test_a_mirror_without_ranges_is_read_from_the_start(tmp_path: Path, session: Session) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/file").write_bytes(CONTENT)
    with Mirror(tmp_path / "plain", ranges=False) as mirror:
        mirror.add_fault("/file", Fault(truncate=700_000, times=1))
        assert download(session, f"{mirror.url}/file") == CONTENT
        assert len(mirror.requests) == 2


def test_a_file_that_is_never_complete_is_an_error(mirror: Mirror, session: Session) -> None:
    mirror.add_fault("/file", Fault(truncate=0))
    with pytest.raises(FetchError, match="the connection was closed unexpectedly"):
        download(session, f"{mirror.url}/file")


def test_a_closed_connection_is_retried(mirror: Mirror, session: Session) -> None:
    mirror.add_fault("/file", Fault(drop=True, times=1))
    assert download(session, f"{mirror.url}/file") == CONTENT


def test_another_length_than_expected_is_an_error(mirror: Mirror, session: Session) -> None:
    mirror.add_fault("/file", Fault(short=10))
    with pytest.raises(FetchError, match=f"the file has 10 bytes instead of {len(CONTENT)}"):
        download(session, f"{mirror.url}/file")


def test_a_file_over_the_limit_is_an_error(mirror: Mirror, session: Session) -> None:
    received = bytearray()
    with pytest.raises(FormatError, match="larger than 1000 bytes"):
        session.download(f"{mirror.url}/file", received.extend, size=1000)
    assert len(received) <= 1000
    with pytest.raises(FormatError):
        session.get(f"{mirror.url}/file", limit=10)


def test_a_current_cached_copy_is_not_downloaded_again(mirror: Mirror, session: Session) -> None:
    first = session.get(f"{mirror.url}/file", limit=len(CONTENT))
    second_download = session.get(
        f"{mirror.url}/file", limit=len(CONTENT), etag=first.etag, modified=first.modified
    )
    assert second_download.is_unchanged
    assert mirror.requests[1].status == 304
    by_time = session.get(f"{mirror.url}/file", limit=len(CONTENT), modified=first.modified)
    assert by_time.is_unchanged


def test_connections_are_reused(mirror: Mirror, session: Session) -> None:
    first = session.get(f"{mirror.url}/file", limit=len(CONTENT))
    for _ in range(3):
        session.get(f"{mirror.url}/file", limit=len(CONTENT), etag=first.etag)
    assert len({request.headers.get("host") for request in mirror.requests}) == 1
    assert mirror.connections == 1


def test_redirects_are_followed_up_to_a_limit(mirror: Mirror, session: Session) -> None:
    mirror.add_fault("/there", Fault(redirect="/file"))
    assert session.get(f"{mirror.url}/there", limit=len(CONTENT)).body == CONTENT
    mirror.add_fault("/circle", Fault(redirect="/circle"))
    with pytest.raises(FetchError, match="too many redirects"):
        session.get(f"{mirror.url}/circle", limit=1)
    mirror.add_fault("/local", Fault(redirect="file:///etc/passwd"))
    with pytest.raises(FetchError, match="redirects from http to file"):
        session.get(f"{mirror.url}/local", limit=1)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "169.254.169.254", "[::1]"])
def test_a_remote_mirror_may_not_redirect_to_a_local_address(
    tmp_path: Path, mirror: Mirror, host: str
) -> None:
    # The proxy stands in for the mirror on another machine.
    configuration = aptconf.read_configuration([("c", f'Acquire::http::Proxy "{mirror.url}";'.encode())])
    mirror.add_fault("/there", Fault(redirect=f"http://{host}/"))
    with (
        Home(tmp_path / "home") as home,
        Session(home, machine=AptSetup(configuration=configuration), environ={}) as session,
        pytest.raises(FetchError, match="redirects to a local address"),
    ):
        session.get("http://mirror.example/there", limit=1)
    assert len(mirror.requests) == 1


def test_a_login_is_not_forwarded_by_a_redirect(tmp_path: Path, mirror: Mirror) -> None:
    host = mirror.url.removeprefix("http://")
    logins = aptconf.read_logins(f"machine http://{host} login me password secret".encode())
    with (
        Home(tmp_path / "home") as home,
        Mirror(tmp_path / "mirror", credentials="Basic bWU6c2VjcmV0") as private_mirror,
        Session(home, machine=AptSetup(logins=tuple(logins)), environ={}) as session,
    ):
        with pytest.raises(FetchError) as caught:
            session.get(f"{private_mirror.url}/file", limit=len(CONTENT))
        assert "auth.conf" in (caught.value.hint or "")
        url = private_mirror.url.replace("http://", "http://me:secret@")
        assert session.get(f"{url}/file", limit=len(CONTENT)).body == CONTENT
        private_mirror.add_fault(
            "/away", Fault(redirect=f"{mirror.url.replace('127.0.0.1', 'localhost')}/file")
        )
        session.get(f"{url}/away", limit=len(CONTENT))
        assert "authorization" in private_mirror.requests[-1].headers
        assert "authorization" not in mirror.requests[-1].headers
        assert all("secret" not in str(request) for request in mirror.requests)
        session.get(f"{mirror.url}/file", limit=len(CONTENT))
        assert mirror.requests[-1].headers["authorization"] == "Basic bWU6c2VjcmV0"


def test_a_login_is_never_part_of_an_error(mirror: Mirror, session: Session) -> None:
    url = mirror.url.replace("http://", "http://me:secret@")
    for path in ("none", "file"):
        mirror.add_fault("/file", Fault(status=403))
        with pytest.raises(FetchError) as caught:
            session.get(f"{url}/{path}", limit=1)
        assert "secret" not in str(caught.value)


def test_requests_go_through_the_proxy(tmp_path: Path, mirror: Mirror) -> None:
    configuration = aptconf.read_configuration([("c", f'Acquire::http::Proxy "{mirror.url}";'.encode())])
    (mirror.root / "far").write_bytes(b"x")
    with (
        Home(tmp_path / "home") as home,
        Session(home, machine=AptSetup(configuration=configuration), environ={}) as session,
    ):
        assert session.get("http://nowhere.invalid/far", limit=1).body == b"x"
    assert mirror.requests[0].path == "http://nowhere.invalid/far"


def test_an_unknown_host_is_one_sentence(session: Session) -> None:
    with pytest.raises(FetchError) as caught:
        session.get("http://127.0.0.1:1/x", limit=1)
    assert caught.value.message == "the download failed: cannot connect"
    assert caught.value.where == "http://127.0.0.1:1/x"


def test_offline_sends_no_request(tmp_path: Path, mirror: Mirror) -> None:
    with Home(tmp_path / "home") as home, Session(home, offline=True, environ={}) as session:
        with pytest.raises(FetchError, match="--offline"):
            session.get(f"{mirror.url}/file", limit=1)
        local = session.get((mirror.root / "file").as_uri(), limit=len(CONTENT))
    assert local.body == CONTENT
    assert mirror.requests == []


def test_file_urls_are_read_from_disk(tmp_path: Path, session: Session) -> None:
    (tmp_path / "a b").write_bytes(b"xyz")
    for url in ((tmp_path / "a b").as_uri(), f"file:{tmp_path}/a%20b", f"copy:{tmp_path}/a%20b"):
        assert session.get(url, limit=3).body == b"xyz"
    with pytest.raises(FormatError):
        session.get((tmp_path / "a b").as_uri(), limit=2)
    with pytest.raises(MissingError):
        session.get(f"file:{tmp_path}/none", limit=2)
    with pytest.raises(FetchError, match="cannot read"):
        session.get(f"file:{tmp_path}", limit=2)
    with pytest.raises(FetchError, match="cannot read"):
        session.get("file:/a%00b", limit=2)


@pytest.mark.parametrize("url", ["ftp://a.example/x", "cdrom:x", "x", "data:,x"])
def test_other_url_schemes_are_refused(url: str, session: Session) -> None:
    with pytest.raises(FetchError, match="with the scheme"):
        session.get(url, limit=1)


@pytest.mark.concurrency
def test_many_threads_share_a_session(mirror: Mirror, session: Session) -> None:
    barrier = threading.Barrier(8)

    def fetch_body(_: int) -> bytes:
        barrier.wait()
        return download(session, f"{mirror.url}/file")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fetch_body, range(8))) == {CONTENT}
