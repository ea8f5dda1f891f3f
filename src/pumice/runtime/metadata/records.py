"""The file ``metadata.json`` in the directory of a pod: what the metadata service tells that pod."""

from __future__ import annotations

import hmac
import json
import os
from typing import Any, NamedTuple

from pumice import files
from pumice.errors import FormatError
from pumice.formats import strictjson

FILE = "metadata.json"
SOCKET = "metadata.sock"
"""The socket in the directory of a pod at which its relay listens."""
_MAX_SIZE = 16 << 20
_HEX = frozenset("0123456789abcdef")


class AppMetadata(NamedTuple):
    """One app of a pod: the reference and digest of its image, its image ID and its image's manifest.

    ``token`` is the secret in the app's URL, by which the app proves to the service which one it is.
    """

    token: str
    image: str
    digest: str
    image_id: str
    image_manifest: dict[str, Any]


class PodMetadata(NamedTuple):
    """A pod: its name, its manifest, its apps by name, and the audiences that it may have tokens for.

    Without ``audiences``, it may have tokens for any.
    """

    uuid: str
    name: str
    manifest: dict[str, Any]
    apps: dict[str, AppMetadata]
    audiences: tuple[str, ...] = ()


def new_token() -> str:
    """Return 256 random bits in hexadecimal."""
    return os.urandom(32).hex()


def is_uuid(text: str) -> bool:
    """Return whether ``text`` is a UUID in the form that names the directory of a pod."""
    return [len(part) for part in text.split("-")] == [8, 4, 4, 4, 12] and _HEX.issuperset(
        text.replace("-", "")
    )


def encode_metadata(pod: PodMetadata) -> bytes:
    """Return the content of the file for a pod."""
    document = {
        **pod._asdict(),
        "apps": {name: app._asdict() for name, app in pod.apps.items()},
    }
    return json.dumps(document).encode()


def read_metadata(directory: str | os.PathLike[str]) -> PodMetadata | None:
    """Return the metadata of the pod in ``directory``, None if it has none or the file is damaged."""
    path = os.path.join(directory, FILE)
    try:
        with files.open_regular(path) as file:
            document = strictjson.read_object(file.read(_MAX_SIZE), "file", limit=_MAX_SIZE)
        apps = {name: AppMetadata(**app) for name, app in document.pop("apps").items()}
        pod = PodMetadata(**{**document, "apps": apps, "audiences": tuple(document["audiences"])})
    except (OSError, TypeError, KeyError, AttributeError, FormatError):
        return None
    return pod if pod.uuid == os.path.basename(directory) else None


def find_app(pod: PodMetadata, token: str) -> str | None:
    """Return the name of the app with this token; every app is compared, each in constant time."""
    match = None
    for name, app in pod.apps.items():
        if hmac.compare_digest(app.token.encode(), token.encode(errors="replace")):
            match = name
    return match
