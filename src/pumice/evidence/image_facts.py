"""Gather the facts of any image from its layers, without executing anything in it."""

from __future__ import annotations

import hashlib
import posixpath
from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.evidence import license_expressions
from pumice.evidence.facts import (
    Facts,
    File,
    LayerFacts,
    Package,
    find_dependencies,
    parse_os_release,
    parse_source_field,
)
from pumice.formats import apkstate, deb822, oci, platforms
from pumice.image import layer_scan
from pumice.image.flatten import VisibleEntry, flatten
from pumice.image.inventory import make_inventory
from pumice.packing.segments import DOC_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.evidence.license_expressions import Licensing
    from pumice.formats.oci import ImageConfig
    from pumice.image.inventory import FileFact, Inventory
    from pumice.image.layer import Layer
    from pumice.image.layer_scan import LayerScan
    from pumice.image.model import Image
    from pumice.store.records import Records

_TITLE = "org.opencontainers.image.title"
_VERSION = "org.opencontainers.image.version"


def gather_facts(image: Image, records: Records | None = None, name: str = "") -> Facts:
    """Return the facts of an image of one platform; ``name`` is used if the image has no title.

    Raises the errors of reading the layers, and FormatError for a malformed package database.
    """
    manifest, config = image.manifest(), image.config()
    layers = image.layers()
    scans = [layer_scan.scan_layer(layer, records, detailed=True) for layer in layers]
    merged = flatten(scan.entries for scan in scans)
    inventory = make_inventory(scans)
    texts = _read_texts(merged, scans)
    status = _read_status(texts)
    deb_packages, licenses, owners = _describe_deb_packages(status, inventory, texts, merged)
    apk_packages, apk_owners = _describe_apk_packages(texts, merged, licenses)
    deb_packages = (*deb_packages, *apk_packages)
    numbers = {package.name: number for number, package in enumerate(deb_packages)}
    by_path = {path: numbers[owner] for path, owner in (owners | apk_owners).items() if owner in numbers}
    root = image.select().root
    return Facts(
        name=manifest.annotations.get(_TITLE, name),
        version=manifest.annotations.get(_VERSION, ""),
        digest=root.digest,
        size=root.size,
        media_type=root.media_type,
        config=manifest.config.digest,
        platform=platforms.format_platform(oci.Platform(config.architecture, config.os, config.variant)),
        architecture=config.architecture,
        created=_format_created(config.created),
        system=parse_os_release(next((texts[path] for path in layer_scan.RELEASES if texts.get(path)), b"")),
        packages=_assign_layers(deb_packages, inventory.files, by_path),
        layers=_describe_layers(layers, config),
        files=_describe_files(inventory.files, merged, scans, by_path),
        texts={id_: text for layer in licenses.values() for id_, text in layer.texts.items()},
        annotations=manifest.annotations,
        sha512=hashlib.sha512(image.document(root)).hexdigest(),
    )


def _describe_layers(layers: Sequence[Layer], config: ImageConfig) -> tuple[LayerFacts, ...]:
    """Return the facts of the layers, with titles if the config has a history entry for each of them."""
    history = [entry.created_by or entry.comment for entry in config.history if not entry.empty_layer]
    titles = history if len(history) == len(layers) else [""] * len(layers)
    return tuple(
        LayerFacts(
            title=title.removeprefix("pumice: ")[:200],
            digest=layer.descriptor.digest,
            diff_id=layer.diff_id,
            size=layer.descriptor.size,
            media_type=layer.descriptor.media_type,
        )
        for layer, title in zip(layers, titles, strict=True)
    )


def _format_created(created: str) -> str:
    """Return a time in the format of SPDX, to the second in UTC; the epoch if ``created`` is malformed."""
    import datetime

    try:
        time = datetime.datetime.fromisoformat(created)
    except ValueError:
        return "1970-01-01T00:00:00Z"
    if time.tzinfo is not None:
        try:
            time = time.astimezone(datetime.UTC)
        except (OverflowError, ValueError):
            return "1970-01-01T00:00:00Z"
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time.year >= 1970 else "1970-01-01T00:00:00Z"


def _read_texts(merged: Mapping[str, VisibleEntry], scans: Sequence[LayerScan]) -> dict[str, bytes]:
    """Return the package databases and similar files that are visible in the image, by path."""
    texts: dict[str, bytes] = {}
    for path, (entry, origin) in merged.items():
        if origin.layer >= 0 and entry.kind == "file" and entry.path in scans[origin.layer].texts:
            texts[path] = scans[origin.layer].texts[entry.path]
    for path in layer_scan.RELEASES:
        release_file = merged.get(path)
        if release_file and release_file.entry.kind == "symlink" and path not in texts:
            texts[path] = texts.get(layer_scan.RELEASES[1], b"")
    return texts


def _read_status(texts: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
    """Return the control fields of the packages that dpkg installed, by package name."""
    paragraphs: dict[str, dict[str, str]] = {}
    for path, text in sorted(texts.items()):
        is_part = path.startswith(layer_scan.STATUS_DIRECTORY) and not path.endswith(".md5sums")
        if path == layer_scan.STATUS or is_part:
            for fields in deb822.read_paragraphs(text, latin1=True, where=path):
                installed = fields.get("Status", "installed").endswith("installed")
                if installed and not fields.get("Status", "").endswith("not-installed"):
                    paragraphs.setdefault(fields.get("Package", ""), fields)
    paragraphs.pop("", None)
    return paragraphs


def _describe_deb_packages(
    status: Mapping[str, Mapping[str, str]],
    inventory: Inventory,
    texts: Mapping[str, bytes],
    merged: Mapping[str, VisibleEntry],
) -> tuple[tuple[Package, ...], dict[str, Licensing], dict[str, str]]:
    needs = find_dependencies(status)
    licenses: dict[str, Licensing] = {}
    packages = []
    for package in inventory.packages:
        fields = status.get(package.name, {})
        source, source_version = parse_source_field(package.name, package.version, fields.get("Source", ""))
        licenses[package.name] = license_expressions.read_copyright(
            _find_copyright(package.name, texts, merged), source
        )
        packages.append(
            Package(
                type="deb",
                name=package.name,
                version=package.version,
                architecture=package.architecture,
                source=source,
                source_version=source_version,
                maintainer=fields.get("Maintainer", ""),
                originator=fields.get("Original-Maintainer", ""),
                homepage=fields.get("Homepage", ""),
                summary=fields.get("Description", "").partition("\n")[0],
                license=licenses[package.name].expression,
                exact=licenses[package.name].exact,
                needs=needs.get(package.name, ()),
            )
        )
    owners = {file.path: file.package for file in inventory.files if file.package}
    return tuple(packages), licenses, owners


def _find_copyright(name: str, texts: Mapping[str, bytes], merged: Mapping[str, VisibleEntry]) -> bytes:
    """Return a package's copyright file; its directory or the file may be a link to another package's."""
    folder = merged.get(f"{DOC_DIRECTORY}/{name}")
    if folder and folder.entry.kind == "symlink":
        name = folder.entry.link.rstrip("/").rpartition("/")[2]
    file = merged.get(f"{DOC_DIRECTORY}/{name}/copyright")
    if file and file.entry.kind == "symlink":
        name = posixpath.dirname(file.entry.link).rpartition("/")[2]
    return texts.get(f"{DOC_DIRECTORY}/{name}/copyright", b"")


def _describe_apk_packages(
    texts: Mapping[str, bytes], merged: Mapping[str, VisibleEntry], licenses: dict[str, Licensing]
) -> tuple[tuple[Package, ...], dict[str, str]]:
    installed: dict[str, apkstate.InstalledPackage] = {}
    for where in apkstate.DATABASE_PATHS:
        for package in apkstate.read_installed_packages(texts.get(where, b""), where):
            installed.setdefault(package.name, package)
    providers = {name: name for name in installed}
    for name in sorted(installed):
        for provided in installed[name].provides:
            providers.setdefault(apkstate.parse_dependency_name(provided), name)
    packages: list[Package] = []
    for name in sorted(installed):
        package = installed[name]
        licenses[name] = license_expressions.parse_expression(package.license)
        dependencies = {
            providers.get(apkstate.parse_dependency_name(relation), name) for relation in package.depends
        } - {name}
        packages.append(
            Package(
                type="apk",
                name=name,
                version=package.version,
                architecture=package.architecture,
                source=package.origin or name,
                source_version=package.version,
                maintainer=package.maintainer,
                homepage=package.url,
                summary=package.summary,
                license=licenses[name].expression,
                needs=tuple(sorted(dependencies)),
            )
        )
    owners = {path: name for name in sorted(installed) for path in installed[name].files if path in merged}
    return tuple(packages), owners


def _assign_layers(
    packages: Sequence[Package], files: Sequence[FileFact], owners: Mapping[str, int]
) -> tuple[Package, ...]:
    """Return the packages, each with the layer that has most of its files."""
    import msgspec

    counts: dict[int, dict[int, int]] = {}
    for file in files:
        number = owners.get(file.path, -1)
        if number >= 0 and file.layer > 0:
            count = counts.setdefault(number, {})
            count[file.layer - 1] = count.get(file.layer - 1, 0) + 1
    return tuple(
        msgspec.structs.replace(
            package, layer=max(counts.get(number, {0: 0}).items(), key=lambda item: (item[1], -item[0]))[0]
        )
        for number, package in enumerate(packages)
    )


def _to_utf8(path: str) -> str:
    """Return a path as valid UTF-8; invalid bytes are written as ``\\xff``."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _describe_files(
    files: Sequence[FileFact],
    merged: Mapping[str, VisibleEntry],
    scans: Sequence[LayerScan],
    owners: Mapping[str, int],
) -> tuple[File, ...]:
    regular_files: list[File] = []
    for file in files:
        if file.kind != "file":
            continue
        entry, origin = merged[file.path]
        if origin.layer < 0:
            raise FormatError("a file of the image is in no layer", where=file.path)
        sha256, sha1 = scans[origin.layer].digests[origin.position]
        owner = owners.get(file.path, -1)
        executable = bool(file.mode & 0o111)
        regular_files.append(
            File(_to_utf8(file.path), entry.size, origin.layer, sha256, sha1, owner, "", executable)
        )
    regular_files.sort(key=lambda file: file.path)
    return tuple(regular_files)
