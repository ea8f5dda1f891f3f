"""What servers cannot make discovery do: redirects, addresses, logins, and sizes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from pumice.discovery.web import Reach, Web, find_reach
from pumice.errors import FetchError
from pumice.registry.address_checks import refused_address_error
from pumice.registry.credentials import Login
from pumice.registry.message import Request, Response, TransportError
from pumice.registry.reference import Repository
from pumice.registry.retry import RetryPolicy

PUBLIC, PRIVATE, LOOPBACK = "8.8.8.8", "10.1.2.3", "127.0.0.1"
METADATA, HOME_ROUTER = "169.254.169.254", "192.168.1.1"
Answer = Callable[[Request], Response]


class Internet:
    """Hosts with addresses and what they answer; a transport that refuses addresses as the real one does."""

    def __init__(self, addresses: dict[str, str], answer: Answer) -> None:
        self.addresses = addresses
        self.answer = answer
        self.requests: list[Request] = []

    def send(self, request: Request) -> Response:
        host = request.url.partition("://")[2].partition("/")[0].partition(":")[0].partition("?")[0]
        address = self.addresses.get(host, PUBLIC)
        reach = find_reach(address)
        if request.refuse_local_address and reach == Reach.LOCAL:
            raise refused_address_error(host, "local")
        if request.refuse_private_address and reach > Reach.PUBLIC:
            raise refused_address_error(host, "private")
        self.requests.append(request)
        response = self.answer(request)
        return Response(response.status, response.headers, response.stream, url=request.url, peer=address)

    def close(self) -> None:
        pass


class Logins:
    """A login for every host that has one."""

    def __init__(self, **logins: str) -> None:
        self.logins = logins

    def find_login(self, repository: Repository) -> Login | None:
        password = self.logins.get(repository.host.partition(".")[0])
        return Login("ada", password) if password else None


class HostLogins:
    """A login for one host, as it is written in an authentication file."""

    def __init__(self, host: str) -> None:
        self.host = host

    def find_login(self, repository: Repository) -> Login | None:
        return Login("ada", "secret") if repository.host == self.host else None


def page(content: bytes = b"page", status: int = 200) -> Response:
    return Response(status, (), io.BytesIO(content))


def redirect(target: str) -> Response:
    return Response(302, (("Location", target),))


def routes(**targets: str) -> Answer:
    """Return what redirects from hosts to URLs; other hosts have a page."""
    return lambda request: (
        redirect(targets[name])
        if (name := request.url.partition("://")[2].partition(".")[0]) in targets
        else page()
    )


def make_web(answer: Answer, addresses: dict[str, str] | None = None, **options: Any) -> tuple[Web, Internet]:
    internet = Internet(addresses or {}, answer)
    pauses: list[float] = []
    policy = RetryPolicy(attempts=3, initial_delay=0.1)
    web = Web(internet, options.pop("logins", Logins()), sleep=pauses.append, policy=policy, **options)
    web.begin("https://start.example")
    return web, internet


def get(web: Web, url: str = "https://start.example/a") -> bytes:
    return web.get(url, limit=1000).content


def test_redirects_are_followed_to_other_hosts() -> None:
    web, _ = make_web(routes(start="https://other.example/b"))
    result = web.get("https://start.example/a", limit=1000)
    assert (result.content, result.url) == (b"page", "https://other.example/b")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("https://start.example/a", "redirects in a loop"),
        ("http://other.example/", "refusing http"),
        ("file:///etc/passwd", "unusable URL"),
        ("ftp://other.example/", "unusable URL"),
        ("https://ada:secret@other.example/", "unusable URL"),
        ("https://127.0.0.1/", "a local address"),
        ("https://[::1]/", "a local address"),
        ("https://localhost/", "a local address"),
        ("https://0x7f000001/", "a local address"),
        (f"https://{METADATA}/latest/meta-data", "a local address"),
        (f"https://{PRIVATE}/", "a private address"),
        (f"https://{HOME_ROUTER}/", "a private address"),
        ("https://[fd00::1]/", "a private address"),
        ("https://[::ffff:10.0.0.1]/", "a private address"),
    ],
)
def test_redirects_that_lead_too_far_are_refused(target: str, message: str) -> None:
    web, internet = make_web(routes(start=target))
    with pytest.raises(FetchError, match=message):
        get(web)
    assert len(internet.requests) == 1


def test_a_chain_of_redirects_ends() -> None:
    web, internet = make_web(lambda request: redirect(request.url + "x"))
    with pytest.raises(FetchError, match="more than 10 redirects"):
        get(web)
    assert len(internet.requests) == 11


@pytest.mark.parametrize(("address", "kind"), [(LOOPBACK, "local"), (PRIVATE, "private")])
def test_a_name_that_resolves_to_a_forbidden_address_is_refused(address: str, kind: str) -> None:
    web, internet = make_web(routes(start="https://other.example/"), {"other.example": address})
    with pytest.raises(FetchError, match="refusing to connect to a"):
        get(web)
    assert len(internet.requests) == 1


@pytest.mark.parametrize(
    ("first", "second", "is_allowed"),
    [
        (PUBLIC, PUBLIC, True),
        (PUBLIC, PRIVATE, False),
        (PRIVATE, PRIVATE, True),
        (PRIVATE, PUBLIC, True),
        (PRIVATE, LOOPBACK, False),
        (LOOPBACK, LOOPBACK, True),
        (LOOPBACK, PRIVATE, True),
    ],
)
def test_the_address_of_the_first_host_says_how_far_others_may_lead(
    first: str, second: str, is_allowed: bool
) -> None:
    addresses = {"start.example": first, "other.example": second}
    web, _ = make_web(routes(start="https://other.example/"), addresses)
    if is_allowed:
        assert get(web) == b"page"
    else:
        with pytest.raises(FetchError, match="refusing to connect"):
            get(web)


def test_the_first_host_cannot_move_to_this_machine_after_its_first_answer() -> None:
    web, internet = make_web(lambda _: page())
    get(web)
    internet.addresses["start.example"] = LOOPBACK
    with pytest.raises(FetchError, match="refusing to connect"):
        get(web)


def test_a_cached_page_does_not_widen_how_far_others_may_lead() -> None:
    web, _ = make_web(lambda _: page(), {"other.example": PRIVATE}, reach=Reach.PUBLIC)
    with pytest.raises(FetchError, match="refusing to connect"):
        get(web, "https://other.example/")


@pytest.mark.parametrize(
    ("limit", "address", "is_allowed"),
    [
        (Reach.PUBLIC, PUBLIC, True),
        (Reach.PUBLIC, PRIVATE, False),
        (Reach.PUBLIC, LOOPBACK, False),
        (Reach.PRIVATE, PRIVATE, True),
        (Reach.PRIVATE, LOOPBACK, False),
        (Reach.LOCAL, LOOPBACK, True),
    ],
)
def test_a_host_that_a_server_named_has_no_longer_reach_than_the_server(
    limit: Reach, address: str, is_allowed: bool
) -> None:
    web, internet = make_web(lambda _: page(), {"start.example": address}, limit=limit)
    if is_allowed:
        assert get(web) == b"page"
    else:
        with pytest.raises(FetchError, match="refusing to connect"):
            get(web)
    assert len(internet.requests) == is_allowed


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "not valid"),
        ("hdfs://storage.example/a", "scheme 'hdfs'"),
        ("http://other.example/a", "refusing http"),
        ("https://ada:secret@other.example/a", "not valid"),
        ("https://other.example:99999/", "not valid"),
        ("https://[::1", "not valid"),
    ],
)
def test_urls_that_a_page_must_not_have_are_refused(url: str, message: str) -> None:
    web, _ = make_web(lambda _: page())
    get(web)
    with pytest.raises(FetchError, match=message) as caught:
        web.check_url(url)
    assert "secret" not in str(caught.value)


def authorizations(internet: Internet) -> list[str]:
    return [dict(request.headers).get("Authorization", "") for request in internet.requests]


def test_a_login_does_not_follow_to_another_host() -> None:
    web, internet = make_web(routes(start="https://other.example/"), logins=Logins(start="secret"))
    get(web)
    first, second = authorizations(internet)
    assert first.startswith("Basic ")
    assert second == ""


def test_a_login_does_not_leave_https() -> None:
    logins = Logins(start="secret")
    web, internet = make_web(lambda _: page(), logins=logins, allow_http=True)
    get(web, "http://start.example/a")
    assert authorizations(internet) == [""]


def test_a_login_is_for_a_host_with_and_without_its_default_port() -> None:
    web, internet = make_web(lambda _: page(), logins=HostLogins("start.example"))
    get(web, "https://start.example/a")
    get(web, "https://start.example:443/a")
    get(web, "https://start.example:444/a")
    assert [bool(value) for value in authorizations(internet)] == [True, True, False]


def test_a_page_is_cut_at_the_limit() -> None:
    class Endless(io.RawIOBase):
        count = 0

        def read(self, size: int = -1) -> bytes:
            self.count += size
            return b"x" * size

    body = Endless()
    web, _ = make_web(lambda _: Response(200, (), body))
    result = web.get("https://start.example/a", limit=1000)
    assert result.is_cut
    assert len(result.content) == 1000
    assert body.count < 1 << 18


def test_a_server_that_sends_too_slowly_is_given_up() -> None:
    class Slow(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return b"x"

    times = iter(range(1000))
    web, _ = make_web(lambda _: Response(200, (), Slow()), clock=lambda: float(next(times)))
    with pytest.raises(FetchError, match="too slowly"):
        get(web)


def test_a_busy_server_and_a_broken_connection_are_tried_again() -> None:
    def fail(_: Request) -> Response:
        raise TransportError("the connection was closed unexpectedly")

    answers: list[Answer] = [lambda _: Response(503), fail, lambda _: page()]

    def answer(request: Request) -> Response:
        return answers.pop(0)(request)

    web, internet = make_web(answer)
    assert get(web) == b"page"
    assert len(internet.requests) == 3


def test_a_certificate_that_is_not_valid_is_not_tried_again() -> None:
    def fail(_: Request) -> Response:
        raise TransportError("cannot verify the certificate", is_permanent=True)

    web, internet = make_web(fail)
    with pytest.raises(TransportError):
        get(web)
    assert len(internet.requests) == 1
