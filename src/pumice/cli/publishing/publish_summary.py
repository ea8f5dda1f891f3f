"""The summary at the end of ``pumice publish``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.display.output import format_size
from pumice.cli.display.summaries import Row, Summary, format_seconds
from pumice.terminal import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.publish.oci_tree import PublishedImage, Written
    from pumice.publish.unreferenced import Removed


def summarize(
    target: str,
    images: Sequence[PublishedImage],
    written: Written,
    removed: Removed | None,
    seconds: float,
) -> Summary:
    """Return the summary of publishing to a static registry; ``removed`` is None without ``--prune``."""
    what = str(images[0]) if len(images) == 1 else format_count(len(images), "image")
    removed_values = (
        {"removed": removed.files, "removed_size": removed.size, "waiting": removed.waiting}
        if removed
        else {}
    )
    return Summary(
        event="published",
        headline=f"published {what} in {format_seconds(seconds)}",
        rows=tuple(_rows(target, images, written, removed)),
        data={
            "images": [str(image) for image in images],
            "digests": [image.gathered.graph.root.digest for image in images],
            "destination": target,
            "written": written.blobs,
            "written_size": written.size,
            "present": written.present,
            **removed_values,
            "seconds": round(seconds, 3),
        },
    )


def _rows(
    target: str, images: Sequence[PublishedImage], written: Written, removed: Removed | None
) -> Iterator[Row]:
    yield Row("to", target)
    if images:
        yield Row(
            "blobs", f"{written.blobs} written ({format_size(written.size)}), {written.present} present"
        )
        count = sum(len(image.gathered.graph.list_referrers()) for image in images)
        yield Row("attached", format_count(count, "artifact"))
    if removed:
        text = f"{format_count(removed.files, 'file')} ({format_size(removed.size)})"
        yield Row("removed", f"{text}, {removed.waiting} in their grace period")
