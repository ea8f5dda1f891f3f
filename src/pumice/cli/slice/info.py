"""``pumice slice info``: print the definitions of slices."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.recipes import slice_releases

if TYPE_CHECKING:
    import argparse

    from pumice.slices.model import Release

_EPILOG = """The output is YAML, one document for each package. What a package requires for all of its
slices is listed in each of them."""


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice slice``."""
    action = command_line.add_action(
        parser,
        "info",
        run,
        "print the definitions of packages or slices",
        epilog=_EPILOG,
        examples=("pumice slice info openssl", "pumice slice info openssl_bins libc6_libs"),
    )
    action.add_argument("names", metavar="PKG|SLICE", nargs="+", help="package or slice to print")
    slice_releases.add_release_options(action)


def run(options: argparse.Namespace) -> int:
    """Print the definitions."""
    from pumice.cli.display import output
    from pumice.errors import UsageError
    from pumice.slices.yaml_text import format_definition

    with slice_releases.open_home() as home:
        release = slice_releases.load(options, home)
    selected, missing = _select(release, options.names)
    documents = [
        format_definition(
            release.packages[package],
            {name: release.packages[package].slices[name] for name in names},
        )
        for package, names in selected.items()
    ]
    sys.stdout.write(output.printable("---\n".join(documents)))
    if missing:
        names = ", ".join(repr(name[:100]) for name in missing)
        raise UsageError(f"the release has no {names}", hint="try 'pumice slice find'")
    return 0


def _select(release: Release, names: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the names of slices by package, and the names that do not exist."""
    selected: dict[str, list[str]] = {}
    missing: list[str] = []
    for name in names:
        package, underscore, slice_name = name.partition("_")
        definition = release.packages.get(package)
        if definition is None or (underscore and slice_name not in definition.slices):
            missing.append(name)
            continue
        added = [slice_name] if underscore else list(definition.slices)
        selected.setdefault(package, []).extend(added)
    return selected, missing
