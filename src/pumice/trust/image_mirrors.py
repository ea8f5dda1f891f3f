"""Mirrors of images: the names that their images are signed as."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.trust.policy_files import (
    MIRROR,
    PREFIX,
    decode_component,
    decode_prefix,
    prefix_directory,
    read_text,
    scope_directories,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.trust.policy_files import PolicyDirectory


def resolve_mirror(name: str, directories: Sequence[PolicyDirectory]) -> str:
    """Return the name that an image called ``name`` must be signed as, after mirrors."""
    return apply_mirrors(name, directories)[0]


def read_mirrors(directories: Sequence[PolicyDirectory]) -> dict[str, str]:
    """Return the names that images of mirrors are signed as, by prefix; raises FormatError."""
    targets: dict[str, str] = {}
    for directory in directories:
        for parent, _, names in os.walk(directory.path / MIRROR):
            for name in names:
                path = Path(parent, name).relative_to(directory.path / MIRROR)
                if path.suffix == ".name":
                    prefix = decode_component(str(path.with_suffix("")))
                    targets[prefix] = apply_mirrors(f"{prefix}/x:0", directories)[0].removesuffix("/x:0")
    return {prefix: target for prefix, target in sorted(targets.items()) if target != prefix}


def apply_mirrors(name: str, directories: Sequence[PolicyDirectory]) -> tuple[str, str]:
    """Return the signed name of an image of a mirror, and the rule with the longest prefix."""
    from pumice.trust.image_names import is_valid, split_name

    plain_name, _ = split_name(name)
    for scope in reversed(scope_directories(plain_name)):
        path = scope.replace(PREFIX, MIRROR, 1) + ".name"
        for directory in reversed(directories):
            text = read_text(directory.path / path)
            if text is None:
                continue
            target = text.strip()
            if not target:
                break
            if not is_valid(target) or split_name(target)[1]:
                raise FormatError("the mirror rule has no valid name", where=str(directory.path / path))
            prefix = decode_prefix(scope)
            return target + name[len(prefix) :], f"{directory.name} mirror of {target} at {prefix}"
    return name, ""


def mirror_path(prefix: str) -> str:
    """Return the path of the mirror rule for ``prefix`` below a policy directory."""
    return prefix_directory(prefix).replace(PREFIX, MIRROR, 1) + ".name"
