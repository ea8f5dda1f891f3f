"""Unusual responses of registries, as data: the change, the request it applies to, and known registries."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pumice.formats import oci

Headers = dict[str, str]


@dataclass(frozen=True)
class Quirk:
    """One unusual response. ``path`` is a pattern that is searched for in the path and query of the request.

    ``headers`` are added to the usual ones; None removes one. In values, LENGTH is the body's length.
    ``instead`` means that the registry does not do what it is asked, it only answers. ``when`` limits it
    to answers that would have had this status, ``times`` to the first few.
    """

    step: str
    name: str
    reported_of: str
    method: str
    path: str
    status: int = 0
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: Callable[[bytes], bytes] | None = None
    instead: bool = False
    when: int = 0
    times: int = 1 << 30
    error: str = ""
    """Text of the expected error, "" if the operation must succeed."""
    registry: Mapping[str, object] = field(default_factory=dict)
    """Fields of `tests.support.registry.Registry`."""

    def __str__(self) -> str:
        return f"{self.step}: {self.name}"

    def matches(self, method: str, path: str) -> bool:
        """Return whether the quirk applies to a request."""
        return method in self.method.split("|") and re.search(self.path, path) is not None

    def change_response(self, status: int, headers: Headers, body: bytes) -> tuple[int, Headers, bytes]:
        """Return the response of a registry with this quirk."""
        if self.when and status != self.when:
            return status, headers, body
        body = body if self.body is None else self.body(body)
        if self.body is not None:
            headers = headers | {"Content-Length": str(len(body))}
        for name, value in self.headers.items():
            headers = {header: text for header, text in headers.items() if header.lower() != name.lower()}
            if value is not None:
                headers[name] = value.replace("LENGTH", str(len(body)))
        return self.status or status, headers, body


BEARER = {"users": {"me": "secret"}, "tokens": True}
BASIC = {"users": {"me": "secret"}}
NO_REFERRERS = {"referrers": False}
MANIFEST = r"/manifests/"
BLOB = r"/blobs/sha256:"
POST = r"/blobs/uploads/"
UPLOAD = r"/opaque/"
MOUNT = r"mount="
TOKEN = r"/token"
API = r"/referrers/"
TAGS = r"/tags/list"
WEB_PAGE = b"<!doctype html><html><body>Welcome</body></html>"


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def rewritten(**changes: Any) -> Any:
    """Return a function that changes fields of a JSON body; ... as a value removes the field."""

    def change(body: bytes) -> bytes:
        content = json.loads(body) | changes
        return json.dumps({key: value for key, value in content.items() if value is not ...}).encode()

    return change


def says(text: str | bytes) -> Any:
    data = text.encode() if isinstance(text, str) else text
    return lambda _: data


def quirks_by_status(
    step: str, name: str, method: str, path: str, vendors_by_status: Mapping[int, str], **fields: Any
) -> list[Quirk]:
    """Return a quirk for each status, with ``{status}`` replaced in its name."""
    return [
        Quirk(step, name.format(status=status), vendors, method, path, status, **fields)
        for status, vendors in vendors_by_status.items()
    ]


PUSH = [
    # PATCH: a chunk of a blob
    *(
        Quirk("push", f"Range of a part is {value!r}", vendors, "PATCH", UPLOAD, headers={"Range": value})
        for value, vendors in (
            ("0-0", "ECR: stale"),
            ("0-100", "zot: too short"),
            ("0-99999999", "too long"),
            ("bytes=0-5", "with a unit"),
            ("nonsense", "-"),
            (None, "Nexus, GAR"),
        )
    ),
    *quirks_by_status(
        "push",
        "a part is answered {status}",
        "PATCH",
        UPLOAD,
        {200: "-", 201: "GAR, older specification", 204: "Pulp"},
        when=202,
    ),
    Quirk(
        "push",
        "a part is answered without Location",
        "ollama",
        "PATCH",
        UPLOAD,
        headers={"Location": None},
        registry={"moves": False},
    ),
    *quirks_by_status(
        "push",
        "a part fails with {status} once",
        "PATCH",
        UPLOAD,
        {500: "Quay, ECR", 502: "any proxy", 504: "any proxy"},
        when=202,
        times=1,
    ),
    *(
        Quirk(
            "push",
            f"a part always fails with {status}",
            "-",
            "PATCH",
            UPLOAD,
            status,
            instead=True,
            error=error,
        )
        for status, error in (
            (500, "500"),
            (416, "requested range"),
            (400, "as malformed"),
            (403, "denied access"),
            (404, "repeatedly lost"),
            (413, "too large"),
            (429, "too many requests"),
        )
    ),
    # POST: begin of an upload
    *(
        Quirk("push", f"an upload is opened with {status}", "-", "POST", POST, status, when=202)
        for status in (200, 201)
    ),
    Quirk(
        "push",
        "an upload has no Location",
        "-",
        "POST",
        POST,
        headers={"Location": None},
        error="no usable upload location",
    ),
    Quirk(
        "push", "an upload has an empty chunk length", "-", "POST", POST, headers={"OCI-Chunk-Min-Length": ""}
    ),
    Quirk("push", "an upload has a range", "Docker Hub", "POST", POST, headers={"Range": "0-0"}),
    # PUT: end of an upload
    *quirks_by_status(
        "push",
        "an upload is closed with {status}",
        "PUT",
        UPLOAD,
        {200: "-", 202: "Nexus", 204: "the older specification"},
        when=201,
    ),
    Quirk("push", "an upload fails with 500 once", "Quay", "PUT", UPLOAD, 500, when=201, times=1),
    Quirk("push", "an upload always fails", "-", "PUT", UPLOAD, 500, instead=True, error="500"),
    Quirk(
        "push",
        "a closed upload has another digest",
        "-",
        "PUT",
        UPLOAD,
        headers={"Docker-Content-Digest": f"sha256:{'0' * 64}"},
        error="stored the blob with another digest",
    ),
    # HEAD: whether a blob exists
    *quirks_by_status(
        "push",
        "HEAD of a blob is answered {status}",
        "HEAD",
        BLOB,
        {400: "-", 401: "-", 403: "registries behind object stores", 405: "Nexus, GitHub", 500: "-"},
        instead=True,
    ),
    # Manifests
    *quirks_by_status(
        "push",
        "HEAD of a manifest is answered {status}",
        "HEAD",
        MANIFEST,
        {401: "-", 403: "a former CentOS registry", 404: "-", 405: "Nexus", 500: "-"},
        instead=True,
    ),
    *quirks_by_status(
        "push",
        "a manifest is taken with {status}",
        "PUT",
        MANIFEST,
        {200: "-", 202: "Artifactory", 204: "-"},
        when=201,
    ),
    Quirk(
        "push",
        "a manifest has no digest",
        "Artifactory",
        "PUT",
        MANIFEST,
        headers={"Docker-Content-Digest": None},
    ),
    Quirk(
        "push",
        "a manifest was changed",
        "-",
        "PUT",
        MANIFEST,
        headers={"Docker-Content-Digest": f"sha256:{'0' * 64}"},
        error="reports another digest",
    ),
    Quirk(
        "push",
        "OCI-Subject is missing though there are referrers",
        "ACR",
        "PUT",
        MANIFEST,
        headers={"OCI-Subject": None},
    ),
]
PULL = [
    *quirks_by_status(
        "pull",
        "HEAD of a manifest is answered {status}",
        "HEAD",
        MANIFEST,
        {
            400: "-",
            401: "-",
            403: "a former CentOS registry, Harbor",
            404: "Nexus",
            405: "ollama, Nexus",
            500: "-",
            501: "-",
        },
        instead=True,
    ),
    Quirk("pull", "HEAD says a length of 0", "proxies", "HEAD", MANIFEST, headers={"Content-Length": "0"}),
    Quirk("pull", "HEAD says no length", "ollama", "HEAD", MANIFEST, headers={"Content-Length": None}),
    *(
        Quirk(
            "pull",
            f"the type of a manifest is {kind!r}",
            vendors,
            "HEAD|GET",
            MANIFEST,
            headers={"Content-Type": kind},
        )
        for kind, vendors in (
            ("application/octet-stream", "Artifactory"),
            ("application/json", "Nexus"),
            ("text/plain; charset=utf-8", "static registries"),
            ("application/vnd.docker.distribution.manifest.v1+prettyjws", "Artifactory"),
            (None, "static registries"),
        )
    ),
    Quirk(
        "pull",
        "manifests have no digest",
        "Artifactory, static registries",
        "HEAD|GET",
        MANIFEST,
        headers={"Docker-Content-Digest": None},
    ),
    Quirk(
        "pull",
        "a manifest comes compressed",
        "proxies, Harbor",
        "GET",
        MANIFEST,
        headers={"Content-Encoding": "gzip"},
        body=zipped,
    ),
    Quirk(
        "pull",
        "a blob comes compressed",
        "object stores",
        "GET",
        BLOB,
        headers={"Content-Encoding": "gzip"},
        body=zipped,
    ),
    Quirk(
        "pull",
        "a blob comes compressed and truncated",
        "-",
        "GET",
        BLOB,
        headers={"Content-Encoding": "gzip"},
        body=lambda body: zipped(body)[:-9],
        error="is truncated",
    ),
    Quirk(
        "pull",
        "a gzip file is called compressed",
        "object stores",
        "GET",
        BLOB,
        headers={"Content-Encoding": "gzip"},
    ),
    Quirk(
        "pull",
        "an encoding is nonsense of an object store",
        "object stores",
        "GET",
        BLOB,
        headers={"Content-Encoding": "aws-chunked"},
    ),
    Quirk(
        "pull", "an encoding is unknown", "-", "GET", BLOB, headers={"Content-Encoding": "br"}, error="'br'"
    ),
    Quirk(
        "pull",
        "a manifest is a web page",
        "captive portals",
        "GET",
        MANIFEST,
        headers={"Content-Type": "text/html", "Docker-Content-Digest": None},
        body=says(WEB_PAGE),
        error="does not match its digest|web page",
    ),
    Quirk(
        "pull", "a blob is called partial", "-", "GET", BLOB, 206, headers={"Content-Range": "bytes 0-1/2"}
    ),
    Quirk("pull", "a blob has no type", "-", "GET", BLOB, headers={"Content-Type": None}),
    Quirk(
        "pull",
        "requests are refused at first",
        "Docker Hub",
        "GET",
        MANIFEST,
        429,
        instead=True,
        times=2,
        headers={"Retry-After": "0"},
    ),
    *(
        Quirk("pull", f"a blob fails with {status} once", "-", "GET", BLOB, status, instead=True, times=1)
        for status in (500, 502, 503)
    ),
]
COPY = [
    *quirks_by_status(
        "copy",
        "a mount is answered {status}",
        "POST",
        MOUNT,
        {
            400: "-",
            401: "Harbor, GitLab, Docker Hub",
            403: "ACR",
            404: "Nexus",
            405: "Nexus",
            500: "-",
            202: "without Location",
        },
        instead=True,
    ),
    Quirk(
        "copy",
        "a token for two repositories is refused",
        "GitLab, GHCR",
        "GET",
        r"/token.*scope=.*scope=",
        403,
        instead=True,
        registry=BEARER,
    ),
    Quirk(
        "copy",
        "a token for two repositories is not valid",
        "GitLab",
        "GET",
        r"/token.*scope=.*scope=",
        body=says('{"token": "unusable"}'),
        registry=BEARER,
    ),
]
REFERRERS = [
    *quirks_by_status(
        "referrers",
        "the API is answered {status}",
        "GET",
        API,
        {
            400: "ECR",
            401: "Harbor 2.7",
            403: "GAR",
            404: "Docker's registry",
            405: "-",
            406: "Artifactory",
            501: "-",
        },
        instead=True,
        registry=NO_REFERRERS,
    ),
    *(
        Quirk(
            "referrers",
            f"the API is {what}",
            vendors,
            "GET",
            API,
            200,
            headers={"Content-Type": kind},
            body=says(body),
            registry=NO_REFERRERS,
        )
        for what, vendors, kind, body in (
            ("a web page", "GitLab", "text/html", WEB_PAGE),
            ("empty JSON", "registries that answer all requests", "application/json", b"{}"),
            ("nothing", "registries that answer all requests", "application/json", b""),
            (
                "an empty list, whatever is asked",
                "registries that answer all requests",
                oci.INDEX,
                b'{"schemaVersion": 2, "manifests": []}',
            ),
            ("a list that is null", "Go servers", oci.INDEX, b'{"schemaVersion": 2, "manifests": null}'),
        )
    ),
    Quirk(
        "referrers",
        "the list is called plain JSON",
        "Quay",
        "GET",
        API,
        headers={"Content-Type": "application/json"},
    ),
    Quirk(
        "referrers",
        "the list comes compressed",
        "proxies",
        "GET",
        API,
        headers={"Content-Encoding": "gzip"},
        body=zipped,
    ),
    Quirk(
        "referrers",
        "a list has nulls",
        "Go servers",
        "GET",
        API,
        body=lambda body: body.replace(b'"size"', b'"platform": null, "urls": null, "size"'),
    ),
    Quirk("referrers", "the API fails", "-", "GET", API, 500, instead=True, error="500"),
    Quirk(
        "referrers",
        "a list leads to another host",
        "-",
        "GET",
        API,
        headers={"Link": '<http://other.example/more>; rel="next"'},
        error="unusable link",
    ),
    Quirk(
        "referrers",
        "a list leads to itself",
        "-",
        "GET",
        API,
        headers={"Link": '<?>; rel="next"'},
        error="never ends",
    ),
]
REFERRERS += [
    Quirk(
        *("referrers", "what is not there is answered 400", "-", "GET|HEAD", MANIFEST, 400),
        when=404,
        registry=NO_REFERRERS,
    )
]
LOGIN = [
    *(
        Quirk("login", f"the token is {text}", vendors, "GET", TOKEN, body=rewritten_token, registry=BEARER)
        for text, vendors, rewritten_token in (
            ("token and null", "-", rewritten(token=None)),
            ("in token only", "Quay", lambda body: body.replace(b"access_token", b"token")),
            ("valid for null seconds", "Gitea", rewritten(expires_in=None)),
            ("valid for '300' seconds", "-", rewritten(expires_in="300")),
            ("valid for 0 seconds", "-", rewritten(expires_in=0)),
            ("valid for nonsense", "-", rewritten(expires_in={"seconds": 5})),
            ("without a time", "GHCR", rewritten(expires_in=...)),
            ("beside others", "GAR", rewritten(issued_at=None, refresh_token=None, scope=None)),
        )
    ),
    Quirk(
        "login",
        "a token comes compressed",
        "-",
        "GET",
        TOKEN,
        headers={"Content-Encoding": "gzip"},
        body=zipped,
        registry=BEARER,
    ),
    *(
        Quirk(
            "login",
            f"a token is {text}",
            "-",
            "GET",
            TOKEN,
            body=says(text),
            registry=BEARER,
            error="no token",
        )
        for text in ("[]", "null", "{}", '{"token": 5}', '{"token": ""}', "nonsense", '{"token": "a\\nb"}')
    ),
    Quirk(
        "login",
        "a token service refuses",
        "-",
        "GET",
        TOKEN,
        403,
        instead=True,
        registry=BEARER,
        error="denied access",
    ),
    Quirk(
        "login",
        "the registry refuses without a word",
        "Artifactory",
        "HEAD|GET|POST",
        r"/v2/.+",
        registry=BASIC,
        when=401,
        headers={"WWW-Authenticate": None},
    ),
    Quirk(
        "login",
        "the registry denies instead of asking for a login",
        "GAR",
        "HEAD|GET|POST",
        r"/v2/.+",
        403,
        registry=BEARER,
        when=401,
        headers={"WWW-Authenticate": None},
    ),
    Quirk(
        "login",
        "what is private is not there",
        "GitHub",
        "HEAD|GET|POST",
        r"/v2/.+",
        404,
        registry=BEARER,
        when=401,
        headers={"WWW-Authenticate": None},
    ),
    Quirk(
        "login",
        "several ways to log in are offered",
        "Nexus",
        "HEAD|GET|POST",
        r"/v2/",
        registry=BASIC,
        when=401,
        headers={"WWW-Authenticate": 'Negotiate, BASIC realm="Sonatype"'},
    ),
    Quirk(
        "login",
        "a token is asked for without a realm",
        "-",
        "HEAD|GET|POST",
        r"/v2/",
        registry=BASIC,
        when=401,
        headers={"WWW-Authenticate": 'Bearer service="x", Basic realm="y"'},
    ),
]
TAG_LISTS = [
    Quirk(
        "tags", "the list is null", "ECR, Go servers", "GET", TAGS, body=says('{"name": "a", "tags": null}')
    ),
    Quirk(
        "tags",
        "the next page is on another host",
        "any registry behind a proxy",
        "GET",
        TAGS,
        headers={"Link": '<http://internal.example:5000/v2/a/app/tags/list?last=b>; rel="next"'},
        times=1,
    ),
    Quirk(
        "tags",
        "the next page has no relation",
        "-",
        "GET",
        TAGS,
        headers={"Link": "</v2/a/app/tags/list?last=b>"},
        times=1,
    ),
    Quirk(
        "tags",
        "the relation is in capitals",
        "-",
        "GET",
        TAGS,
        headers={"Link": "</v2/a/app/tags/list?last=b>; REL=Next"},
        times=1,
    ),
    Quirk(
        "tags",
        "the next page is elsewhere",
        "-",
        "GET",
        TAGS,
        headers={"Link": '<http://other.example/list>; rel="next"'},
        error="unusable link",
    ),
    Quirk(
        "tags",
        "the link cannot be read",
        "-",
        "GET",
        TAGS,
        headers={"Link": "/v2/a/app/tags/list?last=b"},
        error="unusable link",
    ),
    Quirk(
        "tags",
        "the list comes compressed",
        "proxies",
        "GET",
        TAGS,
        headers={"Content-Encoding": "gzip"},
        body=zipped,
    ),
    Quirk(
        "tags",
        "the list leads to itself",
        "-",
        "GET",
        TAGS,
        headers={"Link": '</v2/a/app/tags/list>; rel="next"'},
        error="never ends",
    ),
    Quirk("tags", "the list is a web page", "-", "GET", TAGS, body=says(WEB_PAGE), error="malformed"),
]
DELETE = [
    *quirks_by_status(
        "delete",
        "deleting is answered {status}",
        "DELETE",
        MANIFEST,
        {200: "Quay, ECR", 204: "older registries"},
        when=202,
    ),
    Quirk(
        "delete",
        "deleting is switched off",
        "Docker's registry",
        "DELETE",
        MANIFEST,
        405,
        instead=True,
        error="does not support",
    ),
    Quirk(
        "delete",
        "the scope delete is unknown",
        "Quay",
        "GET",
        r"/token.*delete",
        400,
        instead=True,
        registry=BEARER,
    ),
]

IMMUTABLE = quirks_by_status(
    "push",
    "a tag that is there is refused with {status}",
    "PUT",
    r"/manifests/1\.0",
    {400: "ECR, GAR", 403: "Harbor", 405: "ACR", 409: "Artifactory", 412: "Harbor"},
    instead=True,
)

ALL = [*IMMUTABLE, *PUSH, *PULL, *COPY, *REFERRERS, *LOGIN, *TAG_LISTS, *DELETE]
