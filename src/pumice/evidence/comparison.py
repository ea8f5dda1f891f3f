"""How two images differ: packages, files, configuration, licenses, and what a client must pull.

*Strict* compares all there is, up to the digest; *semantic* leaves out what a program inside could not
care about: when the image and its files were made, and how the files are spread over layers.
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
    """One thing that differs; ``old`` or ``new`` is empty where it is not there at all."""

    name: str
    old: str = ""
    new: str = ""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """All that differs from one image to another; sizes are bytes.

    ``pull`` is what a client that has the first must still fetch for the second.
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
    """One image, as far as it is compared."""

    facts: Facts
    files: dict[str, dict[str, str]]
    config: dict[str, str]
    size: int


def compare(old: Image, new: Image, *, semantic: bool, records: Records | None = None) -> Difference:
    """Return how two images of one platform each differ. Raises what reading them does."""
    one, two = (_side(image, semantic=semantic, records=records) for image in (old, new))
    packages = _changes(_packages(one.facts), _packages(two.facts))
    files = tuple(_file_changes(one.files, two.files))
    config = _changes(one.config, two.config)
    laid = _changes(_layers(one.facts), _layers(two.facts))
    same_digest = one.facts.digest == two.facts.digest
    content = packages or files or config
    return Difference(
        digests=(one.facts.digest, two.facts.digest),
        same=not content if semantic else same_digest,
        packages=packages,
        files=files,
        config=config,
        licenses=_changes(_licenses(one.facts), _licenses(two.facts)),
        layers=() if semantic else laid,
        size=(one.size, two.size),
        unpacked=(_unpacked(one.facts), _unpacked(two.facts)),
        pull=_pull(old, new),
    )


def _side(image: Image, *, semantic: bool, records: Records | None) -> _Side:
    facts = image_facts.gather(image, records)
    manifest, config = image.manifest(), image.config()
    told = _flat(msgspec.to_builtins(config.config))
    told |= {"architecture": config.architecture, "os": config.os, "variant": config.variant}
    told |= {f"annotation {key}": value for key, value in manifest.annotations.items()}
    if semantic:
        told.pop("annotation org.opencontainers.image.created", None)
    else:
        told["created"] = config.created
    size = sum(layer.size for layer in manifest.layers) + manifest.config.size + facts.size
    return _Side(facts, _files(image, semantic, records), {k: v for k, v in told.items() if v}, size)


def _flat(value: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, item in value.items():
        if key == "Env":
            found |= {f"Env {line.partition('=')[0]}": line.partition("=")[2] for line in item}
        elif isinstance(item, dict):
            found |= {f"{key} {name}": str(inner or "yes") for name, inner in item.items()}
        elif isinstance(item, list | tuple):
            found[key] = " ".join(map(str, item))
        else:
            found[key] = str(item)
    return found


def _files(image: Image, semantic: bool, records: Records | None) -> dict[str, dict[str, str]]:
    scans = [scan_layer(layer, records, detailed=True) for layer in image.layers()]
    found: dict[str, dict[str, str]] = {}
    for path, (entry, origin) in flatten(scan.entries for scan in scans).items():
        if not path:
            continue
        told = {"kind": entry.kind, "mode": f"{entry.mode:04o}", "owner": f"{entry.uid}:{entry.gid}"}
        if entry.kind == "symlink":
            told["link"] = entry.link
        if origin.layer >= 0 and entry.kind == "file":
            told["content"] = (
                f"{scans[origin.layer].digests[origin.position].sha256[:16]} ({entry.size} bytes)"
            )
        if entry.xattrs:
            told["attributes"] = ", ".join(sorted(entry.xattrs))
        if not semantic:
            told["time"] = str(entry.mtime)
        found[path] = told
    return found


def _file_changes(old: Mapping[str, dict[str, str]], new: Mapping[str, dict[str, str]]) -> Iterable[Change]:
    for path in sorted(old.keys() | new.keys()):
        one, two = old.get(path), new.get(path)
        if one == two:
            continue
        if one is None or two is None:
            told = _told(one or two or {})
            yield Change(f"/{path}", told if one else "", told if two else "")
            continue
        keys = [key for key in sorted(one.keys() | two.keys()) if one.get(key) != two.get(key)]
        yield Change(
            f"/{path}",
            ", ".join(f"{key} {one.get(key, 'none')}" for key in keys),
            ", ".join(f"{key} {two.get(key, 'none')}" for key in keys),
        )


def _told(file: Mapping[str, str]) -> str:
    return " ".join(file[key] for key in ("kind", "mode", "owner", "link", "content") if key in file)


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Change, ...]:
    return tuple(
        Change(name, old.get(name, ""), new.get(name, ""))
        for name in sorted(old.keys() | new.keys())
        if old.get(name, "") != new.get(name, "")
    )


def _packages(facts: Facts) -> dict[str, str]:
    return {f"{one.name}:{one.architecture}": one.version for one in facts.packages}


def _licenses(facts: Facts) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for package in facts.packages:
        for name in license_expressions.atoms(package.license):
            found.setdefault(name, []).append(package.name)
    return {name: _counted(packages) for name, packages in found.items()}


def _counted(packages: list[str]) -> str:
    return f"{len(packages)} package{'s' if len(packages) != 1 else ''}"


def _layers(facts: Facts) -> dict[str, str]:
    return {f"layer {number} {one.title}".strip(): one.digest for number, one in enumerate(facts.layers, 1)}


def _unpacked(facts: Facts) -> int:
    return sum(file.size for file in facts.files)


def _pull(old: Image, new: Image) -> int:
    from pumice.image.model import list_blobs

    have = {descriptor.digest for descriptor in list_blobs(old)}
    return sum(descriptor.size for descriptor in list_blobs(new) if descriptor.digest not in have)
