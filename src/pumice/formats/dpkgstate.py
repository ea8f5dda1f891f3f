"""Files of dpkg's database: ``status``, ``diversions`` and ``triggers`` (dpkg(1), deb-triggers(5))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.formats.lines import split_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ORDER = [
    "Package",
    "Essential",
    "Protected",
    "Status",
    "Priority",
    "Section",
    "Installed-Size",
    "Origin",
    "Maintainer",
    "Bugs",
    "Architecture",
    "Multi-Arch",
    "Source",
    "Version",
    "Replaces",
    "Provides",
    "Depends",
    "Pre-Depends",
    "Recommends",
    "Suggests",
    "Breaks",
    "Conflicts",
    "Enhances",
    "Conffiles",
    "Description",
]
"""The order in which dpkg writes known fields (``lib/dpkg/parse.c``); other fields follow unchanged."""


def format_status(fields: Mapping[str, str], conffiles: Mapping[str, str]) -> str:
    """Return the ``status`` paragraph of an installed package.

    ``fields`` is its control paragraph; ``conffiles`` maps paths to MD5 sums in hexadecimal.
    """
    fields_by_key = {name.lower(): (name, value) for name, value in fields.items()}
    fields_by_key["status"] = ("Status", "install ok installed")
    fields_by_key.pop("conffiles", None)
    if conffiles:
        lines = (f"\n {path} {conffiles[path]}" for path in conffiles)
        fields_by_key["conffiles"] = ("Conffiles", "".join(lines))
    ordered_keys = [name.lower() for name in _ORDER if name.lower() in fields_by_key]
    other_keys = [name for name in fields_by_key if name not in ordered_keys]
    ordered_fields = [fields_by_key[name] for name in (*ordered_keys, *other_keys)]
    names = dict(zip((name.lower() for name in _ORDER), _ORDER, strict=True))
    return "".join(_format_field(names.get(name.lower(), name), value) for name, value in ordered_fields)


def _format_field(name: str, value: str) -> str:
    if value.startswith("\n"):
        return f"{name}:{value}\n"
    return f"{name}: {value}\n"


def encode_diversions(rows: Iterable[tuple[str, str, str]]) -> bytes:
    """Return the ``diversions`` file for rows of (path, diverted path, package) (dpkg-divert(1))."""
    return "".join(f"{path}\n{target}\n{package}\n" for path, target, package in rows).encode()


def read_trigger_interests(triggers: bytes) -> Iterable[tuple[str, bool]]:
    """Yield each trigger that a ``triggers`` control file is interested in, and whether it awaits it."""
    for line in split_lines(triggers.decode("utf-8", "replace")):
        fields = line.partition("#")[0].split()
        if len(fields) == 2 and fields[0] in ("interest", "interest-await", "interest-noawait"):
            yield fields[1], fields[0] != "interest-noawait"
