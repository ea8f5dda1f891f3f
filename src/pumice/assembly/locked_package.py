"""What a lock records of a package in an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.recipe.lock import LockedPackage

if TYPE_CHECKING:
    from pumice.formats.aptindex import PackageRecord
    from pumice.recipe.lock import Role


def lock_package(record: PackageRecord, role: Role = "package") -> LockedPackage:
    """Return the entry of a package; its ``sha256`` is empty if the archive lists only SHA-512."""
    archive, _, suite = record.suite.partition("/")
    return LockedPackage(
        name=record.name,
        version=record.version,
        architecture=record.architecture,
        archive=archive,
        suite=suite,
        path=record.filename,
        size=record.size,
        sha256=record.sha256,
        sha512=record.sha512,
        source=record.source if record.source != record.name else "",
        source_version=record.source_version if record.source_version != record.version else "",
        role=role,
    )
