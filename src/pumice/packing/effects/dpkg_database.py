"""The effect that writes dpkg's database, for package tools and scanners (dpkg(1), FILES).

``list``, ``md5sums`` and ``conffiles`` of each package are part of its segment. There is no
``status.d`` in addition to ``status``, because scanners would count every package twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.formats import dpkgstate
from pumice.packing.effects import diversions
from pumice.packing.effects.model import EffectInput, EffectResult, directory_entry, file_entry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.packing.tree import GeneratedEntry, PackageFacts

ORIGIN = "effect:dpkg"
_ADMIN_DIRECTORY = "var/lib/dpkg"
_SUBDIRECTORIES = ("", "/alternatives", "/info", "/parts", "/triggers", "/updates")


def write_dpkg_database(inputs: EffectInput) -> EffectResult:
    """Return the database of all installed packages."""
    installed = [package for package in inputs.tree.packages if package.installed]
    directories = ("var", "var/lib", *(_ADMIN_DIRECTORY + directory for directory in _SUBDIRECTORIES))
    entries: list[GeneratedEntry] = [
        directory_entry(path, ORIGIN) for path in directories if inputs.tree.get(path) is None
    ]
    entries.append(file_entry(f"{_ADMIN_DIRECTORY}/status", encode_status(installed), ORIGIN))
    entries.append(file_entry(f"{_ADMIN_DIRECTORY}/available", b"", ORIGIN))
    entries.append(
        file_entry(f"{_ADMIN_DIRECTORY}/arch", f"{inputs.settings.architecture}\n".encode(), ORIGIN)
    )
    entries.append(file_entry(f"{_ADMIN_DIRECTORY}/info/format", b"1\n", ORIGIN))
    for name in ("diversions", "statoverride"):
        if inputs.tree.get(f"{_ADMIN_DIRECTORY}/{name}") is None:
            rows = (
                diversions.diversion_rows(package.name for package in installed)
                if name == "diversions"
                else ()
            )
            entries.append(
                file_entry(f"{_ADMIN_DIRECTORY}/{name}", dpkgstate.encode_diversions(rows), ORIGIN)
            )
    entries += _make_trigger_files(installed)
    return EffectResult(generated=tuple(entries))


def encode_status(packages: Iterable[PackageFacts]) -> bytes:
    """Return the content of the ``status`` file."""
    sorted_packages = sorted(packages, key=lambda package: (package.name, package.architecture))
    return "".join(
        dpkgstate.format_status(package.fields, package.conffiles) + "\n" for package in sorted_packages
    ).encode()


def info_file_prefix(package: PackageFacts) -> str:
    """Return the prefix of a package's files in ``info``, which includes a co-installable architecture."""
    if package.fields.get("Multi-Arch") == "same":
        return f"{package.name}:{package.architecture}"
    return package.name


def _make_trigger_files(packages: Iterable[PackageFacts]) -> Iterable[GeneratedEntry]:
    path_lines: list[str] = []
    packages_by_trigger: dict[str, list[str]] = {}
    for package in packages:
        for name, awaited in dpkgstate.read_trigger_interests(package.files.get("triggers", b"")):
            interested_package = info_file_prefix(package) + ("" if awaited else "/noawait")
            if name.startswith("/"):
                path_lines.append(f"{name} {interested_package}\n")
            elif "/" not in name and not name.startswith("."):
                packages_by_trigger.setdefault(name, []).append(f"{interested_package}\n")
    yield file_entry(f"{_ADMIN_DIRECTORY}/triggers/File", "".join(sorted(path_lines)).encode(), ORIGIN)
    yield file_entry(f"{_ADMIN_DIRECTORY}/triggers/Unincorp", b"", ORIGIN)
    for name in sorted(packages_by_trigger):
        yield file_entry(
            f"{_ADMIN_DIRECTORY}/triggers/{name}", "".join(sorted(packages_by_trigger[name])).encode(), ORIGIN
        )
