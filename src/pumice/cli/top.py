"""``pumice top``: list the processes of a running pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, pod_views, results

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
    parser.add_argument("pod", metavar="POD", help="name of a pod, its id or the beginning of its id")
    results.add_format_options(parser, "top", example="Pid")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import pod_store, process_list

    with pod_views.open_home() as home:
        state = pod_store.find_pod(home, options.pod)
        home.close()
    processes = process_list.list_processes(state)
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
