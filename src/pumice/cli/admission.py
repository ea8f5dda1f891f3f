"""What `pumice serve --require-signed` asks of an image before a tag may point to it.

The rules are those of `pumice trust`, and signatures are looked for where they are pushed to: among the
image's referrers, and under cosign's tags. Nothing is asked of a network.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.errors import ImageError, PumiceError, StoreError, UsageError
from pumice.formats import oci
from pumice.image.model import Image
from pumice.trust import claims, keyring, names, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pumice.clock import Clock
    from pumice.registry.server.writes import Offer
    from pumice.trust.keyring import Level

ATTACHMENT = re.compile(r"sha(?:256|512)-[a-f0-9]{64,123}(?:\.(?:sig|att|sbom))?")
"""Tags that registries have for what is about an image: signatures must come before the image's own tag."""

_INSTEAD = "push it by its digest, sign that, and set the tag then"


def policy(text: str) -> tuple[Level, ...]:
    """Return the folders of rules that ``text`` means: ``trust`` is everybody's, else it is one folder.

    Raises UsageError if there are none, FormatError for a rule that cannot be understood.
    """
    if text == "trust":
        levels = keyring.levels(os.environ)
    else:
        folder = Path(text).absolute()
        if not folder.is_dir():
            raise UsageError(
                "there is no such folder of rules",
                where=text,
                hint="a folder as 'pumice trust' makes them, or the word trust for your own rules",
            )
        levels = (keyring.Level("policy", folder),)
    if not keyring.rules(levels):
        raise UsageError(
            "no key is trusted there, so no tag could ever be set",
            where=text,
            hint="trust one first: pumice trust add --prefix PREFIX KEY",
        )
    return levels


def judge(levels: Sequence[Level], clock: Clock) -> Callable[[Offer], str | None]:
    """Return the function that says why a manifest may not have its tags, or None if it may.

    The rules are read each time, so a key that is revoked counts no more at once.
    """

    def accept(offer: Offer) -> str | None:
        wanted = [tag for tag in offer.tags if not ATTACHMENT.fullmatch(tag)]
        if not wanted:
            return None
        try:
            _check(offer, wanted, levels, clock.now())
        except StoreError:
            raise
        except PumiceError as error:
            return f"a tag may only point to an image that is trusted here: {error.message}; {_INSTEAD}"
        return None

    return accept


def _check(offer: Offer, tags: Sequence[str], levels: Sequence[Level], now: int) -> None:
    """Raise PumiceError unless the rules trust the image under each of the tags."""
    place = _Place(offer)
    image = Image(oci.Descriptor(offer.media_type, offer.digest, len(offer.body)), place, place.referrers)
    for tag in tags:
        problems: list[PumiceError] = []
        for name in _names(image, offer.repository, tag):
            try:
                _verify(image, name, levels, now)
            except PumiceError as error:
                problems.append(error)
            else:
                break
        else:
            raise problems[0]


def _names(image: Image, repository: str, tag: str) -> Iterator[str]:
    """Yield what an image may be signed as: the name that it has, or the place that it is put to.

    A registry goes by many host names, so the host of a place is the signer's word. An image that does
    not say what it is called may be signed as anything by keys that are trusted for every name.
    """
    own = names.own(image)
    yield own
    stated = {name for claim in claims.read(image, None, signatures_only=True) for name in claim.names}
    for name in sorted(stated):
        place, version = names.split(name)
        if place.partition("/")[2] == repository and version in ("", tag):
            yield f"{place}:{tag}"


def _verify(image: Image, name: str, levels: Sequence[Level], now: int) -> None:
    decision = keyring.decide(name, levels)
    verify.verify(
        image,
        None,
        decision.keys,
        expected=decision.name,
        now=now,
        threshold=decision.threshold,
        signatures_only=True,
    )


class _Place:
    """One repository of the server, with a manifest that is only offered to it yet."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def open(self, digest: str) -> BinaryIO:
        """Open a manifest or a blob."""
        offer = self._offer
        if digest == offer.digest:
            return io.BytesIO(offer.body)
        document = offer.source.manifest(offer.repository, digest)
        if document is not None:
            return io.BytesIO(document.body)
        blob = offer.source.blob(offer.repository, digest)
        if blob is None:
            raise ImageError("the repository does not have it", where=digest)
        if blob.content is not None:
            return io.BytesIO(blob.content)
        try:
            return Path(blob.path).open("rb")
        except OSError as error:
            raise StoreError("the registry's disk failed to read", where=digest) from error

    def referrers(self, about: str) -> tuple[oci.Descriptor, ...]:
        """Return what refers to a manifest, cosign's older signatures among it."""
        return tuple(self._referrers(about))

    def _referrers(self, about: str) -> Iterator[oci.Descriptor]:
        source, repository = self._offer.source, self._offer.repository
        tag = about.replace(":", "-") + ".sig"
        older = source.manifest(repository, tag)
        if older is not None:
            named = {oci.REF_NAME: tag}
            yield oci.Descriptor(older.media_type, older.digest, len(older.body), named)
        for data in source.referrers(repository, about):
            yield msgspec.json.decode(data, type=oci.Descriptor)
