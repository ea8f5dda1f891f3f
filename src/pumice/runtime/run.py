"""Run an image: prepare its tree, start a stage 1 on it, pass signals on, return the exit code."""

from __future__ import annotations

import importlib.util
import os
import signal
import struct
import sys
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import SandboxError
from pumice.formats import platforms
from pumice.progress import Silent
from pumice.runtime import process, sandbox, stage1, unpack
from pumice.runtime.container import Container, Mount
from pumice.runtime.stage1 import programs
from pumice.trust import gate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pumice.formats.oci import Platform
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.runtime.container import Network
    from pumice.runtime.process import Overrides
    from pumice.runtime.stage1 import Stage1, Start
    from pumice.store.home import Home

_MAX_REASON = 1 << 16
_FROM_THIS_MACHINE = ("/etc/resolv.conf", "/etc/hosts")


def run(
    image: Image,
    overrides: Overrides,
    *,
    home: Home,
    isolation: str = "builtin",
    network: Network = "host",
    read_only: bool = False,
    mounts: Sequence[Mount] = (),
    platform: Platform | None = None,
    progress: Progress | None = None,
    reference: str = "",
    name: str = "",
    insecure: Sequence[str] = (),
    allow_older: bool = False,
) -> int:
    """Run the program of ``image`` in the foreground and return its exit code, 128+n for signal n.

    ``isolation`` is one of `stage1.NAMES`; ``platform`` is this machine's by default. What the
    program writes is gone afterwards, except on ``mounts``. An image that was not built here must be
    signed as `gate.admit` says: ``reference`` is how it was asked for, ``name`` what it must be. Raises
    ImageError, TrustError and FormatError for an image that cannot be used, SandboxError when nothing
    could be started; its exit code is 126 or 127 when the image's program is to blame, as a shell
    would say it.
    """
    gate.admit(
        image,
        home,
        reference=reference or image.root.digest,
        environ=os.environ,
        progress=progress or Silent(),
        name=name,
        insecure="image" in insecure,
        allow_older=allow_older,
    )
    chosen = image.select(platform or platforms.of_machine(os.uname().machine))
    runner = stage1.choose(isolation)
    config = chosen.config().config
    with unpack.hold(chosen, home, progress or Silent()) as tree:
        planned = process.plan(config, tree.root, overrides, os.environ)
        container = Container(
            root=str(tree.root),
            owners=str(tree.owners or ""),
            process=planned,
            mounts=(*_from_this_machine(), *_volumes(config.volumes, mounts, read_only), *mounts),
            network=network,
            read_only=read_only,
        )
        home.close()  # a program may run for weeks: collections need not wait for it
        return execute(container, runner, tree.root.parent)


def _from_this_machine() -> Iterator[Mount]:
    for path in _FROM_THIS_MACHINE:
        if Path(path).is_file():
            yield Mount(path, path, read_only=True)


def _volumes(named: Iterable[str], mounts: Sequence[Mount], read_only: bool) -> Iterator[Mount]:
    """Yield memory for the places that the image declares to be written to, where the rest is read-only."""
    given = {mount.target for mount in mounts}
    for path in sorted(named) if read_only else ():
        if path.startswith("/") and path not in given:
            yield Mount("", path)


def execute(
    container: Container, runner: Stage1, scratch: Path, streams: tuple[int, int, int] = (0, 1, 2)
) -> int:
    """Run a container by ``runner`` and return its program's exit code; see `run`.

    ``streams`` are the descriptors that become its standard input, output and error.
    """
    with closing(runner), _signals_held():
        start = runner.start(container, scratch)
        reasons, pid = _spawn(container, start, streams)
        with os.fdopen(reasons, "rb") as file:
            code = sandbox.attend(pid, lambda: runner.target(pid))
            os.set_blocking(reasons, False)
            text = (file.read(_MAX_REASON) or b"").decode(errors="replace").strip()
        if text:
            _raise(text, code)
        return runner.finish(code)


def _raise(text: str, code: int) -> None:
    message, _, hint = text.partition("\n  hint: ")
    if code in (sandbox.NOT_FOUND, sandbox.NOT_EXECUTABLE):
        program, _, reason = message.rpartition(": ")
        raise programs.NotRunnableError(program, code, reason)
    raise SandboxError(message, hint=hint or None)


def _spawn(container: Container, start: Start, streams: tuple[int, int, int]) -> tuple[int, int]:
    """Start the sandbox's file in a process of its own; return where its reasons come from, and its id.

    All options travel in memory, because a command line can be read by everybody.
    """
    reasons, reason = os.pipe()
    owned = [reason, *start.descriptors]
    try:
        options = [
            "--root",
            container.root,
            "--status-fd",
            str(reason),
            "--die-with-parent",
            *start.options,
            "",
        ]
        owned.append(programs.memory("\0".join(options).encode(errors="surrogateescape")))
        for descriptor in owned:
            os.set_inheritable(descriptor, True)
        command = [
            sys.executable,
            "-I",
            "-S",
            _program(),
            "--args",
            str(owned[-1]),
            "--",
            *start.program,
        ]
        # Nothing of this environment is for the program: it could be read through /proc.
        environment = {"PATH": os.environ.get("PATH", sandbox.PATH)}
        pid = os.posix_spawn(
            sys.executable,
            command,
            environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(streams)],
            setsigmask=(),
            setsigdef=(signal.SIGPIPE,),
        )
    except BaseException:
        os.close(reasons)
        raise
    finally:
        for descriptor in owned:
            os.close(descriptor)
    return reasons, pid


def _program() -> str:
    """Return the sandbox's file, compiled if that is to be had: it saves a quarter of the start."""
    compiled = importlib.util.cache_from_source(sandbox.__file__)
    source = Path(sandbox.__file__).stat()
    with suppress(OSError), Path(compiled).open("rb") as file:
        # The form that Python writes by itself: time and size of the source it was made of (PEP 552).
        if file.read(16)[4:] == struct.pack("<3I", 0, int(source.st_mtime), source.st_size):
            return compiled
    return sandbox.__file__


@contextmanager
def _signals_held() -> Iterator[None]:
    """Keep signals for `sandbox.attend`, so that none of them ends this process before its cleaning."""
    held = sandbox.FORWARDED | {signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
