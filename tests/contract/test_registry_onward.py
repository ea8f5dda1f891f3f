"""Which URLs a registry may redirect its clients to, and with which logins."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from pumice.errors import PumiceError
from pumice.formats import oci
from pumice.registry.client import Client, ClientSettings
from pumice.registry.credentials import Login
from pumice.registry.errors import RegistryError
from pumice.registry.message import Request, Response
from pumice.registry.reference import Repository
from pumice.registry.transport import Urllib3Transport
from tests.support import registry as support
from tests.support.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = b"x" * (3 << 20)
"""More than fits in the closing request."""
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
REMOTE = Repository("registry.example", "team/app")

HERE = [
    f"https://{host}/"
    for host in (
        "127.0.0.1",
        "localhost:2375",
        "127.1",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "169.254.169.254",
        "[fe80::1]",
    )
]


class _OneLogin:
    """The same login for every registry."""

    def __init__(self, login: Login | None = None) -> None:
        self._login = login or Login("me", "secret")

    def find_login(self, repository: Repository) -> Login:
        return self._login


@dataclass
class RecordingTransport:
    """A transport that responds with a function, and records the requests."""

    respond: Callable[[Request], Response]
    sent: list[Request] = field(default_factory=list)

    def send(self, request: Request) -> Response:
        self.sent.append(request)
        return self.respond(request)

    def close(self) -> None:
        pass

    def hosts(self) -> list[str]:
        return [urlsplit(request.url).netloc for request in self.sent]


def _upload(wire: RecordingTransport, repository: Repository = REMOTE) -> None:
    with Client(_OneLogin(), ClientSettings(), transport=wire) as client:
        client.upload_blob(repository, oci.Descriptor("application/octet-stream", DIGEST, len(DATA)), DATA)


def _registry_with_location(location: str, *, next_location: str = "") -> Callable[[Request], Response]:
    """Return responses with uploads that start at ``location`` and continue at ``next_location``."""

    def respond(request: Request) -> Response:
        if request.method == "HEAD":
            return Response(404)
        if request.method == "POST":
            return Response(202, (("Location", location),))
        if request.method == "PATCH":
            return Response(202, (("Location", next_location or location), ("Range", f"0-{len(DATA) - 1}")))
        return Response(201)

    return respond


@pytest.mark.parametrize("location", [*HERE, "http://registry.example/up", "http://storage.example/up"])
def test_an_upload_is_not_sent_to_a_refused_location(location: str) -> None:
    wire = RecordingTransport(_registry_with_location(location))
    with pytest.raises(RegistryError, match="refusing a redirect"):
        _upload(wire)
    assert [request.method for request in wire.sent if not request.url.endswith("/v2/")] == ["HEAD", "POST"]
    assert set(wire.hosts()) == {"registry.example"}


@pytest.mark.parametrize("location", [*HERE, "http://storage.example/up"])
def test_an_upload_does_not_continue_at_a_refused_location(location: str) -> None:
    wire = RecordingTransport(_registry_with_location("https://storage.example/up", next_location=location))
    with pytest.raises(RegistryError, match="refusing a redirect"):
        _upload(wire)
    assert set(wire.hosts()) == {"registry.example", "storage.example"}


@pytest.mark.parametrize("location", HERE)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_request_is_redirected_to_a_local_address(location: str, status: int) -> None:
    operations: tuple[tuple[str, Callable[[Client], object]], ...] = (
        ("GET", lambda one: one.list_tags(REMOTE)),
        ("GET", lambda one: one.open_blob(REMOTE, DIGEST).read()),
        ("POST", lambda one: one.upload_blob(REMOTE, oci.Descriptor("a/b", DIGEST, len(DATA)), DATA)),
        ("DELETE", lambda one: one.delete_blob(REMOTE, DIGEST)),
    )
    for method, operation in operations:
        wire = RecordingTransport(
            lambda request, method=method: (  # type: ignore[misc]  # mypy cannot infer lambdas with defaults
                Response(status, (("Location", location),)) if request.method == method else Response(404)
            )
        )
        with (
            Client(transport=wire) as client,
            pytest.raises(RegistryError, match=r"refusing a redirect|redirects an upload"),
        ):
            operation(client)
        assert set(wire.hosts()) == {"registry.example"}


@pytest.mark.parametrize("location", HERE)
def test_no_token_is_requested_from_a_local_address(location: str) -> None:
    challenge = (("WWW-Authenticate", f'Bearer realm="{location}token",service="x"'),)
    for login in (Login("me", "secret"), Login(identity_token="identity")):
        wire = RecordingTransport(lambda _: Response(401, challenge))
        with Client(_OneLogin(login), transport=wire) as client, pytest.raises(RegistryError):
            client.list_tags(REMOTE)
        assert set(wire.hosts()) == {"registry.example"}


def test_an_upload_to_another_origin_has_no_login() -> None:
    def respond(request: Request) -> Response:
        host = urlsplit(request.url).netloc
        if host == "registry.example" and "Authorization" not in dict(request.headers):
            return Response(401, (("WWW-Authenticate", "Basic realm=x"),))
        return _registry_with_location("https://storage.example/up")(request)

    wire = RecordingTransport(respond)
    _upload(wire)
    storage_requests = [request for request in wire.sent if "storage.example" in request.url]
    assert [request.method for request in storage_requests] == ["PATCH", "PUT"]
    assert all("Authorization" not in dict(request.headers) for request in storage_requests)
    assert any("Authorization" in dict(request.headers) for request in wire.sent)


def test_an_object_store_that_requests_a_login_gets_none() -> None:
    def respond(request: Request) -> Response:
        if "storage.example" in request.url:
            return Response(401, (("WWW-Authenticate", "Basic realm=x"),))
        return _registry_with_location("https://storage.example/up")(request)

    wire = RecordingTransport(respond)
    with pytest.raises(PumiceError):
        _upload(wire)
    assert all("Authorization" not in dict(request.headers) for request in wire.sent)


def test_requests_to_other_hosts_refuse_local_addresses() -> None:
    wire = RecordingTransport(_registry_with_location("https://storage.example/up"))
    _upload(wire)
    assert {urlsplit(request.url).netloc: request.refuse_local_address for request in wire.sent} == {
        "registry.example": False,
        "storage.example": True,
    }


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "localhost"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_host_name_with_a_local_address_is_refused(host: str, method: str) -> None:
    registry = Registry()
    with support.serving(registry) as address:
        url = f"http://{host}:{address.rpartition(':')[2]}/v2/"
        transport = Urllib3Transport(environ={})
        try:
            for request in (
                Request(method, url, refuse_local_address=True),
                Request(method, url, refuse_private_address=True),
            ):
                with pytest.raises(RegistryError, match="refusing a redirect to a local address"):
                    transport.send(request)
            assert registry.log == []
            transport.send(Request("GET", url)).stream.close()
            assert len(registry.log) == 1
        finally:
            transport.close()


def test_local_registries_may_redirect_to_local_addresses() -> None:
    wire = RecordingTransport(_registry_with_location("http://127.0.0.1:2/up"))
    _upload(wire, Repository("localhost:1", "a"))
    assert wire.hosts()[-1] == "127.0.0.1:2"
    assert not any(request.refuse_local_address for request in wire.sent)
