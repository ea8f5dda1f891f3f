"""Format the facts of an image as a CycloneDX 1.6 document."""

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


def format_cyclonedx(facts: Facts, mirrors: Mapping[str, str] | None = None) -> bytes:
    """Return the document; equal facts give equal bytes. ``mirrors`` are those of the recipe.

    Files are nested in the component that they belong to, layers in the image.
    """
    files_by_package: dict[int, list[File]] = {}
    for file in facts.files:
        files_by_package.setdefault(file.package, []).append(file)
    packages = [
        _package(
            facts,
            package,
            files_by_package.get(number, []),
            identifiers.format_download_url(package, mirrors or {}),
        )
        for number, package in enumerate(facts.packages)
    ]
    grouped, unowned = _unpackaged_files(facts, files_by_package.get(-1, []))
    return cyclonedx.encode_document(
        metadata=_metadata(facts),
        components=[*([_system(facts)] if facts.system.id else []), *packages, *grouped, *unowned],
        dependencies=list(_dependencies(facts, grouped)),
        compositions=_compositions(facts, grouped),
    )


def _metadata(facts: Facts) -> Component:
    metadata: Component = {
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
        metadata["manufacturer"] = bsi.make_image_creator(facts)
        metadata["supplier"] = bsi.make_image_creator(facts)
    authors = facts.annotations.get("org.opencontainers.image.authors", "")
    if authors:
        name, mail = bsi.parse_person(authors)
        metadata["authors"] = [{"name": name, "email": mail} if mail else {"name": name}]
    return metadata


def _root(facts: Facts) -> Component:
    quoted = [
        {"license": {"name": id_, "text": {"content": text, "contentType": "text/plain"}}}
        for id_, text in sorted(facts.texts.items())
    ]
    licensed = bsi.make_license_fields(bsi.combine_licenses(facts.packages), complete=facts.complete)
    if quoted:
        licensed["evidence"] = {"licenses": quoted}
    hex_ = facts.digest.partition(":")[2]
    return make_component(
        "container",
        facts.name or facts.digest,
        facts.version or facts.digest,
        bom_ref=_ref_root(facts),
        manufacturer=bsi.make_image_creator(facts) if facts.name else None,
        supplier=bsi.make_image_creator(facts) if facts.name else None,
        description=facts.annotations.get("org.opencontainers.image.description", ""),
        hashes=make_hashes(sha256=hex_, sha512=facts.sha512),
        purl=identifiers.format_image_url(facts),
        externalReferences=bsi.make_distribution_reference(
            identifiers.format_image_url(facts), sha256=hex_, sha512=facts.sha512
        ),
        components=[_layer(facts, number) for number in range(len(facts.layers))],
        **licensed,
        properties=make_properties(
            pumice__config=facts.config,
            pumice__platform=facts.platform,
            pumice__omitted=", ".join(f"{package.name} {package.version}" for package in facts.omitted),
            aquasecurity__trivy__SchemaVersion="2",
            **bsi.make_file_properties(hex_, executable=bsi.has_executables(facts.files)),
        ),
    )


def _system(facts: Facts) -> Component:
    system = facts.system
    home = identifiers.check_url(system.home)
    return make_component(
        "operating-system",
        system.id,
        system.version or system.codename,
        bom_ref=_ref_system(facts),
        manufacturer=bsi.make_creator(system.id.capitalize(), "", home) if home else None,
        description=system.name,
        **bsi.make_license_fields(bsi.combine_licenses(facts.packages), complete=facts.complete),
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
        purl=identifiers.format_source_url(package, facts.system),
    )
    name, mail = bsi.parse_person(package.maintainer)
    website = identifiers.check_url(package.homepage)
    made_by = bsi.make_creator(name, mail, website) if mail or website else None
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
        **bsi.make_license_fields(package.license, complete=facts.complete),
        cpe=identifiers.format_cpe(package),
        purl=_ref(facts, package),
        externalReferences=[
            *([{"type": "website", "url": website}] if website else []),
            *bsi.make_distribution_reference(
                download or _ref(facts, package), sha256=package.sha256, sha512=package.sha512
            ),
            bsi.make_source_reference(package, facts),
        ],
        pedigree={"ancestors": [source]},
        components=[_file(facts, file) for file in files],
        properties=[*_trivy_properties(facts, package), *_package_properties(facts, package, files)],
    )


def _package_properties(facts: Facts, package: Package, files: list[File]) -> list[Component]:
    file_name = identifiers.format_filename(package)
    return make_properties(
        pumice__purl=_codename_url(facts, package),
        pumice__role=package.role,
        # The old spelling: documents with this property are in the field.
        pumice__licence="" if package.exact else "gathered from prose",
        syft__metadata__source=package.source,
        syft__metadata__sourceVersion=package.source_version,
        **bsi.make_file_properties(file_name, executable=bsi.has_executables(files)),
    )


def _trivy_properties(facts: Facts, package: Package) -> list[Component]:
    layer = facts.layers[package.layer] if facts.layers else None
    epoch, _, epochless_version = package.source_version.rpartition(":")
    upstream, dash, revision = epochless_version.rpartition("-")
    return make_properties(
        aquasecurity__trivy__PkgID=f"{package.name}@{package.version}",
        aquasecurity__trivy__PkgType=facts.system.id or "debian",
        aquasecurity__trivy__SrcName=package.source,
        aquasecurity__trivy__SrcVersion=upstream if dash else epochless_version,
        aquasecurity__trivy__SrcRelease=revision if dash else "",
        aquasecurity__trivy__SrcEpoch=epoch,
        aquasecurity__trivy__LayerDigest=layer.digest if layer else "",
        aquasecurity__trivy__LayerDiffID=layer.diff_id if layer else "",
    )


def _unpackaged_files(facts: Facts, files: list[File]) -> tuple[list[Component], list[Component]]:
    """Return the groups of files that no package owns, and the files of unknown origin."""
    groups: list[Component] = []
    for ref, name, version, from_recipe in (
        (_OWN, f"{facts.name} (files)", facts.version, True),
        (_GENERATED, "pumice (generated files)", __version__, False),
    ):
        group_files = [file for file in files if file.by and (file.by == RECIPE) == from_recipe]
        license_expression = (
            facts.annotations.get("org.opencontainers.image.licenses", "") if from_recipe else "Apache-2.0"
        )
        if group_files:
            group = make_component(
                "application" if from_recipe else "data",
                name,
                version,
                bom_ref=ref,
                manufacturer=bsi.make_image_creator(facts),
                **bsi.make_license_fields(
                    license_expression if is_expression(license_expression) else "", complete=facts.complete
                ),
                components=[_file(facts, file) for file in group_files],
            )
            groups.append(group)
    return groups, [_file(facts, file) for file in files if not file.by]


def _codename_url(facts: Facts, package: Package) -> str:
    if not (facts.system.codename and facts.system.version):
        return ""
    return identifiers.format_package_url(package, facts.system, codename=True)


def _file(facts: Facts, file: File) -> Component:
    component: Component = {
        "type": "file",
        "name": f"/{file.path}",
        "hashes": [{"alg": "SHA-1", "content": file.sha1}, {"alg": "SHA-256", "content": file.sha256}],
    }
    if file.package < 0:
        origin = "recipe" if file.by == RECIPE else f"pumice effect {file.by}" if file.by else "unknown"
        component["properties"] = make_properties(
            pumice__origin=origin, pumice__diffID=facts.layers[file.layer].diff_id
        )
    return component


def _dependencies(facts: Facts, groups: list[Component]) -> Iterator[Component]:
    refs = {package.name: _ref(facts, package) for package in facts.packages}
    group_refs = [group["bom-ref"] for group in groups]
    top_level_refs = sorted([*refs.values(), *group_refs])
    if facts.system.id:
        yield {"ref": _ref_root(facts), "dependsOn": [_ref_system(facts), *top_level_refs]}
        yield {"ref": _ref_system(facts), "dependsOn": []}
    else:
        yield {"ref": _ref_root(facts), "dependsOn": top_level_refs}
    yield from ({"ref": ref, "dependsOn": []} for ref in group_refs)
    for package in facts.packages:
        yield {
            "ref": refs[package.name],
            "dependsOn": sorted({refs[name] for name in package.needs if name in refs}),
        }


def _compositions(facts: Facts, groups: list[Component]) -> list[Component]:
    """Return whether the lists of components and of their dependencies are complete."""
    refs = [_ref_root(facts), *(_ref(facts, package) for package in facts.packages)]
    refs += [group["bom-ref"] for group in groups]
    refs += [_ref_system(facts)] if facts.system.id else []
    aggregate = "complete" if facts.complete else "unknown"
    return [{"aggregate": aggregate, "assemblies": refs, "dependencies": refs}]


def _ref_root(facts: Facts) -> str:
    return f"image:{facts.digest}"


def _ref_system(facts: Facts) -> str:
    return f"os:{identifiers.format_distro(facts.system)}"


def _ref(facts: Facts, package: Package) -> str:
    return identifiers.format_package_url(package, facts.system)
