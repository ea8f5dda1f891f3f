"""What of a recipe decides which packages it stands for: the part whose change makes a lock stale."""

from __future__ import annotations

from typing import Any

from pumice import canonical

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.recipe.model import ExtraArchive, Origin, Recipe


def requirements_digest(recipe: Recipe) -> str:
    """Return the digest of all that decides which packages a recipe stands for, and of nothing else.

    The order of lists says nothing, where a mirror is says nothing, nor does the content of a local
    package: its own digest is in the lock.
    """
    return canonical.digest_of(
        {
            "from": _origin(recipe.origin),
            "base": recipe.base,
            "recommends": recipe.recommends,
            "packages": sorted([r.name, r.version, r.exclude, r.file] for r in recipe.packages),
            "archs": sorted(recipe.archs),
        }
    )


def _origin(origin: Origin) -> dict[str, Any]:
    return {
        "debian": origin.debian,
        "components": sorted(origin.components),
        "suites": sorted(origin.suites),
        "keyrings": sorted(origin.keyrings),
        "archives": sorted(
            # What is new is left out where it is not used: older locks stay right.
            [a.name, a.suite, sorted(a.components), a.key, a.trusted, *_authority(a)]
            for a in origin.archives
        ),
    }


def _authority(archive: ExtraArchive) -> list[Any]:
    return [sorted(archive.packages), archive.priority] if archive.packages or archive.priority else []
