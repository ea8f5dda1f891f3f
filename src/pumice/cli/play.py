"""``pumice play``: run the pod that a file describes."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.display import confirmation, progress_modes
from pumice.cli.image_access import registries
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.cli.pods import app_container_images, network_options, pod_arguments
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from pumice.progress import Progress
    from pumice.runtime.app_container.dependency_images import DependencySearch
    from pumice.runtime.app_container.pod_images import AciFile
    from pumice.runtime.pod_inputs.model import InputApp, PodInput
    from pumice.runtime.run_options import ImageOptions, PodApp, PodOptions
    from pumice.store.home import Home

_EPILOG = """FILE is a Kubernetes Pod or Deployment (with ConfigMaps and Secrets), a compose file, or an App
Container pod manifest; - is standard input. A warning names what Pumice does not support in FILE. The pod
ends when all apps have ended, with the exit code of the app that failed first, or 0."""


def parser() -> command_line.Parser:
    """Return the parser of ``pumice play``."""
    parser = command_line.make_parser(
        "play",
        "Run the pod that a Kubernetes or compose file, or an App Container pod manifest, describes.",
        epilog=_EPILOG,
        examples=("pumice play --detach compose.yaml", "pumice play --strict pod.yaml"),
    )
    parser.add_argument("file", metavar="FILE", help="file that describes the pod, - for standard input")
    _add_pod_options(parser.add_argument_group("pods"))
    network_options.add_options(parser.add_argument_group("network"))
    shared_options.add_admission_options(
        parser.add_argument_group("admission"), "run the images", pronoun="them"
    )
    registries.options(parser)
    return parser


def _add_pod_options(pods: command_line.OptionGroup) -> None:
    """Add the options that change what the file describes."""
    pods.add_argument(
        "-d", "--detach", action="store_true", help="run the pod in the background, and print its id"
    )
    pods.add_argument(
        "--name",
        dest="pod_name",
        default="",
        metavar="NAME",
        help="name of the pod (default: the name in FILE)",
    )
    pod_arguments.add_stage1_option(pods)
    pods.add_argument("--rm", action="store_true", help="remove the pod when it ends")
    pod_arguments.add_label_option(pods)
    pods.add_argument(
        "--strict",
        action="store_true",
        help="fail if FILE contains something that Pumice or --stage1 does not support",
    )
    pods.add_argument(
        "--aci",
        action="append",
        default=[],
        metavar="FILE",
        help="App Container image of an app, or a dependency of one (repeatable)",
    )
    pods.add_argument(
        "--mds",
        action="store_true",
        help="give the pod access to the metadata service (default: for App Container pod manifests)",
    )


def main(arguments: Sequence[str]) -> int:
    """Run the pod; return its exit code, 0 if it runs in the background."""
    options = parser().parse_args(arguments)
    app_container_images.check_files("--aci", options.aci)
    from pumice.cli.pods.exit_signals import exit_on_signals
    from pumice.runtime.pod_inputs.files import read_pod_file
    from pumice.runtime.run import run_apps
    from pumice.runtime.run_options import ImageOptions
    from pumice.store.home import Home, locate

    progress = progress_modes.make_progress(options.progress)
    pod_input = read_pod_file(options.file, os.environ, sys.stdin.buffer)
    _report_ignored(pod_input, progress, strict=options.strict)
    pod = _plan_pod(pod_input, options, arguments)
    exit_on_signals()
    home = Home(locate(os.environ))
    with ExitStack() as stack:
        source = ImageOptions(
            is_insecure="image" in options.insecure_options,
            allow_older=options.allow_older,
            confirm=confirmation.unsigned_image_question(),
        )
        open_app = _app_opener(options, home, progress, source)
        apps = [stack.enter_context(open_app(app)) for app in pod_input.apps]
        code = run_apps(apps, pod, home=home, progress=progress)
    if pod.detached:
        print(pod.id)
    return code


def _app_opener(
    options: argparse.Namespace, home: Home, progress: Progress, source: ImageOptions
) -> Callable[[InputApp], AbstractContextManager[PodApp]]:
    """Return what gives an app with its image; raises PumiceError."""
    from contextlib import contextmanager
    from functools import cache

    import msgspec

    from pumice.runtime.run_options import PodApp

    @cache
    def open_files() -> tuple[list[AciFile], DependencySearch]:
        from pumice.runtime.app_container import pod_images

        search = app_container_images.make_search(options.aci, home, progress, options, source)
        return pod_images.open_files(search), search

    @contextmanager
    def open_app(app: InputApp) -> Iterator[PodApp]:
        if app.options.image_id or options.aci:
            from pumice.runtime.app_container import pod_images

            if located := pod_images.find_image(app, *open_files()):
                # An image ID pins the image, so it may be older than others.
                allow_older = source.allow_older or bool(app.options.image_id)
                reference, image = located
                yield PodApp(
                    image,
                    app.options,
                    msgspec.structs.replace(source, reference=reference, allow_older=allow_older),
                )
                return
        with app_container_images.open_image(app.reference, home, progress, options, source) as image:
            yield PodApp(image, app.options, msgspec.structs.replace(source, reference=app.reference))

    return open_app


def _report_ignored(pod: PodInput, progress: Progress, *, strict: bool) -> None:
    """Name what the file asks for and the pod will not have; with ``strict``, raise UsageError."""
    if pod.ignored and strict:
        raise UsageError(f"{pod.ignored[0]} is not supported", hint="omit --strict to run the pod without it")
    for text in pod.ignored:
        progress.warn(f"ignored {text}")


def _plan_pod(pod: PodInput, options: argparse.Namespace, arguments: Sequence[str]) -> PodOptions:
    """Return the pod of a file with the changes of the command line."""
    import msgspec

    from pumice.runtime.container import HOSTNAME
    from pumice.runtime.pods import pod_store
    from pumice.runtime.run_options import MetadataRequest, PodOptions

    if pod.network and not options.network:
        options.network = pod.network
    network = network_options.plan_network(options, has_ports=bool(pod.publish))
    network = msgspec.structs.replace(network, publish=(*network.publish, *pod.publish))
    words = list(arguments)
    del words[len(words) - 1 - words[::-1].index(options.file)]
    return PodOptions(
        stage1=options.stage1,
        network=network,
        hostname=pod.hostname or HOSTNAME,
        names=pod.names,
        strict=options.strict,
        id=pod_store.new_id(),
        name=pod_store.check_name(options.pod_name or pod.name),
        labels={**pod.labels, **pod_arguments.parse_labels(options.label)},
        detached=options.detach,
        # Without a name in the foreground, nothing is left.
        remove=options.rm or not (options.detach or options.pod_name),
        run_options=tuple(words),
        run_arguments=(os.path.abspath(options.file) if options.file != "-" else "-",),  # noqa: PTH100 - links stay
        run_directory=str(Path.cwd()),
        run_verb="play",
        volumes=pod.volumes,
        annotations=pod.annotations,
        metadata=MetadataRequest() if options.mds or pod.has_metadata else None,
        is_pod_of_several=True,
        shares_pids=pod.shares_pids,
    )
