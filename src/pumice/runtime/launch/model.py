"""What is needed to start a container, as flat values."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SANDBOX, BWRAP, BUNDLE, MACHINE = "sandbox", "bwrap", "bundle", "machine"
"""The kinds of launches: the built-in sandbox, bubblewrap, an engine that runs OCI bundles, and qemu."""
MACHINE_APP = "machine-app"
"""An app in the machine of its pod."""
MAPPED_BWRAP, SHIFTED_BUNDLE = "mapped-bwrap", "shifted-bundle"
"""bwrap that gets all ids of its container, and a bundle below `sandbox.shifted_root`."""


class GroupPlan:
    """A control group to create.

    It becomes a child of the group ``parent``, whose highest ancestor that belongs to us is ``top``;
    ``settings`` are files and what is written to them, ``pod_settings`` those of the group of its pod.
    """

    __slots__ = ("controllers", "parent", "pod_settings", "settings", "top", "version")

    def __init__(
        self,
        version: int,
        parent: str,
        top: str,
        controllers: Sequence[str],
        settings: Sequence[tuple[str, str]],
        pod_settings: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.version = version
        self.parent = parent
        self.top = top
        self.controllers = tuple(controllers)
        self.settings = tuple(settings)
        self.pod_settings = tuple(pod_settings)


class Launch:
    """A container to start.

    ``options`` are those of the sandbox, apart from descriptors. ``program`` is the program of the image with
    its arguments, after the engine that executes it, if there is one. ``filter`` is the compiled filter of
    system calls, empty for none. ``settings`` are the options of bwrap, the ``config.json`` of a bundle or
    the files of a machine, whose ``program`` has the kernel and the options of qemu.
    ``inherited`` are descriptors of this process that the program gets. ``handlers`` are the launches of
    programs that an engine runs in the same root: ``pre-start`` and ``post-stop``.
    With ``needs_groups``, the user asked for limits, and it is an error if ``groups`` cannot be created.
    """

    __slots__ = (
        *("filter", "groups", "handlers", "inherited"),
        *("kind", "needs_groups", "options", "program", "settings"),
    )

    def __init__(
        self,
        kind: str,
        options: Sequence[str],
        program: Sequence[str],
        *,
        filter: bytes = b"",  # noqa: A002 - the kernel's word
        settings: bytes = b"",
        groups: Sequence[GroupPlan] = (),
        needs_groups: bool = False,
        inherited: Sequence[int] = (),
        handlers: Mapping[str, Launch] | None = None,
    ) -> None:
        self.kind = kind
        self.options = tuple(options)
        self.program = tuple(program)
        self.filter = filter
        self.settings = settings
        self.groups = tuple(groups)
        self.needs_groups = needs_groups
        self.inherited = tuple(inherited)
        self.handlers = dict(handlers or {})


class Start:
    """A launch whose descriptors are open.

    ``descriptors`` are inherited by the sandbox, ``retained`` stay open in the process that waits for it.
    """

    __slots__ = ("descriptors", "options", "program", "retained")

    def __init__(
        self,
        options: Sequence[str],
        program: Sequence[str],
        descriptors: Sequence[int] = (),
        retained: Sequence[int] = (),
    ) -> None:
        self.options = tuple(options)
        self.program = tuple(program)
        self.descriptors = tuple(descriptors)
        self.retained = tuple(retained)
