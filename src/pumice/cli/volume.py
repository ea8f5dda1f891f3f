"""``pumice volume``: create, list and remove volumes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import confirmation, output, results
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.cli.pods import pod_times, pod_views
from pumice.errors import PodError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.volumes.volume_store import Volume


class ListedVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume. ``mountpoint`` is its directory on this machine, ``created`` a time in RFC 3339.

    ``in_use`` says whether a running pod mounts it.
    """

    name: str
    mountpoint: str
    created: str
    labels: dict[str, str]
    in_use: bool


def parser() -> command_line.Parser:
    """Return the parser of ``pumice volume``."""
    parser = command_line.make_action_parser("volume", "Create, list and remove volumes.")
    _add_changes(parser)
    _add_queries(parser)
    return parser


def _add_changes(parser: command_line.Parser) -> None:
    """Add the actions that create and remove volumes."""
    create = command_line.add_action(
        parser,
        "create",
        _create,
        "create a volume, and print its name",
        examples=("pumice volume create db", "pumice volume create --label kind=backup"),
    )
    create.add_argument("name", metavar="NAME", nargs="?", help="name of the volume (default: a random name)")
    create.add_argument(
        "-l", "--label", action="append", default=[], metavar="NAME=VALUE", help="add a label (repeatable)"
    )
    create.add_argument("--ignore", action="store_true", help="succeed if the volume exists already")
    remove = command_line.add_action(
        parser, "rm", _remove, "remove volumes with their files", examples=("pumice volume rm db",)
    )
    remove.add_argument("names", metavar="NAME", nargs="+", help="name of a volume")
    remove.add_argument("-f", "--force", action="store_true", help="ignore volumes that do not exist")
    prune = command_line.add_action(
        parser,
        "prune",
        _prune,
        "remove all volumes that no running pod uses, with their files",
        examples=("pumice volume prune --force --filter label=kind=cache",),
    )
    prune.add_argument("-f", "--force", action="store_true", help="do not ask for confirmation")
    shared_options.add_filter_option(
        prune, _parse_filter, "remove only volumes with this name or label", short=False
    )


def _add_queries(parser: command_line.Parser) -> None:
    """Add the actions that show volumes."""
    listing = command_line.add_action(
        parser, "ls", _list, "list volumes", examples=("pumice volume ls --filter dangling=true",)
    )
    listing.add_argument("-q", "--quiet", action="store_true", help="print only the names")
    shared_options.add_filter_option(
        listing,
        _parse_filter,
        "list only volumes with this name or label, or unused ones with dangling=true",
    )
    results.add_format_options(listing, "volume ls", example="Name")
    inspect = command_line.add_action(
        parser, "inspect", _inspect, "show volumes as JSON", examples=("pumice volume inspect db",)
    )
    inspect.add_argument("names", metavar="NAME", nargs="+", help="name of a volume")
    results.add_format_options(inspect, "volume inspect", default="json", example="Mountpoint")
    exists = command_line.add_action(
        parser,
        "exists",
        _exists,
        "check whether a volume exists: exit with 0 or 1",
        examples=("pumice volume exists db",),
    )
    exists.add_argument("name", metavar="NAME", help="name of a volume")


def _parse_filter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or name not in ("name", "label", "dangling"):
        raise UsageError(
            f"{text[:100]!r} is not a filter", hint="write name=, label= or dangling= and a value"
        )
    if name == "dangling" and value not in ("true", "false"):
        raise UsageError(f"dangling cannot be {value[:40]!r}", hint="write dangling=true or dangling=false")
    return name, value


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return command_line.run_action(parser(), arguments)


def _create(options: argparse.Namespace) -> int:
    import os

    from pumice.runtime.volumes import volume_store

    labels = dict(label.partition("=")[::2] for label in options.label)
    name = os.urandom(32).hex() if options.name is None else options.name
    with pod_views.open_home() as home:
        print(volume_store.create_volume(home, name, labels, may_exist=options.ignore).name)
    return 0


def _list(options: argparse.Namespace) -> int:
    volumes = _select(options.filter)
    if options.quiet:
        for volume in volumes:
            print(volume.name)
        return 0
    results.write_result(volumes, options.format, lambda: _table(volumes))
    return 0


def _select(filters: Sequence[tuple[str, str]]) -> list[ListedVolume]:
    from pumice.runtime.volumes import volume_store

    with pod_views.open_home() as home:
        listed = [_describe(volume) for volume in volume_store.list_volumes(home)]
    return [volume for volume in listed if all(_matches(volume, name, value) for name, value in filters)]


def _describe(volume: Volume) -> ListedVolume:
    from pumice.runtime.volumes import volume_store

    with volume_store.lock_unused(volume) as is_unused:
        return ListedVolume(
            name=volume.name,
            mountpoint=str(volume.data),
            created=volume.record.created,
            labels=volume.record.labels,
            in_use=not is_unused,
        )


def _matches(volume: ListedVolume, name: str, value: str) -> bool:
    if name == "name":
        return value in volume.name
    if name == "dangling":
        return volume.in_use == (value == "false")
    key, equals, text = value.partition("=")
    return key in volume.labels and (not equals or volume.labels[key] == text)


def _table(volumes: Sequence[ListedVolume]) -> str:
    now = pod_times.current_time()
    rows = [
        (
            volume.name,
            f"{pod_times.format_age(volume.created, now)} ago",
            "yes" if volume.in_use else "no",
            ", ".join(f"{name}={value}" for name, value in sorted(volume.labels.items())),
        )
        for volume in volumes
    ]
    return output.format_table(("NAME", "CREATED", "IN USE", "LABELS"), rows)


def _inspect(options: argparse.Namespace) -> int:
    from pumice.runtime.volumes import volume_store

    with pod_views.open_home() as home:
        volumes = [_describe(volume_store.find_volume(home, name)) for name in options.names]
    results.write_result(volumes, options.format, lambda: "")
    return 0


def _remove(options: argparse.Namespace) -> int:
    from pumice.runtime.volumes import volume_store

    with pod_views.open_home() as home:
        existing = {volume.name for volume in volume_store.list_volumes(home)}
        names = [name for name in options.names if name in existing or not options.force]
        volumes = {name: volume_store.find_volume(home, name) for name in names}
        for volume in volumes.values():
            if not volume_store.remove_volume(home, volume):
                raise PodError(
                    f"the volume {volume.name!r} is in use by a running pod",
                    hint="see 'pumice ps', and stop the pod first",
                )
            print(volume.name)
    return 0


def _prune(options: argparse.Namespace) -> int:
    from pumice.runtime.volumes import volume_store

    unused = [volume for volume in _select(options.filter) if not volume.in_use]
    if not unused:
        return 0
    if not options.force:
        if not confirmation.has_person():
            raise UsageError(
                f"{len(unused)} volumes would be removed with their files",
                hint="pass --force, or name them with 'pumice volume rm'",
            )
        if not confirmation.ask(f"Remove {len(unused)} volumes with all their files? [y/N] "):
            return 1
    with pod_views.open_home() as home:
        for listed in unused:
            if volume_store.remove_volume(home, volume_store.find_volume(home, listed.name)):
                print(listed.name)
    return 0


def _exists(options: argparse.Namespace) -> int:
    from pumice.runtime.volumes import volume_store

    with pod_views.open_home() as home:
        return 0 if any(volume.name == options.name for volume in volume_store.list_volumes(home)) else 1
