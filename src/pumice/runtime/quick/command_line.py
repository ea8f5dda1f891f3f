"""Read the command lines of ``pumice run`` that a plan can stand for, without argparse.

A plan is found by the words of its command line, so nothing is interpreted here. What matters is which words
come before the image, and that none of them is an option whose effect depends on anything else than its text
and what `circumstances` checks.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_FLAGS = frozenset(
    ("-i", "-t", "-it", "-ti", "--init", "--interactive", "--no-healthcheck", "--read-only", "--rm", "--tty")
)
_OPTIONS = frozenset(
    (
        *("-e", "-m", "-p", "-u", "-v", "-w", "--cap-add", "--cap-drop", "--cpus", "--entrypoint", "--env"),
        *("--hostname", "--memory", "--net", "--network", "--pids-limit", "--publish", "--shm-size"),
        *("--stage1", "--tmpfs", "--user", "--userns", "--volume", "--workdir"),
    )
)
"""Options with a value. `--volume` also names a file, which `circumstances` checks."""
_REFERENCE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:")


class RunCommand:
    """The words of a command line: options, the image, and the arguments of its program.

    ``sources`` are the files of the host that are mounted, as they were typed.
    """

    __slots__ = ("arguments", "options", "reference", "sources")

    def __init__(
        self, options: Sequence[str], reference: str, arguments: Sequence[str], sources: Sequence[str]
    ) -> None:
        self.options = tuple(options)
        self.reference = reference
        self.arguments = tuple(arguments)
        self.sources = tuple(sources)

    @property
    def fixed_arguments(self) -> tuple[str, ...]:
        """The arguments that belong to the plan: the first one can be the program."""
        return self.arguments[:1]

    @property
    def further_arguments(self) -> tuple[str, ...]:
        """The arguments that are added to those of the plan."""
        return self.arguments[1:]


def read_command(words: Sequence[str]) -> RunCommand | None:
    """Return the command of the words that follow ``run``, None if it needs the usual way."""
    if "---" in words:  # it separates the apps of a pod
        return None
    sources: list[str] = []
    position = 0
    while position < len(words) and words[position].startswith("-"):
        name, equals, value = words[position].partition("=")
        position += 1
        if name in _FLAGS and not equals:
            continue
        if name not in _OPTIONS or (equals and not name.startswith("--")):
            return None
        if not equals:
            if position == len(words):
                return None
            value = words[position]
            position += 1
        if not _is_plain(name, value):
            return None
        if name in ("-v", "--volume"):
            sources.append(value.partition(":")[0])
    if position == len(words) or not _is_stored_name(words[position]) or words[position + 1 :][:1] == ["--"]:
        return None
    return RunCommand(words[:position], words[position], words[position + 1 :], sources)


def _is_plain(name: str, value: str) -> bool:
    """Return whether the effect of an option is known from its text."""
    if not value or value.startswith("-"):
        return False
    if name in ("-e", "--env"):
        return value.find("=") > 0  # a name alone copies a variable
    if name in ("-v", "--volume"):
        source, _, rest = value.partition(":")
        # A name is that of a volume, which has a lock and a first use; U changes files.
        return bool(rest and ("/" in source or source[:1] == ".")) and rest.partition(":")[2] in (
            "",
            "ro",
            "rw",
        )
    return True


def _is_stored_name(reference: str) -> bool:
    """Return whether a reference can be ``name:version`` of an image in the store."""
    name, colon, version = reference.rpartition("/")[2].partition(":")
    return bool(name and colon and version) and ":" not in version and _REFERENCE.issuperset(reference)
