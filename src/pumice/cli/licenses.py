"""``pumice licenses``: list the licenses of the packages in an image."""

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


def parser() -> Parser:
    """Return the parser of ``pumice licenses``."""
    parser = command_line.make_parser(
        "licenses",
        "List the licenses of the packages in an image, as their copyright files state them, and check\n"
        "them against a policy.",
        progress=False,
        epilog=f"{reading.REFERENCES}\nThe exit code is 1 if the policy forbids a license.",
    )
    parser.add_argument("reference", metavar="REF", help="image to examine")
    parser.add_argument(
        "--policy", metavar="FILE", type=Path, help="fail if the policy in FILE forbids a license"
    )
    parser.add_argument("--by-package", action="store_true", help="list each package with its license")
    parser.add_argument(
        "--texts", action="store_true", help="print the texts of licenses that are not on the SPDX list"
    )
    command_line.add_format_option(parser)
    reading.platform_option(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print the licenses; return 1 if one is forbidden."""
    options = parser().parse_args(arguments)
    from pumice.evidence import license_policy
    from pumice.image.regular_file import read_small
    from pumice.store.home import Home, locate

    policy = license_policy.Policy()
    if options.policy:
        from pumice.errors import UsageError

        data = read_small(options.policy, 1 << 20)
        if data is None:
            raise UsageError(f"cannot read the policy {str(options.policy)!r}: no such file")
        policy = license_policy.read_policy(data, str(options.policy))
    with (
        Home(locate(os.environ)) as home,
        registries.open_image(options.reference, home) as multi_platform_image,
    ):
        image = reading.select_platform(multi_platform_image, options.platform)
        facts = reading.read_facts(image, home, options.reference)
    violations = license_policy.find_violations(facts.packages, policy)
    if options.format == "json":
        import json

        sys.stdout.write(json.dumps(_to_json_value(facts, violations), indent=1) + "\n")
    else:
        text = _format_packages(facts) if options.by_package else _format_licenses(facts)
        sys.stdout.write(text)
        if options.texts:
            sys.stdout.write("".join(_format_texts(facts)))
        for violation in violations:
            sys.stderr.write(
                output.printable(f"forbidden: {violation.package} has the license {violation.license}") + "\n"
            )
    return _FORBIDDEN if violations else 0


def _packages_by_license(facts: Facts) -> dict[str, list[str]]:
    from pumice.evidence import license_expressions

    packages: dict[str, list[str]] = {}
    for package in facts.packages:
        for name in license_expressions.list_licenses(package.license):
            packages.setdefault(name, []).append(package.name)
    return {
        name: packages[name]
        for name in sorted(packages, key=lambda name: (-len(packages[name]), name.lower()))
    }


def _format_licenses(facts: Facts) -> str:
    rows = [
        (name, str(len(packages)), _shorten(packages))
        for name, packages in _packages_by_license(facts).items()
    ]
    return output.format_table(("license", "packages", "names"), rows, right=(1,))


def _shorten(names: Sequence[str]) -> str:
    text = ", ".join(names[:4])
    return f"{text}, ..." if len(names) > 4 else text


def _format_packages(facts: Facts) -> str:
    return output.format_table(
        ("package", "version", "license"),
        [(package.name, package.version, package.license) for package in facts.packages],
    )


def _format_texts(facts: Facts) -> Iterator[str]:
    for name, text in sorted(facts.texts.items()):
        yield f"\n==== {output.printable(name)} ====\n{output.printable(text)}\n"


def _to_json_value(facts: Facts, violations: Sequence[Violation]) -> dict[str, Any]:
    import msgspec

    return {
        "digest": facts.digest,
        "licenses": _packages_by_license(facts),
        "packages": [
            {
                "name": package.name,
                "version": package.version,
                "license": package.license,
                "exact": package.exact,
            }
            for package in facts.packages
        ],
        "texts": dict(sorted(facts.texts.items())),
        "forbidden": msgspec.to_builtins(list(violations)),
    }
