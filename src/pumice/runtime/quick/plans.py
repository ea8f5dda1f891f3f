"""Run plans, and the files ``plans/NN`` of the store that have them.

Two digits of the key choose the file, so there are at most 256 plans, and a new one replaces an old one.
"""

from __future__ import annotations

import os
import stat
import time
from _blake2 import blake2b

from pumice.runtime.launch.model import GroupPlan, Launch
from pumice.runtime.quick import circumstances
from pumice.runtime.sandbox.argument_codec import (
    decode_arguments,
    decode_fields,
    encode_arguments,
    encode_fields,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.quick.circumstances import Witness

DIRECTORY = "plans"
_MAGIC = b"pumice run plan 3"
_MAX_SIZE = 4 << 20


class Plan:
    """A launch, the tree of its image, and when it may be executed.

    ``valid_from`` and ``valid_until`` are in seconds since the epoch. Further arguments of the program follow
    its ``program``, and unless ``arguments_end`` is 0, are inserted there into the ``settings`` as JSON.
    ``network`` describes a private network, which is made anew for each run: see `networks.describe`.
    """

    __slots__ = (
        "arguments_end",
        "key",
        "launch",
        "network",
        "tree",
        "valid_from",
        "valid_until",
        "witnesses",
    )

    def __init__(
        self,
        key: bytes,
        launch: Launch,
        tree: str,
        witnesses: Sequence[Witness],
        validity: tuple[int, int],
        arguments_end: int = 0,
        network: Sequence[str] = (),
    ) -> None:
        self.key = key
        self.launch = launch
        self.tree = tree
        self.witnesses = tuple(witnesses)
        self.valid_from, self.valid_until = validity
        self.arguments_end = arguments_end
        self.network = tuple(network)

    def is_valid(self) -> bool:
        """Return whether the time and all witnesses are right."""
        if not self.valid_from <= time.time() < self.valid_until:
            return False
        return all(map(circumstances.is_true, self.witnesses))

    def move_network(self, old: str, new: str) -> bool:
        """Let the launch use another directory of a network; return whether it can."""
        launch = self.launch
        if len(old) != len(new):
            return False  # `arguments_end` would not be right any more
        launch.options = tuple(
            new + word[len(old) :] if word.startswith(f"{old}/") else word for word in launch.options
        )
        launch.settings = launch.settings.replace(f"{old}/".encode(), f"{new}/".encode())
        return True

    def add_arguments(self, arguments: Sequence[str]) -> bool:
        """Add arguments of the program to the launch; return whether it can have them."""
        launch = self.launch
        if arguments and self.arguments_end:
            text = _quote(arguments)
            if text is None:
                return False
            end = self.arguments_end
            launch.settings = launch.settings[:end] + text + launch.settings[end:]
        launch.program += tuple(arguments)
        return True


def _quote(words: Sequence[str]) -> bytes | None:
    """Return words as further elements of a JSON array, None if they are not Unicode text."""
    import json  # an engine takes longer to start

    try:
        return "".join(f",{json.dumps(word, ensure_ascii=False)}" for word in words).encode()
    except UnicodeEncodeError:
        return None


def plan_path(store: str, key: bytes) -> str:
    """Return the path of the file for a plan with this key."""
    return f"{store}/{DIRECTORY}/{key[:1].hex()}"


def load_plan(store: str, key: bytes) -> Plan | None:
    """Return the plan with this key, None if there is none, or another user could have written it."""
    try:
        descriptor = os.open(plan_path(store, key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode) or status.st_mode & 0o022:
            return None
        data = os.read(descriptor, min(status.st_size, _MAX_SIZE))
    finally:
        os.close(descriptor)
    try:
        plan = decode_plan(data)
    except (ValueError, IndexError):
        return None
    return plan if plan.key == key else None


def encode_plan(plan: Plan) -> bytes:
    """Return a plan as bytes for `decode_plan`."""
    launch = plan.launch
    groups = [
        encode_arguments(
            [
                *(str(group.version), group.parent, group.top, str(len(group.controllers))),
                *group.controllers,
                *(word for setting in group.settings for word in setting),
            ]
        )
        for group in launch.groups
    ]
    numbers = (plan.valid_from, plan.valid_until, plan.arguments_end, int(launch.needs_groups))
    content = encode_fields(
        (
            plan.key,
            encode_arguments((plan.tree, launch.kind, *map(str, numbers))),
            encode_arguments([word for witness in plan.witnesses for word in witness]),
            encode_arguments(launch.options),
            encode_arguments(launch.program),
            launch.filter,
            launch.settings,
            encode_arguments(plan.network),
            *groups,
        )
    )
    return encode_fields((_MAGIC, _digest(content), content))


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


def decode_plan(data: bytes) -> Plan:
    """Return the plan that `encode_plan` encoded; raises ValueError and IndexError for other bytes."""
    magic, content_digest, content = decode_fields(data)
    if magic != _MAGIC or content_digest != _digest(content):
        raise ValueError("damaged, or written by another version")
    key, head, witnesses, options, program, seccomp_filter, settings, network, *groups = decode_fields(
        content
    )
    tree, kind, *numbers = decode_arguments(head)
    valid_from, valid_until, arguments_end, needs_groups = map(int, numbers)
    words = decode_arguments(witnesses)
    launch = Launch(
        kind,
        decode_arguments(options),
        decode_arguments(program),
        filter=seccomp_filter,
        settings=settings,
        groups=[_decode_group(decode_arguments(group)) for group in groups],
        needs_groups=bool(needs_groups),
    )
    return Plan(
        key,
        launch,
        tree,
        list(zip(words[::3], words[1::3], words[2::3], strict=True)),
        (valid_from, valid_until),
        arguments_end,
        decode_arguments(network),
    )


def _decode_group(words: Sequence[str]) -> GroupPlan:
    first = 4 + int(words[3])
    settings = zip(words[first::2], words[first + 1 :: 2], strict=True)
    return GroupPlan(int(words[0]), words[1], words[2], words[4:first], list(settings))
