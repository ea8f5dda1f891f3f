"""``pumice sbom``: print the software bill of materials of an image."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output, results
from pumice.cli.image_access import reading, registries
from pumice.cli.parsing import arguments as command_line
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.cli.parsing.arguments import Parser
    from pumice.evidence.facts import Facts
    from pumice.image.model import Image
    from pumice.store.home import Home

_DOCUMENT_FORMATS = ("spdx", "cyclonedx")
_JSON_HELP = "list the packages as JSON: short for --format json"


class SbomPackage(msgspec.Struct, frozen=True, kw_only=True):
    """An installed package: ``license`` is an SPDX expression, ``purl`` its package URL.

    ``sha256`` is the digest of the package file in hexadecimal, from the attached SBOM; empty if it is
    unknown. ``layer`` counts from 1, ``files`` is the number of files that the package owns.
    """

    type: str
    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    license: str
    purl: str
    sha256: str
    layer: int
    files: int


def parser() -> Parser:
    """Return the parser of ``pumice sbom``."""
    parser = command_line.make_parser(
        "sbom",
        "Print the software bill of materials (SBOM) of an image: the one attached by its build, or one\n"
        "made from the package databases in its layers. Nothing in the image is executed. The formats\n"
        "spdx (SPDX 2.3) and cyclonedx (CycloneDX 1.6) are JSON documents.",
        progress=False,
        epilog=reading.REFERENCES,
        examples=(
            "pumice sbom example.com/hello:1.0 --format cyclonedx",
            "pumice sbom example.com/hello:1.0 --format '{{.Name}} {{.Version}}'",
        ),
    )
    parser.add_argument("reference", metavar="REF", help="image to describe")
    results.add_format_options(
        parser, "sbom", default="spdx", others=("cyclonedx", "table"), example="Name", json_help=_JSON_HELP
    )
    parser.add_argument("--layer", type=int, metavar="N", help="describe only layer N, counted from 1")
    parser.add_argument("--scan", action="store_true", help="read the layers even if an SBOM is attached")
    reading.platform_option(parser)
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print the SBOM."""
    options = parser().parse_args(arguments)

    with reading.open_platform(options) as (image, home):
        data = None
        is_document = options.format.name in _DOCUMENT_FORMATS
        if is_document and options.layer is None and not options.scan:
            data = _read_attached_sbom(image, home, options.reference, options.format.name)
        if data is None:
            facts = _gather_facts(image, home, options.reference, options.layer)
            if not is_document:
                needs_digests = options.format.name != "table" and not options.scan
                digests = _read_attached_digests(image, home, options.reference) if needs_digests else {}
                results.write_result(
                    _list_packages(facts, digests), options.format, lambda: _format_table(facts)
                )
                return 0
            data = _format_document(facts, options.format.name)
    sys.stdout.write(
        data.decode(errors="backslashreplace")
    )  # standard output escapes control characters, which leaves the JSON value unchanged
    return 0


def _read_attached_sbom(image: Image, home: Home, reference: str, sbom_format: str) -> bytes | None:
    """Return the attached SBOM and print to standard error who signed it; raises TrustError."""
    from pumice.clock import SystemClock
    from pumice.evidence import attached_documents as documents
    from pumice.formats import cyclonedx, spdx
    from pumice.image import referrers
    from pumice.trust import document_verification, image_names, policy

    sbom = documents.find_sbom(image, spdx.MEDIA_TYPE if sbom_format == "spdx" else cyclonedx.MEDIA_TYPE)
    if sbom is None:
        return None
    requested_name = image_names.requested_name(reference, home)
    levels = policy.policy_directories(os.environ)
    signers = document_verification.verify_document(
        image, sbom, home, levels, requested_name=requested_name, now=SystemClock().now()
    )
    data = referrers.read_artifact_blob(image, sbom, documents.MAX_DOCUMENT)
    signer_names = ", ".join(f"{signer.label} {signer.key.fingerprint}".strip() for signer in signers)
    message = (
        f"signed by {signer_names}" if signers else "attached to the image, but not signed by a trusted key"
    )
    print(output.printable(message), file=sys.stderr)
    return data


def _read_attached_digests(image: Image, home: Home, reference: str) -> dict[str, str]:
    """Return the digests of package files by package URL, which only an attached SBOM knows."""
    from pumice.errors import FormatError
    from pumice.formats import spdx

    data = _read_attached_sbom(image, home, reference, "spdx")
    try:
        digests = spdx.read_sha256_by_purl(data) if data else {}
    except FormatError:  # the SBOM of another tool
        return {}
    return {_without_distribution(url): digest for url, digest in digests.items()}


def _without_distribution(package_url: str) -> str:
    """Return a package URL that is the same if only the build knows the distribution's version."""
    return package_url.partition("&distro=")[0]


def _gather_facts(image: Image, home: Home, reference: str, layer: int | None) -> Facts:
    facts = reading.read_facts(image, home, reference)
    if layer is None:
        return facts
    if not 1 <= layer <= len(facts.layers):
        raise UsageError(
            f"the image has no layer {layer}", hint=f"use a number from 1 to {len(facts.layers)}"
        )
    from pumice.evidence.facts import select_layer

    return select_layer(facts, layer - 1)


def _format_document(facts: Facts, sbom_format: str) -> bytes:
    if sbom_format == "spdx":
        from pumice.evidence import spdx_document

        return spdx_document.format_spdx(facts)
    from pumice.evidence import cyclonedx_document

    return cyclonedx_document.format_cyclonedx(facts)


def _list_packages(facts: Facts, digests: Mapping[str, str]) -> list[SbomPackage]:
    from collections import Counter

    from pumice.evidence import identifiers

    file_counts = Counter(file.package for file in facts.files)
    urls = [identifiers.format_package_url(package, facts.system) for package in facts.packages]
    return [
        SbomPackage(
            type=package.type,
            name=package.name,
            version=package.version,
            architecture=package.architecture,
            source=package.source,
            source_version=package.source_version,
            license=package.license,
            purl=urls[number],
            sha256=package.sha256 or digests.get(_without_distribution(urls[number]), ""),
            layer=package.layer + 1,
            files=file_counts[number],
        )
        for number, package in enumerate(facts.packages)
    ]


def _format_table(facts: Facts) -> str:
    rows = [
        (package.name, package.version, package.architecture, package.source, _shorten(package.license))
        for package in facts.packages
    ]
    text = output.format_table(("package", "version", "arch", "source", "license"), rows)
    unowned_files = sum(file.package < 0 for file in facts.files)
    return text + (
        f"packages: {len(facts.packages)}, files: {len(facts.files)}, owned by no package: {unowned_files}\n"
    )


def _shorten(expression: str) -> str:
    return expression if len(expression) <= 60 else expression[:57] + "..."
