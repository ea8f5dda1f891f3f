"""The requirements of a recipe: the part that decides its packages, and whose change makes a lock stale."""

from __future__ import annotations

from typing import Any

from pumice import canonical

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.recipe.model import ExtraArchive, Origin, Recipe


def requirements_digest(recipe: Recipe) -> str:
    """Return the digest of everything in a recipe that decides its packages, and of nothing else.

    The order of lists and the URLs of mirrors do not count, nor does the content of a local package,
    whose digest is in the lock.
    """
    return canonical.digest_of(
        {
            "from": _origin(recipe.origin),
            "base": recipe.base,
            "recommends": recipe.recommends,
            "packages": sorted(
                [request.name, request.version, request.exclude, request.file] for request in recipe.packages
            ),
            "archs": sorted(recipe.archs),
            # Omit newer keys that are not used, so that older locks stay current.
            **({"slices": sorted(recipe.selected_slices)} if recipe.selected_slices else {}),
            **({"without": sorted(recipe.without)} if recipe.without else {}),
        }
    )


def _origin(origin: Origin) -> dict[str, Any]:
    return {
        "debian": origin.debian,
        "components": sorted(origin.components),
        "suites": sorted(origin.suites),
        "keyrings": sorted(origin.keyrings),
        "archives": sorted(
            # Omit newer keys that are not used, so that older locks stay current.
            [
                archive.name,
                archive.suite,
                sorted(archive.components),
                archive.key,
                archive.trusted,
                *_authority(archive),
            ]
            for archive in origin.archives
        ),
    }


def _authority(archive: ExtraArchive) -> list[Any]:
    return [sorted(archive.packages), archive.priority] if archive.packages or archive.priority else []
