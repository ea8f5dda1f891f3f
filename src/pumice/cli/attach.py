"""``pumice attach``: connect the terminal or the streams to the program of a pod in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice attach``."""
    parser = command_line.make_parser(
        "attach",
        "Connect your terminal, or your standard streams, to the program of a running pod.",
        progress=False,
        epilog="""You see what the program writes from now on; 'pumice logs' prints what it wrote before.
The program reads what you type if the pod was started with --detach --interactive, as in 'pumice run -dit'.
The exit code is that of the program, or 0 if you detach.""",
        examples=("pumice attach shell", "pumice attach --no-stdin server"),
    )
    pod_arguments.add_pod(parser)
    pod_arguments.add_app(parser, only_one=True)
    parser.add_argument(
        "--detach-keys",
        metavar="KEYS",
        default=None,
        help="detach with these keys, such as ctrl-a,d; '' for none (default: ctrl-p,ctrl-q)",
    )
    parser.add_argument("--no-stdin", action="store_true", help="do not pass on your standard input")
    parser.add_argument(
        "--sig-proxy",
        choices=("true", "false"),
        nargs="?",
        const="true",
        default="true",
        metavar="BOOL",
        help="pass signals on to a program without a terminal: true or false (default: true)",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Attach; return the exit code of the program."""
    options = parser().parse_args(arguments)
    from pumice.runtime.pods import attach, detach_keys

    text = detach_keys.DEFAULT if options.detach_keys is None else options.detach_keys
    request = attach.AttachRequest(
        has_stdin=not options.no_stdin,
        forwards_signals=options.sig_proxy == "true",
        detach_keys=detach_keys.parse_keys(text),
    )
    return attach.attach_to_app(pod_arguments.find_app(options), request)
