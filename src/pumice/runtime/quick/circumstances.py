"""Everything on which a run plan depends, apart from the files of its image.

A plan is used only in the circumstances in which it was made:

- its *key* has the words of the command line, and what belongs to the process: see `make_key`;
- its *witnesses* are files and other things of the machine, which are compared one by one: see `is_true`.
  `plan_recording.list_witnesses` names them all. Among them are the policy, the keys, the records and the
  marks by which `trust.admission` decided, so every change that could change the decision undoes the plan;
- it has a time from which and until which it is valid: see `plans.Plan`.

`docs/adr/0020-run-plans.md` lists them for people, and ``tests/e2e/test_run_plans.py`` changes each of them.
"""

from __future__ import annotations

import os
from _blake2 import blake2b

from pumice.runtime.launch import trees
from pumice.runtime.sandbox.argument_codec import encode_arguments
from pumice.runtime.sandbox.masked_paths import list_masked_paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pumice.runtime.quick.command_line import RunCommand

    Witness = tuple[str, str, str]

VARIABLES = (
    *("CNI_PATH", "HOME", "PATH", "PUMICE_CONFIG", "PUMICE_HOME", "PUMICE_NETWORK"),
    *("PUMICE_SAFE_DIRECTORIES", "TERM", "XDG_CONFIG_HOME", "XDG_DATA_HOME"),
)
"""The environment variables that can change what ``pumice run`` does with an image in the store."""
SWITCH = "PUMICE_RUN_PLANS"
"""The variable that switches run plans off if it is ``0``."""
_FORMAT = "2"
_NAMESPACES = ("cgroup", "mnt", "net", "pid", "user")
_MAX_FILES = 1000


def make_key(command: RunCommand, store: str, environ: Mapping[str, str]) -> bytes:
    """Return the key of the plan for a command of this process: 32 bytes; raises OSError."""
    machine = os.uname()
    words = [
        *(_FORMAT, store, str(len(command.options)), *command.options, command.reference),
        *(*command.fixed_arguments, "\n"),
        *(f"{name}={environ[name]}" if name in environ else name for name in VARIABLES),
        *(str(os.geteuid()), str(os.getegid()), str(os.getuid()), str(os.getgid()), str(os.getgroups())),
        *("tty" if os.isatty(number) else "" for number in (0, 1)),
        *(machine.machine, machine.release, trees.read_boot_id().decode()),
        *(os.readlink(f"/proc/self/ns/{name}") for name in _NAMESPACES),
        *(_read("/proc/self/cgroup"), _read_capabilities()),
    ]
    return blake2b(encode_arguments(words), digest_size=32).digest()


def _read_capabilities() -> str:
    text = _read("/proc/self/status")
    return text[text.find("CapInh:") : text.find("Speculation")]


def is_true(witness: Witness) -> bool:
    """Return whether a witness still says what it said when the plan was made."""
    kind, subject, statement = witness
    return observe(kind, subject) == statement


def observe(kind: str, subject: str) -> str:
    """Return what a witness of ``kind`` says about ``subject`` now."""
    return _OBSERVERS[kind](subject)


def _stamp(path: str) -> str:
    """Return what changes with a file or with the names in a directory, "" if it does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return (
        f"{status.st_dev} {status.st_ino} {status.st_mode} {status.st_uid} {status.st_gid} {status.st_size}"
        f" {status.st_mtime_ns} {status.st_ctime_ns}"
    )


def _stamp_each(paths: str) -> str:
    """Return a digest of what changes with each of many files; their paths are lines."""
    stamps: list[object] = []
    for path in paths.split("\n"):
        try:
            status = os.stat(path)
        except OSError:
            stamps.append(None)
        else:
            stamps.append((status[:7], status.st_mtime_ns, status.st_ctime_ns))
    return blake2b(str(stamps).encode(), digest_size=32).hexdigest()


def _summarize_files(directory: str) -> str:
    """Return a digest of the metadata of all files below a directory, "" if it does not exist."""
    try:
        files = trees.list_files(directory)
        listed = [file for file, _ in zip(files, range(_MAX_FILES), strict=False)]
    except OSError:
        return ""
    if len(listed) == _MAX_FILES:
        return f"more than {_MAX_FILES} files, of which nothing is known: {os.urandom(8).hex()}"
    return trees.summarize(listed)


def _resolve(path: str) -> str:
    """Return where a path leads, "" if nothing is there."""
    return os.path.realpath(path) if os.path.exists(path) else ""


def _can_create(group: str) -> str:
    """Return whether children of a control group can be created, which may not exist itself at the moment."""
    return str(os.access(group if os.path.exists(group) else os.path.dirname(group), os.W_OK))


def _list_names(directory: str) -> str:
    try:
        return "/".join(sorted(os.listdir(directory)))
    except OSError:
        return ""


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


_OBSERVERS: dict[str, Callable[[str], str]] = {
    "stamp": _stamp,
    "stamps": _stamp_each,
    "files": _summarize_files,
    "names": _list_names,
    "link": _resolve,
    "creatable": _can_create,
    "masked": lambda _: "/".join(list_masked_paths()),
}
"""What a witness observes, by its kind."""
