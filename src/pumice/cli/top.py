"""``pumice top``: list the processes of a running pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.display import output, results
from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.runtime.pods.process_list import ListedProcess


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice top``."""
    parser = command_line.make_parser(
        "top",
        "List the processes of a running pod.",
        progress=False,
        examples=("pumice top web",),
    )
    pod_arguments.add_pod(parser)
    pod_arguments.add_app(parser)
    results.add_format_options(parser, "top", example="Pid")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import process_list

    processes = process_list.list_processes(pod_arguments.find_pod(options.pod), options.app)
    results.write_result(processes, options.format, lambda: _table(processes))
    return 0


def _table(processes: Sequence[ListedProcess]) -> str:
    heads = ("APP", "PID", "HOST PID", "UID", "STATE", "CPU", "MEMORY", "COMMAND")
    rows = [
        (
            process.app or "-",
            str(process.pid),
            str(process.host_pid),
            str(process.uid),
            process.state,
            f"{process.cpu_seconds:.2f} s",
            output.format_size(process.memory),
            " ".join(process.command),
        )
        for process in processes
    ]
    return output.format_table(heads, rows, right=(1, 2, 3, 5, 6))
