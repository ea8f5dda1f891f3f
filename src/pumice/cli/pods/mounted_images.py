"""The images whose files ``pumice run --mount type=image`` mounts."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.image_access import registries

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pumice.progress import Progress
    from pumice.runtime.run_options import AppOptions, ImageOptions
    from pumice.store.home import Home


@contextmanager
def hold_images(
    app: AppOptions, source: ImageOptions, home: Home, progress: Progress, options: argparse.Namespace
) -> Iterator[AppOptions]:
    """Yield the options with the files of the images that they mount, admitted as ``source`` says.

    Raises the errors of `run.run_image`.
    """
    if not any(mount.image for mount in app.mounts):
        yield app
        return
    from pumice.formats import platforms
    from pumice.runtime.image_mounts import hold_mounted_image
    from pumice.runtime.pod_plan import admit_image

    platform = source.platform or platforms.from_machine(os.uname().machine)
    with ExitStack() as stack:
        mounts = []
        for mount in app.mounts:
            if not mount.image:
                mounts.append(mount)
                continue
            image = stack.enter_context(registries.open_image(mount.image, home, progress, options))
            mounted = msgspec.structs.replace(source, reference=mount.image, name="")
            admit_image(image, home, mounted, progress)
            mounts.append(stack.enter_context(hold_mounted_image(image, mount, platform, home, progress)))
        yield msgspec.structs.replace(app, mounts=tuple(mounts))
