"""Symbolic links in ``/etc`` that lead nowhere, and links that climb above the root."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pumice.checks.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.checks.model import CheckedImage

_MADE_AT_RUN_TIME = ("/proc/", "/sys/", "/dev/", "/run/", "/var/run/")
_DANGLING_BY_DESIGN = frozenset(
    (
        *("etc/default/locale", "etc/vconsole.conf"),  # of systemd, for files that setup tools write
        *("etc/modules-load.d/modules.conf", "etc/sgml/catalog", "etc/sysctl.d/99-sysctl.conf"),
    )
)
"""Links that an installed Debian system leaves dangling as well."""


def check_links(image: CheckedImage) -> Iterator[Finding]:
    """Yield a finding for each such link."""
    for path, node in image.tree.nodes.items():
        if node.entry.kind != "symlink":
            continue
        if _climbs_out(path, node.entry.link):
            yield Finding(
                check="link",
                message=f"the link /{path} leads above the root: {node.entry.link}",
                hint="engines resolve it inside the image, other tools on the machine that reads it",
                path=path,
                is_note=True,
            )
        elif (
            path.startswith("etc/")
            and path not in _DANGLING_BY_DESIGN
            and _dangles(image, path, node.entry.link)
        ):
            yield Finding(
                check="link",
                message=f"the link /{path} leads to {node.entry.link}, which does not exist",
                hint="add the package that contains it, or replace the link under 'files'",
                path=path,
            )


def _climbs_out(path: str, link: str) -> bool:
    if link.startswith("/"):
        return False
    depth = path.count("/")
    for component in link.split("/"):
        if component == "..":
            depth -= 1
            if depth < 0:
                return True
        elif component not in ("", "."):
            depth += 1
    return False


def _dangles(image: CheckedImage, path: str, link: str) -> bool:
    target = posixpath.normpath(posixpath.join("/", posixpath.dirname(path), link))
    return not target.startswith(_MADE_AT_RUN_TIME) and image.tree.resolve(path) is None
