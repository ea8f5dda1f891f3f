"""A root and nothing else: for agents that look after the host and its processes, network and devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import SandboxError, UsageError
from pumice.runtime.stage1.builtin import Builtin

if TYPE_CHECKING:
    from pumice.runtime.container import Container
    from pumice.runtime.launch.model import Launch


class Fly(Builtin):
    """The stage 1 with a mount namespace only, also known as chroot.

    An ordinary user needs a user namespace for that. Capabilities, system calls and limits are those of
    the built-in sandbox. Processes that the program leaves behind go on, as those of a service do.
    """

    def plan(self, container: Container) -> Launch:
        """Translate the container to options of the sandbox; raises SandboxError for unsupported ones."""
        if container.network != "host":
            raise SandboxError(
                "fly cannot give a program a network of its own",
                hint="pass --network host, or use another --stage1",
            )
        if container.init:
            raise UsageError(
                "fly does not support --init", hint="omit --init, or use --stage1 builtin or bwrap"
            )
        isolation = msgspec.structs.replace(container.isolation, user_namespace="host")
        launch = super().plan(msgspec.structs.replace(container, isolation=isolation, maps=None))
        launch.options += ("--fly",)
        return launch
