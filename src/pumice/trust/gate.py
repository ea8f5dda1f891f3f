"""The gate that every image passes before it is used: built here, or signed by a key that is trusted.

What was built here passes with one look-up, and nothing that knows about keys is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.store.home import Home
    from pumice.trust.keyring import Decision, Level
    from pumice.trust.trusted import TrustedKey
    from pumice.trust.verify import Finding, Verdict

INSECURE = ("image",)
"""What ``--insecure-options`` can name."""


def admit(
    image: Image,
    home: Home,
    *,
    reference: str,
    environ: Mapping[str, str],
    progress: Progress,
    name: str = "",
    insecure: bool = False,
    allow_older: bool = False,
) -> None:
    """Return if the image may be used; raises TrustError that says why not.

    ``reference`` is how it was asked for: a name in it must be what the image is signed as, unless
    ``name`` says otherwise. ``insecure`` lets everything pass, and says so.
    """
    if home.built.has(image.root.digest):
        return
    if insecure:
        progress.warn(
            f"nothing is checked of who made {reference}: --insecure-options=image lets any image in"
        )
        return
    from pumice.clock import SystemClock
    from pumice.trust import keyring, names

    verdict, _ = judge(
        image,
        home,
        name or names.asked(reference, home, image),
        keyring.levels(environ),
        now=SystemClock().now(),
        allow_older=allow_older,
        signatures_only=True,
    )
    if ignored := remember(image, verdict, home, keep=True, allow_older=allow_older):
        progress.warn(ignored)


def judge(
    image: Image,
    home: Home,
    asked: str,
    levels: Sequence[Level],
    *,
    now: int,
    keep: bool = False,
    allow_older: bool = False,
    signatures_only: bool = False,
) -> tuple[Verdict, Decision]:
    """Return the verdict on an image by the trust store's rules, and the rules; raises TrustError.

    ``asked`` is the name that the image must have, "" for the one that it has. With ``keep`` older
    images will not pass any more.
    """
    from pumice.errors import TrustError
    from pumice.trust import keyring, names, verify

    name = asked or names.own(image)
    decision = keyring.decide(name, levels)
    if home.built.has(image.root.digest):
        known = verify.examine(
            image, home, decision.keys, expected=decision.name, now=now, signatures_only=signatures_only
        )
        return _built_here(image, name, known), decision
    try:
        verdict = verify.verify(
            image,
            home,
            decision.keys,
            expected=decision.name,
            now=now,
            threshold=decision.threshold,
            signatures_only=signatures_only,
        )
    except TrustError as error:
        hint = error.hint
        if not decision.keys:
            hint = f"no key is trusted for {decision.name or 'it'}: pumice trust add --prefix PREFIX KEY"
        hint = _hint(hint, image, decision.name)
        raise TrustError(error.message, where=error.where, hint=hint) from None
    remember(image, verdict, home, keep=keep, allow_older=allow_older)
    return verdict, decision


def _built_here(image: Image, name: str, known: Sequence[Finding]) -> Verdict:
    """Return the verdict on what this store built: trusted whoever signed it, with what is known of it."""
    from pumice.trust.verify import Verdict

    good = [one for one in known if not one.problem]
    return Verdict(
        digest=image.root.digest,
        name=name,
        built_here=True,
        signatures=tuple(one for one in good if one.claim.is_signature),
        attestations=tuple(one for one in good if not one.claim.is_signature),
        others=tuple(one for one in known if one.problem),
    )


def _hint(hint: str | None, image: Image, expected: str) -> str | None:
    """Return what to say of an image that a registry gave under a name that it is not signed as."""
    from pumice.trust import names

    if not expected or image.known_as != expected:
        return hint
    own = names.own(image)
    if own:
        first = [hint] if hint and "--as" not in hint else []
        return "; ".join([*first, _meant(image, own)])
    return (
        hint or "what is signed without a name must be asked for by its digest: docker://HOST/REPO@sha256:…"
    )


def _meant(image: Image, own: str) -> str:
    """Say how an image of a registry is taken for what it calls itself."""
    from pumice.trust import names

    (name, version), (place, tag) = names.split(own), names.split(image.known_as)
    stem, slash, last = name.rpartition("/")
    folder = place.removesuffix(f"/{last}")
    if not slash or version != tag or folder == place:
        return f"if {own} is what you mean, say --as {own}"
    return f"if {own} is what you mean, say --as {own}, or once: pumice trust mirror {folder} {stem}"


def given(
    image: Image,
    home: Home,
    asked: str,
    trusted: Sequence[TrustedKey],
    *,
    now: int,
    keep: bool = False,
    allow_older: bool = False,
) -> Verdict:
    """Return the verdict on an image by keys that were given for once; raises TrustError."""
    from pumice.errors import TrustError
    from pumice.trust import verify

    try:
        verdict = verify.verify(image, home, trusted, expected=asked, now=now)
    except TrustError as error:
        hint = _hint(error.hint, image, asked)
        raise TrustError(error.message, where=error.where, hint=hint) from None
    remember(image, verdict, home, keep=keep, allow_older=allow_older)
    return verdict


def remember(image: Image, verdict: Verdict, home: Home, *, keep: bool, allow_older: bool) -> str:
    """Refuse what is older than what was accepted under the name, and with ``keep`` remember this one.

    With ``allow_older`` it is not refused, and not remembered; returned is what to warn of.
    """
    from pumice.errors import TrustError
    from pumice.trust import accepted

    if verdict.built_here:  # whoever builds an old version here does it on purpose
        return ""
    try:
        found = accepted.check(image, verdict.name, home)
    except TrustError as error:
        if allow_older:
            return f"{error.where}: {error.message}; it is allowed by --allow-older"
        raise
    if found is not None and keep:
        accepted.remember(found, home)
    return ""
