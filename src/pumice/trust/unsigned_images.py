"""Unsigned images that a person accepted: files ``unsigned.d/HEX`` in the user's policy directory.

Each file covers exactly one digest, under the names that the person was shown, and only as long as the image
has no signature and no key is trusted for its name. Specified in ``docs/reference/trust.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice import digest, files, ownership
from pumice.errors import FormatError, TrustError, UsageError
from pumice.os_errors import translate_os_errors
from pumice.trust import policy, policy_files
from pumice.trust.trusted_key import format_day

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pumice.digest import Digest
    from pumice.trust.policy_files import PolicyDirectory

DIRECTORY = "unsigned.d"
_LEVEL = "user"
"""The only directory that is read: nobody can accept an image for another person."""
_MIN_DIGITS = 8


class UnsignedImage(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is shown about an unsigned image before accepting it.

    ``name`` is the name that it was requested by, "" for a digest or a location without names.
    """

    digest: Digest
    name: str
    reference: str
    platforms: tuple[str, ...]


class UnsignedImageError(TrustError):
    """Nobody signed the image; ``image`` is set if a person may accept it nevertheless."""

    image: UnsignedImage | None = None


class AcceptedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An unsigned image that was accepted under ``names``; without names only by its digest."""

    digest: Digest
    names: tuple[str, ...]
    accepted: str
    """The day, as ``YYYY-MM-DD``."""
    path: Path

    def covers(self, name: str) -> bool:
        """Return whether a request for ``name`` ("": by digest) is covered."""
        return not name or name in self.names


def find_accepted(image_digest: Digest, directories: Sequence[PolicyDirectory]) -> AcceptedImage | None:
    """Return the decision about a digest, None if there is none; raises FormatError for a damaged file."""
    path = _path(digest.hex_of(image_digest), directories)
    text = policy_files.read_text(path) if path else None
    return _parse(text, path) if text is not None and path else None


def list_accepted(directories: Sequence[PolicyDirectory]) -> list[AcceptedImage]:
    """Return every decision, sorted by digest; raises FormatError for a damaged file."""
    directory = _user_directory(directories)
    names = policy_files.list_directory(directory.path / DIRECTORY) if directory else []
    accepted_images = (find_accepted(f"sha256:{name}", directories) for name in names if _is_hex_digest(name))
    return [image for image in accepted_images if image is not None]


def accept(image: UnsignedImage, directories: Sequence[PolicyDirectory], *, now: int) -> Path | None:
    """Remember that a person accepts ``image``, and return the file, None without a home directory.

    Earlier names of the digest stay accepted. ``now`` is in seconds since the epoch. Raises StoreError.
    """
    path = _path(digest.hex_of(image.digest), directories)
    if path is None:
        return None
    earlier = find_accepted(image.digest, directories)
    names = dict.fromkeys([*(earlier.names if earlier else ()), *([image.name] if image.name else [])])
    lines = [f"Digest: {image.digest}", *(f"Name: {name}" for name in names), f"Accepted: {format_day(now)}"]
    with translate_os_errors(path):
        ownership.make_directories(path.parent)
    files.replace(path, "".join(f"{line}\n" for line in lines).encode(), mode=0o600)
    return path


def find_by_digits(text: str, directories: Sequence[PolicyDirectory]) -> AcceptedImage | None:
    """Return the decision whose digest begins with ``text``; raises UsageError if there are several."""
    digits = text.lower().removeprefix("sha256:")
    if len(digits) < _MIN_DIGITS:
        return None
    matches = [image for image in list_accepted(directories) if image.digest[7:].startswith(digits)]
    if len(matches) > 1:
        raise UsageError(f"digest {text[:80]} is ambiguous", hint="use more digits")
    return matches[0] if matches else None


def forget(image: AcceptedImage) -> Path:
    """Remove a decision and return its file; raises StoreError."""
    with translate_os_errors(image.path):
        image.path.unlink()
    return image.path


def confirm_and_accept(
    error: UnsignedImageError,
    confirm: Callable[[UnsignedImage], bool] | None,
    directories: Sequence[PolicyDirectory],
    *,
    now: int,
) -> Path | None:
    """Let a person accept the image of ``error``, and remember it; raises ``error`` if nobody does.

    ``confirm`` shows the image and returns the answer; None if there is nobody to ask.
    """
    if error.image is None or confirm is None or not confirm(error.image):
        raise error
    return accept(error.image, directories, now=now)


def _parse(text: str, path: Path) -> AcceptedImage:
    pairs = [line.partition(": ")[::2] for line in text.splitlines()]
    values = {key: value.strip() for key, value in pairs}
    names = tuple(value.strip() for key, value in pairs if key == "Name" and value.strip())
    if values.get("Digest") != f"sha256:{path.name}":
        raise FormatError("the accepted image does not have the digest of the file's name", where=str(path))
    return AcceptedImage(
        digest=values["Digest"], names=names, accepted=values.get("Accepted", "")[:10], path=path
    )


def _path(hex_digits: str, directories: Sequence[PolicyDirectory]) -> Path | None:
    directory = _user_directory(directories)
    return directory.path / DIRECTORY / hex_digits if directory else None


def _user_directory(directories: Sequence[PolicyDirectory]) -> PolicyDirectory | None:
    return next((directory for directory in directories if directory.name == _LEVEL), None)


def _is_hex_digest(name: str) -> bool:
    return len(name) == 64 and policy.is_fingerprint(name)
