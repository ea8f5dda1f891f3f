"""Format the facts of an image as an SPDX 2.3 document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.evidence import identifiers
from pumice.evidence.facts import RECIPE
from pumice.formats import spdx
from pumice.formats.spdx import NO_ASSERTION, make_element_id, make_relationship
from pumice.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pumice.evidence.facts import Facts, File, Package
    from pumice.formats.spdx import Element

_SYSTEM = make_element_id("OperatingSystem")
_COMPLETE = (
    "Written while the image was built, from what the build knows: every package, file and dependency "
    "between packages is listed."
)
_SCANNED = (
    "Read from the package databases and files in the image's layers: every file is listed, but software "
    "that is in no package database is known by its files only."
)


def format_spdx(facts: Facts, mirrors: Mapping[str, str] | None = None) -> bytes:
    """Return the document; equal facts give equal bytes. ``mirrors`` are those of the recipe."""
    maker = f"Organization: {identifiers.find_maker(facts)}" if facts.name else NO_ASSERTION
    others = list(_unpackaged_files(facts, maker))
    packages = [
        _root(facts, maker),
        *([_system(facts)] if facts.system.id else []),
        *(_layer(facts, number, maker) for number in range(len(facts.layers))),
        *_packages(facts, mirrors or {}),
        *_sources(facts),
        *others,
    ]
    return spdx.encode_document(
        f"{facts.name or 'image'}-{facts.version or facts.digest[7:19]}",
        created=facts.created,
        creators=[*([maker] if maker != NO_ASSERTION else []), f"Tool: pumice-{__version__}"],
        comment=_describe_origin(facts),
        packages=packages,
        files=[_file(facts, number, file) for number, file in enumerate(facts.files)],
        relationships=list(_relationships(facts)),
        texts=facts.texts,
        describes=_image_id(facts),
    )


def _describe_origin(facts: Facts) -> str:
    """Return where the facts come from, and which packages are left out although others depend on them."""
    if not facts.complete:
        return _SCANNED
    names = ", ".join(f"{package.name} {package.version}" for package in facts.omitted)
    return f"{_COMPLETE} Left out, because nothing in the image uses them: {names}." if names else _COMPLETE


def _root(facts: Facts, maker: str) -> Element:
    return spdx.make_package(
        _image_id(facts),
        facts.name or facts.digest,
        facts.version or facts.digest,
        purpose="CONTAINER",
        supplier=maker,
        originator=maker if maker != NO_ASSERTION else "",
        description=facts.annotations.get("org.opencontainers.image.description", ""),
        homepage=identifiers.check_url(facts.annotations.get("org.opencontainers.image.url", "")),
        packageFileName=facts.digest,
        checksums=spdx.make_checksums(sha256=facts.digest[7:]),
        comment=f"manifest {facts.digest}, config {facts.config}, platform {facts.platform}",
        externalRefs=[
            spdx.make_external_reference("PACKAGE-MANAGER", "purl", identifiers.format_image_url(facts))
        ],
    )


def _system(facts: Facts) -> Element:
    system = facts.system
    return spdx.make_package(
        _SYSTEM,
        system.id,
        system.version or system.codename or NO_ASSERTION,
        purpose="OPERATING_SYSTEM",
        supplier=f"Organization: {system.id.capitalize()}",
        description=system.name,
        summary=f"codename {system.codename}" if system.codename else "",
    )


def _layer(facts: Facts, number: int, maker: str) -> Element:
    layer = facts.layers[number]
    return spdx.make_package(
        _layer_id(number),
        f"layer {number + 1}",
        layer.digest,
        purpose="ARCHIVE",
        supplier=maker,
        summary=layer.title,
        packageFileName=layer.digest,
        checksums=spdx.make_checksums(sha256=layer.digest[7:]),
        comment=f"diff ID {layer.diff_id}, {layer.size} bytes, {layer.media_type}",
    )


def _packages(facts: Facts, mirrors: Mapping[str, str]) -> Iterator[Element]:
    sums: dict[int, list[str]] = {}
    for file in facts.files:
        sums.setdefault(file.package, []).append(file.sha1)
    for number, package in enumerate(facts.packages):
        element = _package(facts, package, identifiers.format_download_url(package, mirrors))
        sha1_sums = sums.get(number)
        if sha1_sums and all(sha1_sums):
            element["filesAnalyzed"] = True
            element["packageVerificationCode"] = spdx.make_verification_code(sha1_sums)
        yield element


def _package(facts: Facts, package: Package, download: str) -> Element:
    supplier = spdx.format_actor(package.maintainer)
    urls = [identifiers.format_package_url(package, facts.system)]
    if facts.system.codename and facts.system.version:
        urls.append(identifiers.format_package_url(package, facts.system, codename=True))
    return spdx.make_package(
        _package_id(package),
        package.name,
        package.version,
        purpose="LIBRARY" if package.name.startswith("lib") else "APPLICATION",
        supplier=supplier,
        originator=spdx.format_actor(package.originator) if package.originator else supplier,
        download=download,
        license_declared=package.license,
        packageFileName=package.path.rpartition("/")[2],
        homepage=identifiers.check_url(package.homepage),
        summary=package.summary,
        sourceInfo=f"built package from: {package.source} {package.source_version}",
        checksums=spdx.make_checksums(sha256=package.sha256, sha512=package.sha512),
        licenseComments="" if package.exact else "gathered from the references of a copyright file in prose",
        externalRefs=[
            *(spdx.make_external_reference("PACKAGE-MANAGER", "purl", url) for url in urls),
            spdx.make_external_reference("SECURITY", "cpe23Type", identifiers.format_cpe(package)),
        ],
    )


def _sources(facts: Facts) -> Iterator[Element]:
    source_ids: set[str] = set()
    for package in facts.packages:
        id_ = _source_id(package)
        if id_ not in source_ids:
            source_ids.add(id_)
            yield spdx.make_package(
                id_,
                package.source,
                package.source_version,
                purpose="SOURCE",
                supplier=spdx.format_actor(package.maintainer),
                license_declared=NO_ASSERTION,
                homepage=identifiers.check_url(package.homepage),
                externalRefs=[
                    spdx.make_external_reference(
                        "PACKAGE-MANAGER", "purl", identifiers.format_source_url(package, facts.system)
                    )
                ],
            )


def _unpackaged_files(facts: Facts, maker: str) -> Iterator[Element]:
    """Yield packages for the recipe's files, for generated files, and for files of unknown origin."""
    sums: dict[str, list[str]] = {}
    for file in facts.files:
        if file.package < 0:
            sums.setdefault(_unpackaged_id(file), []).append(file.sha1)
    for id_, name, version, summary, supplier in (
        (_RECIPE, f"{facts.name} (files)", facts.version, "the recipe's own files", maker),
        (_GENERATED, "pumice (generated files)", __version__, "what installing packages generates", maker),
        (_UNKNOWN, "files of no package", NO_ASSERTION, "files that no package database lists", NO_ASSERTION),
    ):
        if id_ in sums:
            element = spdx.make_package(
                id_, name, version or NO_ASSERTION, purpose="FILE", supplier=supplier, summary=summary
            )
            yield element | {
                "filesAnalyzed": True,
                "packageVerificationCode": spdx.make_verification_code(sums[id_]),
            }


def _file(facts: Facts, number: int, file: File) -> Element:
    element: Element = {
        "SPDXID": f"SPDXRef-File-{number}",
        "fileName": f"./{file.path}",
        "checksums": [
            {"algorithm": "SHA1", "checksumValue": file.sha1},
            {"algorithm": "SHA256", "checksumValue": file.sha256},
        ],
    }
    if file.package < 0 or facts.packages[file.package].layer != file.layer:
        element["comment"] = f"layerID: {facts.layers[file.layer].diff_id}"
    return element


_RECIPE = make_element_id("RecipeFiles")
_GENERATED = make_element_id("GeneratedFiles")
_UNKNOWN = make_element_id("UnownedFiles")


def _unpackaged_id(file: File) -> str:
    if not file.by:
        return _UNKNOWN
    return _RECIPE if file.by == RECIPE else _GENERATED


def _relationships(facts: Facts) -> Iterator[Element]:
    ids = {package.name: _package_id(package) for package in facts.packages}
    image = _image_id(facts)
    if facts.system.id:
        yield make_relationship(image, "CONTAINS", _SYSTEM)
    for number in range(len(facts.layers)):
        yield make_relationship(image, "CONTAINS", _layer_id(number))
    for package in facts.packages:
        id_ = _package_id(package)
        yield make_relationship(image, "CONTAINS", id_)
        yield make_relationship(_layer_id(package.layer), "CONTAINS", id_)
        yield make_relationship(id_, "GENERATED_FROM", _source_id(package))
        for dependency in package.needs:
            if dependency in ids:
                yield make_relationship(id_, "DEPENDS_ON", ids[dependency])
    for dependency in sorted({_unpackaged_id(file) for file in facts.files if file.package < 0}):
        yield make_relationship(image, "CONTAINS", dependency)
    owners = [_package_id(package) for package in facts.packages]
    for number, file in enumerate(facts.files):
        owner = owners[file.package] if file.package >= 0 else _unpackaged_id(file)
        yield make_relationship(owner, "CONTAINS", f"SPDXRef-File-{number}")


def _image_id(facts: Facts) -> str:
    """Return the id of the image, which must be unique in a merged document of several images."""
    return make_element_id("Image", facts.digest.partition(":")[2][:12])


def _package_id(package: Package) -> str:
    return make_element_id("Package", package.type, package.name, package.architecture)


def _source_id(package: Package) -> str:
    return make_element_id("Source", package.source, package.source_version)


def _layer_id(number: int) -> str:
    return f"SPDXRef-Layer-{number + 1}"
