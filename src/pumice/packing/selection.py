"""Which files of a package an image gets, and where they go when ``/usr`` is merged."""

from __future__ import annotations

import msgspec

from pumice.recipe.lock import FORMAT

ALIASED_DIRECTORIES = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32")
"""Top-level directories that are links into ``/usr`` on a merged system (usrmerge, UsrMove)."""

OPTIONAL_TREES: dict[str, tuple[str, ...]] = {
    "docs": ("usr/share/doc/", "usr/share/doc-base/", "usr/share/gtk-doc/"),
    "man": ("usr/share/man/",),
    "info": ("usr/share/info/",),
    "locales": ("usr/share/locale/",),
    "lintian": ("usr/share/lintian/", "usr/share/linda/"),
}
"""What is left out unless the recipe includes it, by the recipe's word for it."""

_ALWAYS_INCLUDED = ("usr/share/locale/locale.alias",)
_DOC_PREFIX = "usr/share/doc/"


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken of one package.

    ``include`` names the `TREES` that stay, sorted; ``keep`` paths that stay although their tree
    goes; ``info`` adds dpkg's own files about the package. ``alone`` interleaves the directories
    with the files, as a layer that holds nothing but this package wants them. ``format`` is the lock's.
    """

    include: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    includes_dpkg_info: bool = True
    has_own_layer: bool = False
    format: int = FORMAT


def merged_usr_path(path: str) -> str:
    """Return where a package's ``path`` goes: ``lib/x`` to ``usr/lib/x``.

    A bare ``lib`` is for the caller to leave out if it is a directory (the links come from
    elsewhere); mapped, it would point at itself.
    """
    top, slash, _ = path.partition("/")
    return f"usr/{path}" if slash and top in ALIASED_DIRECTORIES else path


def is_left_out(
    path: str, selection: Selection, *, is_link: bool = False, is_directory: bool = False
) -> bool:
    """Whether ``path`` is dropped. Copyright files stay, and so does a link that stands for a whole
    documentation folder, since it is the way to another package's copyright file.
    """
    tested_path = path + "/" if is_directory else path
    for tree_name, prefixes in OPTIONAL_TREES.items():
        if tree_name in selection.include or not tested_path.startswith(prefixes):
            continue
        if path in _ALWAYS_INCLUDED or any(
            path == kept_path or path.startswith(kept_path + "/") for kept_path in selection.keep
        ):
            return False
        if not path.startswith(_DOC_PREFIX):
            return path != _DOC_PREFIX[:-1]
        name = path[len(_DOC_PREFIX) :]
        if "/" not in name:
            return not (is_link or is_directory)
        return is_directory or not name.rpartition("/")[2].startswith("copyright")
    return False
