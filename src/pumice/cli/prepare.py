"""``pumice prepare``: verify and unpack an image for a pod that is started later."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.pods import app_container_images, run_parser, run_plan
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """The options are those of 'pumice run', and 'pumice run-prepared' uses them. The image is pinned
by its digest. Pods that are not started are removed by 'pumice gc' 24 hours later."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice prepare``."""
    return run_parser.make_run_parser(
        "prepare",
        "Verify and unpack an image for a pod that 'pumice run-prepared' starts, and print the pod's id.",
        epilog=_EPILOG,
        examples=("pumice prepare --name web --publish 8080:80 example.com/web:1.0",),
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the id of the pod."""
    options = parser().parse_args(arguments)
    for name, is_given in (("--detach", options.detach), ("--prepared", options.prepared)):
        if is_given:
            raise UsageError(f"{name} belongs to another command", hint="pass it to 'pumice run-prepared'")
    from pumice.formats import platforms
    from pumice.runtime import prepared_tree, process
    from pumice.runtime.pod_plan import admit_image
    from pumice.runtime.pods import preparation
    from pumice.store.home import Home, locate

    app, source = run_plan.plan_app(options), run_plan.plan_source(options, arguments)
    pod_options = run_plan.plan_pod([options], [arguments], is_kept=True)
    progress = progress_modes.make_progress(options.progress)
    with (
        Home(locate(os.environ)) as home,
        run_plan.id_file(options.cidfile, pod_options.id, home),
        app_container_images.open_image(options.reference, home, progress, options, source) as image,
    ):
        admit_image(image, home, source, progress)
        chosen = image.select(source.platform or platforms.from_machine(os.uname().machine))
        config = chosen.config().config
        with prepared_tree.hold(chosen, home, progress, verify=options.verify) as tree:
            planned = process.plan_process(config, tree.root, app.process, os.environ)
            pod = preparation.write_prepared_pod(
                home,
                pod_options,
                planned,
                config,
                image=options.reference,
                digests=(image.root.digest, chosen.root.digest),
            )
    print(pod.id)
    return 0
