"""The sandbox that Pumice brings: nothing else is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.runtime import id_maps
from pumice.runtime.container import Maps
from pumice.runtime.stage1 import Start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pumice.runtime.container import Container


class Builtin:
    """`pumice.runtime.sandbox` does everything itself."""

    def start(self, container: Container, scratch: Path) -> Start:  # noqa: ARG002 - all in memory
        """Translate the container to the sandbox's options."""
        return Start(tuple(_options(container)), container.process.arguments)

    def target(self, pid: int) -> int:
        """Return ``pid``: it passes signals on."""
        return pid

    def finish(self, code: int) -> int:
        """Return ``code``: it is the program's own."""
        return code

    def close(self) -> None:
        """Do nothing: there is nothing to remove."""


def _options(container: Container) -> Iterator[str]:
    process = container.process
    yield from ("--uid", str(process.uid), "--gid", str(process.gid), "--cwd", process.directory)
    yield from ("--hostname", container.hostname, "--network", container.network)
    for group in process.groups:
        yield from ("--group", str(group))
    for name, value in process.environment.items():
        yield from ("--env", f"{name}={value}")
    for mount in container.mounts:
        if not mount.source:
            yield from ("--tmpfs", mount.target)
        else:
            yield from ("--ro-bind" if mount.read_only else "--bind", mount.source, mount.target)
    if container.read_only:
        yield "--read-only"
    if container.init:
        yield "--init"
    yield "--terminal"
    # A program that is root inside may want to become others; any other has one id only.
    wanted = id_maps.is_ordinary_user() and (process.uid, process.gid) == (0, 0)
    found = (id_maps.ranges() if wanted else None) or Maps()
    yield from map_options(found)
    if container.owners and id_maps.can_own(found):
        yield from ("--owners", container.owners)


def map_options(found: Maps) -> Iterator[str]:
    """Yield the sandbox's options for ``found``."""
    for option, extents in (("--uid-map", found.users), ("--gid-map", found.groups)):
        for inside, outside, count in extents:
            yield from (option, f"{inside}:{outside}:{count}")
    if found.helpers:
        yield "--map-helpers"
