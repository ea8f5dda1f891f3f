"""Gather the facts of an image from its build: nothing is read again, nothing is guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice import digest
from pumice.cache_keys import cache_key
from pumice.decoding import decode_json
from pumice.evidence import license_expressions
from pumice.evidence.facts import (
    RECIPE,
    Facts,
    File,
    LayerFacts,
    Package,
    System,
    find_dependencies,
    parse_source_field,
)
from pumice.formats import oci, platforms
from pumice.packing.segments import DOC_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.evidence.license_expressions import Licensing
    from pumice.formats.tar import Entry
    from pumice.omission.model import OmittedPackage
    from pumice.packing.compose import ComposedLayer
    from pumice.packing.segments import Segment
    from pumice.recipe.lock import LockedPackage
    from pumice.recipe.model import Recipe
    from pumice.store.records import Records

_KIND = "license"


class ImageDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What the manifest and the config of an image say; ``created`` is an RFC 3339 time."""

    manifest: oci.Descriptor
    config: oci.Descriptor
    platform: oci.Platform
    system: System
    created: str
    annotations: dict[str, str]


def gather_facts(
    recipe: Recipe,
    image: ImageDescription,
    locked: Sequence[LockedPackage],
    segments: Mapping[str, Segment],
    layers: Sequence[ComposedLayer],
    origins: Mapping[str, str],
    recipe_entries: Sequence[Entry] = (),
    records: Records | None = None,
    omitted: Sequence[OmittedPackage] = (),
) -> Facts:
    """Return the facts of an image that was just built.

    ``origins`` are by path, of the files that are in no package. ``records`` caches the licenses of packages.
    """
    shipped_packages = sorted(
        (package for package in locked if package.name in segments), key=lambda package: package.name
    )
    numbers = {package.name: number for number, package in enumerate(shipped_packages)}
    licenses = _read_licenses(segments, numbers, records)
    return Facts(
        name=recipe.name,
        version=recipe.version,
        digest=image.manifest.digest,
        size=image.manifest.size,
        media_type=image.manifest.media_type,
        config=image.config.digest,
        platform=platforms.format_platform(image.platform),
        architecture=image.platform.architecture,
        created=image.created,
        system=image.system,
        packages=_describe_packages(shipped_packages, segments, layers, licenses),
        layers=tuple(_describe_layer(layer) for layer in layers),
        files=_describe_files(layers, numbers, origins),
        texts={id_: text for name in numbers for id_, text in licenses[name].texts.items()},
        annotations=image.annotations,
        own=tuple(recipe_entries),
        omitted=tuple(omitted),
        complete=True,
    )


def read_system(release: bytes, codename: str) -> System:
    """Return the operating system from the image's os-release, completed with the recipe's codename."""
    from pumice.evidence.facts import parse_os_release

    system = parse_os_release(release)
    return msgspec.structs.replace(system, id=system.id or "debian", codename=system.codename or codename)


def _describe_layer(layer: ComposedLayer) -> LayerFacts:
    return LayerFacts(
        title=layer.title,
        digest=layer.layer.digest,
        diff_id=layer.layer.diff_id,
        size=layer.layer.size,
        media_type=oci.LAYER_GZIP,
    )


def _describe_files(
    layers: Sequence[ComposedLayer], numbers: Mapping[str, int], origins: Mapping[str, str]
) -> tuple[File, ...]:
    files: list[File] = []
    for number, layer in enumerate(layers):
        for chunk in layer.chunks:
            package = numbers.get(chunk.package, -1)
            sums: dict[str, tuple[str, str, int]] = {}
            for item in chunk.items:
                entry = item.entry
                if entry.kind == "file":
                    sums[entry.path] = item.sha256, item.sha1, entry.size
                elif entry.kind != "hardlink":
                    continue
                sha256, sha1, size = sums.get(entry.link or entry.path, ("", "", 0))
                by = "" if package >= 0 else origins.get(entry.path, RECIPE)
                executable = bool(entry.mode & 0o111)
                files.append(File(entry.path, size, number, sha256, sha1, package, by, executable))
    files.sort(key=lambda file: file.path)
    return tuple(files)


def _describe_packages(
    locked: Sequence[LockedPackage],
    segments: Mapping[str, Segment],
    layers: Sequence[ComposedLayer],
    licenses: Mapping[str, Licensing],
) -> tuple[Package, ...]:
    needs = find_dependencies({package.name: segments[package.name].facts.fields for package in locked})
    layer_numbers = {chunk.package: number for number, layer in enumerate(layers) for chunk in layer.chunks}
    return tuple(
        _describe_package(
            package,
            segments[package.name],
            needs[package.name],
            layer_numbers.get(package.name, 0),
            licenses[package.name],
        )
        for package in locked
    )


def _describe_package(
    locked: LockedPackage, segment: Segment, needs: tuple[str, ...], layer: int, licensing: Licensing
) -> Package:
    fields = segment.facts.fields
    source, source_version = parse_source_field(locked.name, locked.version, fields.get("Source", ""))
    return Package(
        type="deb",
        name=locked.name,
        version=locked.version,
        architecture=locked.architecture,
        source=locked.source or source,
        source_version=locked.source_version or source_version,
        maintainer=fields.get("Maintainer", ""),
        originator=fields.get("Original-Maintainer", fields.get("XSBC-Original-Maintainer", "")),
        homepage=fields.get("Homepage", ""),
        summary=fields.get("Description", "").partition("\n")[0],
        license=licensing.expression,
        exact=licensing.exact,
        needs=needs,
        layer=layer,
        role=locked.role,
        archive="" if locked.role == "local" else locked.archive,
        path=locked.path,
        size=locked.size,
        sha256=locked.sha256,
        sha512=locked.sha512 or segment.sha512,
    )


def _read_licenses(
    segments: Mapping[str, Segment], names: Mapping[str, int], records: Records | None
) -> dict[str, Licensing]:
    by_content: dict[tuple[str, str], Licensing] = {}
    by_package: dict[str, Licensing] = {}
    for name in names:
        text = _find_copyright(name, segments)
        source = segments[name].facts.fields.get("Source", name).split(" ")[0]
        key = digest.of(text), source
        if key not in by_content:
            by_content[key] = _read_licensing(text, source, records)
        by_package[name] = by_content[key]
    return by_package


def _find_copyright(name: str, segments: Mapping[str, Segment]) -> bytes:
    """Return the copyright file of a package; its documentation may be a link to another package's."""
    segment = segments[name]
    if segment.copyright:
        return segment.copyright
    copyright_paths = {f"{DOC_DIRECTORY}/{name}", f"{DOC_DIRECTORY}/{name}/copyright"}
    for item in segment.items:
        if item.entry.kind == "symlink" and item.entry.path in copyright_paths:
            other_package = item.entry.link.removesuffix("/copyright").rpartition("/")[2]
            if other_package in segments:
                return segments[other_package].copyright
    return b""


def _read_licensing(text: bytes, source: str, records: Records | None) -> Licensing:
    if records is None:
        return license_expressions.read_copyright(text, source)
    key = cache_key("license", source, digest.of(text))
    data = records.get(_KIND, key)
    try:
        if data is not None:
            return decode_json(data, license_expressions.Licensing)
    except msgspec.MsgspecError:
        pass
    licensing = license_expressions.read_copyright(text, source)
    records.put(_KIND, key, msgspec.json.encode(licensing))
    return licensing
