"""Authorizes requests by their tokens, for servers that ask another one: nginx's ``auth_request`` and others.

A pure function from a request to a response: 200 with what the token says in headers, 401 without a valid
token, 403 for one that does not satisfy the conditions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pumice.errors import FormatError, PumiceError, TrustError
from pumice.formats import jwt
from pumice.formats.http1 import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.formats.http1 import Request

_HEADERS = (
    ("X-Token-Subject", "sub"),
    ("X-Token-Image", "image"),
    ("X-Token-Image-Digest", "image_digest"),
    ("X-Token-Pod", "pod_uuid"),
    ("X-Token-App", "app"),
)
_CHALLENGE = 'Bearer realm="pumice"'


def authorize(
    request: Request,
    verify: Callable[[str], dict[str, Any]],
    conditions: Sequence[tuple[str, str]] = (),
) -> Response:
    """Return the response to a request with the header ``Authorization``.

    ``verify`` returns the claims of a token, and raises PumiceError; ``conditions`` are claims and the
    patterns that they must match.
    """
    token = jwt.find_token(request.headers.get("authorization", ""))
    if token is None:
        return _refuse(_CHALLENGE, "the request has no token")
    try:
        claims = verify(token)
    except (TrustError, FormatError) as error:
        return _refuse(f'{_CHALLENGE}, error="invalid_token"', error.message)
    except PumiceError:  # the keys of the issuer cannot be read: nobody can tell
        return Response(503, b"the keys of the issuer cannot be read\n")
    for name, pattern in conditions:
        if not jwt.matches_claim(claims, name, pattern):
            return Response(403, b"the token does not have the required claims\n")
    headers = tuple((header, _ascii(claims[name])) for header, name in _HEADERS if claims.get(name))
    return Response(200, headers=headers)


def _refuse(challenge: str, reason: str) -> Response:
    return Response(401, f"{_ascii(reason)}\n".encode(), headers=(("WWW-Authenticate", challenge),))


def _ascii(value: object) -> str:
    text = str(value)[:1000].encode("ascii", "backslashreplace").decode()
    return "".join(character if character.isprintable() else "?" for character in text)
