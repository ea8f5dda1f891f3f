"""``pumice licenses``: list the licenses of the packages in an image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output, results
from pumice.cli.image_access import reading, registries
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.cli.parsing.arguments import Parser
    from pumice.evidence.facts import Facts
    from pumice.evidence.license_policy import Violation

_FORBIDDEN = 1


class LicensedPackage(msgspec.Struct, frozen=True):
    """A package with its SPDX license expression; ``exact`` if its copyright file states it in full."""

    name: str
    version: str
    license: str
    exact: bool


class ForbiddenLicense(msgspec.Struct, frozen=True):
    """A license that the policy forbids, and the expression of the package that has it."""

    package: str
    license: str
    expression: str


class LicenseReport(msgspec.Struct, frozen=True, kw_only=True):
    """The licenses of an image: the packages of each license, and what the policy forbids.

    ``texts`` are the texts of licenses that are not on the SPDX list.
    """

    digest: str
    licenses: dict[str, list[str]]
    packages: list[LicensedPackage]
    texts: dict[str, str]
    forbidden: list[ForbiddenLicense]


def parser() -> Parser:
    """Return the parser of ``pumice licenses``."""
    parser = command_line.make_parser(
        "licenses",
        "List the licenses of the packages in an image, as their copyright files state them, and check\n"
        "them against a policy.",
        progress=False,
        epilog=f"{reading.REFERENCES}\nThe exit code is 1 if the policy forbids a license.",
        examples=(
            "pumice licenses example.com/hello:1.0",
            "pumice licenses example.com/hello:1.0 --policy licenses.yaml",
        ),
    )
    parser.add_argument("reference", metavar="REF", help="image to examine")
    parser.add_argument(
        "--policy", metavar="FILE", type=Path, help="fail if the policy in FILE forbids a license"
    )
    parser.add_argument("--by-package", action="store_true", help="list each package with its license")
    parser.add_argument(
        "--texts", action="store_true", help="print the texts of licenses that are not on the SPDX list"
    )
    results.add_format_options(parser, "licenses")
    reading.platform_option(parser)
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print the licenses; return 1 if one is forbidden."""
    options = parser().parse_args(arguments)
    from pumice.evidence import license_policy
    from pumice.image.regular_file import read_small

    policy = license_policy.Policy()
    if options.policy:
        from pumice.errors import UsageError
        from pumice.os_errors import suggest_path

        data = read_small(options.policy, 1 << 20)
        if data is None:
            sentence = f"cannot read the policy {str(options.policy)!r}: no such file"
            raise UsageError(sentence, hint=suggest_path(options.policy))
        policy = license_policy.read_policy(data, str(options.policy))
    with reading.open_platform(options) as (image, home):
        facts = reading.read_facts(image, home, options.reference)
    violations = license_policy.find_violations(facts.packages, policy)
    results.write_result(
        _make_report(facts, violations),
        options.format,
        lambda: _format_for_people(facts, by_package=options.by_package, texts=options.texts),
    )
    if not options.format.is_for_programs:
        for violation in violations:
            sys.stderr.write(
                output.printable(f"forbidden: {violation.package} has the license {violation.license}") + "\n"
            )
    return _FORBIDDEN if violations else 0


def _format_for_people(facts: Facts, *, by_package: bool, texts: bool) -> str:
    table = _format_packages(facts) if by_package else _format_licenses(facts)
    return table + ("".join(_format_texts(facts)) if texts else "")


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


def _make_report(facts: Facts, violations: Sequence[Violation]) -> LicenseReport:
    return LicenseReport(
        digest=facts.digest,
        licenses=_packages_by_license(facts),
        packages=[
            LicensedPackage(package.name, package.version, package.license, package.exact)
            for package in facts.packages
        ],
        texts=dict(sorted(facts.texts.items())),
        forbidden=[
            ForbiddenLicense(violation.package, violation.license, violation.expression)
            for violation in violations
        ],
    )
