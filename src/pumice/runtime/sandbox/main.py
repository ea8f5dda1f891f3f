"""The sandbox's entry point."""

from __future__ import annotations

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.descriptors import inherit_only
from pumice.runtime.sandbox.errors import FAILURES, exit_with_reason, explain_failure
from pumice.runtime.sandbox.options import Options, parse_options
from pumice.runtime.sandbox.signals import block_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run the program that ``arguments`` describe and return its exit code."""
    options = Options()
    try:
        options = parse_options(arguments)
        if options.die_with_parent:
            syscalls.end_with_parent()
        block_signals()
        return _run(options)
    except FAILURES as error:
        exit_with_reason(options.status_fd, explain_failure(error))


def _run(options: Options) -> int:
    """Run the program; import only the modules for that, while the root is still the one of the host."""
    if not options.only_root:  # its program inherits some more descriptors
        inherit_only(())
    if options.join >= 0:
        from pumice.runtime.sandbox.join import run_in_container

        return run_in_container(options)
    if options.hold:
        from pumice.runtime.sandbox.pod import hold_namespaces

        return hold_namespaces(options)
    if options.only_root:
        from pumice.runtime.sandbox.host_program import run_host_program

        return run_host_program(options)
    from pumice.runtime.sandbox.image_program import run_image_program

    return run_image_program(options)
