"""Arguments that can name a pod or an image of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import ImageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.pods.pod_store import PodState
    from pumice.store.home import Home
    from pumice.store.refs import Refs

_HEX = frozenset("0123456789abcdef")
_SHORTEST = 4
"""Digits that are enough of a digest, as in `pumice.image.transports.reference`."""


def find_pod_or_image(text: str, names: Sequence[str], home: Home) -> PodState | None:
    """Return the pod that ``text`` means, None if there is none; raises UsageError if it is an image, too."""
    if not (home.root / "pods").is_dir():
        return None
    from pumice.runtime.pods import pod_store

    pods = pod_store.find_pods(home, text)
    if not pods:
        return None
    pod = pod_store.find_pod(home, text)
    is_image = any(text in (name, name.rpartition(":")[0]) for name in names)
    if is_image or find_names_of_digest(text, home.refs):
        raise UsageError(
            f"both a pod and an image are called {text[:200]!r}",
            hint=f"write the id of the pod, {pod.pod.id}, or the image with its version",
        )
    return pod


def find_names_of_digest(reference: str, refs: Refs) -> list[str]:
    """Return the names of the only image whose digest begins so, empty if there is none."""
    digits = reference.removeprefix("sha256:")
    if not _HEX.issuperset(digits) or not _SHORTEST <= len(digits) <= 64:
        return []
    start = f"sha256:{digits}"
    matches = {name: root.digest for name, root in refs.all().items() if root.digest.startswith(start)}
    if len(set(matches.values())) > 1:
        raise ImageError(
            f"several images have a digest that begins with {digits}", hint="write more of the digest"
        )
    return list(matches)
