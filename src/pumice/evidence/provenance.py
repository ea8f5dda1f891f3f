"""SLSA build provenance v1 of an image: what went into it, exactly enough to build it again.

Equal builds give equal statements: there is no time, host or path in them, and no level is claimed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from pumice import canonical
from pumice.evidence import identifiers
from pumice.evidence.facts import RECIPE
from pumice.formats import intoto, purl
from pumice.formats.intoto import make_resource_descriptor
from pumice.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pumice.digest import Digest
    from pumice.evidence.facts import Facts
    from pumice.formats.oci import Descriptor
    from pumice.recipe.lock import LockedIndex

BUILD_TYPE = "urn:pumice:build:v1"
INDEX_TYPE = "urn:pumice:index:v1"
"""Both are specified in ``docs/reference/provenance.md``."""
BUILDER = "urn:pumice:builder:local"
"""Whoever runs ``pumice build`` on a machine of theirs: nothing vouches for it but its signature."""


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a build was asked to do.

    ``recipe`` is the recipe file's text, ``effective`` the same after everything it extends, as plain
    values; ``lock`` the lock file; ``epoch`` is ``SOURCE_DATE_EPOCH`` where it was set.
    """

    recipe_name: str
    recipe: bytes
    effective: dict[str, Any]
    lock: bytes
    indexes: tuple[LockedIndex, ...]
    format: int
    python: str
    architecture: str = ""
    epoch: int | None = None
    suites: dict[str, str] = {}
    """Package name to the suite it was locked from."""


def write(
    facts: Facts, inputs: Inputs, places: Mapping[str, str], byproducts: Sequence[tuple[str, str, str]]
) -> bytes:
    """Return the statement; ``byproducts`` are (name, media type, digest) of what else was written."""
    made = [
        make_resource_descriptor(name, sha256=digest.removeprefix("sha256:"), media_type=media_type)
        for name, media_type, digest in byproducts
    ]
    return _statement(
        (f"{facts.name}:{facts.version}", facts.digest),
        BUILD_TYPE,
        _external(inputs) | {"architecture": inputs.architecture},
        inputs,
        [
            *_packages(facts, inputs, places),
            *_indexes(inputs.indexes),
            *_keyrings(inputs.indexes),
            *_own_files(facts),
        ],
        byproducts=made,
    )


def write_index(
    subject: tuple[str, Digest], inputs: Inputs, manifests: Sequence[tuple[str, str, Descriptor]]
) -> bytes:
    """Return the statement about the index of an image of several platforms.

    ``subject`` is its name and digest, ``manifests`` are (Debian's architecture, platform, manifest): what
    went into each, its own statement says.
    """
    return _statement(
        subject,
        INDEX_TYPE,
        _external(inputs) | {"architectures": [architecture for architecture, _, _ in manifests]},
        inputs,
        [
            make_resource_descriptor(
                platform,
                sha256=one.digest.removeprefix("sha256:"),
                media_type=one.media_type,
                annotations={"architecture": architecture},
            )
            for architecture, platform, one in manifests
        ],
    )


def _external(inputs: Inputs) -> dict[str, Any]:
    """Return what somebody asked for."""
    external: dict[str, Any] = {
        "recipe": make_resource_descriptor(
            inputs.recipe_name,
            sha256=_sha256(inputs.recipe),
            media_type="application/yaml",
            content=inputs.recipe,
        ),
        "effectiveRecipe": inputs.effective,
        "lock": make_resource_descriptor(
            inputs.recipe_name.rpartition(".")[0] + ".lock",
            sha256=_sha256(inputs.lock),
            media_type="application/json",
            content=inputs.lock,
        ),
    }
    if inputs.epoch is not None:
        external["sourceDateEpoch"] = inputs.epoch
    return external


def _statement(
    subject: tuple[str, Digest],
    build_type: str,
    external: Mapping[str, Any],
    inputs: Inputs,
    dependencies: Sequence[Mapping[str, Any]],
    **more: Sequence[Mapping[str, Any]],
) -> bytes:
    """``more`` is what the run's details say beside the builder."""
    predicate = {
        "buildDefinition": {
            "buildType": build_type,
            "externalParameters": external,
            "internalParameters": {"format": inputs.format},
            "resolvedDependencies": dependencies,
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"pumice": __version__, "python": inputs.python}},
            **more,
        },
    }
    about = (intoto.Subject(*subject),)
    return intoto.encode_statement(intoto.Statement(about, intoto.PROVENANCE, canonical.dumps(predicate)))


def _packages(facts: Facts, inputs: Inputs, places: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for package in facts.packages:
        yield make_resource_descriptor(
            package.path.rpartition("/")[2] or package.name,
            uri=identifiers.package_url(package, facts.system),
            sha256=package.sha256,
            sha512=package.sha512,
            media_type="application/vnd.debian.binary-package",
            download=identifiers.download(package, places),
            annotations={
                "archive": package.archive,
                "suite": inputs.suites.get(package.name, ""),
                "path": package.path,
                "role": package.role,
                "size": package.size,
            },
        )


def _indexes(indexes: Sequence[LockedIndex]) -> Iterator[dict[str, Any]]:
    for index in indexes:
        yield make_resource_descriptor(
            f"{index.archive}/{index.suite.strip('/')}/InRelease".replace("//", "/"),
            sha256=index.digest.removeprefix("sha256:"),
            annotations={
                "codename": index.codename,
                "origin": index.origin,
                "date": index.date,
                "validUntil": index.valid_until,
                "signers": list(index.signers),
                "keyring": index.keyring,
            },
        )


def _keyrings(indexes: Sequence[LockedIndex]) -> Iterator[dict[str, Any]]:
    for keyring in sorted({index.keyring for index in indexes if index.keyring}):
        yield make_resource_descriptor(
            "keyring", sha256=keyring.removeprefix("sha256:"), media_type="application/pgp-keys"
        )


def _own_files(facts: Facts) -> Iterator[dict[str, Any]]:
    sums = {file.path: file.sha256 for file in facts.files if file.by == RECIPE}
    for entry in facts.own:
        told: dict[str, Any] = {
            "kind": entry.kind,
            "mode": f"{entry.mode:04o}",
            "owner": f"{entry.uid}:{entry.gid}",
        }
        if entry.link:
            told["link"] = entry.link
        sha256 = sums.get(entry.path, "")
        # Folders and links have no content; a ResourceDescriptor has a digest or an address.
        uri = "" if sha256 else "file:///" + "/".join(map(purl.percent_encode, entry.path.split("/")))
        yield make_resource_descriptor(f"/{entry.path}", uri=uri, sha256=sha256, annotations=told)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
