"""SLSA build provenance v1 of an image: all inputs of the build, enough to rebuild the image.

Equal builds give equal statements: they have no time, host or path, and claim no SLSA level.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from pumice import canonical
from pumice.evidence import identifiers
from pumice.evidence.facts import GENERATED, RECIPE
from pumice.formats import intoto, purl
from pumice.formats.intoto import make_resource_descriptor
from pumice.omission.reasons import describe_omission
from pumice.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pumice.digest import Digest
    from pumice.evidence.facts import Facts
    from pumice.formats.oci import Descriptor
    from pumice.recipe.lock import LockedIndex

BUILD_TYPE = "urn:pumice:build:v1"
INDEX_TYPE = "urn:pumice:index:v1"
"""The build types of an image and of an index; ``docs/reference/provenance.md`` specifies both."""
BUILDER = "urn:pumice:builder:local"
"""The builder id for ``pumice build`` on any machine; only the signature vouches for it."""


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of a build.

    ``recipe`` is the text of the recipe file, ``effective`` the recipe with everything that it extends, as
    plain values; ``lock`` is the text of the lock file; ``epoch`` is ``SOURCE_DATE_EPOCH``, if set.
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


def format_provenance(
    facts: Facts, inputs: Inputs, mirrors: Mapping[str, str], byproducts: Sequence[tuple[str, str, str]]
) -> bytes:
    """Return the statement; ``byproducts`` are (name, media type, digest) of the other outputs."""
    byproduct_descriptors = [
        make_resource_descriptor(name, sha256=digest.removeprefix("sha256:"), media_type=media_type)
        for name, media_type, digest in byproducts
    ]
    return _statement(
        (f"{facts.name}:{facts.version}", facts.digest),
        BUILD_TYPE,
        _external(inputs) | {"architecture": inputs.architecture},
        inputs,
        [
            *_packages(facts, inputs, mirrors),
            *_indexes(inputs.indexes),
            *_keyrings(inputs.indexes),
            *_recipe_files(facts),
        ],
        _generated_files(facts) | _omitted_packages(facts),
        byproducts=byproduct_descriptors,
    )


def format_index_provenance(
    subject: tuple[str, Digest], inputs: Inputs, manifests: Sequence[tuple[str, str, Descriptor]]
) -> bytes:
    """Return the statement about the index of a multi-platform image.

    ``subject`` is its name and digest, ``manifests`` are (Debian architecture, platform, manifest). Each
    manifest has its own statement with its inputs.
    """
    return _statement(
        subject,
        INDEX_TYPE,
        _external(inputs) | {"architectures": [architecture for architecture, _, _ in manifests]},
        inputs,
        [
            make_resource_descriptor(
                platform,
                sha256=manifest.digest.removeprefix("sha256:"),
                media_type=manifest.media_type,
                annotations={"architecture": architecture},
            )
            for architecture, platform, manifest in manifests
        ],
    )


def _external(inputs: Inputs) -> dict[str, Any]:
    """Return the external parameters: what the user requested."""
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
    if inputs.effective.get("args"):
        external["args"] = inputs.effective["args"]
    if inputs.epoch is not None:
        external["sourceDateEpoch"] = inputs.epoch
    return external


def _statement(
    subject: tuple[str, Digest],
    build_type: str,
    external: Mapping[str, Any],
    inputs: Inputs,
    dependencies: Sequence[Mapping[str, Any]],
    internal: Mapping[str, Any] | None = None,
    **run_details: Sequence[Mapping[str, Any]],
) -> bytes:
    """Return the encoded statement; ``run_details`` are fields of ``runDetails`` other than the builder."""
    predicate = {
        "buildDefinition": {
            "buildType": build_type,
            "externalParameters": external,
            "internalParameters": {"format": inputs.format, **(internal or {})},
            "resolvedDependencies": dependencies,
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"pumice": __version__, "python": inputs.python}},
            **run_details,
        },
    }
    about = (intoto.Subject(*subject),)
    return intoto.encode_statement(intoto.Statement(about, intoto.PROVENANCE, canonical.dumps(predicate)))


def _packages(facts: Facts, inputs: Inputs, mirrors: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for package in facts.packages:
        yield make_resource_descriptor(
            package.path.rpartition("/")[2] or package.name,
            uri=identifiers.format_package_url(package, facts.system),
            sha256=package.sha256,
            sha512=package.sha512,
            media_type="application/vnd.debian.binary-package",
            download=identifiers.format_download_url(package, mirrors),
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


def _recipe_files(facts: Facts) -> Iterator[dict[str, Any]]:
    sums = {file.path: file.sha256 for file in facts.files if file.by == RECIPE}
    for entry in facts.own:
        annotations: dict[str, Any] = {
            "kind": entry.kind,
            "mode": f"{entry.mode:04o}",
            "owner": f"{entry.uid}:{entry.gid}",
        }
        if entry.link:
            annotations["link"] = entry.link
        sha256 = sums.get(entry.path, "")
        # Directories and links have no content, but a ResourceDescriptor needs a digest or a URI.
        uri = "" if sha256 else "file:///" + "/".join(map(purl.percent_encode, entry.path.split("/")))
        yield make_resource_descriptor(f"/{entry.path}", uri=uri, sha256=sha256, annotations=annotations)


def _generated_files(facts: Facts) -> dict[str, Any]:
    """Return the files that programs of the image wrote while it was built, empty if there are none."""
    files = [
        make_resource_descriptor(f"/{file.path}", sha256=file.sha256)
        for file in facts.files
        if file.by == GENERATED
    ]
    return {"generatedFiles": files} if files else {}


def _omitted_packages(facts: Facts) -> dict[str, Any]:
    """Return the packages that the image leaves out although others depend on them."""
    rows = [
        {
            "name": package.name,
            "version": package.version,
            "reason": describe_omission(package),
            "neededBy": list(package.needed_by),
        }
        for package in facts.omitted
    ]
    return {"omittedPackages": rows} if rows else {}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
