"""The recipe, lock and files in a provenance, which are enough to build its image again."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.errors import FormatError, TrustError
from pumice.evidence.provenance import BUILD_TYPE
from pumice.recipe import lock_reader
from pumice.recipe.model import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pumice.digest import Digest
    from pumice.formats.intoto import Statement
    from pumice.recipe.lock import Lock

_KINDS = ("file", "dir", "symlink", "hardlink")


class ProvenanceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A file, directory or link in the image that comes from the recipe's ``files``."""

    path: str
    """Absolute."""
    kind: str
    mode: int
    owner: str
    link: str = ""
    sha256: str = ""
    """Hexadecimal, of a file."""


class RebuildPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The image that a provenance describes, and all the inputs of its build."""

    subject: Digest
    """Of the manifest that was built."""
    recipe: Recipe
    lock: Lock
    architecture: str
    source_date_epoch: int | None
    entries: tuple[ProvenanceEntry, ...]
    pumice_version: str
    """The version of Pumice that built it."""


def read_rebuild_plan(statement: Statement) -> RebuildPlan:
    """Return the plan in a provenance of Pumice's build type (``docs/reference/provenance.md``).

    Raises FormatError for another build type and for a malformed provenance, TrustError for a lock
    with another digest, LockError for a malformed lock.
    """
    try:
        predicate = statement.predicate
        definition = predicate["buildDefinition"]
        if definition["buildType"] != BUILD_TYPE:
            raise FormatError(
                f"cannot reproduce a build of type {str(definition['buildType'])[:100]!r}",
                hint=f"only {BUILD_TYPE} is supported",
            )
        external = definition["externalParameters"]
        return RebuildPlan(
            subject=statement.subjects[0].digest,
            recipe=msgspec.convert(external["effectiveRecipe"], Recipe),
            lock=_read_lock(external["lock"]),
            architecture=msgspec.convert(external["architecture"], str),
            source_date_epoch=msgspec.convert(external.get("sourceDateEpoch"), int | None),
            entries=tuple(_provenance_entries(definition["resolvedDependencies"])),
            pumice_version=str(predicate["runDetails"]["builder"]["version"]["pumice"]),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        detail = f"{type(error).__name__}: {error}".replace("\n", " ")[:200]
        raise FormatError(f"the provenance lacks something that a rebuild needs ({detail})") from None


def _read_lock(parameter: Mapping[str, Any]) -> Lock:
    content = base64.b64decode(parameter["content"], validate=True)
    if hashlib.sha256(content).hexdigest() != parameter["digest"]["sha256"]:
        raise TrustError("the lock in the provenance does not match its digest")
    return lock_reader.parse_lock(content, "the provenance's lock")


def _provenance_entries(dependencies: Sequence[Mapping[str, Any]]) -> Iterator[ProvenanceEntry]:
    for dependency in dependencies:
        annotations = dependency.get("annotations", {})
        if str(dependency.get("name", "")).startswith("/") and annotations.get("kind") in _KINDS:
            yield ProvenanceEntry(
                path=dependency["name"],
                kind=annotations["kind"],
                mode=int(annotations["mode"], 8),
                owner=str(annotations["owner"]),
                link=str(annotations.get("link", "")),
                sha256=str(dependency.get("digest", {}).get("sha256", "")),
            )
