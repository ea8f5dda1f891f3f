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


def _diff_layers(place: str, number: int, original_layer: Layer, rebuilt_layer: Layer) -> FirstDifference:
    if original_layer.diff_id == rebuilt_layer.diff_id:
        sides = (original_layer.descriptor.digest, rebuilt_layer.descriptor.digest)
        return FirstDifference(
            place=place, layer=number, what="compression", given=sides[0], rebuilt=sides[1]
        )
    original_scan, rebuilt_scan = (
        scan_layer(original_layer, detailed=True),
        scan_layer(rebuilt_layer, detailed=True),
    )
    for position, (left, right) in enumerate(zip_longest(original_scan.entries, rebuilt_scan.entries)):
        if left == right and original_scan.digests[position] == rebuilt_scan.digests[position]:
            continue
        if left is None or right is None or left.path != right.path:
            entry_names = [f"/{entry.path}" if entry else "nothing more" for entry in (left, right)]
            path = entry_names[1] if right else entry_names[0]
            return FirstDifference(
                place=place,
                layer=number,
                path=path,
                what="entry",
                given=entry_names[0],
                rebuilt=entry_names[1],
            )
        what, given, rebuilt = _diff_entries(original_scan, rebuilt_scan, position)
        return FirstDifference(
            place=place, layer=number, path=f"/{left.path}", what=what, given=given, rebuilt=rebuilt
        )
    return FirstDifference(
        place=place,
        layer=number,
        what="bytes of the tar",
        given=original_layer.diff_id,
        rebuilt=rebuilt_layer.diff_id,
    )


def _diff_entries(original_scan: LayerScan, rebuilt_scan: LayerScan, position: int) -> tuple[str, str, str]:
    left, right = original_scan.entries[position], rebuilt_scan.entries[position]
    for field in ("kind", "mode", "uid", "gid", "link", "mtime", "xattrs", "size"):
        a, b = getattr(left, field), getattr(right, field)
        if a != b:
            return (field, f"{a:04o}", f"{b:04o}") if field == "mode" else (field, str(a)[:200], str(b)[:200])
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
        left, right = msgspec.to_builtins(original_document), msgspec.to_builtins(rebuilt_document)
        for key in sorted(left.keys() | right.keys()):
            if key != "config" or place == "config":
                a, b = left.get(key), right.get(key)
                if a != b:
                    return _diff_fields(place, key, a, b)
    sides = (original.select().root.digest, rebuilt.select().root.digest)
    return FirstDifference(place="manifest", what="bytes of the document", given=sides[0], rebuilt=sides[1])


def _diff_fields(place: str, key: str, a: object, b: object) -> FirstDifference:
    if isinstance(a, dict) and isinstance(b, dict):
        inner = next(name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name))
        return FirstDifference(
            place=place,
            what=f"{key} {inner}",
            given=_format_value(a.get(inner)),
            rebuilt=_format_value(b.get(inner)),
        )
    return FirstDifference(place=place, what=key, given=_format_value(a), rebuilt=_format_value(b))


def _format_value(value: object) -> str:
    return "nothing" if value is None else msgspec.json.encode(value).decode()[:300]
