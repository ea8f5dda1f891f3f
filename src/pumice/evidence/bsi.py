"""What the guideline TR-03183-2 (2.1.0) of Germany's BSI wants to know of a component, in CycloneDX.

Its names are those of BSI's property taxonomy; where each field stands is its table 8.2. A component
that exists as a file (an image, a package) says what kind of file; one that only groups others (an
operating system, the recipe's files) has no such fields (3.2.2). Files inside of a component are
parts of it and are described by it.
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
"""The license of what states none: the guideline (6.1) knows no ``NOASSERTION``."""

_PERSON = re.compile(r"\s*([^<]*?)\s*<([^<>\s]+@[^<>\s]+)>\s*")
_CODE = re.compile(r"\.so(\.[0-9.]+)?$|\.(py|pl|pm|rb|js|mjs|lua|jar|class|sh|node|wasm)$")
"""Libraries and scripts are executable in the sense of the guideline (8.1.4), whatever their mode."""


def person(text: str) -> tuple[str, str]:
    """Return name and mail of ``Name <mail>``, the text and nothing where it is not of that form."""
    found = _PERSON.fullmatch(text)
    return (found[1] or found[2], found[2]) if found else (text.strip(), "")


def creator(name: str, mail: str, url: str = "") -> Component:
    """Return who made something, reachable by mail or else by an address, never by both (5.2.2)."""
    return cyclonedx.make_organization(name, mail) if mail else cyclonedx.make_organization(name, url=url)


def maker(facts: Facts) -> Component:
    """Return who makes the image: its authors' mail address, else the site of its name's domain."""
    _, mail = person(facts.annotations.get("org.opencontainers.image.authors", ""))
    domain = facts.name.partition("/")[0]
    return creator(identifiers.maker(facts), mail, f"https://{domain}" if "." in domain else "")


def file_properties(filename: str, *, executable: bool) -> dict[str, str]:
    """Return the properties of a component that is an archive with everything known of its parts."""
    return {
        "bsi__component__filename": filename,
        "bsi__component__executable": "executable" if executable else "non-executable",
        "bsi__component__archive": "archive",
        "bsi__component__structured": "structured",
    }


def runs(files: Iterable[File]) -> bool:
    """Whether any of the files is a program, a library or a script."""
    return any(file.executable or _CODE.search(file.path) for file in files)


def deployable(url: str, *, sha256: str, sha512: str) -> list[Component]:
    """Return the reference to what is deployed, with its hashes; nothing where they are not known."""
    if not sha512:
        return []
    return [
        {"type": "distribution", "url": url, "hashes": cyclonedx.make_hashes(sha256=sha256, sha512=sha512)}
    ]


def source(package: Package, facts: Facts) -> Component:
    """Return the reference to the source: a package URL, for what a mirror is called is not its identity."""
    return {"type": "source-distribution", "url": identifiers.source_url(package, facts.system)}


def licensed(expression: str, *, complete: bool) -> dict[str, object]:
    """Return the fields of a component with its license: as distributed, and as its makers declare it.

    Distribution licenses are ``concluded`` in the guideline's table. CycloneDX 1.6 has room for one
    expression, so what was declared is given as evidence. A scan leaves out what it does not know.
    """
    declared = cyclonedx.make_licenses(expression, "declared")
    if not declared and not complete:
        return {}
    concluded = cyclonedx.make_licenses(expression, "concluded") or cyclonedx.make_licenses(
        UNKNOWN, "concluded"
    )
    return {"licenses": concluded, "evidence": {"licenses": declared} if declared else None}


def of_all(packages: Iterable[Package]) -> str:
    """Return the license of everything together."""
    return license_expressions.joined(package.license for package in packages)
