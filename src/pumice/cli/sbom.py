"""``pumice sbom``: the bill of materials of an image."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, reading, registries
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.cli.arguments import Parser
    from pumice.evidence.facts import Facts
    from pumice.image.model import Image
    from pumice.store.home import Home

_FORMATS = ("spdx", "cyclonedx", "table")


def _parser() -> Parser:
    made = command_line.parser(
        "sbom",
        "Print what an image is made of: the bill of materials that its build attached, or for an\n"
        "image that Pumice did not build, what its layers say. Nothing of the image is run.",
        progress=False,
        epilog=reading.REFERENCES,
    )
    made.add_argument("reference", metavar="REF", help="the image")
    made.add_argument(
        "--format",
        choices=_FORMATS,
        default="spdx",
        metavar="FORMAT",
        help="spdx (2.3 JSON, the default), cyclonedx (1.6 JSON) or table",
    )
    made.add_argument("--layer", type=int, metavar="N", help="only what is in one layer, counted from 1")
    made.add_argument(
        "--scan", action="store_true", help="read the layers even if a bill of materials is attached"
    )
    reading.platform_option(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Print the bill of materials."""
    asked = _parser().parse_args(arguments)
    from pumice.store.home import Home, locate

    with Home(locate(os.environ)) as home, registries.open_image(asked.reference, home) as whole:
        image = reading.chosen(whole, asked.platform)
        data = None
        if asked.format != "table" and asked.layer is None and not asked.scan:
            data = _attached(image, home, asked.reference, asked.format)
        if data is None:
            data = _written(_facts(image, home, asked.reference, asked.layer), asked.format)
    sys.stdout.write(
        data.decode(errors="backslashreplace")
    )  # where controls are escaped: JSON stays the same
    return 0


def _attached(image: Image, home: Home, reference: str, form: str) -> bytes | None:
    """Return the attached document and say on standard error whose word it is; raises TrustError."""
    from pumice.clock import SystemClock
    from pumice.evidence import attached_documents as documents
    from pumice.formats import cyclonedx, spdx
    from pumice.image import referrers
    from pumice.trust import document_verification, image_names, policy

    found = documents.sbom(image, spdx.MEDIA_TYPE if form == "spdx" else cyclonedx.MEDIA_TYPE)
    if found is None:
        return None
    asked = image_names.requested_name(reference, home)
    levels = policy.policy_directories(os.environ)
    by = document_verification.verify_document(
        image, found, home, levels, requested_name=asked, now=SystemClock().now()
    )
    data = referrers.content(image, found, documents.MAX_DOCUMENT)
    known = ", ".join(f"{one.label} {one.key.fingerprint}".strip() for one in by)
    said = f"attested by {known}" if by else "attached to the image, and attested by no key that is trusted"
    print(output.printable(said), file=sys.stderr)
    return data


def _facts(image: Image, home: Home, reference: str, layer: int | None) -> Facts:
    found = reading.facts(image, home, reference)
    if layer is None:
        return found
    if not 1 <= layer <= len(found.layers):
        raise UsageError(f"the image has no layer {layer}", hint=f"its layers are 1 to {len(found.layers)}")
    from pumice.evidence.facts import of_layer

    return of_layer(found, layer - 1)


def _written(facts: Facts, form: str) -> bytes:
    if form == "spdx":
        from pumice.evidence import spdx_document

        return spdx_document.write(facts)
    if form == "cyclonedx":
        from pumice.evidence import cyclonedx_document

        return cyclonedx_document.write(facts)
    rows = [
        (one.name, one.version, one.architecture, one.source, _short(one.license)) for one in facts.packages
    ]
    text = output.table(("package", "version", "arch", "source", "license"), rows)
    loose = sum(file.package < 0 for file in facts.files)
    text += f"packages: {len(facts.packages)}, files: {len(facts.files)}, of no package: {loose}\n"
    return text.encode(errors="backslashreplace")


def _short(expression: str) -> str:
    return expression if len(expression) <= 60 else expression[:57] + "..."
