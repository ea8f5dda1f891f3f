"""Mounting the files of another image in a container, read-only."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import UsageError
from pumice.formats.oci import Platform
from pumice.runtime import prepared_tree, tree_lookup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.runtime.container import Mount
    from pumice.store.home import Home


@contextmanager
def hold_mounted_image(
    image: Image, mount: Mount, platform: Platform, home: Home, progress: Progress
) -> Iterator[Mount]:
    """Prepare the tree of an image, and yield the mount with it as the source and a lock on it.

    The caller has admitted the image. Raises the errors of `prepared_tree.prepare`, and UsageError if the
    image does not have the ``subpath`` of the mount.
    """
    with prepared_tree.hold(image.select(platform), home, progress) as tree:
        source = tree_lookup.resolve(tree.root, mount.subpath)
        if source is None:
            raise UsageError(f"the image {mount.image} has no {mount.subpath[:200]!r}", hint="omit subpath=")
        yield msgspec.structs.replace(mount, source=str(source), lock=tree.lock)


def check_other_image(mounts: tuple[Mount, ...], root: str) -> None:
    """Raise UsageError if the files of the image that runs are mounted: its tree is covered by its root."""
    for mount in mounts:
        if mount.image and f"{mount.source}/".startswith(f"{root}/"):
            raise UsageError(f"the image {mount.image} cannot be mounted in itself", hint="omit --mount")
