"""Compare two images: packages, files, configuration, licenses, and what a client must pull.

A strict comparison includes the digest. A semantic comparison ignores what does not affect programs in the
image: timestamps, and how files are divided into layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.evidence import image_facts, license_expressions
from pumice.image.flatten import flatten
from pumice.image.layer_scan import scan_layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pumice.evidence.facts import Facts
    from pumice.image.model import Image
    from pumice.store.records import Records


class Change(msgspec.Struct, frozen=True):
    """One difference; ``old`` or ``new`` is empty if only one image has it."""

    name: str
    old: str = ""
    new: str = ""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """All differences between two images; sizes are in bytes.

    ``pull`` is the size of what a client that has the first image must pull for the second.
    """

    digests: tuple[str, str]
    same: bool
    packages: tuple[Change, ...]
    files: tuple[Change, ...]
    config: tuple[Change, ...]
    licenses: tuple[Change, ...]
    layers: tuple[Change, ...]
    size: tuple[int, int]
    unpacked: tuple[int, int]
    pull: int


class _Side(msgspec.Struct, frozen=True):
    """One of the two images, as far as it is compared."""

    facts: Facts
    files: dict[str, dict[str, str]]
    config: dict[str, str]
    size: int


def compare_images(old: Image, new: Image, *, semantic: bool, records: Records | None = None) -> Difference:
    """Return the differences between two images of one platform each.

    Raises the errors of reading them.
    """
    old_side, new_side = (_read_side(image, semantic=semantic, records=records) for image in (old, new))
    packages = _diff_values(_packages(old_side.facts), _packages(new_side.facts))
    files = tuple(_diff_files(old_side.files, new_side.files))
    config = _diff_values(old_side.config, new_side.config)
    layers = _diff_values(_layers(old_side.facts), _layers(new_side.facts))
    same_digest = old_side.facts.digest == new_side.facts.digest
    content = packages or files or config
    return Difference(
        digests=(old_side.facts.digest, new_side.facts.digest),
        same=not content if semantic else same_digest,
        packages=packages,
        files=files,
        config=config,
        licenses=_diff_values(_licenses(old_side.facts), _licenses(new_side.facts)),
        layers=() if semantic else layers,
        size=(old_side.size, new_side.size),
        unpacked=(_unpacked_size(old_side.facts), _unpacked_size(new_side.facts)),
        pull=_pull_size(old, new),
    )


def _read_side(image: Image, *, semantic: bool, records: Records | None) -> _Side:
    facts = image_facts.gather_facts(image, records)
    manifest, config = image.manifest(), image.config()
    settings = _flatten_config(msgspec.to_builtins(config.config))
    settings |= {"architecture": config.architecture, "os": config.os, "variant": config.variant}
    settings |= {f"annotation {key}": value for key, value in manifest.annotations.items()}
    if semantic:
        settings.pop("annotation org.opencontainers.image.created", None)
    else:
        settings["created"] = config.created
    size = sum(layer.size for layer in manifest.layers) + manifest.config.size + facts.size
    return _Side(facts, _files(image, semantic, records), {k: v for k, v in settings.items() if v}, size)


def _flatten_config(value: Mapping[str, Any]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for key, field in value.items():
        if key == "Env":
            settings |= {f"Env {line.partition('=')[0]}": line.partition("=")[2] for line in field}
        elif isinstance(field, dict):
            settings |= {f"{key} {name}": str(field_value or "yes") for name, field_value in field.items()}
        elif isinstance(field, list | tuple):
            settings[key] = " ".join(map(str, field))
        else:
            settings[key] = str(field)
    return settings


def _files(image: Image, semantic: bool, records: Records | None) -> dict[str, dict[str, str]]:
    scans = [scan_layer(layer, records, detailed=True) for layer in image.layers()]
    files: dict[str, dict[str, str]] = {}
    for path, (entry, origin) in flatten(scan.entries for scan in scans).items():
        if not path:
            continue
        attributes = {"kind": entry.kind, "mode": f"{entry.mode:04o}", "owner": f"{entry.uid}:{entry.gid}"}
        if entry.kind == "symlink":
            attributes["link"] = entry.link
        if origin.layer >= 0 and entry.kind == "file":
            attributes["content"] = (
                f"{scans[origin.layer].digests[origin.position].sha256[:16]} ({entry.size} bytes)"
            )
        if entry.xattrs:
            attributes["attributes"] = ", ".join(sorted(entry.xattrs))
        if not semantic:
            attributes["time"] = str(entry.mtime)
        files[path] = attributes
    return files


def _diff_files(old: Mapping[str, dict[str, str]], new: Mapping[str, dict[str, str]]) -> Iterable[Change]:
    for path in sorted(old.keys() | new.keys()):
        old_file, new_file = old.get(path), new.get(path)
        if old_file == new_file:
            continue
        if old_file is None or new_file is None:
            description = _describe_file(old_file or new_file or {})
            yield Change(f"/{path}", description if old_file else "", description if new_file else "")
            continue
        keys = [
            key for key in sorted(old_file.keys() | new_file.keys()) if old_file.get(key) != new_file.get(key)
        ]
        yield Change(
            f"/{path}",
            ", ".join(f"{key} {old_file.get(key, 'none')}" for key in keys),
            ", ".join(f"{key} {new_file.get(key, 'none')}" for key in keys),
        )


def _describe_file(file: Mapping[str, str]) -> str:
    return " ".join(file[key] for key in ("kind", "mode", "owner", "link", "content") if key in file)


def _diff_values(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Change, ...]:
    return tuple(
        Change(name, old.get(name, ""), new.get(name, ""))
        for name in sorted(old.keys() | new.keys())
        if old.get(name, "") != new.get(name, "")
    )


def _packages(facts: Facts) -> dict[str, str]:
    return {f"{package.name}:{package.architecture}": package.version for package in facts.packages}


def _licenses(facts: Facts) -> dict[str, str]:
    packages: dict[str, list[str]] = {}
    for package in facts.packages:
        for name in license_expressions.list_licenses(package.license):
            packages.setdefault(name, []).append(package.name)
    return {name: _format_count(packages) for name, packages in packages.items()}


def _format_count(packages: list[str]) -> str:
    return f"{len(packages)} package{'s' if len(packages) != 1 else ''}"


def _layers(facts: Facts) -> dict[str, str]:
    return {
        f"layer {number} {layer.title}".strip(): layer.digest for number, layer in enumerate(facts.layers, 1)
    }


def _unpacked_size(facts: Facts) -> int:
    return sum(file.size for file in facts.files)


def _pull_size(old: Image, new: Image) -> int:
    from pumice.image.model import list_blobs

    old_digests = {descriptor.digest for descriptor in list_blobs(old)}
    return sum(descriptor.size for descriptor in list_blobs(new) if descriptor.digest not in old_digests)
