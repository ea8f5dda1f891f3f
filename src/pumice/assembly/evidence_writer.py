"""The documents of one platform's image, written and attached: imported only where something changed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.evidence import effective_values, python_version
from pumice.errors import StoreError
from pumice.evidence import cyclonedx_document, provenance, spdx_document
from pumice.evidence.facts import Facts
from pumice.formats import cyclonedx, intoto, oci, platforms, spdx
from pumice.image import referrers
from pumice.recipe.lock import dump

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.assembly.platform import PlatformImage
    from pumice.digest import Digest
    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Origin, Recipe
    from pumice.store.home import Home

PREDICATE_TYPE = "in-toto.io/predicate-type"
"""The annotation that says what a statement is about before it is read."""


def write_platform_evidence(
    recipe: Recipe,
    text: str,
    lock: Lock,
    architecture: str,
    built: PlatformImage,
    moment: int | None,
    home: Home,
) -> tuple[tuple[oci.Descriptor, ...], list[Digest]]:
    """Write and attach SBOMs and provenance; return the artifacts and every blob that they need.

    ``text`` is the recipe file. Raises StoreError.
    """
    facts = _facts(built, home)
    places = mirror_urls(recipe.origin)
    made = [
        (spdx.MEDIA_TYPE, spdx_document.write(facts, places), "sbom", intoto.SPDX),
        (cyclonedx.MEDIA_TYPE, cyclonedx_document.write(facts, places), "sbom", intoto.CYCLONEDX),
    ]
    about = built.manifest
    attached = [_attach(about, data, kind, what, type_, home) for kind, data, what, type_ in made]
    byproducts = [
        (name, kind, digest)
        for name, (kind, *_), (_, digest) in zip(
            ("sbom.spdx.json", "sbom.cdx.json"), made, attached, strict=True
        )
    ]
    inputs = msgspec.structs.replace(
        _inputs(recipe, text, lock, moment),
        architecture=architecture,
        suites={package.name: package.suite for package in lock.packages[architecture]},
    )
    statement = provenance.write(facts, inputs, places, byproducts)
    attached.append(_attach(about, statement, intoto.MEDIA_TYPE, "provenance", intoto.PROVENANCE, home))
    return _listed(attached)


def write_index_evidence(
    recipe: Recipe,
    text: str,
    lock: Lock,
    root: oci.Descriptor,
    built: Mapping[str, PlatformImage],
    moment: int | None,
    home: Home,
) -> tuple[tuple[oci.Descriptor, ...], list[Digest]]:
    """Write and attach the provenance of an index; return as `write` does."""
    manifests = [
        (architecture, platforms.format_platform(platforms.from_debian(architecture)), one.manifest)
        for architecture, one in built.items()
    ]
    subject = (f"{recipe.name}:{recipe.version}", root.digest)
    statement = provenance.write_index(subject, _inputs(recipe, text, lock, moment), manifests)
    return _listed([_attach(root, statement, intoto.MEDIA_TYPE, "provenance", intoto.PROVENANCE, home)])


def _inputs(recipe: Recipe, text: str, lock: Lock, moment: int | None) -> provenance.Inputs:
    return provenance.Inputs(
        recipe_name=Path(recipe.path).name,
        recipe=text.encode(),
        effective=effective_values(recipe),
        lock=dump(lock),
        indexes=lock.indexes,
        format=lock.format,
        python=python_version(),
        epoch=moment,
    )


def _listed(
    attached: Sequence[tuple[oci.Descriptor, Digest]],
) -> tuple[tuple[oci.Descriptor, ...], list[Digest]]:
    blobs = [digest for artifact, data in attached for digest in (artifact.digest, data)]
    return tuple(artifact for artifact, _ in attached), [*blobs, oci.EMPTY_CONFIG.digest]


def _facts(built: PlatformImage, home: Home) -> Facts:
    with home.blobs.open(built.manifest.digest) as file:
        sha512 = hashlib.sha512(file.read()).hexdigest()
    with home.blobs.open(built.facts) as file:
        try:
            found = msgspec.msgpack.decode(file.read(), type=Facts)
            return msgspec.structs.replace(found, sha512=sha512)
        except msgspec.MsgspecError:
            raise StoreError(
                "what the store knows about the image is damaged",
                where=built.facts,
                hint="run pumice store verify",
            ) from None


def _attach(
    about: oci.Descriptor, data: bytes, media_type: str, what: str, type_: str, home: Home
) -> tuple[oci.Descriptor, Digest]:
    annotations = {oci.EVIDENCE: what, PREDICATE_TYPE: type_}
    artifact = referrers.attach(about, data, media_type, home.blobs, annotations=annotations)
    from pumice import digest

    return artifact, digest.of(data)


def mirror_urls(origin: Origin) -> dict[str, str]:
    """Return where the recipe itself says that its archives are; nothing for what it leaves open."""
    found = {archive.name: archive.url for archive in origin.archives}
    if origin.mirrors:
        found["debian"] = origin.mirrors[0]
    if origin.security_mirrors:
        found["debian-security"] = origin.security_mirrors[0]
    return {name: url for name, url in found.items() if url.startswith(("https://", "http://"))}
