from __future__ import annotations

import pytest

from pumice.errors import FormatError, UsageError
from pumice.formats import platforms
from pumice.formats.oci import Platform

NAMES = {
    "amd64": "linux/amd64",
    "arm64": "linux/arm64/v8",
    "armhf": "linux/arm/v7",
    "armel": "linux/arm/v5",
    "i386": "linux/386",
    "ppc64el": "linux/ppc64le",
    "riscv64": "linux/riscv64",
    "s390x": "linux/s390x",
    "mips64el": "linux/mips64le",
}


@pytest.mark.parametrize(("debian", "name"), NAMES.items())
def test_debian_architectures_and_platforms_translate_both_ways(debian: str, name: str) -> None:
    assert platforms.format_platform(platforms.from_debian(debian)) == name
    assert platforms.to_debian(platforms.parse_platform(name)) == debian


def test_a_missing_variant_means_the_default_one() -> None:
    assert platforms.to_debian(Platform("arm64")) == "arm64"
    assert platforms.to_debian(Platform("arm")) == "armhf"
    assert platforms.to_debian(Platform("amd64", variant="v1")) == "amd64"


def test_unsupported_architectures_are_errors() -> None:
    with pytest.raises(FormatError, match="wasm"):
        platforms.to_debian(Platform("wasm", "wasi"))
    with pytest.raises(FormatError, match="vax"):
        platforms.from_debian("vax")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amd64", Platform("amd64")),
        ("x86_64", Platform("amd64")),
        ("linux/aarch64", Platform("arm64", variant="v8")),
        ("arm/v6", Platform("arm", variant="v6")),
        ("linux/arm/v6", Platform("arm", variant="v6")),
        ("windows/amd64", Platform("amd64", "windows")),
    ],
)
def test_parses_platforms_and_aliases(text: str, expected: Platform) -> None:
    assert platforms.parse_platform(text) == expected


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "linux/amd64 ", "../x", "linux/ämd64"])
def test_malformed_platforms_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError, match="is not a platform"):
        platforms.parse_platform(text)


def test_the_first_exact_match_wins() -> None:
    offered = [None, Platform("arm64"), Platform("amd64"), Platform("amd64", variant="v1")]
    assert platforms.choose_platform(offered, Platform("amd64")) == 2
    assert platforms.choose_platform(offered, Platform("arm64", variant="v8")) == 1


def test_chooses_the_newest_older_variant_and_never_a_newer_one() -> None:
    offered = [Platform("arm", variant=name) for name in ("v5", "v6", "v7")]
    assert platforms.choose_platform(offered[:2], Platform("arm", variant="v7")) == 1
    assert platforms.choose_platform(offered[2:], Platform("arm", variant="v6")) is None
    assert platforms.choose_platform(offered, Platform("riscv64")) is None
    assert platforms.choose_platform([Platform("arm", variant="x")], Platform("arm")) is None


def test_machines_have_platforms() -> None:
    assert platforms.format_platform(platforms.from_machine("x86_64")) == "linux/amd64"
    assert platforms.format_platform(platforms.from_machine("aarch64")) == "linux/arm64/v8"
    assert platforms.format_platform(platforms.from_machine("riscv64")) == "linux/riscv64"
