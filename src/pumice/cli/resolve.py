"""``pumice resolve``: from a name to a digest."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, registries

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser(
        "resolve",
        "Print the digest that a reference stands for now.",
        progress=False,
        epilog="From a registry nothing but the manifest's headers is asked for.",
    )
    made.add_argument(
        "reference",
        metavar="REF",
        help="docker://HOST/NAME[:TAG], or an image of the store, oci: or oci-archive:",
    )
    made.add_argument("--full", action="store_true", help="print HOST/NAME@DIGEST, to be used as a REF")
    made.add_argument(
        "--platform", metavar="PLATFORM", help="the manifest of one platform, such as linux/arm64"
    )
    registries.options(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = _parser().parse_args(arguments)
    from pumice.formats import platforms
    from pumice.image.transports import locations
    from pumice.store.home import Home, locate

    location = locations.parse_source(asked.reference)
    if asked.full and not location.address.transport.is_registry:
        from pumice.errors import UsageError

        raise UsageError("--full needs an image in a registry", hint=f"write {locations.REGISTRY.syntax}")
    with (
        Home(locate(os.environ)) as home,
        registries.access(home, output.progress("none"), asked) as access,
    ):
        image = location.open(access).image
        if asked.platform:
            image = image.select(platforms.parse_platform(asked.platform))
    prefix = f"{location.describe().repository}@" if asked.full else ""
    print(prefix + image.root.digest)
    return 0
