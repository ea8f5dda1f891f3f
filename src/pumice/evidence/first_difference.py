"""Where two images that should be identical first part: layer, path and what about it."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

import msgspec

from pumice.image.layer_scan import scan_layer

if TYPE_CHECKING:
    from pumice.image.layer import Layer
    from pumice.image.layer_scan import LayerScan
    from pumice.image.model import Image


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The first difference. ``layer`` counts from 1, 0 where it is not in a layer; ``path`` has its slash.

    ``given`` and ``rebuilt`` say what there is on either side.
    """

    place: str
    layer: int = 0
    path: str = ""
    what: str
    given: str
    rebuilt: str


def find(given: Image, rebuilt: Image) -> Found | None:
    """Return the first difference between two images of one platform, None if they are identical.

    Layers come first, from the lowest, then the config, then the manifest. Raises what reading does.
    """
    if given.select().root.digest == rebuilt.select().root.digest:
        return None
    one, two = given.layers(), rebuilt.layers()
    titles = [entry.created_by.removeprefix("pumice: ") for entry in rebuilt.config().history]
    for number, (mine, theirs) in enumerate(zip_longest(one, two), 1):
        place = f"layer {number}"
        if number <= len(titles) == len(two):
            place += f" ({titles[number - 1]})"
        if mine is None or theirs is None:
            sides = [str(layer.diff_id) if layer else "no such layer" for layer in (mine, theirs)]
            return Found(place=place, layer=number, what="layer", given=sides[0], rebuilt=sides[1])
        if mine.descriptor.digest != theirs.descriptor.digest:
            return _in_layer(place, number, mine, theirs)
    return _in_documents(given, rebuilt)


def _in_layer(place: str, number: int, mine: Layer, theirs: Layer) -> Found:
    if mine.diff_id == theirs.diff_id:
        sides = (mine.descriptor.digest, theirs.descriptor.digest)
        return Found(place=place, layer=number, what="compression", given=sides[0], rebuilt=sides[1])
    one, two = scan_layer(mine, detailed=True), scan_layer(theirs, detailed=True)
    for position, (left, right) in enumerate(zip_longest(one.entries, two.entries)):
        if left == right and one.digests[position] == two.digests[position]:
            continue
        if left is None or right is None or left.path != right.path:
            named = [f"/{entry.path}" if entry else "nothing more" for entry in (left, right)]
            path = named[1] if right else named[0]
            return Found(place=place, layer=number, path=path, what="entry", given=named[0], rebuilt=named[1])
        what, given, rebuilt = _what(one, two, position)
        return Found(place=place, layer=number, path=f"/{left.path}", what=what, given=given, rebuilt=rebuilt)
    return Found(
        place=place, layer=number, what="bytes of the tar", given=mine.diff_id, rebuilt=theirs.diff_id
    )


def _what(one: LayerScan, two: LayerScan, position: int) -> tuple[str, str, str]:
    left, right = one.entries[position], two.entries[position]
    for field in ("kind", "mode", "uid", "gid", "link", "mtime", "xattrs", "size"):
        a, b = getattr(left, field), getattr(right, field)
        if a != b:
            return (field, f"{a:04o}", f"{b:04o}") if field == "mode" else (field, str(a)[:200], str(b)[:200])
    return "content", f"sha256:{one.digests[position].sha256}", f"sha256:{two.digests[position].sha256}"


def _in_documents(given: Image, rebuilt: Image) -> Found:
    for place, one, two in (
        ("config", given.config(), rebuilt.config()),
        ("manifest", given.manifest(), rebuilt.manifest()),
    ):
        left, right = msgspec.to_builtins(one), msgspec.to_builtins(two)
        for key in sorted(left.keys() | right.keys()):
            if key != "config" or place == "config":
                a, b = left.get(key), right.get(key)
                if a != b:
                    return _narrowed(place, key, a, b)
    sides = (given.select().root.digest, rebuilt.select().root.digest)
    return Found(place="manifest", what="bytes of the document", given=sides[0], rebuilt=sides[1])


def _narrowed(place: str, key: str, a: object, b: object) -> Found:
    if isinstance(a, dict) and isinstance(b, dict):
        inner = next(name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name))
        return Found(
            place=place, what=f"{key} {inner}", given=_text(a.get(inner)), rebuilt=_text(b.get(inner))
        )
    return Found(place=place, what=key, given=_text(a), rebuilt=_text(b))


def _text(value: object) -> str:
    return "nothing" if value is None else msgspec.json.encode(value).decode()[:300]
