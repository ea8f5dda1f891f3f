"""What the metadata service answers: every endpoint, and every way to ask wrongly."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from joserfc import jwt as peer
from joserfc.jwk import KeySet

from pumice.formats.http1 import FORM, Request, Response
from pumice.runtime.metadata import endpoints, key_file
from pumice.runtime.metadata.key_file import KeyFile
from tests.support.metadata import DIGEST, OTHER_UUID, UUID, make_pod

NOW = 1_800_000_000
FLAVOR = {"metadata-flavor": "AppContainer"}
POD = make_pod()
OTHER = make_pod(OTHER_UUID)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> key_file.Keys:
    return KeyFile(str(tmp_path_factory.mktemp("home"))).current(NOW)


class Client:
    def __init__(self, keys: key_file.Keys) -> None:
        self.keys = keys

    def ask(
        self, path: str, method: str = "GET", *, pod: Any = POD, app: str = "web", **fields: Any
    ) -> Response:
        url, _, query = f"/{pod.apps[app].token}/{path}".partition("?")
        return self.send(Request(method, url, query, **fields), pod)

    def send(self, request: Request, pod: Any = POD) -> Response:
        context = endpoints.ResponseContext(pod, lambda: self.keys, NOW, "random")
        return endpoints.respond(request, context)

    def post(self, path: str, pod: Any = POD, **fields: Any) -> Response:
        return self.ask(f"acMetadata/v1/{path}", "POST", pod=pod, body=urlencode(fields).encode())


@pytest.fixture
def client(keys: key_file.Keys) -> Client:
    return Client(keys)


def test_the_pod_learns_what_it_is(client: Client) -> None:
    response = client.ask("acMetadata/v1/pod/uuid")
    assert (response.status, response.body) == (200, UUID.encode())
    assert response.content_type == "text/plain; charset=us-ascii"
    response = client.ask("acMetadata/v1/pod/manifest")
    assert response.content_type == "application/json"
    manifest = json.loads(response.body)
    assert (manifest["acKind"], [app["name"] for app in manifest["apps"]]) == (
        "PodManifest",
        ["web", "helper"],
    )
    response = client.ask("acMetadata/v1/pod/annotations/")
    assert json.loads(response.body) == [{"name": "ip", "value": "10.1.2.3"}]
    assert client.ask("acMetadata/v1/pod/annotations/ip").body == b"10.1.2.3"


def test_an_app_learns_about_its_image(client: Client) -> None:
    manifest = json.loads(client.ask("acMetadata/v1/apps/web/image/manifest").body)
    assert (manifest["acKind"], manifest["name"]) == ("ImageManifest", "example.com/web")
    identifier = client.ask("acMetadata/v1/apps/web/image/id").body.decode()
    assert identifier.startswith("sha512-")
    assert len(identifier) == 7 + 128
    assert json.loads(client.ask("acMetadata/v1/pod/manifest").body)["apps"][0]["image"]["id"] == identifier


def test_annotations_of_the_app_win_in_the_order_of_the_image(client: Client) -> None:
    merged = json.loads(client.ask("acMetadata/v1/apps/web/annotations").body)
    assert [each["name"] for each in merged][-2:] == ["created", "authors"]
    assert client.ask("acMetadata/v1/apps/web/annotations/authors").body == b"Eve"
    assert client.ask("acMetadata/v1/apps/helper/annotations/authors").body == b"Ada"


def test_a_pod_signs_and_every_pod_verifies(client: Client) -> None:
    content = "Old MacDonald had a farm & größe\x00"
    signed = client.post("pod/hmac/sign", content=content)
    assert signed.content_type == "text/plain; charset=us-ascii"
    assert len(base64.b64decode(signed.body, validate=True)) == 64
    fields = {"content": content, "uuid": UUID, "signature": signed.body}
    assert client.post("pod/hmac/verify", OTHER, **fields).status == 200
    assert client.post("pod/hmac/verify", OTHER, **{**fields, "uuid": UUID.upper()}).status == 200
    assert client.post("pod/hmac/verify", **{**fields, "uuid": OTHER_UUID}).status == 403
    assert client.post("pod/hmac/verify", **{**fields, "content": "other"}).status == 403
    assert client.post("pod/hmac/verify", **{**fields, "signature": signed.body[:-4]}).status == 403
    assert client.post("pod/hmac/verify", **{**fields, "signature": "no base64"}).status == 403
    assert client.post("pod/hmac/sign", OTHER, content=content).body != signed.body


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("pod/hmac/sign", {}, 400),
        ("pod/hmac/verify", {"content": "x", "uuid": UUID}, 400),
        ("pod/hmac/verify", {"content": "x", "signature": "x"}, 400),
        ("pod/hmac/verify", {"content": "x", "signature": "x", "uuid": "../../x"}, 400),
        ("pod/hmac/verify", {"content": "x", "signature": "x", "uuid": "\xff"}, 400),
    ],
)
def test_forms_with_missing_fields_are_refused(
    client: Client, path: str, fields: dict[str, str], status: int
) -> None:
    assert client.post(path, **fields).status == status


def test_the_token_names_the_instance(client: Client) -> None:
    response = client.ask("identity/v1/token?audience=registry.example", headers=FLAVOR)
    assert (response.status, response.content_type) == (200, "application/jwt")
    public = KeySet.import_key_set(key_file.key_set(client.keys, NOW))  # type: ignore[arg-type]  # a dict is enough for the library
    claims = peer.decode(response.body.decode(), public, algorithms=["ES256"]).claims
    assert claims == {
        "iss": client.keys.issuer,
        "sub": "pod:web-1:app:web",
        "aud": "registry.example",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 600,
        "jti": "random",
        "pod_uuid": UUID,
        "pod_name": "web-1",
        "app": "web",
        "image": "example.com/web:1.0",
        "image_digest": DIGEST,
    }


def test_each_app_has_a_token_of_its_own(client: Client) -> None:
    response = client.ask("identity/v1/token?audience=a&lifetime=60", app="helper", headers=FLAVOR)
    claims = json.loads(base64.urlsafe_b64decode(response.body.split(b".")[1] + b"=="))
    assert (claims["app"], claims["exp"] - claims["iat"]) == ("helper", 60)


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", FLAVOR, 400),
        ("audience=", FLAVOR, 400),
        ("audience=%0a", FLAVOR, 400),
        ("audience=%ff", FLAVOR, 400),
        ("audience=" + "x" * 513, FLAVOR, 400),
        ("audience=a&audience=b", FLAVOR, 400),
        ("audience=a&lifetime=59", FLAVOR, 400),
        ("audience=a&lifetime=3601", FLAVOR, 400),
        ("audience=a&lifetime=-60", FLAVOR, 400),
        ("audience=a&lifetime=" + "9" * 6000, FLAVOR, 400),
        ("audience=a", {}, 403),
        ("audience=a", {**FLAVOR, "x-forwarded-for": "10.0.0.1"}, 403),
        ("audience=a", {**FLAVOR, "origin": "https://evil.example"}, 403),
    ],
)
def test_wrong_requests_for_tokens_are_refused(
    client: Client, query: str, headers: dict[str, str], status: int
) -> None:
    assert client.ask(f"identity/v1/token?{query}", headers=headers).status == status


def test_audiences_can_be_limited(client: Client) -> None:
    pod = make_pod(audiences=("a", "b"))
    for audience, status in (("a", 200), ("b", 200), ("c", 403)):
        response = client.ask(f"identity/v1/token?audience={audience}", pod=pod, headers=FLAVOR)
        assert response.status == status


def test_the_token_of_another_pod_is_of_no_use(client: Client) -> None:
    path = f"/{OTHER.apps['web'].token}/acMetadata/v1/pod/uuid"
    assert client.send(Request("GET", path), POD).status == 401
    assert client.send(Request("GET", path), OTHER).status == 200
    assert client.send(Request("GET", path), None).status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/acMetadata/v1/pod/uuid",
        "/x/acMetadata/v1/pod/uuid",
        f"/{UUID}/acMetadata/v1/pod/uuid",
        "/%00",
    ],
)
def test_without_a_token_there_is_nothing(client: Client, path: str) -> None:
    response = client.send(Request("GET", path))
    assert response.status in (401, 404)
    assert UUID.encode() not in response.body


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "", 404),
        ("GET", "acMetadata/v1", 404),
        ("GET", "acMetadata/v2/pod/uuid", 404),
        ("GET", "acMetadata/v1/pod/annotations/nothing", 404),
        ("GET", "acMetadata/v1/apps/nothing/image/id", 404),
        ("GET", "acMetadata/v1/apps/web%2f..%2fhelper/image/id", 404),
        ("GET", "acMetadata/v1/apps/../pod/uuid", 404),
        ("GET", "acMetadata/v1/pod//uuid", 404),
        ("POST", "acMetadata/v1/pod/uuid", 405),
        ("GET", "acMetadata/v1/pod/hmac/sign", 405),
        ("PUT", "identity/v1/token", 405),
        ("HEAD", "acMetadata/v1/pod/uuid", 200),
    ],
)
def test_other_paths_and_methods(client: Client, method: str, path: str, status: int) -> None:
    response = client.ask(path, method)
    assert response.status == status
    assert ("Allow" in dict(response.headers)) == (status == 405)
    assert dict(response.headers)["Metadata-Flavor"] == "AppContainer"
    assert dict(response.headers)["Cache-Control"] == "no-store"


def test_a_body_of_another_type_is_refused(client: Client) -> None:
    path, body = "acMetadata/v1/pod/hmac/sign", b"content=x"
    for kind, status in ((FORM + "; charset=utf-8", 200), ("application/json", 415)):
        assert client.ask(path, "POST", body=body, headers={"content-type": kind}).status == status
    assert client.ask(path, "POST", body=b"content=\xff").status == 400


def test_the_public_documents_need_no_token(client: Client) -> None:
    headers = {"host": "127.0.0.1:18112"}
    configuration = json.loads(
        client.send(Request("GET", "/.well-known/openid-configuration", "", headers), None).body
    )
    assert configuration["issuer"] == client.keys.issuer
    assert configuration["jwks_uri"] == "http://127.0.0.1:18112/.well-known/jwks.json"
    document = json.loads(client.send(Request("GET", "/.well-known/jwks.json"), None).body)
    assert [key["kid"] for key in document["keys"]] == [client.keys.signing[-1].key_id]
    assert not {"d", "private_key"} & set(document["keys"][0])
    assert client.send(Request("POST", "/.well-known/jwks.json"), None).status == 405
    assert client.send(Request("GET", "/.well-known/other"), None).status == 404
    assert client.ask(".well-known/jwks.json").status == 200


def test_the_keys_of_an_issuer_with_a_url_are_there(client: Client) -> None:
    other = Client(client.keys._replace(issuer="https://id.example/pods"))
    document = json.loads(other.send(Request("GET", "/.well-known/openid-configuration"), None).body)
    assert document["jwks_uri"] == "https://id.example/pods/.well-known/jwks.json"


def test_no_secret_is_shown(client: Client, tmp_path: Path) -> None:
    text = repr(client.keys) + repr(client.keys.signing)
    assert "PRIVATE" not in text
    assert client.keys.mac.hex() not in text
