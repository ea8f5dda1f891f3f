"""What a person can do about an image that is not admitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.trust import image_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.image.model import Image


def suggest_key(expected: str, fingerprints: Sequence[str]) -> str:
    """Return the hint for an image under a name for which no key is trusted.

    ``fingerprints`` are those of the keys that its signatures name.
    """
    prefix = image_names.split_name(expected)[0] or "PREFIX"
    hint = f"no key is trusted for {expected or 'it'}: pumice trust add --prefix {prefix} KEY"
    if fingerprints:
        return f"{hint} --fingerprint {fingerprints[0]}, if its owner confirms the fingerprint"
    return hint


def suggest_name(hint: str | None, image: Image, expected: str) -> str | None:
    """Return the hint for an image that a registry has under a name that it is not signed as."""
    if not expected or image.registry_name != expected:
        return hint
    declared_name = image_names.declared_name(image)
    if declared_name:
        hints = [hint] if hint and "--as" not in hint else []
        return "; ".join([*hints, _name_hint(image, declared_name)])
    return hint or "pull an image that is signed without a name by its digest: docker://HOST/REPO@sha256:…"


def _name_hint(image: Image, declared_name: str) -> str:
    """Return how to admit an image of a registry under the name that it declares."""
    name, version = image_names.split_name(declared_name)
    location, tag = image_names.split_name(image.registry_name)
    name_prefix, slash, last = name.rpartition("/")
    registry_prefix = location.removesuffix(f"/{last}")
    if not slash or version != tag or registry_prefix == location:
        return f"to accept it as {declared_name}, pass --as {declared_name}"
    return (
        f"to accept it as {declared_name}, pass --as {declared_name},"
        f" or once: pumice trust mirror {registry_prefix} {name_prefix}"
    )
