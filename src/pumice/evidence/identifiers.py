"""Identifiers of packages and images in evidence documents: package URLs, CPEs, file names, addresses.

Scanners disagree about the ``distro`` of a Debian package: some expect ``debian-12``, others ``bookworm``.
The main package URL has the former, an additional one the latter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.formats import purl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.evidence.facts import Facts, Package, System

Mirrors = dict[str, str]
"""The mirrors that the recipe names, by archive; often empty."""


def format_distro(system: System) -> str:
    """Return ``debian-12``, or ``debian-CODENAME`` if the release has no number yet."""
    release = system.version or system.codename
    return f"{system.id}-{release}" if system.id and release else system.id


def format_package_url(package: Package, system: System, *, codename: bool = False) -> str:
    """Return the package URL of a binary package, with its source package if that differs."""
    upstream = package.source
    if package.source_version != package.version:
        upstream = f"{package.source}@{package.source_version}"
    return purl.format_purl(
        package.type,
        system.id or ("alpine" if package.type == "apk" else "debian"),
        package.name,
        package.version,
        arch=package.architecture,
        distro=system.codename if codename else format_distro(system),
        upstream="" if upstream == package.name else upstream,
    )


def format_source_url(package: Package, system: System) -> str:
    """Return the package URL of the source package."""
    qualifiers = {"arch": "source"} if package.type == "deb" else {}
    return purl.format_purl(
        package.type,
        system.id or "debian",
        package.source,
        package.source_version,
        distro=format_distro(system),
        **qualifiers,
    )


def format_image_url(facts: Facts) -> str:
    """Return the package URL of the image by its digest, without a location, which is not its identity."""
    return purl.format_purl(
        "oci",
        "",
        facts.name.rpartition("/")[2].lower(),
        facts.digest,
        arch=facts.architecture,
        tag=facts.version,
    )


def format_cpe(package: Package) -> str:
    """Return the CPE of the packaged software, with its upstream version as in vulnerability databases."""
    version = package.source_version.partition(":")[2] or package.source_version
    return purl.format_cpe(package.source, package.source, version.rpartition("-")[0] or version)


def format_filename(package: Package) -> str:
    """Return the name of the package file; if it is unknown, the name that archives use (deb(7))."""
    if package.path:
        return package.path.rpartition("/")[2]
    version = package.version.partition(":")[2] or package.version
    if package.type == "apk":
        return f"{package.name}-{version}.apk"
    return f"{package.name}_{version}_{package.architecture}.deb"


def format_download_url(package: Package, mirrors: Mapping[str, str]) -> str:
    """Return the URL of the package in the recipe's mirror, ``""`` if the recipe names none."""
    mirror = mirrors.get(package.archive, "") if package.archive else ""
    return f"{mirror.rstrip('/')}/{package.path}" if mirror else ""


def find_maker(facts: Facts) -> str:
    """Return the vendor of the image from its annotations, else the domain in its name."""
    vendor = facts.annotations.get("org.opencontainers.image.vendor", "")
    return vendor or facts.name.partition("/")[0]


def check_url(text: str) -> str:
    """Return ``text`` if it is an HTTP URL, else ``""``: maintainers can write any text there."""
    is_valid = text.startswith(("https://", "http://")) and not any(c <= " " or c in '<>"' for c in text)
    return text[:500] if is_valid else ""
