"""Downloads over real HTTP, from a mirror that misbehaves."""

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
    with Home(tmp_path / "home") as home, Session(home, environ={}, sleep=pauses.append) as found:
        yield found


def download(session: Session, url: str, size: int = len(CONTENT)) -> bytes:
    body = bytearray()
    session.download(url, body.extend, size=size)
    return bytes(body)


def test_a_file_comes_whole(mirror: Mirror, session: Session) -> None:
    assert session.get(f"{mirror.url}/file", limit=len(CONTENT)).body == CONTENT
    assert download(session, f"{mirror.url}/file") == CONTENT


def test_names_are_escaped_by_the_caller_and_found(mirror: Mirror, session: Session) -> None:
    (mirror.root / "a+b c").write_bytes(b"x")
    assert session.get(f"{mirror.url}/a+b%20c", limit=1).body == b"x"


def test_missing_is_told_apart_and_not_tried_again(
    mirror: Mirror, session: Session, pauses: list[float]
) -> None:
    with pytest.raises(MissingError) as caught:
        session.get(f"{mirror.url}/none", limit=1)
    assert caught.value.where == f"{mirror.url}/none"
    assert len(mirror.requests) == 1
    assert pauses == []


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(
    status: int, mirror: Mirror, session: Session, pauses: list[float]
) -> None:
    mirror.fault("/file", Fault(status=status, times=2))
    assert download(session, f"{mirror.url}/file") == CONTENT
    assert len(pauses) == 2
    assert pauses[0] < pauses[1]


def test_trying_again_has_an_end(mirror: Mirror, session: Session) -> None:
    mirror.fault("/file", Fault(status=503))
    with pytest.raises(FetchError, match="the download failed: the server responded 503 Service Unavailable"):
        download(session, f"{mirror.url}/file")
    assert len(mirror.requests) == ATTEMPTS


def test_what_will_not_pass_is_not_tried_again(mirror: Mirror, session: Session) -> None:
    mirror.fault("/file", Fault(status=403))
    with pytest.raises(FetchError, match="the server responded 403 Forbidden"):
        download(session, f"{mirror.url}/file")
    assert len(mirror.requests) == 1


def test_retry_after_is_honoured_within_reason(mirror: Mirror, session: Session, pauses: list[float]) -> None:
    mirror.fault("/file", Fault(status=429, times=1, headers={"Retry-After": "7"}))
    assert download(session, f"{mirror.url}/file") == CONTENT
    assert pauses == [7.0]
    mirror.fault("/file", Fault(status=429, headers={"Retry-After": "86400"}))
    with pytest.raises(FetchError):
        download(session, f"{mirror.url}/file")
    assert pauses == [7.0]


def test_a_cut_connection_is_resumed_where_it_broke(mirror: Mirror, session: Session) -> None:
    mirror.fault("/file", Fault(truncate=300_000, times=2))
    assert download(session, f"{mirror.url}/file") == CONTENT
    ranges = [request.headers.get("range") for request in mirror.requests]
    assert ranges[0] is None
    assert ranges[1] is not None
    assert ranges[1].startswith("bytes=")


def test_a_mirror_without_ranges_is_read_again(tmp_path: Path, session: Session) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/file").write_bytes(CONTENT)
    with Mirror(tmp_path / "plain", ranges=False) as mirror:
        mirror.fault("/file", Fault(truncate=700_000, times=1))
        assert download(session, f"{mirror.url}/file") == CONTENT
        assert len(mirror.requests) == 2


def test_a_file_that_never_comes_whole_is_an_error(mirror: Mirror, session: Session) -> None:
    mirror.fault("/file", Fault(truncate=0))
    with pytest.raises(FetchError, match="the connection was closed unexpectedly"):
        download(session, f"{mirror.url}/file")


def test_a_server_that_hangs_up_is_tried_again(mirror: Mirror, session: Session) -> None:
    mirror.fault("/file", Fault(drop=True, times=1))
    assert download(session, f"{mirror.url}/file") == CONTENT


def test_another_length_than_announced_is_an_error(mirror: Mirror, session: Session) -> None:
    mirror.fault("/file", Fault(short=10))
    with pytest.raises(FetchError, match=f"the file has 10 bytes instead of {len(CONTENT)}"):
        download(session, f"{mirror.url}/file")


def test_more_than_the_limit_is_never_taken(mirror: Mirror, session: Session) -> None:
    taken = bytearray()
    with pytest.raises(FormatError, match="larger than 1000 bytes"):
        session.download(f"{mirror.url}/file", taken.extend, size=1000)
    assert len(taken) <= 1000
    with pytest.raises(FormatError):
        session.get(f"{mirror.url}/file", limit=10)


def test_a_copy_that_is_current_is_not_sent_again(mirror: Mirror, session: Session) -> None:
    first = session.get(f"{mirror.url}/file", limit=len(CONTENT))
    again = session.get(f"{mirror.url}/file", limit=len(CONTENT), etag=first.etag, modified=first.modified)
    assert again.is_unchanged
    assert mirror.requests[1].status == 304
    by_time = session.get(f"{mirror.url}/file", limit=len(CONTENT), modified=first.modified)
    assert by_time.is_unchanged


def test_connections_are_used_again(mirror: Mirror, session: Session) -> None:
    first = session.get(f"{mirror.url}/file", limit=len(CONTENT))
    for _ in range(3):
        session.get(f"{mirror.url}/file", limit=len(CONTENT), etag=first.etag)
    assert len({request.headers.get("host") for request in mirror.requests}) == 1
    assert mirror.connections == 1


def test_redirections_are_followed_with_an_end(mirror: Mirror, session: Session) -> None:
    mirror.fault("/there", Fault(redirect="/file"))
    assert session.get(f"{mirror.url}/there", limit=len(CONTENT)).body == CONTENT
    mirror.fault("/circle", Fault(redirect="/circle"))
    with pytest.raises(FetchError, match="too many redirects"):
        session.get(f"{mirror.url}/circle", limit=1)
    mirror.fault("/local", Fault(redirect="file:///etc/passwd"))
    with pytest.raises(FetchError, match="redirects from http to file"):
        session.get(f"{mirror.url}/local", limit=1)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "169.254.169.254", "[::1]"])
def test_a_mirror_elsewhere_does_not_redirect_to_this_machine(
    tmp_path: Path, mirror: Mirror, host: str
) -> None:
    # The proxy stands in for the mirror on another machine.
    configuration = aptconf.read_configuration([("c", f'Acquire::http::Proxy "{mirror.url}";'.encode())])
    mirror.fault("/there", Fault(redirect=f"http://{host}/"))
    with (
        Home(tmp_path / "home") as home,
        Session(home, machine=AptSetup(configuration=configuration), environ={}) as session,
        pytest.raises(FetchError, match="redirects to a local address"),
    ):
        session.get("http://mirror.example/there", limit=1)
    assert len(mirror.requests) == 1


def test_a_login_is_sent_to_its_host_and_not_along_a_redirection(tmp_path: Path, mirror: Mirror) -> None:
    host = mirror.url.removeprefix("http://")
    logins = aptconf.read_logins(f"machine http://{host} login me password secret".encode())
    with (
        Home(tmp_path / "home") as home,
        Mirror(tmp_path / "mirror", credentials="Basic bWU6c2VjcmV0") as closed,
        Session(home, machine=AptSetup(logins=tuple(logins)), environ={}) as session,
    ):
        with pytest.raises(FetchError) as caught:
            session.get(f"{closed.url}/file", limit=len(CONTENT))
        assert "auth.conf" in (caught.value.hint or "")
        url = closed.url.replace("http://", "http://me:secret@")
        assert session.get(f"{url}/file", limit=len(CONTENT)).body == CONTENT
        closed.fault("/away", Fault(redirect=f"{mirror.url.replace('127.0.0.1', 'localhost')}/file"))
        session.get(f"{url}/away", limit=len(CONTENT))
        assert "authorization" in closed.requests[-1].headers
        assert "authorization" not in mirror.requests[-1].headers
        assert all("secret" not in str(request) for request in mirror.requests)
        session.get(f"{mirror.url}/file", limit=len(CONTENT))
        assert mirror.requests[-1].headers["authorization"] == "Basic bWU6c2VjcmV0"


def test_a_login_never_stands_in_an_error(mirror: Mirror, session: Session) -> None:
    url = mirror.url.replace("http://", "http://me:secret@")
    for path in ("none", "file"):
        mirror.fault("/file", Fault(status=403))
        with pytest.raises(FetchError) as caught:
            session.get(f"{url}/{path}", limit=1)
        assert "secret" not in str(caught.value)


def test_a_proxy_is_asked_instead_of_the_host(tmp_path: Path, mirror: Mirror) -> None:
    configuration = aptconf.read_configuration([("c", f'Acquire::http::Proxy "{mirror.url}";'.encode())])
    (mirror.root / "far").write_bytes(b"x")
    with (
        Home(tmp_path / "home") as home,
        Session(home, machine=AptSetup(configuration=configuration), environ={}) as session,
    ):
        assert session.get("http://nowhere.invalid/far", limit=1).body == b"x"
    assert mirror.requests[0].path == "http://nowhere.invalid/far"


def test_a_host_that_is_not_there_is_one_sentence(session: Session) -> None:
    with pytest.raises(FetchError) as caught:
        session.get("http://127.0.0.1:1/x", limit=1)
    assert caught.value.message == "the download failed: cannot connect"
    assert caught.value.where == "http://127.0.0.1:1/x"


def test_offline_nothing_is_asked(tmp_path: Path, mirror: Mirror) -> None:
    with Home(tmp_path / "home") as home, Session(home, offline=True, environ={}) as session:
        with pytest.raises(FetchError, match="--offline"):
            session.get(f"{mirror.url}/file", limit=1)
        local = session.get((mirror.root / "file").as_uri(), limit=len(CONTENT))
    assert local.body == CONTENT
    assert mirror.requests == []


def test_files_are_mirrors_too(tmp_path: Path, session: Session) -> None:
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
def test_other_kinds_of_urls_are_refused(url: str, session: Session) -> None:
    with pytest.raises(FetchError, match="with the scheme"):
        session.get(url, limit=1)


@pytest.mark.concurrency
def test_many_threads_share_a_session(mirror: Mirror, session: Session) -> None:
    barrier = threading.Barrier(8)

    def one(_: int) -> bytes:
        barrier.wait()
        return download(session, f"{mirror.url}/file")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(8))) == {CONTENT}
