"""The fields of a CycloneDX component that guideline TR-03183-2 (2.1.0) of the German BSI requires.

Property names are from BSI's taxonomy; table 8.2 of the guideline maps them to CycloneDX fields. A component
that exists as a file (an image, a package) has fields about that file; a component that only groups others
(an operating system, the recipe's files) has none (3.2.2). Files in a component are parts of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pumice.evidence import identifiers, license_expressions
from pumice.formats import cyclonedx

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.evidence.facts import Facts, File, Package
    from pumice.formats.cyclonedx import Component

UNKNOWN = "LicenseRef-pumice-unknown"
"""The license of a component that states none: the guideline (6.1) does not allow ``NOASSERTION``."""

_PERSON = re.compile(r"\s*([^<]*?)\s*<([^<>\s]+@[^<>\s]+)>\s*")
_CODE = re.compile(r"\.so(\.[0-9.]+)?$|\.(py|pl|pm|rb|js|mjs|lua|jar|class|sh|node|wasm)$")
"""Libraries and scripts, which are executable by the guideline (8.1.4), even without an executable mode."""


def parse_person(text: str) -> tuple[str, str]:
    """Return the name and mail address in ``Name <mail>``; for other text, the text and ``""``."""
    match = _PERSON.fullmatch(text)
    return (match[1] or match[2], match[2]) if match else (text.strip(), "")


def make_creator(name: str, mail: str, url: str = "") -> Component:
    """Return an organization with its mail address or else its URL, never both (5.2.2)."""
    return cyclonedx.make_organization(name, mail) if mail else cyclonedx.make_organization(name, url=url)


def make_image_creator(facts: Facts) -> Component:
    """Return the creator of the image, with the mail address of its authors or the site of its domain."""
    _, mail = parse_person(facts.annotations.get("org.opencontainers.image.authors", ""))
    domain = facts.name.partition("/")[0]
    return make_creator(identifiers.find_maker(facts), mail, f"https://{domain}" if "." in domain else "")


def make_file_properties(filename: str, *, executable: bool) -> dict[str, str]:
    """Return the properties of a component that is a structured archive."""
    return {
        "bsi__component__filename": filename,
        "bsi__component__executable": "executable" if executable else "non-executable",
        "bsi__component__archive": "archive",
        "bsi__component__structured": "structured",
    }


def has_executables(files: Iterable[File]) -> bool:
    """Return whether any of the files is a program, library or script."""
    return any(file.executable or _CODE.search(file.path) for file in files)


def make_distribution_reference(url: str, *, sha256: str, sha512: str) -> list[Component]:
    """Return the reference to the distributed file with its hashes, nothing if they are unknown."""
    if not sha512:
        return []
    return [
        {"type": "distribution", "url": url, "hashes": cyclonedx.make_hashes(sha256=sha256, sha512=sha512)}
    ]


def make_source_reference(package: Package, facts: Facts) -> Component:
    """Return the reference to the source package by its package URL, which is the same for every mirror."""
    return {"type": "source-distribution", "url": identifiers.format_source_url(package, facts.system)}


def make_license_fields(expression: str, *, complete: bool) -> dict[str, object]:
    """Return the license fields of a component: the distribution license and the declared license.

    The guideline's table calls distribution licenses ``concluded``. CycloneDX 1.6 allows one expression,
    so the declared license goes into ``evidence``. An SBOM from a scan omits unknown licenses.
    """
    declared = cyclonedx.make_licenses(expression, "declared")
    if not declared and not complete:
        return {}
    concluded = cyclonedx.make_licenses(expression, "concluded") or cyclonedx.make_licenses(
        UNKNOWN, "concluded"
    )
    return {"licenses": concluded, "evidence": {"licenses": declared} if declared else None}


def combine_licenses(packages: Iterable[Package]) -> str:
    """Return the expression for the licenses of all packages together."""
    return license_expressions.join_terms(package.license for package in packages)
