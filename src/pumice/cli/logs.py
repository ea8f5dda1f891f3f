"""``pumice logs``: print what the program of a pod wrote."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import numbers
from pumice.cli.pods import pod_arguments, pod_times

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.runtime.pods.logs import LogLine


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice logs``."""
    parser = command_line.make_parser(
        "logs",
        "Print what the program of a pod wrote to its standard output and error, even after it has ended.",
        progress=False,
        epilog="""The output is printed as it is, so it can contain control sequences of a terminal. A log
has at most 20 MB; older lines are dropped. In a pod of several apps, lines begin with the name of their
app.""",
        examples=("pumice logs --follow --tail 10 web", "pumice logs --since 10m web"),
    )
    pod_arguments.add_pod(parser)
    pod_arguments.add_app(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="wait for more until the pod ends")
    parser.add_argument(
        "--since",
        type=pod_times.parse_since,
        metavar="TIME",
        help="print only lines since TIME: a time in RFC 3339, or a duration before now, such as 30s or 2h",
    )
    parser.add_argument(
        "--tail",
        type=numbers.whole_number(1_000_000_000),
        metavar="N",
        help="print only the last N lines",
    )
    parser.add_argument("-t", "--timestamps", action="store_true", help="print the time before each line")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import logs

    state = pod_arguments.find_app(options) if options.app else pod_arguments.find_pod(options.pod)
    lines = logs.read_pod_log(state, since=options.since or "", tail=options.tail, follow=options.follow)
    width = max(map(len, state.pod.apps), default=0)
    for app, line in lines:
        prefix = f"{app:<{width}} | " if width else ""
        _write(line, prefix, with_time=options.timestamps, flush=options.follow)
    return 0


def _write(line: LogLine, prefix: str, *, with_time: bool, flush: bool) -> None:
    stream = sys.stderr if line.stream == "stderr" else sys.stdout
    stream.write(prefix)
    if with_time:
        stream.write(f"{line.time} ")
    stream.flush()  # before the bytes below
    stream.buffer.write(line.text)
    if flush or stream is sys.stderr:
        stream.buffer.flush()
