"""What `pumice serve --require-signed` asks of an image before a tag may point to it.

The rules are those of `pumice trust`, and signatures are looked for where they are pushed to: among the
image's referrers, and under cosign's tags. Nothing is asked of a network.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.errors import ImageError, PumiceError, StoreError, TrustError, UsageError
from pumice.formats import oci
from pumice.image.model import Image
from pumice.trust import claims, image_names, image_verification, rollback
from pumice.trust import policy as trust_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pumice.clock import Clock
    from pumice.registry.server.offer import Offer
    from pumice.store.home import Home
    from pumice.trust.image_verification import VerifiedImage
    from pumice.trust.policy import PolicyDirectory
    from pumice.trust.rollback import AcceptedImage

ATTACHMENT = re.compile(r"sha(?:256|512)-[a-f0-9]{64,123}(?:\.(?:sig|att|sbom))?")
"""Tags that registries have for what is about an image: signatures must come before the image's own tag."""

_FULL_VERSION = re.compile(r"v?[0-9]+(?:\.[0-9].*|[-_.].*)?")
"""Tags that say a version; ``1a2b3c4`` is none."""

_INSTEAD = "push it by its digest, sign that, and set the tag then"


def policy(text: str) -> tuple[PolicyDirectory, ...]:
    """Return the folders of rules that ``text`` means: ``trust`` is everybody's, else it is one folder.

    Raises UsageError if there are none, FormatError for a rule that cannot be understood.
    """
    if text == "trust":
        levels = trust_policy.policy_directories(os.environ)
    else:
        folder = Path(text).absolute()
        if not folder.is_dir():
            raise UsageError(
                "there is no such folder of rules",
                where=text,
                hint="a folder as 'pumice trust' makes them, or the word trust for your own rules",
            )
        levels = (trust_policy.PolicyDirectory("policy", folder),)
    if not trust_policy.read_rules(levels):
        raise UsageError(
            "no key is trusted there, so no tag could ever be set",
            where=text,
            hint="trust one first: pumice trust add --prefix PREFIX KEY",
        )
    return levels


def judge(levels: Sequence[PolicyDirectory], clock: Clock, records: Home) -> Callable[[Offer], str | None]:
    """Return the function that says why a manifest may not have its tags, or None if it may.

    The rules are read each time, so a key that is revoked counts no more at once. ``records`` is where it
    is kept what each tag has pointed to: a tag never goes back.
    """

    def accept(offer: Offer) -> str | None:
        tags = [tag for tag in offer.tags if not ATTACHMENT.fullmatch(tag)]
        if not tags:
            return None
        try:
            _check(offer, tags, levels, records, clock.now())
        except StoreError:
            raise
        except PumiceError as error:
            return f"a tag may only point to an image that is trusted here: {error.message}; {_INSTEAD}"
        return None

    return accept


def _check(
    offer: Offer, tags: Sequence[str], levels: Sequence[PolicyDirectory], records: Home, now: int
) -> None:
    """Raise PumiceError unless the rules trust the image under each of the tags; then record it."""
    place = _Place(offer)
    image = Image(oci.Descriptor(offer.media_type, offer.digest, len(offer.body)), place, place.referrers)
    admitted = [_admit_tag(image, offer.repository, tag, levels, records, now) for tag in tags]
    for record in admitted:
        if record is not None:
            rollback.record_accepted(record, records)


def _admit_tag(
    image: Image, repository: str, tag: str, levels: Sequence[PolicyDirectory], records: Home, now: int
) -> AcceptedImage | None:
    """Return what to record of an image that a tag may point to; raises PumiceError if it may not."""
    problems: list[PumiceError] = []
    for name in _names(image, repository, levels):
        try:
            verdict = _verify(image, name, levels, now)
            version = _version(image, verdict, name, tag)
            if version and name:  # the keys that are needed must have signed this version, and not any
                verdict = _verify(image, f"{name}:{version}", levels, now)
            return _check_rollback(image, verdict.signed_at, repository, tag, version, records)
        except StoreError:
            raise
        except PumiceError as error:
            problems.append(error)
    raise problems[0]


def _names(image: Image, repository: str, levels: Sequence[PolicyDirectory]) -> list[str]:
    """Return the names, without versions, by which an image may be put into a repository.

    They are those that it is signed as (believed or not yet) and that are the repository's: its path with
    any host, because a registry goes by many, or what a mirror rule says. "" stands for an image that
    nobody calls anything, which keys that are trusted for every name may sign. Raises TrustError.
    """
    stated = {name for claim in claims.read_claims(image, None, signatures_only=True) for name in claim.names}
    plain = {image_names.split_name(name)[0] for name in (*stated, image_names.declared_name(image)) if name}
    if not plain:
        return [""]
    fitting = [name for name in sorted(plain) if _is_of(name, repository)]
    fitting += [name for name in _mirrored(repository, levels) if name in plain and name not in fitting]
    if fitting:
        return fitting
    if not stated:
        return sorted(plain)  # which says better what is missing: a signature
    raise TrustError(
        f"it is signed as {' and '.join(sorted(plain)[:5])}, not as {repository}",
        hint="a mirror rule says what a repository is a mirror of: pumice trust mirror HOST/REPOSITORY NAME",
    )


def _is_of(name: str, repository: str) -> bool:
    return repository in (name, name.partition("/")[2])


def _mirrored(repository: str, levels: Sequence[PolicyDirectory]) -> Iterator[str]:
    """Yield what the images of a repository are called by the mirror rules, whatever host these name."""
    for prefix, target in trust_policy.read_mirrors(levels).items():
        for folder in (prefix, prefix.partition("/")[2]):
            if folder and f"{repository}/".startswith(f"{folder}/"):
                yield target + repository[len(folder) :]


def _version(image: Image, verdict: VerifiedImage, name: str, tag: str) -> str:
    """Return the signed version that a tag may stand for, "" if none is signed; raises TrustError."""
    stated = [image_names.split_name(text) for one in verdict.signatures for text in one.claim.names]
    if not name and stated:
        raise TrustError("it is signed as another image")
    versions = {version for plain, version in stated if plain == name and version}
    own = image_names.read_annotations(image).get(image_names.VERSION, "")
    if own and not versions:
        versions = {own}  # the signed digest covers it
    if not versions or tag in versions:
        return tag if versions else ""
    fitting = sorted(version for version in versions if may_move(tag, version))
    if not fitting:
        text = f"its signed version is {' and '.join(sorted(versions)[:5])}, and the tag is {tag}"
        raise TrustError(text)
    return fitting[-1]


def may_move(tag: str, version: str) -> bool:
    """Return whether a tag may point to different versions over time, this one among them.

    So do words (``latest``), and the first elements of a version (``1.2`` for ``1.2.3``).
    """
    if not _FULL_VERSION.fullmatch(tag):
        return True
    short, whole = tag.removeprefix("v"), version.removeprefix("v")
    return whole.startswith((f"{short}.", f"{short}-", f"{short}_"))


def _check_rollback(
    image: Image, signed: int, repository: str, tag: str, version: str, records: Home
) -> AcceptedImage | None:
    """Return what to record; raises TrustError if the tag would go back. ``signed`` is when it was signed."""
    name = f"{repository}/{tag}"
    known = [one.version for one in rollback.read_accepted(name, records) if one.version != tag]
    if not version and known:
        raise TrustError(f"it does not say its version, and the tag has been at {known[0]}")
    return rollback.check_rollback(image, f"{name}:{version or tag}", records, signed=signed)


def _verify(image: Image, name: str, levels: Sequence[PolicyDirectory], now: int) -> VerifiedImage:
    decision = trust_policy.read_name_policy(name, levels)
    return image_verification.verify_image(
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
        file = self._offer.open(digest)
        if file is None:
            raise ImageError("not found in the repository", where=digest)
        return file

    def referrers(self, about: str) -> tuple[oci.Descriptor, ...]:
        """Return what refers to a manifest, cosign's older signatures among it."""
        return tuple(self._referrers(about))

    def _referrers(self, about: str) -> Iterator[oci.Descriptor]:
        storage, repository = self._offer.storage, self._offer.repository
        tag = about.replace(":", "-") + ".sig"
        older = storage.manifests.find(repository, tag)
        if older is not None:
            named = {oci.REF_NAME: tag}
            yield oci.Descriptor(older.media_type, older.digest, len(older.body), named)
        for data in storage.referrers.list(repository, about):
            yield msgspec.json.decode(data, type=oci.Descriptor)
