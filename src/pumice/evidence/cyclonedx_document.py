"""The facts of an image as a CycloneDX 1.6 document."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pumice.evidence import naming
from pumice.evidence.facts import RECIPE
from pumice.formats import cyclonedx
from pumice.formats.cyclonedx import component, hashes, properties
from pumice.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pumice.evidence.facts import Facts, File, Package
    from pumice.formats.cyclonedx import Component

_PERSON = re.compile(r"\s*([^<]*?)\s*<([^<>\s]+@[^<>\s]+)>\s*")


def write(facts: Facts, places: Mapping[str, str] | None = None) -> bytes:
    """Return the document. Equal facts give equal bytes; ``places`` are the recipe's own mirrors.

    The files of a package are the components inside it.
    """
    owned: dict[int, list[Component]] = {}
    for file in facts.files:
        owned.setdefault(file.package, []).append(_file(facts, file))
    packages = [
        _package(facts, package, owned.get(number, []), naming.download(package, places or {}))
        for number, package in enumerate(facts.packages)
    ]
    return cyclonedx.document(
        metadata=_metadata(facts),
        components=[
            *([_system(facts)] if facts.system.id else []),
            *(_layer(facts, number) for number in range(len(facts.layers))),
            *packages,
            *owned.get(-1, []),
        ],
        dependencies=list(_dependencies(facts)),
        compositions=_compositions(facts),
    )


def _metadata(facts: Facts) -> Component:
    made: Component = {
        "timestamp": facts.created,
        "lifecycles": [{"phase": "build" if facts.complete else "post-build"}],
        "tools": {
            "components": [
                component(
                    "application", "pumice", __version__, description="builds images of Debian packages"
                )
            ]
        },
        "component": _root(facts),
    }
    if facts.name:
        made["manufacturer"] = _maker(facts)
        made["supplier"] = _maker(facts)
    authors = facts.annotations.get("org.opencontainers.image.authors", "")
    if authors:
        person = _PERSON.fullmatch(authors)
        made["authors"] = [{"name": person[1], "email": person[2]} if person else {"name": authors}]
    return made


def _maker(facts: Facts) -> Component:
    domain = facts.name.partition("/")[0]
    return cyclonedx.organisation(naming.maker(facts), url=f"https://{domain}" if "." in domain else "")


def _root(facts: Facts) -> Component:
    quoted = [
        {"license": {"name": id_, "text": {"content": text, "contentType": "text/plain"}}}
        for id_, text in sorted(facts.texts.items())
    ]
    return component(
        "container",
        facts.name or facts.digest,
        facts.version or facts.digest,
        bom_ref=_ref_root(facts),
        supplier=_maker(facts) if facts.name else None,
        description=facts.annotations.get("org.opencontainers.image.description", ""),
        hashes=hashes(sha256=facts.digest[7:]),
        purl=naming.image_url(facts),
        evidence={"licenses": quoted} if quoted else None,
        properties=properties(
            pumice__config=facts.config,
            pumice__platform=facts.platform,
            aquasecurity__trivy__SchemaVersion="2",
        ),
    )


def _system(facts: Facts) -> Component:
    system = facts.system
    return component(
        "operating-system",
        system.id,
        system.version or system.codename,
        bom_ref=_ref_system(facts),
        description=system.name,
        properties=properties(
            pumice__codename=system.codename,
            aquasecurity__trivy__Class="os-pkgs",
            aquasecurity__trivy__Type=system.id,
            syft__distro__id=system.id,
            syft__distro__versionID=system.version,
            syft__distro__versionCodename=system.codename,
        ),
    )


def _layer(facts: Facts, number: int) -> Component:
    layer = facts.layers[number]
    return component(
        "file",
        f"layer {number + 1}",
        layer.digest,
        bom_ref=f"layer:{layer.digest}:{number + 1}",
        **{"mime-type": layer.media_type},
        description=layer.title,
        hashes=hashes(sha256=layer.digest[7:]),
        properties=properties(
            pumice__layer=str(number + 1), pumice__diffID=layer.diff_id, pumice__size=str(layer.size)
        ),
    )


def _package(facts: Facts, package: Package, files: list[Component], download: str) -> Component:
    source = component(
        "library",
        package.source,
        package.source_version,
        purl=naming.source_url(package, facts.system),
    )
    layer = facts.layers[package.layer] if facts.layers else None
    epoch, _, rest = package.source_version.rpartition(":")
    upstream, dash, revision = rest.rpartition("-")
    found = _PERSON.fullmatch(package.maintainer)
    return component(
        "library",
        package.name,
        package.version,
        bom_ref=_ref(facts, package),
        supplier=cyclonedx.organisation(found[1] or found[2], found[2]) if found else None,
        publisher=package.maintainer,
        description=package.summary,
        hashes=hashes(sha256=package.sha256, sha512=package.sha512),
        licenses=cyclonedx.declared(package.licence),
        cpe=naming.cpe(package),
        purl=naming.package_url(package, facts.system),
        externalReferences=[
            *([{"type": "website", "url": package.homepage}] if _is_address(package.homepage) else []),
            *([{"type": "distribution", "url": download}] if download else []),
        ],
        pedigree={"ancestors": [source]},
        components=files,
        properties=properties(
            aquasecurity__trivy__PkgID=f"{package.name}@{package.version}",
            aquasecurity__trivy__PkgType=facts.system.id or "debian",
            aquasecurity__trivy__SrcName=package.source,
            aquasecurity__trivy__SrcVersion=upstream if dash else rest,
            aquasecurity__trivy__SrcRelease=revision if dash else "",
            aquasecurity__trivy__SrcEpoch=epoch,
            aquasecurity__trivy__LayerDigest=layer.digest if layer else "",
            aquasecurity__trivy__LayerDiffID=layer.diff_id if layer else "",
            pumice__purl=_codename_url(facts, package),
            pumice__filename=package.path.rpartition("/")[2],
            pumice__role=package.role,
            pumice__licence="" if package.exact else "gathered from prose",
            syft__metadata__source=package.source,
            syft__metadata__sourceVersion=package.source_version,
        ),
    )


def _codename_url(facts: Facts, package: Package) -> str:
    if not (facts.system.codename and facts.system.version):
        return ""
    return naming.package_url(package, facts.system, codename=True)


def _file(facts: Facts, file: File) -> Component:
    made: Component = {
        "type": "file",
        "name": f"/{file.path}",
        "hashes": [{"alg": "SHA-1", "content": file.sha1}, {"alg": "SHA-256", "content": file.sha256}],
    }
    if file.package < 0:
        origin = "recipe" if file.by == RECIPE else f"pumice effect {file.by}" if file.by else "unknown"
        made["properties"] = properties(
            pumice__origin=origin, pumice__diffID=facts.layers[file.layer].diff_id
        )
    return made


def _dependencies(facts: Facts) -> Iterator[Component]:
    refs = {package.name: _ref(facts, package) for package in facts.packages}
    below = sorted(refs.values())
    if facts.system.id:
        yield {"ref": _ref_root(facts), "dependsOn": [_ref_system(facts), *below]}
        yield {"ref": _ref_system(facts), "dependsOn": []}
    else:
        yield {"ref": _ref_root(facts), "dependsOn": below}
    for package in facts.packages:
        yield {
            "ref": refs[package.name],
            "dependsOn": sorted({refs[name] for name in package.needs if name in refs}),
        }


def _compositions(facts: Facts) -> list[Component]:
    """Say whether what is listed is all there is: of the image's parts and of each one's dependencies."""
    refs = [_ref_root(facts), *(_ref(facts, package) for package in facts.packages)]
    aggregate = "complete" if facts.complete else "unknown"
    return [{"aggregate": aggregate, "assemblies": refs, "dependencies": refs}]


def _ref_root(facts: Facts) -> str:
    return f"image:{facts.digest}"


def _ref_system(facts: Facts) -> str:
    return f"os:{naming.distro(facts.system)}"


def _ref(facts: Facts, package: Package) -> str:
    return naming.package_url(package, facts.system)


def _is_address(text: str) -> bool:
    return text.startswith(("https://", "http://")) and not any(c <= " " or c in '<>"' for c in text)
