"""Find the first difference between two images that should be identical: layer, path and attribute."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

import msgspec

from pumice.image.layer_scan import scan_layer

if TYPE_CHECKING:
    from pumice.image.layer import Layer
    from pumice.image.layer_scan import LayerScan
    from pumice.image.model import Image


class FirstDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The first difference. ``layer`` counts from 1, and is 0 outside of layers; ``path`` is absolute.

    ``given`` and ``rebuilt`` are the two values, ``what`` is the name of the attribute.
    """

    place: str
    layer: int = 0
    path: str = ""
    what: str
    given: str
    rebuilt: str


def find_first_difference(original: Image, rebuilt: Image) -> FirstDifference | None:
    """Return the first difference between two images of one platform, None if they are identical.

    Layers are compared from the lowest, then the config, then the manifest. Raises the errors of reading
    the images.
    """
    if original.select().root.digest == rebuilt.select().root.digest:
        return None
    original_layers, rebuilt_layers = original.layers(), rebuilt.layers()
    titles = [entry.created_by.removeprefix("pumice: ") for entry in rebuilt.config().history]
    for number, (original_layer, rebuilt_layer) in enumerate(zip_longest(original_layers, rebuilt_layers), 1):
        place = f"layer {number}"
        if number <= len(titles) == len(rebuilt_layers):
            place += f" ({titles[number - 1]})"
        if original_layer is None or rebuilt_layer is None:
            sides = [
                str(layer.diff_id) if layer else "no such layer" for layer in (original_layer, rebuilt_layer)
            ]
            return FirstDifference(place=place, layer=number, what="layer", given=sides[0], rebuilt=sides[1])
        if original_layer.descriptor.digest != rebuilt_layer.descriptor.digest:
            return _diff_layers(place, number, original_layer, rebuilt_layer)
    return _diff_documents(original, rebuilt)


def _diff_layers(place: str, number: int, original: Layer, rebuilt: Layer) -> FirstDifference:
    path, what, *sides = _describe_difference(original, rebuilt)
    return FirstDifference(place=place, layer=number, path=path, what=what, given=sides[0], rebuilt=sides[1])


def _describe_difference(original: Layer, rebuilt: Layer) -> tuple[str, str, str, str]:
    """Return the first path that differs in two layers, what differs, and the two values."""
    if original.diff_id == rebuilt.diff_id:
        return "", "compression", original.descriptor.digest, rebuilt.descriptor.digest
    scans = (scan_layer(original, detailed=True), scan_layer(rebuilt, detailed=True))
    for position, entries in enumerate(zip_longest(scans[0].entries, scans[1].entries)):
        original_entry, rebuilt_entry = entries
        if original_entry is None or rebuilt_entry is None or original_entry.path != rebuilt_entry.path:
            names = [f"/{entry.path}" if entry else "nothing more" for entry in entries]
            return names[1] if rebuilt_entry else names[0], "entry", names[0], names[1]
        if original_entry != rebuilt_entry or scans[0].digests[position] != scans[1].digests[position]:
            return f"/{original_entry.path}", *_diff_entries(*scans, position)
    return "", "bytes of the tar", original.diff_id, rebuilt.diff_id


def _diff_entries(original_scan: LayerScan, rebuilt_scan: LayerScan, position: int) -> tuple[str, str, str]:
    original_entry, rebuilt_entry = original_scan.entries[position], rebuilt_scan.entries[position]
    for field in ("kind", "mode", "uid", "gid", "link", "mtime", "xattrs", "size"):
        original_value, rebuilt_value = getattr(original_entry, field), getattr(rebuilt_entry, field)
        if original_value != rebuilt_value:
            if field == "mode":
                return field, f"{original_value:04o}", f"{rebuilt_value:04o}"
            return field, str(original_value)[:200], str(rebuilt_value)[:200]
    return (
        "content",
        f"sha256:{original_scan.digests[position].sha256}",
        f"sha256:{rebuilt_scan.digests[position].sha256}",
    )


def _diff_documents(original: Image, rebuilt: Image) -> FirstDifference:
    for place, original_document, rebuilt_document in (
        ("config", original.config(), rebuilt.config()),
        ("manifest", original.manifest(), rebuilt.manifest()),
    ):
        original_fields = msgspec.to_builtins(original_document)
        rebuilt_fields = msgspec.to_builtins(rebuilt_document)
        for key in sorted(original_fields.keys() | rebuilt_fields.keys()):
            if key != "config" or place == "config":
                original_value, rebuilt_value = original_fields.get(key), rebuilt_fields.get(key)
                if original_value != rebuilt_value:
                    return _diff_fields(place, key, original_value, rebuilt_value)
    sides = (original.select().root.digest, rebuilt.select().root.digest)
    return FirstDifference(place="manifest", what="bytes of the document", given=sides[0], rebuilt=sides[1])


def _diff_fields(place: str, key: str, original_value: object, rebuilt_value: object) -> FirstDifference:
    if isinstance(original_value, dict) and isinstance(rebuilt_value, dict):
        field = next(
            name
            for name in sorted(original_value.keys() | rebuilt_value.keys())
            if original_value.get(name) != rebuilt_value.get(name)
        )
        return FirstDifference(
            place=place,
            what=f"{key} {field}",
            given=_format_value(original_value.get(field)),
            rebuilt=_format_value(rebuilt_value.get(field)),
        )
    return FirstDifference(
        place=place, what=key, given=_format_value(original_value), rebuilt=_format_value(rebuilt_value)
    )


def _format_value(value: object) -> str:
    return "nothing" if value is None else msgspec.json.encode(value).decode()[:300]
