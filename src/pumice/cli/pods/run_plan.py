"""What the command line of ``pumice run`` asks of apps, their images and their pod."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pumice.cli.display import confirmation
from pumice.cli.pods import health_options, isolation_options, mount_options, network_options, pod_arguments
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from pumice.runtime.run_options import AppOptions, ImageOptions, MetadataRequest, PodOptions
    from pumice.store.home import Home

SEPARATOR = "---"
"""What is between the apps of a pod, as in rkt."""
_APP_OPTIONS = frozenset(
    (
        *(
            "reference",
            "arguments",
            "user",
            "env",
            "env_file",
            "workdir",
            "volume",
            "read_only",
            "init",
            "app",
        ),
        *("memory", "memory_swap", "cpus", "cpu_shares", "pids_limit", "ulimit", "oom_score_adj", "cap_add"),
        *("cap_drop", "security_opt", "device", "sysctl", "userns", "mount", "tmpfs", "shm_size"),
        *("entrypoint", "platform", "name", "insecure_options", "allow_older", "interactive", "tty"),
        *("app", "explain", *health_options.NAMES),
    )
)
"""The options of an app; all others are those of the pod."""


def split_apps(arguments: Sequence[str]) -> list[list[str]]:
    """Return the command line of each app."""
    lines: list[list[str]] = [[]]
    for word in arguments:
        if word == SEPARATOR:
            lines.append([])
        else:
            lines[-1].append(word)
    return lines


def check_app_options(parser: argparse.ArgumentParser, apps: Sequence[argparse.Namespace]) -> None:
    """Raise UsageError for an option of the pod that an app after the first has."""
    for options in apps:
        if options.arguments[:1] == ["--"]:  # as rkt has it: IMAGE -- ARG…
            del options.arguments[0]
    for options in apps[1:]:
        for action in parser._actions:
            is_default = getattr(options, action.dest, action.default) == action.default
            if not is_default and action.dest not in _APP_OPTIONS:
                raise UsageError(
                    f"{action.option_strings[-1]} belongs to the pod, not to one app",
                    hint="write it before the first image",
                )


def plan_apps(apps: Sequence[argparse.Namespace]) -> list[AppOptions]:
    """Return what the options ask of each app; raises UsageError for two apps of one name."""
    is_detached = apps[0].detach
    if len(apps) == 1:
        return [plan_app(apps[0], is_detached=is_detached)]
    from pumice.runtime.pods.app_names import check_app_names, choose_app_name

    names = [options.app or choose_app_name(options.reference) for options in apps]
    check_app_names(names)
    return [
        plan_app(options, name, is_detached=is_detached) for options, name in zip(apps, names, strict=True)
    ]


def plan_app(options: argparse.Namespace, name: str = "", *, is_detached: bool = False) -> AppOptions:
    """Return what the options ask of the program, which has a name in a pod of several."""
    from pumice.runtime.pod_inputs.environment_files import read_environment_file
    from pumice.runtime.process import Overrides
    from pumice.runtime.run_options import AppOptions

    environment = [line for file in options.env_file for line in read_environment_file(file)]
    return AppOptions(
        process=Overrides(
            arguments=tuple(options.arguments),
            entrypoint=options.entrypoint,
            user=isolation_options.choose_user(options),
            directory=options.workdir,
            environment=(*environment, *options.env),
        ),
        isolation=isolation_options.plan_isolation(options),
        mounts=(*options.volume, *mount_options.plan_mounts(options)),
        read_only=options.read_only,
        init=options.init,
        terminal=options.tty if is_detached else name == "" and os.isatty(0) and os.isatty(1),
        interactive=options.interactive,
        health_check=health_options.plan_health_check(options),
        name=name,
    )


def plan_source(options: argparse.Namespace, arguments: Sequence[str]) -> ImageOptions:
    """Return how the image is chosen and admitted."""
    from pumice.formats import platforms
    from pumice.runtime.quick.command_line import read_command
    from pumice.runtime.run_options import ImageOptions

    return ImageOptions(
        reference=options.reference,
        name=options.name,
        platform=platforms.parse_platform(options.platform) if options.platform else None,
        is_insecure="image" in options.insecure_options,
        allow_older=options.allow_older,
        confirm=confirmation.unsigned_image_question(),
        command=read_command(arguments),
    )


def plan_pod(
    apps: Sequence[argparse.Namespace], command_lines: Sequence[Sequence[str]], *, is_kept: bool = False
) -> PodOptions:
    """Return what the options ask of the pod; it has no id if one program leaves nothing behind.

    A pod that ``is_kept`` has one in any case.
    """
    from pathlib import Path

    from pumice.runtime.run_options import PodOptions

    options, words = apps[0], command_lines[0]
    metadata = _plan_metadata(options)
    pod_id = _choose_id(options, is_kept=is_kept or len(apps) > 1 or metadata is not None)
    option_count = len(words) - len(options.arguments) - 1
    others = [word for line in command_lines[1:] for word in (SEPARATOR, *line)]
    return PodOptions(
        stage1=options.stage1,
        network=network_options.plan_network(options),
        hostname=isolation_options.parse_hostname(options),
        names=isolation_options.plan_names(options),
        strict=options.strict,
        verify=options.verify,
        id=pod_id,
        name=options.pod_name,
        labels=pod_arguments.parse_labels(options.label),
        detached=options.detach,
        # Without a name in the foreground, nothing is left of a pod either.
        remove=options.rm or not (is_kept or _is_kept(options) or options.prepared),
        metadata=metadata,
        run_options=tuple(words[:option_count]),
        run_arguments=(*words[option_count:], *others),
        run_directory=str(Path.cwd()) if pod_id else "/",
        is_pod_of_several=len(apps) > 1,
        shares_pids=options.pid == "pod",
    )


def _plan_metadata(options: argparse.Namespace) -> MetadataRequest | None:
    """Return the access to the metadata service, None without one."""
    if not (options.mds or options.mds_audience):
        return None
    from pumice.runtime.run_options import MetadataRequest

    return MetadataRequest(audiences=tuple(options.mds_audience))


def _is_kept(options: argparse.Namespace) -> bool:
    return bool(options.detach or options.pod_name or options.cidfile)


def _choose_id(options: argparse.Namespace, *, is_kept: bool) -> str:
    """Return the id of the pod, ``""`` if there is none."""
    if not (is_kept or _is_kept(options)):
        return ""
    from pumice.runtime.pods import pod_store

    if options.pod_name:
        pod_store.check_name(options.pod_name)
    return pod_store.new_id()


@contextmanager
def id_file(path: str | None, pod_id: str, home: Home) -> Iterator[None]:
    """Write the id of a pod into a new file, if one is asked for; remove it if the pod is not made.

    Raises UsageError.
    """
    if not path:
        yield
        return
    from pathlib import Path

    _write_id(path, pod_id)
    try:
        yield
    except BaseException:
        if not (home.root / "pods" / pod_id).exists():
            with suppress(OSError):
                Path(path).unlink()
        raise


def _write_id(path: str, pod_id: str) -> None:
    from pathlib import Path

    try:
        with Path(path).open("x", encoding="ascii") as file:
            file.write(f"{pod_id}\n")
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"cannot write the id of the pod: {reason}", where=path[:200]) from None
