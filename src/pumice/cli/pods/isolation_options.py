"""The options of ``pumice run`` that isolate the program, with the spelling and meaning of podman."""

from __future__ import annotations

import argparse
import os
import re
from typing import TYPE_CHECKING

from pumice.cli.pods import mount_options
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.cli.parsing.arguments import OptionGroup
    from pumice.runtime.isolation.model import Isolation, UserNamespace
    from pumice.runtime.name_resolution import NameResolution

_SECURITY_OPTIONS = (
    "seccomp=FILE, seccomp=unconfined, no-new-privileges[=false], apparmor=PROFILE, label=LABEL"
)


def add_options(parser: OptionGroup) -> None:
    """Add the options for what the program may do and use."""
    parser.add_argument(
        "--strict", action="store_true", help="fail if --stage1 cannot honor an option, instead of warning"
    )
    parser.add_argument(
        "--verify",
        choices=("fast", "full"),
        default="fast",
        metavar="HOW",
        help="how to check the unpacked files of the image for changes: fast compares their metadata, full "
        "reads them (default: fast)",
    )


def add_groups(parser: argparse.ArgumentParser) -> None:
    """Add the groups of options for limits, privileges, files and names."""
    _add_limits(parser.add_argument_group("limits"))
    _add_privileges(parser.add_argument_group("privileges"))
    files_and_names = parser.add_argument_group("files and names")
    _add_files(files_and_names)
    _add_names(files_and_names)


def _add_limits(parser: OptionGroup) -> None:
    parser.add_argument(
        "-m", "--memory", metavar="SIZE", help="limit memory and swap together to SIZE, such as 512m"
    )
    parser.add_argument("--memory-swap", metavar="SIZE", help=argparse.SUPPRESS)
    parser.add_argument("--cpus", metavar="N", help="limit the program to N processors, such as 1.5")
    parser.add_argument(
        "-c",
        "--cpu-shares",
        metavar="N",
        help="share of the processors when they are busy, 2 to 262144 (default: 1024)",
    )
    parser.add_argument(
        "--pids-limit",
        metavar="N",
        help="limit the number of processes and threads, -1 for no limit (default: 2048 where possible)",
    )
    _add_list(
        parser, "--ulimit", "NAME=SOFT[:HARD]", "set a resource limit, such as nofile=1024 (repeatable)"
    )
    parser.add_argument(
        "--oom-score-adj",
        metavar="N",
        help="how early the kernel kills the program if memory runs out, -1000 to 1000",
    )


def _add_privileges(parser: OptionGroup) -> None:
    _add_list(parser, "--cap-add", "CAP", "add a capability, a pattern such as 'NET_*', or ALL (repeatable)")
    _add_list(parser, "--cap-drop", "CAP", "drop a capability, a pattern, or ALL (repeatable)")
    _add_list(parser, "--security-opt", "OPTION", f"{_SECURITY_OPTIONS} or unmask=PATH|ALL (repeatable)")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="print which system calls the seccomp profile refuses, and let them fail instead of ending the"
        " program",
    )
    _add_list(
        parser, "--device", "SRC[:DST]", "make a device of the host available, such as /dev/fuse (repeatable)"
    )
    _add_list(parser, "--sysctl", "NAME=VALUE", "set a kernel setting of the container (repeatable)")
    parser.add_argument(
        "--userns",
        metavar="MODE",
        default="auto",
        help="map users to unprivileged ids (auto), to the same ids (host), or yours to itself (keep-id)"
        " (default: auto)",
    )


def _add_files(parser: OptionGroup) -> None:
    _add_list(
        parser,
        "--mount",
        "type=TYPE,…",
        f"mount as --volume and --tmpfs do: {mount_options.MOUNT_OPTIONS} (repeatable)",
    )
    _add_list(
        parser,
        "--tmpfs",
        "DST[:OPTIONS]",
        "mount an empty file system in memory at DST, with options such as size=64m,mode=0700 (repeatable)",
    )
    parser.add_argument("--shm-size", metavar="SIZE", help="size of /dev/shm (default: 64m)")


def _add_names(parser: OptionGroup) -> None:
    parser.add_argument("--hostname", metavar="NAME", help="host name of the container (default: pumice)")
    _add_list(parser, "--add-host", "NAME:ADDR", "add a line to /etc/hosts (repeatable)")
    _add_list(
        parser,
        "--dns",
        "ADDR",
        "use this name server instead of the host's, or 'none' to use no name server (repeatable)",
    )
    _add_list(parser, "--dns-search", "DOMAIN", "search this domain for names (repeatable)")
    _add_list(parser, "--dns-option", "OPTION", "set an option of resolv.conf (repeatable)")


def _add_list(parser: OptionGroup, name: str, metavar: str, text: str) -> None:
    parser.add_argument(name, action="append", default=[], metavar=metavar, help=text)


def parse_hostname(options: argparse.Namespace) -> str:
    """Return the host name of the container; raises UsageError."""
    from pumice.runtime.container import HOSTNAME
    from pumice.runtime.isolation import option_values

    return option_values.parse_hostname(options.hostname) if options.hostname else HOSTNAME


def plan_isolation(options: argparse.Namespace) -> Isolation:
    """Return the isolation that the options describe; raises UsageError."""
    from pumice.runtime.isolation import capabilities, option_values
    from pumice.runtime.isolation.model import DEFAULT_SHM_SIZE, Isolation, Limits

    number = option_values.parse_integer
    chosen = capabilities.select(options.cap_add, options.cap_drop)
    pids = number("--pids-limit", options.pids_limit, -1, 4194304) if options.pids_limit else None
    rlimits = [limit for text in options.ulimit if (limit := option_values.parse_ulimit(text))]
    memory = option_values.parse_memory(options.memory) if options.memory else 0
    _check_swap(options.memory_swap, memory)
    isolation = Isolation(
        capabilities=chosen,
        added_capabilities=capabilities.list_added(options.cap_add, chosen),
        limits=Limits(
            memory=memory,
            cpus=option_values.parse_cpus(options.cpus) if options.cpus else 0,
            cpu_shares=number("--cpu-shares", options.cpu_shares, 2, 262144) if options.cpu_shares else 0,
            pids=max(pids, 0) if pids is not None else None,
        ),
        rlimits=tuple({limit.name: limit for limit in rlimits}.values()),
        oom_score=number("--oom-score-adj", options.oom_score_adj, -1000, 1000)
        if options.oom_score_adj
        else None,
        devices=tuple(map(option_values.parse_device, options.device)),
        shm_size=option_values.parse_size("--shm-size", options.shm_size, "64m")
        if options.shm_size
        else DEFAULT_SHM_SIZE,
        sysctls=tuple(
            option_values.parse_sysctl(text, own_network=options.network != "host") for text in options.sysctl
        ),
        user_namespace=_user_namespace(options.userns),
        explains_refused_calls=_explains(options),
    )
    return _apply_security_options(isolation, options.security_opt)


def _explains(options: argparse.Namespace) -> bool:
    if options.explain and options.stage1 not in ("builtin", "fly"):
        raise UsageError(
            f"--explain is not possible with --stage1 {options.stage1}", hint="use --stage1 builtin"
        )
    return bool(options.explain)


def _check_swap(text: str | None, memory: int) -> None:
    from pumice.runtime.isolation import option_values

    if text and option_values.parse_memory(text) != memory:
        raise UsageError(
            "--memory-swap differs from --memory, but containers have no swap of their own",
            hint="omit --memory-swap: --memory limits memory and swap together",
        )


def choose_user(options: argparse.Namespace) -> str | None:
    """Return the user of the program: with ``--userns keep-id`` that of the caller, if no other is named."""
    if options.user is None and options.userns == "keep-id" and os.getuid() != 0:
        return f"{os.getuid()}:{os.getgid()}"
    user: str | None = options.user
    return user


def _user_namespace(text: str) -> UserNamespace:
    from pumice.runtime.isolation.model import USER_NAMESPACES

    for mode in USER_NAMESPACES:
        if text == mode:
            return mode
    raise UsageError(f"--userns cannot be {text[:40]!r}", hint=f"use one of {', '.join(USER_NAMESPACES)}")


def _apply_security_options(isolation: Isolation, texts: Iterable[str]) -> Isolation:
    import msgspec

    changes: dict[str, object] = {}
    labels: list[str] = []
    unmasked: list[str] = []
    for text in texts:
        name, value = [*re.split("[=:]", text, maxsplit=1), ""][:2]
        if name == "seccomp" and value:
            changes["seccomp"] = value if value in ("unconfined", "default") else os.path.abspath(value)  # noqa: PTH100 - links stay
        elif name == "no-new-privileges" and value in ("", "true", "false"):
            changes["no_new_privileges"] = value != "false"
        elif name == "apparmor" and value:
            changes["apparmor"] = "" if value == "unconfined" else value
        elif name == "label" and value:
            labels += [] if value == "disable" else [value]
        elif name == "unmask" and value:
            unmasked += value.split(":")
        else:
            raise UsageError(
                f"--security-opt: unknown option {text[:60]!r}",
                hint=f"use {_SECURITY_OPTIONS} or unmask=PATH|ALL",
            )
    return msgspec.structs.replace(isolation, **changes, selinux=",".join(labels), unmasked=tuple(unmasked))


def plan_names(options: argparse.Namespace) -> NameResolution:
    """Return the additions to the files for name resolution; raises UsageError."""
    from pumice.runtime.isolation import option_values
    from pumice.runtime.name_resolution import NameResolution

    for text in (*options.dns_search, *options.dns_option):
        if not re.fullmatch(r"[\w.:-]{1,253}", text, re.ASCII):
            raise UsageError(f"{text[:60]!r} is not a domain or an option of resolv.conf")
    servers = [text for text in options.dns if text != "none"]
    if servers and len(servers) != len(options.dns):
        raise UsageError("--dns none cannot be combined with name servers", hint="omit one of them")
    return NameResolution(
        hosts=tuple(map(option_values.parse_add_host, options.add_host)),
        servers=tuple(option_values.parse_address("--dns", text) for text in servers),
        domains=tuple(options.dns_search),
        options=tuple(options.dns_option),
        copies_host="none" not in options.dns,
    )
