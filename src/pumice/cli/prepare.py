"""``pumice prepare``: verify and unpack an image for a pod that is started later."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli import confirmation, isolation_options, output, registries
from pumice.cli import run as run_command
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """The options are those of 'pumice run', and 'pumice run-prepared' uses them. The image is pinned
by its digest. Pods that are not started are removed by 'pumice gc' 24 hours later."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice prepare``."""
    return run_command.make_run_parser(
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
    from pumice.runtime.pods import preparation
    from pumice.runtime.run import admit
    from pumice.store.home import Home, locate
    from pumice.trust.admission import AdmissionRequest

    isolation_options.plan_request(options)  # a mistake is reported now
    progress = output.make_progress(options.progress)
    request = AdmissionRequest(
        reference=options.reference, name=options.name, allow_older=options.allow_older
    )
    with Home(locate(os.environ)) as home:
        pod_request = run_command.make_pod_request(options, arguments, home)
        with registries.open_image(options.reference, home, progress, options) as image:
            question = confirmation.unsigned_image_question()
            admit(image, home, request, progress, "image" in options.insecure_options, question)
            platform = (
                platforms.parse_platform(options.platform)
                if options.platform
                else platforms.from_machine(os.uname().machine)
            )
            chosen = image.select(platform)
            config = chosen.config().config
            with prepared_tree.hold(chosen, home, progress, verify=options.verify) as tree:
                overrides = run_command.plan_overrides(options)
                planned = process.plan_process(config, tree.root, overrides, os.environ)
                pod = preparation.write_prepared_pod(
                    home,
                    pod_request,
                    planned,
                    config,
                    image=options.reference,
                    digests=(image.root.digest, chosen.root.digest),
                )
    print(pod.id)
    return 0
