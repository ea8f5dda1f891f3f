"""``pumice licenses``: what licenses the software in an image is under."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pumice.cli import arguments as command_line
from pumice.cli import output, reading, registries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.cli.arguments import Parser
    from pumice.evidence.facts import Facts
    from pumice.evidence.license_policy import Violation

_FORBIDDEN = 1


def _parser() -> Parser:
    made = command_line.parser(
        "licenses",
        "List the licenses of the packages in an image, read from their copyright files, and hold\n"
        "them against a policy.",
        progress=False,
        epilog=f"{reading.REFERENCES}\nEnds with 1 if the policy forbids a license.",
    )
    made.add_argument("reference", metavar="REF", help="the image")
    made.add_argument("--policy", metavar="FILE", type=Path, help="fail if this policy forbids a license")
    made.add_argument("--by-package", action="store_true", help="list packages with their licenses")
    made.add_argument("--texts", action="store_true", help="print the texts of licenses that are on no list")
    command_line.format_option(made)
    reading.platform_option(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Print the licenses; return 1 if one is forbidden."""
    asked = _parser().parse_args(arguments)
    from pumice.evidence import license_policy
    from pumice.image.regular_file import read_small
    from pumice.store.home import Home, locate

    rules = license_policy.Policy()
    if asked.policy:
        from pumice.errors import UsageError

        data = read_small(asked.policy, 1 << 20)
        if data is None:
            raise UsageError("there is no such policy file", hint=f"looked for {asked.policy}")
        rules = license_policy.read(data, str(asked.policy))
    with Home(locate(os.environ)) as home, registries.open_image(asked.reference, home) as whole:
        image = reading.chosen(whole, asked.platform)
        found = reading.facts(image, home, asked.reference)
    forbidden = license_policy.check(found.packages, rules)
    if asked.format == "json":
        import json

        sys.stdout.write(json.dumps(_value(found, forbidden), indent=1) + "\n")
    else:
        lines = _packages(found) if asked.by_package else _licenses(found)
        sys.stdout.write(lines)
        if asked.texts:
            sys.stdout.write("".join(_texts(found)))
        for one in forbidden:
            sys.stderr.write(output.printable(f"forbidden: {one.package} is under {one.license}") + "\n")
    return _FORBIDDEN if forbidden else 0


def _inventory(found: Facts) -> dict[str, list[str]]:
    from pumice.evidence import license_expressions

    by: dict[str, list[str]] = {}
    for package in found.packages:
        for name in license_expressions.atoms(package.license):
            by.setdefault(name, []).append(package.name)
    return {name: by[name] for name in sorted(by, key=lambda name: (-len(by[name]), name.lower()))}


def _licenses(found: Facts) -> str:
    rows = [(name, str(len(packages)), _short(packages)) for name, packages in _inventory(found).items()]
    return output.table(("license", "packages", "which"), rows, right=(1,))


def _short(names: Sequence[str]) -> str:
    text = ", ".join(names[:4])
    return f"{text}, ..." if len(names) > 4 else text


def _packages(found: Facts) -> str:
    return output.table(
        ("package", "version", "license"), [(one.name, one.version, one.license) for one in found.packages]
    )


def _texts(found: Facts) -> Iterator[str]:
    for name, text in sorted(found.texts.items()):
        yield f"\n==== {output.printable(name)} ====\n{output.printable(text)}\n"


def _value(found: Facts, forbidden: Sequence[Violation]) -> dict[str, Any]:
    import msgspec

    return {
        "digest": found.digest,
        "licenses": _inventory(found),
        "packages": [
            {"name": one.name, "version": one.version, "license": one.license, "exact": one.exact}
            for one in found.packages
        ],
        "texts": dict(sorted(found.texts.items())),
        "forbidden": msgspec.to_builtins(list(forbidden)),
    }
