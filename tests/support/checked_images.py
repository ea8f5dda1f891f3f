"""Images to check, from small trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.checks.model import CheckedImage
from pumice.checks.runnable_image import RunSettings
from pumice.packing.tree import Node, Tree
from tests.support.objects import program
from tests.support.texttree import tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pumice.checks.finding import Finding

LOADER: dict[str, str | bytes] = {
    "usr/lib64/ld-linux-x86-64.so.2": program(interpreter="", soname="ld-linux-x86-64.so.2")
}
LIBC: dict[str, str | bytes] = {
    "lib64": "-> usr/lib64",
    "lib": "-> usr/lib",
    "bin": "-> usr/bin",
    "etc/ld.so.cache": "cache",
    "usr/lib/x86_64-linux-gnu/libc.so.6": program(interpreter="", soname="libc.so.6"),
    **LOADER,
}
"""What a dynamically linked program needs."""


def checked_image(
    paths: Mapping[str, str | bytes],
    command: Iterable[str] = (),
    *,
    modes: Mapping[str, int] | None = None,
    owner: str = "pkg",
    **settings: Any,
) -> CheckedImage:
    """Return the image with ``paths`` (see `texttree.tree`) and the process that ``settings`` describe.

    ``modes`` are those of paths that should not have the usual ones.
    """
    base = tree(paths, owner=owner)
    nodes = dict(base.nodes)
    for path, mode in (modes or {}).items():
        entry = msgspec.structs.replace(nodes[path].entry, mode=mode)
        nodes[path] = Node(entry, nodes[path].owner)
    changed = Tree(nodes, base.read)
    return CheckedImage(
        changed,
        lambda path, offset, size: base.read(path)[offset : offset + size],
        RunSettings(command=tuple(command), **settings),
    )


def format_findings(findings: Iterable[Finding]) -> list[str]:
    """Return a line for each finding: its severity, check and message."""
    return [
        f"{'note' if finding.is_note else 'warning'} {finding.check}: {finding.message}"
        for finding in findings
    ]


def run_check(check: Callable[[CheckedImage], Iterable[Finding]], image: CheckedImage) -> list[str]:
    """Return the findings of one check as lines."""
    return format_findings(check(image))
