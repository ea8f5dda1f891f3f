"""SLSA build provenance v1 of an image: what went into it, exactly enough to build it again.

Equal builds give equal statements: there is no time, host or path in them, and no level is claimed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.evidence import naming
from pumice.evidence.facts import RECIPE
from pumice.formats import intoto, purl
from pumice.formats.intoto import resource
from pumice.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pumice.evidence.facts import Facts
    from pumice.recipe.lock import LockedIndex

BUILD_TYPE = "urn:pumice:build:v1"
"""Specified in ``docs/reference/provenance.md``."""
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
    architecture: str
    format: int
    python: str
    epoch: int | None = None
    suites: dict[str, str] = {}
    """Package name to the suite it was locked from."""


def write(
    facts: Facts, inputs: Inputs, places: Mapping[str, str], byproducts: Sequence[tuple[str, str, str]]
) -> bytes:
    """Return the statement; ``byproducts`` are (name, media type, digest) of what else was written."""
    external: dict[str, Any] = {
        "recipe": resource(
            inputs.recipe_name,
            sha256=_sha256(inputs.recipe),
            media_type="application/yaml",
            content=inputs.recipe,
        ),
        "effectiveRecipe": inputs.effective,
        "lock": resource(
            inputs.recipe_name.rpartition(".")[0] + ".lock",
            sha256=_sha256(inputs.lock),
            media_type="application/json",
            content=inputs.lock,
        ),
        "architecture": inputs.architecture,
    }
    if inputs.epoch is not None:
        external["sourceDateEpoch"] = inputs.epoch
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": external,
            "internalParameters": {"format": inputs.format},
            "resolvedDependencies": [
                *_packages(facts, inputs, places),
                *_indexes(inputs.indexes),
                *_keyrings(inputs.indexes),
                *_own_files(facts),
            ],
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"pumice": __version__, "python": inputs.python}},
            "byproducts": [
                resource(name, sha256=digest.removeprefix("sha256:"), media_type=media_type)
                for name, media_type, digest in byproducts
            ],
        },
    }
    subject = intoto.Subject({"sha256": facts.digest[7:]}, f"{facts.name}:{facts.version}")
    return intoto.statement([subject], intoto.PROVENANCE, predicate)


def _packages(facts: Facts, inputs: Inputs, places: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for package in facts.packages:
        yield resource(
            package.path.rpartition("/")[2] or package.name,
            uri=naming.package_url(package, facts.system),
            sha256=package.sha256,
            sha512=package.sha512,
            media_type="application/vnd.debian.binary-package",
            download=naming.download(package, places),
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
        yield resource(
            f"{index.archive}/{index.suite}/InRelease",
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
        yield resource("keyring", sha256=keyring.removeprefix("sha256:"), media_type="application/pgp-keys")


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
        uri = "" if sha256 else "file:///" + "/".join(map(purl.encode, entry.path.split("/")))
        yield resource(f"/{entry.path}", uri=uri, sha256=sha256, annotations=told)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
