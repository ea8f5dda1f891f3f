"""Where an image goes: ``-o DEST`` of the command line, taken apart and dispatched.

Each kind of place has its own file; they are imported when used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.errors import ImageError, UsageError
from pumice.formats import platforms
from pumice.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from pumice.formats.oci import Platform
    from pumice.image.model import Image
    from pumice.image.stat_cache import Records
    from pumice.progress import Progress

Kind = Literal["oci", "oci-archive", "docker-archive", "tar", "dir"]

STANDARD_OUTPUT = "-"
_FORMS: dict[Kind, str] = {
    "oci": "oci:DIR[:TAG]",
    "oci-archive": "oci-archive:FILE[:TAG]",
    "docker-archive": "docker-archive:FILE[:TAG]",
    "tar": "tar:FILE",
    "dir": "dir:DIR",
}
_TAGGED = ("oci", "oci-archive", "docker-archive")
ONE_PLATFORM = ("docker-archive", "tar", "dir")
"""Places that hold one platform's files, and nothing about them."""
_SEPARATORS = frozenset("-._:@+")
_MAX_TAG = 255


class Destination(msgspec.Struct, frozen=True):
    """A place to write an image to. ``path`` is ``-`` for standard output; ``tag`` may be empty."""

    kind: Kind
    path: str
    tag: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}:{self.tag}" if self.tag else f"{self.kind}:{self.path}"


def parse(text: str) -> Destination:
    """Read a DEST; raises UsageError for anything that is none.

    The first colon ends the kind, the second the path: as in skopeo, a path has no colon.
    """
    scheme, colon, rest = text.partition(":")
    kind = next((kind for kind in _FORMS if kind == scheme), None)
    if not colon or kind is None:
        raise _unknown(text, scheme if colon else "")
    path, colon, tag = rest.partition(":")
    if not path or "\0" in path:
        raise UsageError(f"{text!r} names no {_noun(kind)}", hint=f"write {_FORMS[kind]}")
    if colon and kind not in _TAGGED:
        raise UsageError(
            f"{text!r} has a tag, but a {kind} has no place for one", hint=f"write {_FORMS[kind]}"
        )
    if colon and not _is_tag(tag):
        raise UsageError(
            f"{tag[:100]!r} is no tag",
            where=text[:200],
            hint="tags are letters and digits joined by one of -._: and a path has no colon",
        )
    if path == STANDARD_OUTPUT and kind in ("oci", "dir"):
        raise UsageError(
            f"a folder cannot be written to standard output, as {text!r} asks", hint="use oci-archive:-"
        )
    return Destination(kind, path, tag)


def check(
    destinations: Sequence[Destination], *, name: str, version: str, wanted: Sequence[Platform]
) -> None:
    """Refuse, before anything is built, what `write` would refuse afterwards.

    ``wanted`` are the platforms that the image will have. Raises UsageError and ImageError.
    """
    if sum(destination.path == STANDARD_OUTPUT for destination in destinations) > 1:
        raise UsageError("only one destination can be standard output")
    for destination in destinations:
        if destination.kind in ONE_PLATFORM and len(wanted) > 1:
            raise _too_many(destination, wanted)
        tag = destination.tag or version
        if destination.kind == "docker-archive":
            from pumice.image.transports import docker_archive

            docker_archive.reference(name, tag)
        elif destination.kind in _TAGGED:
            _checked(tag, destination)


def write(
    image: Image,
    destination: Destination,
    *,
    name: str = "",
    version: str = "",
    platform: Platform | None = None,
    records: Records | None = None,
    progress: Progress | None = None,
    stdout: BinaryIO | None = None,
    listed: bool = False,
) -> None:
    """Write an image to a place; what fails leaves nothing behind.

    ``name`` and ``version`` are the image's own, for the tag where the destination has none.
    ``platform`` narrows an image of several. ``records`` remembers what a layout folder holds
    (``Home.records``). ``stdout`` is where ``-`` goes. ``listed`` puts evidence and signatures into a
    layout's ``index.json`` itself (see `layout.whole`). Raises ImageError.
    """
    progress = progress or Silent()
    if platform is not None:
        image = image.select(platform)
    elif destination.kind in ONE_PLATFORM:
        image = _only(image, destination)
    tag = destination.tag or version
    path = Path(destination.path)
    if destination.kind == "oci":
        from pumice.image.transports import layout

        checked = _checked(tag, destination)
        layout.write(image, path, checked, records=records, progress=progress, name=name, listed=listed)
    elif destination.kind == "dir":
        from pumice.image import rootfs

        rootfs.write_folder(image, path, progress=progress)
    else:
        _write_file(image, destination, name, tag, progress, stdout, listed=listed)


def _write_file(
    image: Image,
    destination: Destination,
    name: str,
    tag: str,
    progress: Progress,
    stdout: BinaryIO | None,
    *,
    listed: bool,
) -> None:
    from pumice.image.output import Output

    with Output(destination.path, stdout) as output:
        if destination.kind == "oci-archive":
            from pumice.image.transports import layout_archive

            checked = _checked(tag, destination)
            layout_archive.write(image, output, checked, progress=progress, name=name, listed=listed)
        elif destination.kind == "docker-archive":
            from pumice.image.transports import docker_archive

            docker_archive.write(image, output, docker_archive.reference(name, tag), progress=progress)
        else:
            from pumice.image import rootfs

            rootfs.write_tar(image, output, progress=progress)


def _only(image: Image, destination: Destination) -> Image:
    members = image.members()
    if len(members) <= 1:
        return image.select()
    raise _too_many(destination, [platform for _, platform in members])


def _too_many(destination: Destination, found: Sequence[Platform]) -> ImageError:
    names = ", ".join(platforms.format_platform(platform) for platform in found)
    return ImageError(
        f"a {destination.kind} holds one platform, and the image is for {len(found)}",
        where=str(destination),
        hint=f"choose with --platform one of {names}, or write an oci: layout, which holds all",
    )


def _checked(tag: str, destination: Destination) -> str:
    if _is_tag(tag):
        return tag
    what = f"the version {tag!r} cannot be a tag" if tag else "the image needs a tag here"
    raise UsageError(what, where=str(destination), hint=f"write {destination.kind}:{destination.path}:TAG")


def _is_tag(text: str) -> bool:
    """Whether ``text`` may be a reference name (annotations.md, org.opencontainers.image.ref.name).

    Without a regular expression: this is on the way of every build.
    """
    return len(text) <= _MAX_TAG and text.isascii() and all(_is_component(part) for part in text.split("/"))


def _is_component(text: str) -> bool:
    separated = False
    for letter in text.replace("--", "-"):
        if not letter.isalnum() and (separated or letter not in _SEPARATORS):
            return False
        separated = not letter.isalnum()
    return text[:1].isalnum() and text[-1:].isalnum()


def _noun(kind: Kind) -> str:
    return "folder" if kind in ("oci", "dir") else "file"


def _unknown(text: str, scheme: str) -> UsageError:
    from difflib import get_close_matches

    shown = text[:200]
    if not scheme:
        kind = "oci-archive" if shown.endswith(".tar") else "oci"
        return UsageError(
            f"{shown!r} does not say what kind of destination it is", hint=f"write for example {kind}:{shown}"
        )
    close = get_close_matches(scheme, _FORMS, n=1)
    hint = f"did you mean {close[0]}:?" if close else "there are " + ", ".join(_FORMS.values())
    return UsageError(f"{shown!r} is no destination: there is no kind {scheme[:40]!r}", hint=hint)
