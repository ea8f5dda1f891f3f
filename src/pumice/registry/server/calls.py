"""From a path and a method to a call: every endpoint of distribution-spec 1.1 and its main branch.

Nothing that does not fit the specification's grammar gets past this file, so names, tags and digests
are harmless wherever they are used, as file names too.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

import msgspec

from pumice.registry.server import responses
from pumice.registry.server.responses import Answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")
UPLOAD = re.compile(r"[a-f0-9]{32}")
MAX_NAME = 255
"""Letters that a name may have: what most clients allow for host and name together."""

ALGORITHMS = ("sha256", "sha512")


class Call(msgspec.Struct, frozen=True):
    """What is asked: an action of the table below, where, and of what (a tag, a digest, an upload)."""

    action: str
    repository: str = ""
    reference: str = ""
    writes: bool = False


Methods = dict[str, tuple[str, bool]]

BASE: Methods = {"GET": ("base", False)}
CATALOG: Methods = {"GET": ("catalog", False)}
HEALTH: Methods = {"GET": ("health", False)}
TAGS: Methods = {"GET": ("tags", False)}
REFERRERS: Methods = {"GET": ("referrers", False)}
BLOBS: Methods = {"GET": ("blob", False), "DELETE": ("delete-blob", True)}
MANIFESTS: Methods = {
    "GET": ("manifest", False),
    "PUT": ("put-manifest", True),
    "DELETE": ("delete-manifest", True),
}
UPLOADS: Methods = {"POST": ("begin", True)}
ONE_UPLOAD: Methods = {
    "GET": ("status", True),
    "PATCH": ("append", True),
    "PUT": ("finish", True),
    "DELETE": ("cancel", True),
}
"""For each kind of path, the methods that it has, the action each stands for, and whether that is writing.

HEAD is GET without the body everywhere. Asking how far an upload is belongs to writing.
"""

FIXED = {"/v2/": BASE, "/v2": BASE, "/v2/_catalog": CATALOG, "/healthz": HEALTH}
_KINDS = {"blobs": BLOBS, "manifests": MANIFESTS, "referrers": REFERRERS}


def parse(method: str, path: str) -> Call | Answer:
    """Return the call that a request line makes, or what to answer to one that makes none.

    ``path`` is without its query and with its percent escapes undone, whatever they stood for.
    """
    if path in FIXED:
        return _call(method, FIXED[path])
    parts = path[4:].split("/")
    if path.startswith("/v2/") and len(parts) >= 3:
        if parts[-3:-1] == ["blobs", "uploads"] and len(parts) > 3:
            return _upload(method, "/".join(parts[:-3]), parts[-1])
        name, kind, last = "/".join(parts[:-2]), parts[-2], parts[-1]
        if kind == "blobs" and last == "uploads":
            return _upload(method, name, "")
        if kind == "tags" and last == "list":
            return _named(method, TAGS, name, "")
        if kind in _KINDS:
            return _referred(method, _KINDS[kind], name, last)
    return responses.error(responses.NO_ENDPOINT)


def _referred(method: str, methods: Methods, name: str, reference: str) -> Call | Answer:
    made = _named(method, methods, name, reference)
    if isinstance(made, Answer) or DIGEST.fullmatch(reference):
        return made
    if methods is not MANIFESTS or ":" in reference:
        return responses.error(responses.DIGEST_INVALID, f"{shown(reference)} is no sha256 or sha512 digest")
    if TAG.fullmatch(reference):
        return made
    message = f"{shown(reference)} cannot be a tag"
    return responses.error(
        responses.MANIFEST_INVALID if made.action == "put-manifest" else responses.MANIFEST_UNKNOWN, message
    )


def _upload(method: str, name: str, upload: str) -> Call | Answer:
    if not upload:
        return _named(method, UPLOADS, name, "")
    made = _named(method, ONE_UPLOAD, name, upload)
    if isinstance(made, Call) and not UPLOAD.fullmatch(upload):
        return responses.error(responses.BLOB_UPLOAD_UNKNOWN)
    return made


def _named(method: str, methods: Methods, name: str, reference: str) -> Call | Answer:
    if len(name) > MAX_NAME or not NAME.fullmatch(name):
        return responses.error(responses.NAME_INVALID, f"{shown(name)} cannot be the name of a repository")
    return _call(method, methods, name, reference)


def _call(method: str, methods: Methods, name: str = "", reference: str = "") -> Call | Answer:
    found = methods.get("GET" if method == "HEAD" else method)
    if found is None:
        allowed = ", ".join(sorted({*methods, *(("HEAD",) if "GET" in methods else ())}))
        return responses.error(
            responses.UNSUPPORTED, f"{shown(method)} is not possible here", headers=[("allow", allowed)]
        )
    return Call(found[0], name, reference, found[1])


def query(text: str) -> dict[str, list[str]]:
    """Return the parameters of a query, in order; a strange one is as good as none."""
    if not text:
        return {}
    made: dict[str, list[str]] = {}
    try:
        for key, value in parse_qsl(text, keep_blank_values=True, max_num_fields=1000):
            made.setdefault(key, []).append(value)
    except ValueError:
        return {}
    return made


def one(parameters: Mapping[str, list[str]], key: str) -> str:
    """Return the first value of a parameter, "" without one."""
    values = parameters.get(key)
    return values[0] if values else ""


def shown(text: str) -> str:
    """Return what a stranger wrote so that it can be shown: short and printable."""
    cut = text if len(text) <= 80 else text[:77] + "..."
    return "'" + "".join(letter if letter.isprintable() else "?" for letter in cut) + "'"
