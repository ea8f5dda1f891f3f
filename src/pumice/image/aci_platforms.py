"""The platforms of App Container and their names in OCI."""

from __future__ import annotations

from pumice.errors import FormatError
from pumice.formats import oci
from pumice.formats.platforms import format_platform

ARCHITECTURES = {
    ("linux", "amd64", ""): "amd64",
    ("linux", "386", ""): "i386",
    ("linux", "arm64", ""): "aarch64",
    ("linux", "arm64", "v8"): "aarch64",
    ("linux", "arm", ""): "armv7l",
    ("linux", "arm", "v6"): "armv6l",
    ("linux", "arm", "v7"): "armv7l",
    ("linux", "ppc64", ""): "ppc64",
    ("linux", "ppc64le", ""): "ppc64le",
    ("linux", "s390x", ""): "s390x",
    ("freebsd", "amd64", ""): "amd64",
    ("freebsd", "386", ""): "i386",
    ("freebsd", "arm", ""): "arm",
    ("darwin", "amd64", ""): "x86_64",
}
"""The label `arch` by operating system, architecture and variant of OCI."""
OCI_PLATFORMS = {
    **{
        (system, name): oci.Platform(arch, system, variant)
        for (system, arch, variant), name in reversed(ARCHITECTURES.items())
    },
    ("linux", "aarch64_be"): oci.Platform("arm64be", "linux"),
    ("linux", "armv7b"): oci.Platform("armbe", "linux", "v7"),
    ("linux", "armv6l"): oci.Platform("arm", "linux", "v6"),
    ("linux", "armv7l"): oci.Platform("arm", "linux", "v7"),
    ("darwin", "i386"): oci.Platform("386", "darwin"),
}
"""The platform of OCI by the labels `os` and `arch`."""


def find_architecture(platform: oci.Platform) -> str:
    """Return the name that App Container has for a platform's architecture; raises FormatError if none."""
    architecture = ARCHITECTURES.get((platform.os, platform.architecture, platform.variant))
    if architecture is None:
        known = sorted({f"{system}/{arch}" for system, arch, _ in ARCHITECTURES})
        raise FormatError(
            f"App Container has no platform {format_platform(platform)[:60]!r}",
            hint=f"it has {', '.join(known)}",
        )
    return architecture
