"""The commands of ``generate``: programs of the image whose files become part of the image.

They run in the built-in sandbox on an unpacked copy of the image, without network, as a user that is root
inside and has no other id. Everything that a program can learn about its surroundings is fixed, so that
equal images get equal files.
"""

from __future__ import annotations

import os
import posixpath
import shlex
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import tree_changes
from pumice.assembly.command_limits import CommandLimits, LimitWatch
from pumice.errors import ImageError, PumiceError, SandboxError
from pumice.os_errors import IMAGE, translate_os_errors
from pumice.runtime import tree_lookup
from pumice.runtime.container import HOSTNAME, Container, Mount, Process
from pumice.runtime.run import execute
from pumice.runtime.sandbox.options import DEFAULT_PATH
from pumice.runtime.stage1.builtin import Builtin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pumice.assembly.tree_changes import TreeChanges, TreeState
    from pumice.recipe.model import GenerateCommand

MOUNTED_DIRECTORIES = ("dev", "proc", "sys", "tmp")
"""What the sandbox mounts; nothing written there is in the tree."""
TEMPORARY_DIRECTORIES = ("run", "var/cache", "var/lock", "var/log", "var/run", "var/tmp")
"""Where changes are dropped, unless the command has ``paths``: logs, caches, locks and temporary files."""

DEFAULT_LIMITS = CommandLimits()

_CACHES = "var/cache"
_MAX_MESSAGE = 2000
_MAX_LISTED = 3


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between rounds, and must not decide the content of a file."""

    hostname: str = HOSTNAME
    hash_seed: int = 0
    last_pid: int = 0
    processors: int = 0
    """How many processors the program may use; 0: all."""


USUAL_SURROUNDINGS = Surroundings()


class CommandChanges(msgspec.Struct, frozen=True):
    """What commands changed: paths to keep, and paths that were dropped; both sorted.

    ``modes`` are the file types and modes of all paths before, as in ``st_mode``.
    """

    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    modes: dict[str, int]


def surroundings_of_round(number: int) -> Surroundings:
    """Return the surroundings of a round: the usual ones for the first (0), others for each other."""
    if number == 0:
        return USUAL_SURROUNDINGS
    return Surroundings(
        hostname=f"round-{number + 1}", hash_seed=number, last_pid=20_000 + 1000 * number, processors=1
    )


def make_environment(recipe_environment: Mapping[str, str], source_date_epoch: int) -> dict[str, str]:
    """Return the environment of the commands: the recipe's, with fixed values for what varies."""
    return {
        "PATH": DEFAULT_PATH,
        **recipe_environment,
        "HOME": "/tmp",
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOURCE_DATE_EPOCH": str(source_date_epoch),
        "TZ": "UTC",
    }


def run_commands(
    root: Path,
    commands: Sequence[GenerateCommand],
    environment: Mapping[str, str],
    surroundings: Surroundings = USUAL_SURROUNDINGS,
    limits: CommandLimits = DEFAULT_LIMITS,
) -> CommandChanges:
    """Run ``commands`` one after another on the tree ``root``, which they change; return their changes.

    Raises ImageError if a command fails, exceeds one of ``limits``, removes a file of the image or does not
    write one of its ``paths``, and SandboxError if the sandbox does not work here.
    """
    with translate_os_errors(root, IMAGE):
        state = original = tree_changes.read_state(root)
    kept: set[str] = set()
    dropped: set[str] = set()
    for command in commands:
        command_limits = msgspec.structs.replace(limits, seconds=command.timeout or limits.seconds)
        _run_command(root, command, environment, surroundings, command_limits)
        with translate_os_errors(root, IMAGE):
            previous, state = state, tree_changes.read_state(root)
        changes = tree_changes.compare_states(previous, state)
        command_kept, command_dropped = _select_changes(root, command, changes, original)
        kept |= command_kept
        dropped |= command_dropped
    kept &= state.keys()
    return CommandChanges(
        tuple(sorted(kept)),
        tuple(sorted((dropped & state.keys()) - kept)),
        {path: file_state.mode for path, file_state in original.items()},
    )


def _run_command(
    root: Path,
    command: GenerateCommand,
    environment: Mapping[str, str],
    surroundings: Surroundings,
    limits: CommandLimits,
) -> None:
    """Run one command; raises ImageError with the last line of its output if it fails."""
    seeds = {"PYTHONHASHSEED": str(surroundings.hash_seed), "PERL_HASH_SEED": str(surroundings.hash_seed)}
    container = Container(
        root=str(root),
        process=Process(arguments=command.command, environment={**environment, **seeds}),
        mounts=(Mount("", "/tmp"),),
        network="none",
        init=True,
        hostname=surroundings.hostname,
        in_place=True,
        last_pid=surroundings.last_pid,
    )
    with tempfile.TemporaryFile(dir=root.parent) as log, Path(os.devnull).open("rb") as stdin:
        limit_watch = LimitWatch(limits, root, log.fileno())
        streams = (stdin.fileno(), log.fileno(), log.fileno())
        try:
            with _limited_processors(surroundings.processors):
                exit_code = execute(container, Builtin(), root.parent, streams, watch=limit_watch.watch)
        except SandboxError as error:
            raise _sandbox_failure(command, error) from None
        if limit_watch.exceeded:
            raise _limit_error(command, limits, limit_watch.exceeded)
        if exit_code == 0:
            return
        log.seek(max(0, log.seek(0, os.SEEK_END) - _MAX_MESSAGE))
        message = log.read().decode(errors="replace").strip().rpartition("\n")[2]
    raise ImageError(
        f"{quote_command(command)} failed with exit code {exit_code}{': ' if message else ''}{message}",
        where=command.where or None,
    )


def _limit_error(command: GenerateCommand, limits: CommandLimits, exceeded: str) -> ImageError:
    """Return the error for a command that was stopped because it exceeded a limit."""
    name = quote_command(command)
    if exceeded == "seconds":
        return ImageError(
            f"{name} was stopped because it ran longer than {limits.seconds} s",
            where=command.where or None,
            hint="if it is not stuck, allow more time: {command: ..., timeout: 1h}",
        )
    if exceeded == "disk":
        return ImageError(
            f"{name} was stopped because it wrote more than {limits.disk >> 20} MiB",
            where=command.where or None,
            hint="write less: everything that a command writes counts, output and temporary files too",
        )
    return ImageError(
        f"{name} was stopped because it had more than {limits.processes} processes and threads",
        where=command.where or None,
        hint="make the program start fewer processes at a time",
    )


def _sandbox_failure(command: GenerateCommand, error: SandboxError) -> PumiceError:
    """Return the error for a command that could not be started, or for a sandbox that does not work."""
    from pumice.runtime.launch.errors import NotRunnableError

    if isinstance(error, NotRunnableError):
        return ImageError(
            f"cannot run {quote_command(command)}: {error.message}",
            where=command.where or None,
            hint="add the package that has the program or its interpreter; paths of programs are absolute",
        )
    hint = error.hint or "allow user namespaces, or remove 'generate' from the recipe"
    message = f"cannot run the commands of 'generate' without the sandbox: {error.message}"
    return SandboxError(message, where=command.where or None, hint=hint)


@contextmanager
def _limited_processors(count: int) -> Iterator[None]:
    """Let the processes that this thread starts use ``count`` processors only, all for 0."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(usable)[:count] if count else usable)
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


def quote_command(command: GenerateCommand) -> str:
    """Return a command for a message: quoted as for a shell, and shortened if it is long."""
    text = shlex.join(command.command)
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _select_changes(
    root: Path, command: GenerateCommand, changes: TreeChanges, original: TreeState
) -> tuple[set[str], set[str]]:
    """Return which changes to keep, and which to drop; raises ImageError for those that are not allowed."""
    selected = _resolve_paths(root, command)
    changed = [path for path in changes.changed if not _is_below(path, MOUNTED_DIRECTORIES)]
    kept = {path for path in changed if _is_kept(path, selected)}
    removed = [path for path in changes.removed if path in original and _is_kept(path, selected)]
    if removed:
        raise ImageError(
            f"{quote_command(command)} removes {list_paths(removed)}, and a command can only add and change "
            "files",
            where=command.where or None,
            hint="list what to keep of it under 'paths': [{command: ..., paths: [...]}]",
        )
    dropped = set(changed) - kept
    if not kept and not command.paths and any(_is_below(path, (_CACHES,)) for path in dropped):
        example = min(path for path in dropped if _is_below(path, (_CACHES,)) and path != _CACHES)
        raise ImageError(
            f"{quote_command(command)} writes only to directories whose content is dropped: "
            f"{list_paths(sorted(dropped))}",
            where=command.where or None,
            hint=f"keep it with 'paths': {{command: ..., paths: [/{example}]}}",
        )
    return kept, dropped


def _resolve_paths(root: Path, command: GenerateCommand) -> tuple[str, ...]:
    """Return the ``paths`` of a command without links; raises ImageError if one does not exist."""
    resolved = []
    for path in command.paths:
        target = tree_lookup.resolve_with_mounts(root, posixpath.dirname(path), {})
        relative = posixpath.join((target or "/").lstrip("/"), posixpath.basename(path))
        if not os.path.lexists(root / relative):
            raise ImageError(
                f"{quote_command(command)} does not create {path}",
                where=command.where or None,
                hint="correct 'paths', or remove it to keep everything that the command changes",
            )
        resolved.append(relative)
    return tuple(resolved)


def _is_kept(path: str, selected: Sequence[str]) -> bool:
    if selected:
        return _is_below(path, selected)
    return not _is_below(path, (*MOUNTED_DIRECTORIES, *TEMPORARY_DIRECTORIES))


def _is_below(path: str, directories: Iterable[str]) -> bool:
    """Whether ``path`` is one of ``directories`` or below one; the root is ``""``."""
    return any(not directory or f"{path}/".startswith(f"{directory}/") for directory in directories)


def list_paths(paths: Sequence[str]) -> str:
    """Return paths for a message, not all if there are many."""
    listed = ", ".join(f"/{path}" for path in paths[:_MAX_LISTED])
    return f"{listed} and {len(paths) - _MAX_LISTED} more" if len(paths) > _MAX_LISTED else listed
