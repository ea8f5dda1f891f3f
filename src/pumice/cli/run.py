"""``pumice run``: run a program in an image, without root or a daemon."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.pods import app_container_images, exit_signals, mounted_images, run_parser, run_plan

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """The exit code is that of the program, 128+N if signal N ended it, 126 if the program cannot be
executed and 127 if it does not exist. Files that it writes are discarded when it ends, except
on volumes.

--- begins another app of the same pod: its options, its image and its arguments. Apps share the network,
the host name and IPC, and each has its own files, limits, log and exit code. The pod ends when all have
ended, with the exit code of the app that failed first, or 0."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice run``."""
    return run_parser.make_run_parser(
        "run",
        "Run an image without root or a daemon.",
        epilog=_EPILOG,
        examples=(
            "pumice run example.com/hello:1.0",
            "pumice run --volume /srv:/srv --env DEBUG=1 oci:hello serve --port 8080",
            "pumice run --detach example.com/web:1.0 --- example.com/db:1.0",
        ),
    )


def main(arguments: Sequence[str]) -> int:
    """Run the images; return the exit code of the program, or of the pod."""
    command_lines = run_plan.split_apps(arguments)
    options = [parser().parse_args(words) for words in command_lines]
    run_plan.check_app_options(parser(), options)
    from pumice.runtime.pods import preparation
    from pumice.runtime.run import run_apps
    from pumice.runtime.run_options import PodApp
    from pumice.store.home import Home, locate

    first = options[0]
    apps = run_plan.plan_apps(options)
    sources = [run_plan.plan_source(*parts) for parts in zip(options, command_lines, strict=True)]
    exit_signals.exit_on_signals()
    home = Home(locate(os.environ))
    progress = progress_modes.make_progress(first.progress)
    prepared = preparation.find_prepared(home, first.prepared) if first.prepared else None
    pod = preparation.adopt(run_plan.plan_pod(options, command_lines), prepared)
    with ExitStack() as stack:
        stack.enter_context(run_plan.id_file(first.cidfile, pod.id, home))
        pod_apps = []
        for app, source, app_options in zip(apps, sources, options, strict=True):
            reference = preparation.choose_reference(app_options.reference, prepared, home)
            image = stack.enter_context(
                app_container_images.open_image(reference, home, progress, first, source)
            )
            mounted = stack.enter_context(mounted_images.hold_images(app, source, home, progress, first))
            preparation.check_image(image, prepared, app_options.reference)
            pod_apps.append(PodApp(image, mounted, source))
        code = run_apps(pod_apps, pod, home=home, progress=progress)
    if pod.id and pod.detached:
        print(pod.id)
    return code
