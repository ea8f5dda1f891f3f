"""The facts of an image that anybody built, read out of its layers without running anything."""

from __future__ import annotations

import hashlib
import posixpath
from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.evidence import license_expressions
from pumice.evidence.facts import Facts, File, LayerFacts, Package, edges, os_release, source_of
from pumice.formats import apkstate, deb822, oci, platforms
from pumice.image import inventory as image_facts
from pumice.image import layer_scan
from pumice.image.flatten import VisibleEntry, flatten
from pumice.packing.segments import DOC_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.evidence.license_expressions import Licensing
    from pumice.image.inventory import FileFact
    from pumice.image.layer_scan import LayerScan
    from pumice.image.model import Image
    from pumice.store.records import Records

_TITLE = "org.opencontainers.image.title"
_VERSION = "org.opencontainers.image.version"


def gather(image: Image, records: Records | None = None, name: str = "") -> Facts:
    """Return the facts of an image of one platform; ``name`` is what to call it if it does not say.

    Raises what reading the layers does, and FormatError for a package database that is none.
    """
    manifest, config = image.manifest(), image.config()
    opened = image.layers()
    scans = [layer_scan.scan_layer(layer, records, detailed=True) for layer in opened]
    shown = flatten(scan.entries for scan in scans)
    known = image_facts.make_inventory(scans)
    texts = _texts(shown, scans)
    status = _status(texts)
    packages, licensed, owners = _deb(status, known, texts, shown)
    alpine, apk_owners = _apk(texts, shown, licensed)
    found = (*packages, *alpine)
    numbers = {package.name: number for number, package in enumerate(found)}
    by_path = {path: numbers[owner] for path, owner in (owners | apk_owners).items() if owner in numbers}
    history = [entry.created_by or entry.comment for entry in config.history if not entry.empty_layer]
    titles = history if len(history) == len(opened) else [""] * len(opened)
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
        created=_moment(config.created),
        system=os_release(next((texts[path] for path in layer_scan.RELEASES if texts.get(path)), b"")),
        packages=_placed(found, known.files, by_path),
        layers=tuple(
            LayerFacts(
                title=title.removeprefix("pumice: ")[:200],
                digest=layer.descriptor.digest,
                diff_id=layer.diff_id,
                size=layer.descriptor.size,
                media_type=layer.descriptor.media_type,
            )
            for layer, title in zip(opened, titles, strict=True)
        ),
        files=_files(known.files, shown, scans, by_path),
        texts={id_: text for one in licensed.values() for id_, text in one.texts.items()},
        annotations=manifest.annotations,
        sha512=hashlib.sha512(image.document(root)).hexdigest(),
    )


def _moment(created: str) -> str:
    """Return a time as SPDX wants it: to the second, UTC; the epoch where there is none that can be read."""
    import datetime

    try:
        moment = datetime.datetime.fromisoformat(created)
    except ValueError:
        return "1970-01-01T00:00:00Z"
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(datetime.UTC)
        except (OverflowError, ValueError):
            return "1970-01-01T00:00:00Z"
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment.year >= 1970 else "1970-01-01T00:00:00Z"


def _texts(shown: Mapping[str, VisibleEntry], scans: Sequence[LayerScan]) -> dict[str, bytes]:
    """Return the telling files that the image shows, links to them included."""
    found: dict[str, bytes] = {}
    for path, (entry, origin) in shown.items():
        if origin.layer >= 0 and entry.kind == "file" and entry.path in scans[origin.layer].texts:
            found[path] = scans[origin.layer].texts[entry.path]
    for path in layer_scan.RELEASES:
        item = shown.get(path)
        if item and item.entry.kind == "symlink" and path not in found:
            found[path] = found.get(layer_scan.RELEASES[1], b"")
    return found


def _status(texts: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
    """Return the control fields of what dpkg has installed, by package name."""
    found: dict[str, dict[str, str]] = {}
    for where, text in sorted(texts.items()):
        is_part = where.startswith(layer_scan.STATUS_DIRECTORY) and not where.endswith(".md5sums")
        if where == layer_scan.STATUS or is_part:
            for fields in deb822.read_paragraphs(text, latin1=True, where=where):
                installed = fields.get("Status", "installed").endswith("installed")
                if installed and not fields.get("Status", "").endswith("not-installed"):
                    found.setdefault(fields.get("Package", ""), fields)
    found.pop("", None)
    return found


def _deb(
    status: Mapping[str, Mapping[str, str]],
    known: image_facts.Inventory,
    texts: Mapping[str, bytes],
    shown: Mapping[str, VisibleEntry],
) -> tuple[tuple[Package, ...], dict[str, Licensing], dict[str, str]]:
    needs = edges(status)
    licensed: dict[str, Licensing] = {}
    packages = []
    for one in known.packages:
        fields = status.get(one.name, {})
        source, source_version = source_of(one.name, one.version, fields.get("Source", ""))
        licensed[one.name] = license_expressions.roll_up(_copyright(one.name, texts, shown), source)
        packages.append(
            Package(
                type="deb",
                name=one.name,
                version=one.version,
                architecture=one.architecture,
                source=source,
                source_version=source_version,
                maintainer=fields.get("Maintainer", ""),
                originator=fields.get("Original-Maintainer", ""),
                homepage=fields.get("Homepage", ""),
                summary=fields.get("Description", "").partition("\n")[0],
                license=licensed[one.name].expression,
                exact=licensed[one.name].exact,
                needs=needs.get(one.name, ()),
            )
        )
    owners = {file.path: file.package for file in known.files if file.package}
    return tuple(packages), licensed, owners


def _copyright(name: str, texts: Mapping[str, bytes], shown: Mapping[str, VisibleEntry]) -> bytes:
    """Return a package's copyright file; its folder or the file may be a link to another package's."""
    folder = shown.get(f"{DOC_DIRECTORY}/{name}")
    if folder and folder.entry.kind == "symlink":
        name = folder.entry.link.rstrip("/").rpartition("/")[2]
    file = shown.get(f"{DOC_DIRECTORY}/{name}/copyright")
    if file and file.entry.kind == "symlink":
        name = posixpath.dirname(file.entry.link).rpartition("/")[2]
    return texts.get(f"{DOC_DIRECTORY}/{name}/copyright", b"")


def _apk(
    texts: Mapping[str, bytes], shown: Mapping[str, VisibleEntry], licensed: dict[str, Licensing]
) -> tuple[tuple[Package, ...], dict[str, str]]:
    installed: dict[str, apkstate.InstalledPackage] = {}
    for where in apkstate.DATABASE_PATHS:
        for one in apkstate.read_installed_packages(texts.get(where, b""), where):
            installed.setdefault(one.name, one)
    providers = {name: name for name in installed}
    for name in sorted(installed):
        for provided in installed[name].provides:
            providers.setdefault(apkstate.parse_dependency_name(provided), name)
    packages: list[Package] = []
    for name in sorted(installed):
        one = installed[name]
        licensed[name] = license_expressions.of_expression(one.license)
        needed = {
            providers.get(apkstate.parse_dependency_name(relation), name) for relation in one.depends
        } - {name}
        packages.append(
            Package(
                type="apk",
                name=name,
                version=one.version,
                architecture=one.architecture,
                source=one.origin or name,
                source_version=one.version,
                maintainer=one.maintainer,
                homepage=one.url,
                summary=one.summary,
                license=licensed[name].expression,
                needs=tuple(sorted(needed)),
            )
        )
    owners = {path: name for name in sorted(installed) for path in installed[name].files if path in shown}
    return tuple(packages), owners


def _placed(
    packages: Sequence[Package], files: Sequence[FileFact], owners: Mapping[str, int]
) -> tuple[Package, ...]:
    """Give each package the layer that has most of its files."""
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


def _text(path: str) -> str:
    """Return a path for documents in UTF-8; bytes of it that are none are shown as ``\\xff``."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _files(
    files: Sequence[FileFact],
    shown: Mapping[str, VisibleEntry],
    scans: Sequence[LayerScan],
    owners: Mapping[str, int],
) -> tuple[File, ...]:
    found: list[File] = []
    for file in files:
        if file.kind != "file":
            continue
        entry, origin = shown[file.path]
        if origin.layer < 0:
            raise FormatError("a file of the image is in no layer", where=file.path)
        sha256, sha1 = scans[origin.layer].digests[origin.position]
        owner = owners.get(file.path, -1)
        executable = bool(file.mode & 0o111)
        found.append(File(_text(file.path), entry.size, origin.layer, sha256, sha1, owner, "", executable))
    found.sort(key=lambda file: file.path)
    return tuple(found)
