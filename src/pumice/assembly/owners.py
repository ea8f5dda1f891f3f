"""Owners of the recipe's files: from ``user[:group]`` to numeric ids, by the image's own tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.formats.lines import split_lines
from pumice.packing.config import numeric_user

if TYPE_CHECKING:
    from pumice.assembly.draft_tree import DraftTree
    from pumice.packing.tree import Tree


class OwnerTable:
    """The users and groups of an image.

    ``etc/passwd`` and ``etc/group`` among the recipe's own files come first, because the image will
    have those.
    """

    def __init__(self, tree: Tree, draft: DraftTree | None) -> None:
        self._passwd, self._group = (
            "\n".join([draft.read_text(path) if draft else "", read_text(tree, path)])
            for path in ("etc/passwd", "etc/group")
        )

    def resolve_ids(self, owner: str) -> tuple[int, int]:
        """Return the uid and gid of ``user[:group]``; raises ImageError for an unknown name."""
        user, _, group = owner.partition(":")
        uid = numeric_user(user, self._passwd, self._group)
        gid = numeric_user(f"0:{group}", self._passwd, self._group).partition(":")[2] if group else ""
        return int(uid or 0), int(gid or self._primary_group(uid))

    def find_names(self, uid: int, gid: int) -> tuple[str, str]:
        """Return the names of a user and a group, ``#ID`` for those that have none (dpkg-statoverride(1))."""
        return _find_name(self._passwd, uid), _find_name(self._group, gid)

    def _primary_group(self, uid: str) -> str:
        for line in split_lines(self._passwd):
            fields = line.split(":")
            if len(fields) > 3 and fields[2] == uid:
                return fields[3]
        return uid or "0"

    def config_user(self, owner: str) -> str:
        """Return ``owner`` for an image's config: as numbers, so that engines can tell it is not root."""
        return numeric_user(owner, self._passwd, self._group)


def _find_name(table: str, number: int) -> str:
    for line in split_lines(table):
        fields = line.split(":")
        if len(fields) > 2 and fields[2] == str(number):
            return fields[0]
    return f"#{number}"


def read_text(tree: Tree, path: str) -> str:
    """Return the text of the file at ``path``, empty if there is none."""
    try:
        return tree.read(path).decode("utf-8", "replace")
    except KeyError:
        return ""
