"""The options that name a release of slices, and its loading."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.parsing import shared_options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.assembly.slice_packages import CutSettings
    from pumice.cli.parsing.arguments import OptionGroup
    from pumice.slices.model import Release
    from pumice.store.home import Home

DEFAULT = "bookworm"


def add_release_options(parser: OptionGroup) -> None:
    """Add ``--release`` and ``--overlay``."""
    parser.add_argument(
        "--release",
        metavar="DIR|NAME",
        default=DEFAULT,
        help=f"directory or tar archive of the release, or one that comes with Pumice (default: {DEFAULT})",
    )
    parser.add_argument(
        "--overlay",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="directory of definitions that replace those of the release (repeatable)",
    )


def load(options: argparse.Namespace, home: Home, *, check_all: bool = True) -> Release:
    """Return the release that the options name; raises SliceError with all its problems."""
    from pumice.slices.release import load_release
    from pumice.slices.releases import find_release

    location = find_release(options.release, Path())
    return load_release(location, options.overlay, home, check_all=check_all)


def open_home() -> Home:
    """Return the store, where releases are remembered."""
    from pumice.store.home import Home, locate

    return Home(locate(os.environ))


def add_package_options(parser: OptionGroup) -> None:
    """Add the options that say where the packages of a release come from."""
    parser.add_argument(
        "--arch",
        metavar="ARCH",
        type=shared_options.parse_architecture,
        help="architecture, such as arm64 or aarch64 (default: that of this machine)",
    )
    parser.add_argument(
        "--mirror",
        metavar="[ARCHIVE=]URL",
        action="append",
        default=[],
        help="mirror of an archive of the release, verified with the release's keys (repeatable)",
    )
    shared_options.add_offline_option(parser)


def cut_settings(options: argparse.Namespace) -> CutSettings:
    """Return how to cut, by the options of `add_package_options`; raises UsageError."""
    from pumice.assembly.slice_packages import CutSettings

    return CutSettings(
        architecture=options.arch or _own_architecture(),
        mirrors=_parse_mirrors(options.mirror),
        offline=options.offline,
    )


def _own_architecture() -> str:
    from pumice.formats import platforms

    return platforms.to_debian(platforms.from_machine(os.uname().machine))


def _parse_mirrors(texts: Sequence[str]) -> dict[str, str]:
    """Return the URLs of ``--mirror`` by archive, with the empty name for all archives."""
    from pumice.errors import UsageError

    mirrors: dict[str, str] = {}
    for text in texts:
        name, equals, url = text.partition("=")
        if not equals or ":" in name or "/" in name:
            name, url = "", text
        if not url.startswith(("https://", "http://", "file:/")):
            raise UsageError(f"{text[:100]!r} is not a mirror", hint="start with https://, http:// or file:/")
        mirrors[name] = url
    return mirrors
