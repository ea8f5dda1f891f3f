"""``pumice top``: list the processes of a running pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, pod_arguments, results

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
    results.add_format_options(parser, "top", example="Pid")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import process_list

    processes = process_list.list_processes(pod_arguments.find_pod(options.pod))
    results.write_result(processes, options.format, lambda: _table(processes))
    return 0


def _table(processes: Sequence[ListedProcess]) -> str:
    heads = ("PID", "HOST PID", "UID", "STATE", "CPU", "MEMORY", "COMMAND")
    rows = [
        (
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
    return output.format_table(heads, rows, right=(0, 1, 2, 4, 5))
