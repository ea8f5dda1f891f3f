"""Keep the plan of a run, so that `pumice.runtime.quick` can run the same again.

No plan is kept of a run that depended on more than `list_witnesses` says, or that printed a warning.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import digest, files
from pumice.errors import PumiceError
from pumice.runtime import isolation
from pumice.runtime.app_container.notification import NOTIFY_SOCKET
from pumice.runtime.launch.model import BUNDLE, SANDBOX, Launch
from pumice.runtime.quick import circumstances, plans
from pumice.runtime.quick.plans import Plan
from pumice.store.file_names import encode_reference
from pumice.store.location import find_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pumice.image.model import Image
    from pumice.progress import Progress, Task
    from pumice.runtime.container import Container
    from pumice.runtime.quick.command_line import RunCommand
    from pumice.store.home import Home
    from pumice.trust.decision import Decision

    Subject = tuple[str, str]
    """The kind of a witness, and what it is about."""

_DAY = 24 * 60 * 60
"""No plan is used for longer, so that whatever a witness cannot see is seen by the next day."""
_READ_FILES = (
    *("/etc/hosts", "/etc/resolv.conf", "/etc/subuid", "/etc/subgid", "/etc/passwd", "/etc/nsswitch.conf"),
    *("/proc/sys/user/max_user_namespaces", "/sys/fs/selinux/enforce"),
)


class RepeatableRun(msgspec.Struct, frozen=True):
    """A run: the image that was admitted, why, that of the platform, the container, and how it starts.

    ``network`` describes its private network if that can be made again, see `quick.networks.describe`.
    """

    image: Image
    platform_image: Image
    decision: Decision
    container: Container
    launch: Launch
    network: tuple[str, ...] = ()


class PlanRecorder:
    """Keeps the plan of one run of ``command``; make it before anything else is read.

    Its `progress` notices what a plan could not repeat.
    """

    def __init__(self, command: RunCommand, progress: Progress) -> None:
        self._command = command
        self.progress = AttentiveProgress(progress)
        self._started = int(time.time())
        self._store = find_directory(os.environ)
        self._earlier = _observe([*_list_directories(self._store), *_configuration(), *_machine()])

    def record(self, run: RepeatableRun, home: Home) -> None:
        """Keep the plan, if the run can be repeated by it."""
        launch, end = _cut_arguments(run, len(self._command.further_arguments))
        is_repeatable = (
            run.image.blobs is home.blobs
            and _is_named(run.image, self._command.reference, home)
            and (run.container.network != "private" or run.network)
            and not run.launch.handlers
            and not run.container.listen  # another run may be given the sockets
            and NOTIFY_SOCKET not in run.container.process.environment
            and not self.progress.was_used
            and not any(mount.owned for mount in run.container.mounts)
            and not (launch.kind == BUNDLE and os.isatty(0) and os.isatty(1))  # it has the size of the window
        )
        if not is_repeatable:
            return
        with suppress(OSError, PumiceError):
            witnesses = _observe(list_witnesses(self._command, run, self._store))
            if _observe(self._earlier) != self._earlier:
                return  # another process changed something in the meantime
            expiries = [key.expires for key in run.decision.keys if key.expires]
            plan = Plan(
                circumstances.make_key(self._command, self._store, os.environ),
                launch,
                str(Path(run.container.root).parent),
                [(kind, subject, statement) for (kind, subject), statement in witnesses.items()],
                (self._started, min([self._started + _DAY, *expiries])),
                end,
                run.network,
            )
            _save(plan, home)


def _is_named(image: Image, reference: str, home: Home) -> bool:
    """Return whether a reference is the name of the image in the store, and nothing else."""
    try:
        descriptor = home.refs.get(reference)
    except PumiceError:
        return False
    return descriptor is not None and descriptor.digest == image.root.digest


def _observe(subjects: Iterable[Subject]) -> dict[Subject, str]:
    return {(kind, subject): circumstances.observe(kind, subject) for kind, subject in subjects}


def list_witnesses(command: RunCommand, run: RepeatableRun, store: str) -> Iterator[Subject]:
    """Yield kind and subject of everything that a plan depends on, besides its key and its tree."""
    yield from _code()
    yield from _image(command, run, store)
    yield from _configuration()
    yield from _machine()
    for source in command.sources:
        yield "link", source
    for group in run.launch.groups:
        yield "creatable", group.parent
        if any(file.startswith(("io.", "blkio.")) for file, _ in group.settings):
            yield "names", "/sys/block"  # each block device has limits of its own
    if run.launch.kind != SANDBOX:
        yield "stamp", run.launch.program[0]
        yield "masked", ""
        yield "names", "/proc/sys/fs/binfmt_misc"


def _code() -> Iterator[Subject]:
    """Yield the files of the code and the data that made the plan."""
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "pumice"]
    paths = [path for module in modules if (path := getattr(module, "__file__", None))]
    yield "stamps", "\n".join(path for path in paths if "\n" not in path)
    yield from (("stamp", path) for path in paths if "\n" in path)
    yield "files", str(Path(isolation.__file__).with_name("data"))


def _image(command: RunCommand, run: RepeatableRun, store: str) -> Iterator[Subject]:
    """Yield which image has the name, that it is still there, and why it was admitted."""
    for name in ("version", f"refs/{encode_reference(command.reference)}"):
        yield "stamp", f"{store}/{name}"
    for image in (run.image, run.platform_image):
        name = digest.hex_of(image.root.digest)
        for directory in ("blobs/sha256", "built", "referrers", "archives"):
            yield "stamp", f"{store}/{directory}/{name}"
    for record in run.decision.records:
        yield "stamp", f"{store}/accepted/{digest.hex_of(digest.of(record.image.name.encode()))}"


def _list_directories(store: str) -> Iterator[Subject]:
    """Yield the directories of which `_image` yields files."""
    for name in ("refs", "built", "referrers", "accepted", "archives"):
        yield "stamp", f"{store}/{name}"


def _configuration() -> Iterator[Subject]:
    """Yield the directories with policies, trusted keys, revocations and configurations."""
    if path := os.environ.get("PUMICE_CONFIG"):
        yield "stamp", str(Path(path).absolute())
    for directory in ("/usr/lib/pumice", "/etc/pumice", _user_configuration()):
        yield "files", directory


def _machine() -> Iterator[Subject]:
    """Yield the files of the machine that are read."""
    for path in _READ_FILES:
        yield "stamp", path
    yield "names", "/sys/fs/cgroup"


def _user_configuration() -> str:
    """Return the directory with the policy and the configuration of this user, which need not exist."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if not Path(base).is_absolute():
        base = str(Path(os.environ.get("HOME") or "/nonexistent", ".config"))
    return str(Path(base, "pumice"))


def _cut_arguments(run: RepeatableRun, count: int) -> tuple[Launch, int]:
    """Return the launch without the last ``count`` arguments, and `Plan.arguments_end`."""
    launch, arguments = run.launch, run.container.process.arguments
    kept_arguments = arguments[: len(arguments) - count]
    settings, end = launch.settings, 0
    if launch.kind == BUNDLE:
        before, _, after = settings.partition(b'"args":' + msgspec.json.encode(arguments))
        head = before + b'"args":' + msgspec.json.encode(kept_arguments)
        settings, end = head + after, len(head) - 1
    kept = Launch(
        launch.kind,
        launch.options,
        launch.program[: len(launch.program) - count],
        filter=launch.filter,
        settings=settings,
        groups=launch.groups,
        needs_groups=launch.needs_groups,
    )
    return kept, end


def _save(plan: Plan, home: Home) -> None:
    path = Path(plans.plan_path(str(home.directory(plans.DIRECTORY).parent), plan.key))
    path.parent.chmod(0o700)
    # A plan that a power failure damages is not used.
    scratch = str(home.directory("tmp") / f"plan-{files.scratch_name()}")
    files.install(scratch, str(path), plans.encode_plan(plan), fs=home.fs, mode=0o600, sync=False)


class AttentiveProgress:
    """Progress that remembers whether something was reported that each run must report."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.was_used = False

    def task(self, label: str, total: int | None = None, *, unit: str = "bytes") -> Task:
        """Begin a piece of work."""
        return self._progress.task(label, total, unit=unit)

    def note(self, message: str) -> None:
        """Report a note."""
        self.was_used = True
        self._progress.note(message)

    def warn(self, message: str) -> None:
        """Report a warning."""
        self.was_used = True
        self._progress.warn(message)
