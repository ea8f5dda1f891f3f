"""CycloneDX 1.6 documents in JSON (ECMA-424), built of plain dicts; see `pumice.formats.spdx`."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

MEDIA_TYPE = "application/vnd.cyclonedx+json"

Component = dict[str, Any]

_NAMESPACE = uuid.UUID("b7d1f3de-5b5c-5f55-8a52-0a7f1d2b9e44")


def make_component(kind: str, name: str, version: str = "", **optional: object) -> Component:
    """Return a component; ``optional`` are further fields, omitted if empty (``bom_ref`` for ``bom-ref``)."""
    component: Component = {"type": kind, "name": name}
    if version:
        component["version"] = version
    component.update((key.replace("bom_ref", "bom-ref"), value) for key, value in optional.items() if value)
    return component


def make_hashes(**digests: str) -> list[Component]:
    """Return hashes by algorithm (``sha256``), in hexadecimal; empty ones are omitted."""
    return [{"alg": f"SHA-{name[3:]}", "content": value} for name, value in digests.items() if value]


def make_properties(**values: str) -> list[Component]:
    """Return properties; ``__`` in a name becomes ``:``, and empty ones are omitted."""
    return [{"name": name.replace("__", ":"), "value": value} for name, value in values.items() if value]


def make_licenses(expression: str, acknowledgement: str) -> list[Component]:
    """Return a license as a list of one; empty for ``""`` and NOASSERTION.

    ``acknowledgement`` is ``declared`` or ``concluded``.
    """
    if expression in ("", "NOASSERTION"):
        return []
    return [{"expression": expression, "acknowledgement": acknowledgement}]


def make_organization(name: str, mail: str = "", url: str = "") -> Component:
    """Return an organization, such as a manufacturer or supplier."""
    organization: Component = {"name": name}
    if url:
        organization["url"] = [url]
    if mail:
        organization["contact"] = [{"name": name, "email": mail}]
    return organization


def encode_document(
    *,
    metadata: Component,
    components: Sequence[Component],
    dependencies: Sequence[Component],
    compositions: Sequence[Component],
) -> bytes:
    """Return the document; its serial number is derived from the rest of the content."""
    content: Component = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": "",
        "version": 1,
        "metadata": metadata,
        "components": components,
        "dependencies": dependencies,
        "compositions": compositions,
    }
    digest = hashlib.sha256(msgspec.json.encode(content)).hexdigest()
    content["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest)}"
    return msgspec.json.encode(content) + b"\n"
