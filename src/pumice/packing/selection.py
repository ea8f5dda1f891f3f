"""Selects the files of a package for an image, and maps paths to a merged ``/usr``."""

from __future__ import annotations

import msgspec

from pumice.packing import path_patterns
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
"""Prefixes of optional files, by the name under which a recipe includes them."""

LOCALE_DIRECTORIES = ("usr/lib/locale/C.utf8", "usr/lib/locale/C.UTF-8")
"""The locale C.UTF-8 of glibc, with today's name and with that of Debian 11."""

_ALWAYS_INCLUDED = ("usr/share/locale/locale.alias",)
_DOC_PREFIX = "usr/share/doc/"


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which files of a package to keep.

    ``include`` are names of `OPTIONAL_TREES` to keep, sorted; ``keep`` are paths to keep although their
    tree is left out. If ``only`` is not empty, the package counts as these directories and its copyright
    file, without its scripts. ``paths`` are the absolute paths and patterns
    (`pumice.packing.path_patterns`) that slices list, to which the package is cut, with dpkg's lists of
    files; None keeps the whole package. ``includes_dpkg_info`` adds dpkg's files about the package.
    ``has_own_layer`` adds directories in front of their files, for a layer with this package alone.
    ``format`` is the format of the lock.
    """

    include: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    paths: tuple[str, ...] | None = None
    includes_dpkg_info: bool = True
    has_own_layer: bool = False
    format: int = FORMAT


def merged_usr_path(path: str) -> str:
    """Map a package's ``path`` to the merged ``/usr``: ``lib/x`` becomes ``usr/lib/x``.

    ``lib`` itself stays as it is: the caller leaves the directory out, because an effect creates the
    link.
    """
    top, slash, _ = path.partition("/")
    return f"usr/{path}" if slash and top in ALIASED_DIRECTORIES else path


def merged_usr_pattern(path: str) -> str:
    """Map an absolute path or pattern to the merged ``/usr``."""
    return "/" + merged_usr_path(path[1:])


class ListedPaths:
    """Says which entries of a package ``Selection.paths`` list, under the package's paths or merged ones."""

    def __init__(self, selection: Selection) -> None:
        listed = {*(selection.paths or ()), *map(merged_usr_pattern, selection.paths or ())}
        self._globs = tuple(sorted(path for path in listed if path_patterns.is_pattern(path)))
        self._paths = listed.difference(self._globs) | {f"/{path}" for path in selection.keep}

    def include(self, original: str, merged: str, *, is_directory: bool) -> bool:
        """Whether an entry is listed; the paths are those of `pumice.formats.tar.Entry`."""
        end = "/" if is_directory else ""
        return self._include(f"/{original}{end}") or (merged != original and self._include(f"/{merged}{end}"))

    def _include(self, path: str) -> bool:
        return path in self._paths or any(path_patterns.matches(pattern, path) for pattern in self._globs)


def is_outside(path: str, selection: Selection) -> bool:
    """Whether ``path`` is not in the part of the package that ``selection`` is about."""
    if not selection.only:
        return False
    doc_name = path.removeprefix(_DOC_PREFIX) if path.startswith(_DOC_PREFIX) else "/"
    is_copyright = "/" not in doc_name or doc_name.endswith("/copyright")
    return not is_copyright and not any(
        path == directory or path.startswith(f"{directory}/") for directory in selection.only
    )


def is_left_out(
    path: str, selection: Selection, *, is_link: bool = False, is_directory: bool = False
) -> bool:
    """Whether ``path`` is dropped.

    Copyright files are kept, and so are links in place of a documentation directory, because they
    lead to the copyright file of another package.
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
