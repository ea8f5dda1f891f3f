"""``pumice aci``: validate, build, change and unpack App Container images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.aci import build, cat_manifest, decrypt, encrypt, extract, patch_manifest, render, validate
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = """The actions are called as in actool and rkt. 'pumice convert' and 'pumice copy' convert
images from and to OCI; other commands read aci:FILE as they read other images."""


def parser() -> command_line.Parser:
    """Return the parser of ``pumice aci``."""
    return command_line.make_action_parser(
        "aci",
        "Work with App Container images.",
        (validate, cat_manifest, patch_manifest, build, extract, render, encrypt, decrypt),
        epilog=_EPILOG,
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return command_line.run_action(parser(), arguments)
