"""What names the parts of an image to the programs that read about them: package URLs, CPEs, places.

Scanners disagree about the ``distro`` of a Debian package: some want ``debian-12``, some ``bookworm``.
The first is in the package URL proper, the second in one more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.formats import purl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.evidence.facts import Facts, Package, System

Places = dict[str, str]
"""Archive to the address of the mirror that the recipe names for it; mostly empty."""


def distro(system: System) -> str:
    """Return ``debian-12``, or with the codename where a release has no number yet."""
    word = system.version or system.codename
    return f"{system.id}-{word}" if system.id and word else system.id


def package_url(package: Package, system: System, *, codename: bool = False) -> str:
    """Return the package URL of a binary package, with its source package where that differs."""
    upstream = package.source
    if package.source_version != package.version:
        upstream = f"{package.source}@{package.source_version}"
    return purl.format_purl(
        package.type,
        system.id or ("alpine" if package.type == "apk" else "debian"),
        package.name,
        package.version,
        arch=package.architecture,
        distro=system.codename if codename else distro(system),
        upstream="" if upstream == package.name else upstream,
    )


def source_url(package: Package, system: System) -> str:
    """Return the package URL of the source package."""
    qualifiers = {"arch": "source"} if package.type == "deb" else {}
    return purl.format_purl(
        package.type,
        system.id or "debian",
        package.source,
        package.source_version,
        distro=distro(system),
        **qualifiers,
    )


def image_url(facts: Facts) -> str:
    """Return the package URL of the image: by its digest, for the place it is in is not its identity."""
    return purl.format_purl(
        "oci",
        "",
        facts.name.rpartition("/")[2].lower(),
        facts.digest,
        arch=facts.architecture,
        tag=facts.version,
    )


def cpe(package: Package) -> str:
    """Return the CPE of the software that is packaged: its upstream version, as databases have it."""
    version = package.source_version.partition(":")[2] or package.source_version
    return purl.format_cpe(package.source, package.source, version.rpartition("-")[0] or version)


def filename(package: Package) -> str:
    """Return what the package's file is called, as an archive calls it (deb(7)) where that is not known."""
    if package.path:
        return package.path.rpartition("/")[2]
    version = package.version.partition(":")[2] or package.version
    if package.type == "apk":
        return f"{package.name}-{version}.apk"
    return f"{package.name}_{version}_{package.architecture}.deb"


def download(package: Package, places: Mapping[str, str]) -> str:
    """Return where the recipe says that a package is to be had; nothing if it does not."""
    place = places.get(package.archive, "") if package.archive else ""
    return f"{place.rstrip('/')}/{package.path}" if place else ""


def maker(facts: Facts) -> str:
    """Return who makes the image: what its annotations say, else the domain of its name."""
    said = facts.annotations.get("org.opencontainers.image.vendor", "")
    return said or facts.name.partition("/")[0]


def address(text: str) -> str:
    """Return an address as far as it is one: what maintainers write there is free text."""
    good = text.startswith(("https://", "http://")) and not any(c <= " " or c in '<>"' for c in text)
    return text[:500] if good else ""
