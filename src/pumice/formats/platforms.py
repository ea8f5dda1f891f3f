"""Platforms by their three names: OCI's, the distribution's, and the kernel's.

OCI's are Go's GOOS, GOARCH and GOARM (image-spec 1.1, image-index.md, "platform variants");
Debian's are architectures (``dpkg-architecture -L``); the kernel's is ``uname -m``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import FormatError, UsageError
from pumice.formats.oci import Platform

if TYPE_CHECKING:
    from collections.abc import Sequence

# Debian's armel is built for ARMv5TE since 2019, armhf for ARMv7.
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

# What an architecture without a variant stands for.
_PLAIN_VARIANT = {"arm64": "v8", "arm": "v7", "amd64": "v1"}

# Other people's spellings, as containerd understands them.
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
    """Return the platform of a Debian architecture; raises FormatError for one that has none."""
    platform = _DEBIAN.get(architecture)
    if platform is None:
        raise FormatError(
            f"{architecture!r} is no architecture that images are known for",
            hint="known are " + ", ".join(_DEBIAN),
        )
    return platform


def to_debian(platform: Platform) -> str:
    """Return the Debian architecture for a platform; raises FormatError when there is none."""
    for architecture, known in _DEBIAN.items():
        if matches(known, platform):
            return architecture
    raise FormatError(
        f"Debian has no architecture for the platform {format_platform(platform)}",
        hint="there is " + ", ".join(format_platform(known) for known in _DEBIAN.values()),
    )


def from_machine(name: str) -> Platform:
    """Return the platform that a machine with this ``uname -m`` runs."""
    return _MACHINES.get(name, Platform(name))


def parse_platform(given: str) -> Platform:
    """Read ``[OS/]ARCHITECTURE[/VARIANT]`` as a person writes it; raises UsageError."""
    parts = given.split("/")
    if not all(
        part and part.isascii() and part.replace("_", "").replace("-", "").isalnum() for part in parts
    ):
        raise _unreadable(given)
    if len(parts) == 1:
        return _ALIASES.get(parts[0], Platform(parts[0]))
    if len(parts) == 2 and parts[0] in ("arm", "arm64", "amd64"):
        return Platform(parts[0], variant=parts[1])
    if len(parts) > 3:
        raise _unreadable(given)
    known = _ALIASES.get(parts[1], Platform(parts[1]))
    return Platform(known.architecture, parts[0], parts[2] if len(parts) == 3 else known.variant)


def _unreadable(given: str) -> UsageError:
    return UsageError(
        f"{given[:100]!r} is no platform", hint="platforms look like linux/amd64 or linux/arm/v7"
    )


def format_platform(platform: Platform) -> str:
    """Return ``os/architecture[/variant]``."""
    tail = f"/{platform.variant}" if platform.variant else ""
    return f"{platform.os}/{platform.architecture}{tail}"


def matches(offered: Platform, wanted: Platform) -> bool:
    """Whether ``offered`` is ``wanted``: a missing variant means the architecture's usual one."""
    return (
        offered.os == wanted.os
        and offered.architecture == wanted.architecture
        and _variant(offered) == _variant(wanted)
    )


def choose_platform(offered: Sequence[Platform | None], wanted: Platform) -> int | None:
    """Return which of ``offered`` to take for ``wanted``, None if nothing fits.

    The first that matches (image-index.md); else, as newer processors run what older ones do, the
    newest older variant.
    """
    best: tuple[int, int] | None = None
    for position, platform in enumerate(offered):
        if platform is None:
            continue
        if matches(platform, wanted):
            return position
        if (platform.os, platform.architecture) != (wanted.os, wanted.architecture):
            continue
        level, limit = _level(platform), _level(wanted)
        if level is not None and limit is not None and level < limit and (best is None or level > best[0]):
            best = (level, position)
    return None if best is None else best[1]


def _variant(platform: Platform) -> str:
    return platform.variant or _PLAIN_VARIANT.get(platform.architecture, "")


def _level(platform: Platform) -> int | None:
    digits = _variant(platform).removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 4 else None
