"""An image in any location, for the Python API."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pumice.api.surroundings import open_home, open_registries
from pumice.api.values import Config, Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.image import model as images
    from pumice.image.inventory import FileFact, Inventory, PackageFact
    from pumice.progress import Progress
    from pumice.store.home import Home

    StrPath = str | os.PathLike[str]


class Image:
    """An image in any location; a context manager. Its content is read when it is asked for."""

    def __init__(self, stack: ExitStack, image: images.Image, name: str, home: Home) -> None:
        """Use `pumice.open` instead."""
        self._stack = stack
        self._image = image
        self._home = home
        self._inventories: dict[str, Inventory] = {}
        self.name = name
        """``NAME:VERSION`` as the location has it, "" if it does not say."""
        self.digest: str = image.root.digest
        self.media_type: str = image.root.media_type

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the store and the connections."""
        self._stack.close()

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platforms, such as ``linux/amd64``, in the order of the index."""
        from pumice.formats.platforms import format_platform

        return tuple(format_platform(platform) for platform in self._image.platforms())

    def config(self, platform: str = "") -> Config:
        """Return the config of one platform: the machine's or the only one, unless one is named."""
        from pumice.formats import oci, platforms

        config = self._select(platform).config()
        run = config.config
        return Config(
            platform=platforms.format_platform(oci.Platform(config.architecture, config.os, config.variant)),
            user=run.user,
            entrypoint=run.entrypoint,
            command=run.cmd,
            directory=run.working_dir,
            environment=run.env,
            ports=tuple(sorted(run.exposed_ports)),
            volumes=tuple(sorted(run.volumes)),
            labels=run.labels,
            stop_signal=run.stop_signal,
            created=config.created,
        )

    def layers(self, platform: str = "") -> tuple[Layer, ...]:
        """Return the layers of one platform, base first."""
        return tuple(
            Layer(
                digest=layer.descriptor.digest,
                diff_id=layer.diff_id,
                media_type=layer.descriptor.media_type,
                size=layer.descriptor.size,
            )
            for layer in self._select(platform).layers()
        )

    def packages(self, platform: str = "") -> tuple[PackageFact, ...]:
        """Return the packages in the image of one platform, by its own package database."""
        return self._inventory(platform).packages

    def files(self, platform: str = "") -> tuple[FileFact, ...]:
        """Return the files, directories and links in the image of one platform."""
        return self._inventory(platform).files

    def _inventory(self, platform: str) -> Inventory:
        from pumice.image.inventory import read_inventory

        image = self._select(platform)
        if image.root.digest not in self._inventories:
            self._inventories[image.root.digest] = read_inventory(image, self._home.records)
        return self._inventories[image.root.digest]

    def _select(self, platform: str) -> images.Image:
        from pumice.image.platform_choice import select_platform

        return select_platform(self._image, platform, os.uname().machine)


def open_image(
    location: str,
    *,
    store: StrPath | None = None,
    progress: Progress | None = None,
    environ: Mapping[str, str] | None = None,
) -> Image:
    """Return the image at a location: a name in the store, ``oci:DIR``, ``docker://HOST/NAME`` and others.

    Signatures are not verified: call `verify`. Raises PumiceError.
    """
    environ = os.environ if environ is None else environ
    from pumice.image.transports import references

    with ExitStack() as stack:
        home = stack.enter_context(open_home(store, environ, progress))
        source = references.find_source(location, home)
        opened = source.open(stack.enter_context(open_registries(home, environ, progress)))
        name = f"{opened.name}:{opened.version}" if opened.name and opened.version else opened.name
        return Image(stack.pop_all(), opened.image, name, home)
