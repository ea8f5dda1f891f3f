"""dpkg's database, so that package tools and scanners see what is installed (dpkg(1), FILES).

``list``, ``md5sums`` and ``conffiles`` of each package come with its own files. There is no
``status.d`` beside ``status``: scanners would count every package twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.formats import dpkgstate
from pumice.packing.effects import diversions
from pumice.packing.effects.model import EffectInput, EffectResult, directory_entry, file_entry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.packing.tree import GeneratedEntry, PackageFacts

BY = "effect:dpkg"
_ADMIN = "var/lib/dpkg"
_FOLDERS = ("", "/alternatives", "/info", "/parts", "/triggers", "/updates")


def write_dpkg_database(given: EffectInput) -> EffectResult:
    """Return the database of all packages that count as installed."""
    installed = [package for package in given.tree.packages if package.installed]
    folders = ("var", "var/lib", *(_ADMIN + folder for folder in _FOLDERS))
    made: list[GeneratedEntry] = [
        directory_entry(path, BY) for path in folders if given.tree.get(path) is None
    ]
    made.append(file_entry(f"{_ADMIN}/status", status(installed), BY))
    made.append(file_entry(f"{_ADMIN}/available", b"", BY))
    made.append(file_entry(f"{_ADMIN}/arch", f"{given.settings.architecture}\n".encode(), BY))
    made.append(file_entry(f"{_ADMIN}/info/format", b"1\n", BY))
    for name in ("diversions", "statoverride"):
        if given.tree.get(f"{_ADMIN}/{name}") is None:
            rows = (
                diversions.diversion_rows(package.name for package in installed)
                if name == "diversions"
                else ()
            )
            made.append(file_entry(f"{_ADMIN}/{name}", dpkgstate.encode_diversions(rows), BY))
    made += _triggers(installed)
    return EffectResult(generated=tuple(made))


def status(packages: Iterable[PackageFacts]) -> bytes:
    """Return the status file; raises nothing: the paragraphs were read strictly before."""
    ordered = sorted(packages, key=lambda package: (package.name, package.architecture))
    return "".join(
        dpkgstate.format_status(package.fields, package.conffiles) + "\n" for package in ordered
    ).encode()


def info_name(package: PackageFacts) -> str:
    """Return how files about a package are called: with its architecture if several may be installed."""
    if package.fields.get("Multi-Arch") == "same":
        return f"{package.name}:{package.architecture}"
    return package.name


def _triggers(packages: Iterable[PackageFacts]) -> Iterable[GeneratedEntry]:
    paths: list[str] = []
    named: dict[str, list[str]] = {}
    for package in packages:
        for name, awaited in dpkgstate.read_trigger_interests(package.files.get("triggers", b"")):
            who = info_name(package) + ("" if awaited else "/noawait")
            if name.startswith("/"):
                paths.append(f"{name} {who}\n")
            elif "/" not in name and not name.startswith("."):
                named.setdefault(name, []).append(f"{who}\n")
    yield file_entry(f"{_ADMIN}/triggers/File", "".join(sorted(paths)).encode(), BY)
    yield file_entry(f"{_ADMIN}/triggers/Unincorp", b"", BY)
    for name in sorted(named):
        yield file_entry(f"{_ADMIN}/triggers/{name}", "".join(sorted(named[name])).encode(), BY)
