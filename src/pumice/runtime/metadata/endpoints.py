"""What the metadata service answers: a pure function from a request to a response.

The paths below ``acMetadata/v1`` are those of the App Container specification 0.8.11 (ace.md, "App Container
Metadata Service"), with the single annotations that rkt added. ``identity/v1`` is Pumice's own. Every path
follows the token of an app; the documents at ``/.well-known`` are public.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from pumice.formats import http1
from pumice.formats.http1 import JSON, TEXT, Request, RequestError, Response
from pumice.runtime.metadata import key_file, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.runtime.metadata.key_file import Keys
    from pumice.runtime.metadata.records import AppMetadata, PodMetadata

DEFAULT_LIFETIME = 600
MIN_LIFETIME = 60
"""Seconds for which a token is valid: by default, and at least."""
JWT = "application/jwt"
FLAVOR = ("Metadata-Flavor", "AppContainer")
_MAX_AUDIENCE = 512
_FORWARDED = ("x-forwarded-for", "forwarded", "origin", "via")
"""Headers that show that the request is not the app's own: a proxy or a web page sent it."""


class ResponseContext(NamedTuple):
    """What an answer depends on besides the request.

    ``pod`` is the one that the connection comes from, None for a public connection; ``keys`` returns the
    keys, which most answers do not need. ``now`` is in seconds since the epoch, ``token_id`` random text.
    """

    pod: PodMetadata | None
    keys: Callable[[], Keys]
    now: int
    token_id: str


class _Call(NamedTuple):
    """A request with a valid token."""

    request: Request
    context: ResponseContext
    pod: PodMetadata
    app: str
    names: tuple[str, ...]
    """The variable segments of the path."""


def respond(request: Request, context: ResponseContext) -> Response:
    """Return the response to a request."""
    try:
        response = _route(request, context)
    except _MethodError as error:
        response = _fail(error.status, error.reason)._replace(headers=(("Allow", error.method),))
    except RequestError as error:
        response = _fail(error.status, error.reason)
    # RFC 9111, 5.2.2.5: neither tokens nor what they protect may be kept by a cache.
    return response._replace(headers=(*response.headers, FLAVOR, ("Cache-Control", "no-store")))


def _fail(status: int, reason: str) -> Response:
    return Response(status, f"{reason}\n".encode("ascii", "backslashreplace"))


def _route(request: Request, context: ResponseContext) -> Response:
    segments = [http1.decode_segment(segment) for segment in request.path.split("/")[1:]]
    if segments and not segments[-1]:
        segments.pop()  # the specification's own validator puts a slash after the annotations
    if segments[:1] == [".well-known"]:
        return _route_public(request, segments, context, prefix="")
    app = records.find_app(context.pod, segments[0]) if context.pod and segments else None
    if context.pod is None or app is None:
        return _fail(401, "the token in the URL is not valid")._replace(
            headers=(("WWW-Authenticate", "AppContainer"),)
        )
    if segments[1:2] == [".well-known"]:
        return _route_public(request, segments[1:], context, prefix=f"/{segments[0]}")
    for method, pattern, handler in _ROUTES:
        names = _match(pattern, segments[1:])
        if names is not None:
            _check_method(request, method)
            return handler(_Call(request, context, context.pod, app, names))
    raise RequestError(404, "there is nothing at this path")


def _match(pattern: str, segments: list[str]) -> tuple[str, ...] | None:
    """Return the segments at the ``*`` of a pattern, None if it does not match."""
    expected = pattern.split("/")
    if len(expected) != len(segments):
        return None
    if any(word not in ("*", segment) for word, segment in zip(expected, segments, strict=True)):
        return None
    return tuple(segment for word, segment in zip(expected, segments, strict=True) if word == "*")


def _check_method(request: Request, method: str) -> None:
    if request.method != method and (request.method, method) != ("HEAD", "GET"):
        raise _MethodError(method)


class _MethodError(RequestError):
    def __init__(self, method: str) -> None:
        super().__init__(405, f"use the method {method}")
        self.method = "GET, HEAD" if method == "GET" else method


def _json_response(value: Any) -> Response:
    return Response(200, json.dumps(value, separators=(",", ":")).encode(), JSON)


def _text_response(value: str) -> Response:
    return Response(200, value.encode("ascii"), TEXT)


# Pods and apps ------------------------------------------------------------------------------------


def _pod_annotations(call: _Call) -> Response:
    return _json_response(call.pod.manifest.get("annotations") or [])


def _pod_annotation(call: _Call) -> Response:
    return _annotation(call.pod.manifest.get("annotations") or [], call.names[0])


def _annotation(annotations: list[dict[str, str]], name: str) -> Response:
    for annotation in annotations:
        if annotation["name"] == name:
            return Response(200, annotation["value"].encode(), "text/plain; charset=utf-8")
    raise RequestError(404, "there is no annotation of this name")


def _pod_manifest(call: _Call) -> Response:
    return _json_response(call.pod.manifest)


def _pod_uuid(call: _Call) -> Response:
    return _text_response(call.pod.uuid)


def _find_app(call: _Call) -> AppMetadata:
    app = call.pod.apps.get(call.names[0])
    if app is None:
        raise RequestError(404, "the pod has no app of this name")
    return app


def _merged_annotations(call: _Call) -> list[dict[str, str]]:
    """Return the annotations of an app's image in their order, changed and extended by those of the app."""
    image = {each["name"]: each["value"] for each in _find_app(call).image_manifest.get("annotations") or []}
    for app in call.pod.manifest["apps"]:
        if app["name"] == call.names[0]:
            image |= {each["name"]: each["value"] for each in app.get("annotations") or []}
    return [{"name": name, "value": value} for name, value in image.items()]


def _app_annotations(call: _Call) -> Response:
    return _json_response(_merged_annotations(call))


def _app_annotation(call: _Call) -> Response:
    return _annotation(_merged_annotations(call), call.names[1])


def _image_manifest(call: _Call) -> Response:
    return _json_response(_find_app(call).image_manifest)


def _image_id(call: _Call) -> Response:
    return _text_response(_find_app(call).image_id)


# Identity -----------------------------------------------------------------------------------------


def _field(fields: dict[str, bytes], name: str) -> bytes:
    if name not in fields:
        raise RequestError(400, f"the field {name!r} is missing")
    return fields[name]


def _sign(call: _Call) -> Response:
    content = _field(http1.read_form(call.request), "content")
    return _text_response(key_file.sign_content(call.context.keys(), call.pod.uuid, content))


def _verify(call: _Call) -> Response:
    fields = http1.read_form(call.request)
    content, signature = _field(fields, "content"), _field(fields, "signature")
    uuid = _field(fields, "uuid").decode("ascii", "replace").lower()
    if not records.is_uuid(uuid):
        raise RequestError(400, "the field 'uuid' is not a UUID")
    if not key_file.is_signed_content(call.context.keys(), uuid, content, signature):
        raise RequestError(403, "the signature is not valid")
    return Response(200)


def _token(call: _Call) -> Response:
    headers = call.request.headers
    if headers.get("metadata-flavor") != "AppContainer":
        raise RequestError(403, "send the header 'Metadata-Flavor: AppContainer'")
    if any(name in headers for name in _FORWARDED):
        raise RequestError(403, "tokens are not given to proxies and web pages")
    fields = http1.read_fields(call.request.query)
    audience = _field(fields, "audience").decode("utf-8", "replace")
    lifetime = _read_lifetime(fields)
    claims = make_claims(call.pod, call.app, audience, lifetime, call.context)
    return Response(200, key_file.sign_claims(call.context.keys(), claims).encode(), JWT)


def _read_lifetime(fields: dict[str, bytes]) -> int:
    text = fields.get("lifetime", b"%d" % DEFAULT_LIFETIME)
    if not text.isdigit() or len(text) > 6 or not MIN_LIFETIME <= int(text) <= key_file.MAX_LIFETIME:
        raise RequestError(
            400, f"the lifetime is not between {MIN_LIFETIME} and {key_file.MAX_LIFETIME} seconds"
        )
    return int(text)


def make_claims(
    pod: PodMetadata, app: str, audience: str, lifetime: int, context: ResponseContext
) -> dict[str, Any]:
    """Return the claims of a token of an app; raises RequestError if it may not have one for ``audience``."""
    if not audience or len(audience) > _MAX_AUDIENCE or not audience.isprintable() or "\ufffd" in audience:
        raise RequestError(400, "the audience is empty, too long or not text")
    if pod.audiences and audience not in pod.audiences:
        raise RequestError(403, "the pod may not have tokens for this audience")
    image = pod.apps[app]
    return {
        "iss": context.keys().issuer,
        "sub": f"pod:{pod.name}:app:{app}",
        "aud": audience,
        "iat": context.now,
        "nbf": context.now,
        "exp": context.now + lifetime,
        "jti": context.token_id,
        "pod_uuid": pod.uuid,
        "pod_name": pod.name,
        "app": app,
        "image": image.image,
        "image_digest": image.digest,
    }


# Public documents ---------------------------------------------------------------------------------


def _route_public(request: Request, segments: list[str], context: ResponseContext, prefix: str) -> Response:
    """Answer for the documents with which others verify tokens (OpenID Connect Discovery 1.0, 4)."""
    if segments == [".well-known", "openid-configuration"]:
        _check_method(request, "GET")
        return _json_response(_configuration(context.keys().issuer, request, prefix))
    if segments == [".well-known", "jwks.json"]:
        _check_method(request, "GET")
        return _json_response(key_file.key_set(context.keys(), context.now))
    raise RequestError(404, "there is nothing at this path")


def _configuration(issuer: str, request: Request, prefix: str) -> dict[str, Any]:
    """Return the configuration of the issuer; one that is not a URL has its keys at the requested host."""
    host = request.headers.get("host", "localhost")
    base = issuer if issuer.startswith(("https:", "http:")) else f"http://{host}{prefix}"
    return {
        "issuer": issuer,
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "claims_supported": [
            *("iss", "sub", "aud", "iat", "nbf", "exp", "jti"),
            *("pod_uuid", "pod_name", "app", "image", "image_digest"),
        ],
    }


_APPC = "acMetadata/v1"
_ROUTES = (
    ("GET", f"{_APPC}/pod/annotations", _pod_annotations),
    ("GET", f"{_APPC}/pod/annotations/*", _pod_annotation),
    ("GET", f"{_APPC}/pod/manifest", _pod_manifest),
    ("GET", f"{_APPC}/pod/uuid", _pod_uuid),
    ("POST", f"{_APPC}/pod/hmac/sign", _sign),
    ("POST", f"{_APPC}/pod/hmac/verify", _verify),
    ("GET", f"{_APPC}/apps/*/annotations", _app_annotations),
    ("GET", f"{_APPC}/apps/*/annotations/*", _app_annotation),
    ("GET", f"{_APPC}/apps/*/image/manifest", _image_manifest),
    ("GET", f"{_APPC}/apps/*/image/id", _image_id),
    ("GET", "identity/v1/token", _token),
)
