"""What commands that look at an image share: its reference, its platform, its facts."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pumice.cli.parsing.arguments import Parser
    from pumice.evidence.facts import Facts
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.store.home import Home

REFERENCES = """REF is name:version, a name with only one version, a digest or a prefix of it, oci:DIR[:TAG],
oci-archive:FILE[:TAG] or docker://HOST/NAME[:TAG]. A name with a host that is not in the store is
looked up in that registry. For a multi-platform image, the default is the platform of this machine."""


def platform_option(parser: Parser) -> None:
    """Add ``--platform``."""
    parser.add_argument(
        "--platform",
        metavar="PLATFORM",
        help="use the image for this platform, such as linux/arm64 (default: that of this machine)",
    )


def select_platform(image: Image, platform: str | None) -> Image:
    """Return the image of one platform: the one asked for, else this machine's, else the only one."""
    from pumice.image import platform_choice

    return platform_choice.select_platform(image, platform or "", os.uname().machine)


@contextmanager
def open_image(options: argparse.Namespace, progress: Progress | None = None) -> Iterator[tuple[Image, Home]]:
    """Give the image that ``reference`` names, with all its platforms, and the store.

    ``options`` are those of a parser with the options of `registries`.
    """
    from pumice.cli.image_access import registries
    from pumice.store.home import Home, locate

    with (
        Home(locate(os.environ), progress=progress) as home,
        registries.open_image(options.reference, home, progress, options) as image,
    ):
        yield image, home


@contextmanager
def open_platform(
    options: argparse.Namespace, progress: Progress | None = None
) -> Iterator[tuple[Image, Home]]:
    """Give the image of one platform that ``reference`` and ``platform`` name, and the store.

    ``options`` are those of a parser with `platform_option` and the options of `registries`.
    """
    with open_image(options, progress) as (image, home):
        yield select_platform(image, options.platform), home


def read_facts(image: Image, home: Home, reference: str) -> Facts:
    """Return the facts of an image, read from its layers; ``reference`` names it if it does not say."""
    from pumice.evidence import image_facts

    name = reference.rpartition("/")[2].partition(":")[0] if ":" in reference else reference
    return image_facts.gather_facts(image, home.records, name or "image")
