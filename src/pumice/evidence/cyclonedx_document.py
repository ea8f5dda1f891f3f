"""The facts of an image as a CycloneDX 1.6 document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.evidence import bsi, identifiers
from pumice.evidence.facts import RECIPE
from pumice.evidence.license_expressions import is_expression
from pumice.formats import cyclonedx
from pumice.formats.cyclonedx import make_component, make_hashes, make_properties
from pumice.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pumice.evidence.facts import Facts, File, Package
    from pumice.formats.cyclonedx import Component

_OWN, _GENERATED = "files:recipe", "files:generated"


def write(facts: Facts, places: Mapping[str, str] | None = None) -> bytes:
    """Return the document. Equal facts give equal bytes; ``places`` are the recipe's own mirrors.

    Files are components inside of what they belong to, layers inside of the image.
    """
    owned: dict[int, list[File]] = {}
    for file in facts.files:
        owned.setdefault(file.package, []).append(file)
    packages = [
        _package(facts, package, owned.get(number, []), identifiers.download(package, places or {}))
        for number, package in enumerate(facts.packages)
    ]
    grouped, loose = _others(facts, owned.get(-1, []))
    return cyclonedx.encode_document(
        metadata=_metadata(facts),
        components=[*([_system(facts)] if facts.system.id else []), *packages, *grouped, *loose],
        dependencies=list(_dependencies(facts, grouped)),
        compositions=_compositions(facts, grouped),
    )


def _metadata(facts: Facts) -> Component:
    made: Component = {
        "timestamp": facts.created,
        "lifecycles": [{"phase": "build" if facts.complete else "post-build"}],
        "tools": {
            "components": [
                make_component(
                    "application", "pumice", __version__, description="builds images of Debian packages"
                )
            ]
        },
        "component": _root(facts),
    }
    if facts.name:
        made["manufacturer"] = bsi.maker(facts)
        made["supplier"] = bsi.maker(facts)
    authors = facts.annotations.get("org.opencontainers.image.authors", "")
    if authors:
        name, mail = bsi.person(authors)
        made["authors"] = [{"name": name, "email": mail} if mail else {"name": name}]
    return made


def _root(facts: Facts) -> Component:
    quoted = [
        {"license": {"name": id_, "text": {"content": text, "contentType": "text/plain"}}}
        for id_, text in sorted(facts.texts.items())
    ]
    licensed = bsi.licensed(bsi.of_all(facts.packages), complete=facts.complete)
    if quoted:
        licensed["evidence"] = {"licenses": quoted}
    hex_ = facts.digest.partition(":")[2]
    return make_component(
        "container",
        facts.name or facts.digest,
        facts.version or facts.digest,
        bom_ref=_ref_root(facts),
        manufacturer=bsi.maker(facts) if facts.name else None,
        supplier=bsi.maker(facts) if facts.name else None,
        description=facts.annotations.get("org.opencontainers.image.description", ""),
        hashes=make_hashes(sha256=hex_, sha512=facts.sha512),
        purl=identifiers.image_url(facts),
        externalReferences=bsi.deployable(identifiers.image_url(facts), sha256=hex_, sha512=facts.sha512),
        components=[_layer(facts, number) for number in range(len(facts.layers))],
        **licensed,
        properties=make_properties(
            pumice__config=facts.config,
            pumice__platform=facts.platform,
            aquasecurity__trivy__SchemaVersion="2",
            **bsi.file_properties(hex_, executable=bsi.runs(facts.files)),
        ),
    )


def _system(facts: Facts) -> Component:
    system = facts.system
    home = identifiers.address(system.home)
    return make_component(
        "operating-system",
        system.id,
        system.version or system.codename,
        bom_ref=_ref_system(facts),
        manufacturer=bsi.creator(system.id.capitalize(), "", home) if home else None,
        description=system.name,
        **bsi.licensed(bsi.of_all(facts.packages), complete=facts.complete),
        properties=make_properties(
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
    return make_component(
        "file",
        f"layer {number + 1}",
        layer.digest,
        bom_ref=f"layer:{layer.digest}:{number + 1}",
        **{"mime-type": layer.media_type},
        description=layer.title,
        hashes=make_hashes(sha256=layer.digest[7:]),
        properties=make_properties(
            pumice__layer=str(number + 1), pumice__diffID=layer.diff_id, pumice__size=str(layer.size)
        ),
    )


def _package(facts: Facts, package: Package, files: list[File], download: str) -> Component:
    source = make_component(
        "library",
        package.source,
        package.source_version,
        purl=identifiers.source_url(package, facts.system),
    )
    name, mail = bsi.person(package.maintainer)
    website = identifiers.address(package.homepage)
    made_by = bsi.creator(name, mail, website) if mail or website else None
    return make_component(
        "library",
        package.name,
        package.version,
        bom_ref=_ref(facts, package),
        manufacturer=made_by,
        supplier=made_by,
        publisher=package.maintainer,
        description=package.summary,
        hashes=make_hashes(sha256=package.sha256, sha512=package.sha512),
        **bsi.licensed(package.license, complete=facts.complete),
        cpe=identifiers.cpe(package),
        purl=_ref(facts, package),
        externalReferences=[
            *([{"type": "website", "url": website}] if website else []),
            *bsi.deployable(download or _ref(facts, package), sha256=package.sha256, sha512=package.sha512),
            bsi.source(package, facts),
        ],
        pedigree={"ancestors": [source]},
        components=[_file(facts, file) for file in files],
        properties=[
            *_for_trivy(facts, package),
            *make_properties(
                pumice__purl=_codename_url(facts, package),
                pumice__role=package.role,
                pumice__licence="" if package.exact else "gathered from prose",
                syft__metadata__source=package.source,
                syft__metadata__sourceVersion=package.source_version,
                **(bsi.file_properties(identifiers.filename(package), executable=bsi.runs(files))),
            ),
        ],
    )


def _for_trivy(facts: Facts, package: Package) -> list[Component]:
    layer = facts.layers[package.layer] if facts.layers else None
    epoch, _, rest = package.source_version.rpartition(":")
    upstream, dash, revision = rest.rpartition("-")
    return make_properties(
        aquasecurity__trivy__PkgID=f"{package.name}@{package.version}",
        aquasecurity__trivy__PkgType=facts.system.id or "debian",
        aquasecurity__trivy__SrcName=package.source,
        aquasecurity__trivy__SrcVersion=upstream if dash else rest,
        aquasecurity__trivy__SrcRelease=revision if dash else "",
        aquasecurity__trivy__SrcEpoch=epoch,
        aquasecurity__trivy__LayerDigest=layer.digest if layer else "",
        aquasecurity__trivy__LayerDiffID=layer.diff_id if layer else "",
    )


def _others(facts: Facts, files: list[File]) -> tuple[list[Component], list[Component]]:
    """Return what groups files of no package, and the files that nobody knows the origin of."""
    groups: list[Component] = []
    for ref, name, version, own in (
        (_OWN, f"{facts.name} (files)", facts.version, True),
        (_GENERATED, "pumice (generated files)", __version__, False),
    ):
        parts = [file for file in files if file.by and (file.by == RECIPE) == own]
        said = facts.annotations.get("org.opencontainers.image.licenses", "") if own else "Apache-2.0"
        if parts:
            made = make_component(
                "application" if own else "data",
                name,
                version,
                bom_ref=ref,
                manufacturer=bsi.maker(facts),
                **bsi.licensed(said if is_expression(said) else "", complete=facts.complete),
                components=[_file(facts, file) for file in parts],
            )
            groups.append(made)
    return groups, [_file(facts, file) for file in files if not file.by]


def _codename_url(facts: Facts, package: Package) -> str:
    if not (facts.system.codename and facts.system.version):
        return ""
    return identifiers.package_url(package, facts.system, codename=True)


def _file(facts: Facts, file: File) -> Component:
    made: Component = {
        "type": "file",
        "name": f"/{file.path}",
        "hashes": [{"alg": "SHA-1", "content": file.sha1}, {"alg": "SHA-256", "content": file.sha256}],
    }
    if file.package < 0:
        origin = "recipe" if file.by == RECIPE else f"pumice effect {file.by}" if file.by else "unknown"
        made["properties"] = make_properties(
            pumice__origin=origin, pumice__diffID=facts.layers[file.layer].diff_id
        )
    return made


def _dependencies(facts: Facts, grouped: list[Component]) -> Iterator[Component]:
    refs = {package.name: _ref(facts, package) for package in facts.packages}
    others = [one["bom-ref"] for one in grouped]
    below = sorted([*refs.values(), *others])
    if facts.system.id:
        yield {"ref": _ref_root(facts), "dependsOn": [_ref_system(facts), *below]}
        yield {"ref": _ref_system(facts), "dependsOn": []}
    else:
        yield {"ref": _ref_root(facts), "dependsOn": below}
    yield from ({"ref": ref, "dependsOn": []} for ref in others)
    for package in facts.packages:
        yield {
            "ref": refs[package.name],
            "dependsOn": sorted({refs[name] for name in package.needs if name in refs}),
        }


def _compositions(facts: Facts, grouped: list[Component]) -> list[Component]:
    """Say whether what is listed is all there is: of the image's parts and of each one's dependencies."""
    refs = [_ref_root(facts), *(_ref(facts, package) for package in facts.packages)]
    refs += [one["bom-ref"] for one in grouped]
    refs += [_ref_system(facts)] if facts.system.id else []
    aggregate = "complete" if facts.complete else "unknown"
    return [{"aggregate": aggregate, "assemblies": refs, "dependencies": refs}]


def _ref_root(facts: Facts) -> str:
    return f"image:{facts.digest}"


def _ref_system(facts: Facts) -> str:
    return f"os:{identifiers.distro(facts.system)}"


def _ref(facts: Facts, package: Package) -> str:
    return identifiers.package_url(package, facts.system)
