"""``pumice events``: print what happens to pods."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import results
from pumice.cli.display.output import printable_line
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.cli.pods import pod_times, pod_views
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pumice.runtime.pods.events import PodEvent
    from pumice.store.home import Home

_FILTERS = ("event", "pod", "container", "image", "label")


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice events``."""
    parser = command_line.make_parser(
        "events",
        "Print what happens to pods, until interrupted: create, start, health_status, died and remove.",
        progress=False,
        epilog="""Events are read from the directories of the pods, so events of pods that were removed are
not printed. Without --since, only new events are printed. With --json, each is one line.""",
        examples=(
            "pumice events --since 1h --stream=false",
            "pumice events --filter event=died --format '{{.Name}} {{.ExitCode}}'",
        ),
    )
    parser.add_argument(
        "--since",
        type=pod_times.parse_since,
        metavar="TIME",
        help="print only events since TIME: a time in RFC 3339, or a duration before now, such as 30s or 2h",
    )
    parser.add_argument(
        "--until",
        type=pod_times.parse_since,
        metavar="TIME",
        help="print only events until TIME, and exit then",
    )
    _add_stream_options(parser)
    shared_options.add_filter_option(
        parser, _parse_filter, "print only events of this kind (event=), pod, image or label"
    )
    results.add_format_options(parser, "events", default="text", example="Status")
    return parser


def _add_stream_options(parser: command_line.Parser) -> None:
    # The value is a part of the name, because argparse cannot take a value only after "=".
    parser.add_argument(
        "--stream=false",
        dest="stream",
        action="store_false",
        help="print past events only, and exit",
    )
    parser.add_argument(
        "--stream=true", "--stream", dest="stream", action="store_true", help=argparse.SUPPRESS
    )
    parser.set_defaults(stream=True)


def _parse_filter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or name not in _FILTERS:
        raise UsageError(
            f"{text[:100]!r} is not a filter", hint="write event=, pod=, image= or label= and a value"
        )
    return name, value


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import events
    from pumice.runtime.pods.supervisor.pod_files import format_time

    now = format_time(pod_times.current_time())
    since = options.since or ("" if not options.stream or options.until else now)
    with pod_views.open_home() as home:
        home.directory("pods")
        home.close()  # what is listed may disappear at any time anyway
        is_over = options.until is not None and options.until <= now
        if options.stream and not is_over:
            _print_lines(_select(_follow(home, options.until), options, since), options.format)
        else:
            chosen = list(_select(events.past_events(home), options, since))
            results.write_result(chosen, options.format, lambda: map(_line, chosen))
    return 0


def _follow(home: Home, until: str | None) -> Iterator[PodEvent]:
    from pumice.runtime.pods import events

    return events.follow_events(home, pod_times.parse_time(until) if until else None)


def _select(events: Iterable[PodEvent], options: argparse.Namespace, since: str) -> Iterator[PodEvent]:
    """Yield the events of the time and the filters: one of the values of each name must match."""
    values: dict[str, list[str]] = {}
    for name, value in options.filter:
        values.setdefault("pod" if name == "container" else name, []).append(value)
    for event in events:
        if event.time < since or (options.until and event.time > options.until):
            continue
        if all(any(_matches(event, name, value) for value in values[name]) for name in values):
            yield event


def _matches(event: PodEvent, name: str, value: str) -> bool:
    if name == "event":
        return event.status == value
    if name == "pod":
        return event.name == value or event.id.startswith(value)
    if name == "image":
        return value in (event.image, event.image.rpartition(":")[0])
    key, equals, text = value.partition("=")
    return key in event.labels and (not equals or event.labels[key] == text)


def _print_lines(events: Iterable[PodEvent], result_format: results.ResultFormat) -> None:
    """Print each event when it happens; JSON as one object in a line."""
    for event in events:
        if result_format.name == "json":
            print(json.dumps(msgspec.to_builtins(event)), flush=True)
        else:
            results.write_result([event], result_format, _line(event).splitlines)
            print(end="", flush=True)


def _line(event: PodEvent) -> str:
    facts = [f"image={event.image}", f"name={event.name}"]
    if event.exit_code is not None:
        facts.append(f"exit_code={event.exit_code}")
    if event.error is not None:
        facts.append(f"error={event.error}")
    if event.health is not None:
        facts.append(f"health={event.health}")
    return printable_line(f"{event.time} pod {event.status} {event.id} ({', '.join(facts)})")
