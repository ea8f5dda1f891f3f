"""Platforms and their names in OCI, in Debian and in the kernel.

OCI uses Go's GOOS, GOARCH and GOARM (image-spec 1.1, image-index.md, "platform variants"), Debian its
architectures (``dpkg-architecture -L``), and the kernel ``uname -m``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import FormatError, UsageError
from pumice.formats.oci import Platform

if TYPE_CHECKING:
    from collections.abc import Sequence

# Debian's armel has been built for ARMv5TE since 2019, armhf for ARMv7.
_DEBIAN: dict[str, Platform] = {
    "amd64": Platform("amd64"),
    "arm64": Platform("arm64", variant="v8"),
    "armel": Platform("arm", variant="v5"),
    "armhf": Platform("arm", variant="v7"),
    "i386": Platform("386"),
    "loong64": Platform("loong64"),
    "mips64el": Platform("mips64le"),
    "mipsel": Platform("mipsle"),
    "ppc64el": Platform("ppc64le"),
    "riscv64": Platform("riscv64"),
    "s390x": Platform("s390x"),
}

_MACHINES: dict[str, Platform] = {
    "aarch64": Platform("arm64", variant="v8"),
    "armv5tel": Platform("arm", variant="v5"),
    "armv6l": Platform("arm", variant="v6"),
    "armv7l": Platform("arm", variant="v7"),
    "armv8l": Platform("arm", variant="v7"),
    "i386": Platform("386"),
    "i586": Platform("386"),
    "i686": Platform("386"),
    "loongarch64": Platform("loong64"),
    "mips64": Platform("mips64le"),
    "x86_64": Platform("amd64"),
}

# The variant that an architecture without one means.
_DEFAULT_VARIANTS = {"arm64": "v8", "arm": "v7", "amd64": "v1"}

# Aliases that containerd accepts too.
_ALIASES: dict[str, Platform] = {
    "x86_64": Platform("amd64"),
    "x86-64": Platform("amd64"),
    "aarch64": Platform("arm64", variant="v8"),
    "armhf": Platform("arm", variant="v7"),
    "armel": Platform("arm", variant="v5"),
    "i386": Platform("386"),
    "ppc64el": Platform("ppc64le"),
    "mips64el": Platform("mips64le"),
}


def from_debian(architecture: str) -> Platform:
    """Return the platform of a Debian architecture; raises FormatError if it is not supported."""
    platform = _DEBIAN.get(architecture)
    if platform is None:
        raise _unknown_architecture(architecture)
    return platform


def to_debian(platform: Platform) -> str:
    """Return the Debian architecture of a platform; raises FormatError if there is none."""
    for architecture, candidate in _DEBIAN.items():
        if matches(candidate, platform):
            return architecture
    if platform.os == "linux" and platform.architecture not in {
        debian_platform.architecture for debian_platform in _DEBIAN.values()
    }:
        raise _unknown_architecture(platform.architecture)
    raise FormatError(
        f"Debian has no architecture for the platform {format_platform(platform)}",
        hint="supported: "
        + ", ".join(format_platform(supported_platform) for supported_platform in _DEBIAN.values()),
    )


def parse_architecture(name: str) -> str:
    """Return the Debian architecture for any of its names, such as ``x86_64``, or for a platform.

    Raises FormatError, or UsageError for what is not a name.
    """
    return name if name in _DEBIAN else to_debian(parse_platform(name))


def _unknown_architecture(name: str) -> FormatError:
    from difflib import get_close_matches

    oci_names = {platform.architecture: platform for platform in _DEBIAN.values()}
    names = _MACHINES | _ALIASES | oci_names | _DEBIAN
    matching_names = get_close_matches(name[:40].lower(), names, n=1)
    hint = "use one of " + ", ".join(_DEBIAN)
    if matching_names:
        hint = f"did you mean {to_debian(names[matching_names[0]])}?"
    return FormatError(f"unknown architecture {name[:40]!r}", hint=hint)


def from_machine(name: str) -> Platform:
    """Return the platform of a machine with this ``uname -m``."""
    return _MACHINES.get(name, Platform(name))


def parse_platform(text: str) -> Platform:
    """Return the platform for ``[OS/]ARCHITECTURE[/VARIANT]``; raises UsageError if it is malformed."""
    components = text.split("/")
    if not all(
        component and component.isascii() and component.replace("_", "").replace("-", "").isalnum()
        for component in components
    ):
        raise _make_platform_error(text)
    if len(components) == 1:
        return _named_platform(components[0])
    if len(components) == 2 and components[0] in ("arm", "arm64", "amd64"):
        return Platform(components[0], variant=components[1])
    if len(components) > 3:
        raise _make_platform_error(text)
    platform = _named_platform(components[1])
    return Platform(
        platform.architecture, components[0], components[2] if len(components) == 3 else platform.variant
    )


def _named_platform(architecture: str) -> Platform:
    return _ALIASES.get(architecture) or _MACHINES.get(architecture) or Platform(architecture)


def _make_platform_error(text: str) -> UsageError:
    return UsageError(
        f"{text[:100]!r} is not a platform",
        hint="expected OS/ARCHITECTURE[/VARIANT], such as linux/amd64 or linux/arm/v7",
    )


def format_platform(platform: Platform) -> str:
    """Return ``os/architecture[/variant]``."""
    variant_suffix = f"/{platform.variant}" if platform.variant else ""
    return f"{platform.os}/{platform.architecture}{variant_suffix}"


def matches(offered: Platform, requested: Platform) -> bool:
    """Return whether two platforms are equal; a missing variant is the default of the architecture."""
    return (
        offered.os == requested.os
        and offered.architecture == requested.architecture
        and _get_effective_variant(offered) == _get_effective_variant(requested)
    )


def choose_platform(offered: Sequence[Platform | None], requested: Platform) -> int | None:
    """Return the position of the best platform in ``offered`` for ``requested``, None if there is none.

    That is the first that matches (image-index.md), otherwise the newest older variant, because newer
    processors run code for older ones.
    """
    best_match: tuple[int, int] | None = None
    for position, platform in enumerate(offered):
        if platform is None:
            continue
        if matches(platform, requested):
            return position
        if (platform.os, platform.architecture) != (requested.os, requested.architecture):
            continue
        level, limit = _parse_variant_number(platform), _parse_variant_number(requested)
        if (
            level is not None
            and limit is not None
            and level < limit
            and (best_match is None or level > best_match[0])
        ):
            best_match = (level, position)
    return None if best_match is None else best_match[1]


def _get_effective_variant(platform: Platform) -> str:
    return platform.variant or _DEFAULT_VARIANTS.get(platform.architecture, "")


def _parse_variant_number(platform: Platform) -> int | None:
    digits = _get_effective_variant(platform).removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 4 else None
