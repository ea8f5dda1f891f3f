"""runc, or crun, as stage 1: an OCI bundle and ``run`` (runtime-spec 1.0.2)."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pumice import ownership
from pumice.errors import SandboxError, UsageError
from pumice.runtime import id_maps, sandbox
from pumice.runtime.container import Maps
from pumice.runtime.stage1 import Start, external
from pumice.runtime.stage1.builtin import map_options

if TYPE_CHECKING:
    from pumice.runtime.container import Container

_VERSION = "1.0.2"
_MAX_LOG = 1 << 20


class Runc:
    """Runs ``runc run`` (``crun run``) on a bundle of its own, with a state directory of its own."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._place: Path | None = None

    def start(self, container: Container, scratch: Path) -> Start:
        """Write the bundle below ``scratch``; raises SandboxError for a user that cannot be had."""
        import msgspec

        if container.init:
            raise UsageError(
                f"{self._program} has no init to run as process 1",
                hint="leave --init out, or use --stage1 builtin or bwrap",
            )
        program = external.need(self._program, self._program)
        external.check(container)
        found = _maps(container)
        self._place = Path(tempfile.mkdtemp(prefix="run-", dir=scratch))
        ownership.make_directory(self._place / "state", private=True)
        try:
            config = msgspec.json.encode(bundle(container))
        except UnicodeEncodeError:
            raise SandboxError(
                f"{self._program} can only be given text in UTF-8", hint="use the built-in stage 1"
            ) from None
        (self._place / "config.json").write_bytes(config)
        log = ("--log", str(self._place / "log"), "--log-format", "json")
        name = self._place.name
        command = (
            program,
            "--root",
            str(self._place / "state"),
            *log,
            "run",
            "--bundle",
            str(self._place),
            name,
        )
        owners = ("--owners", container.owners) if container.owners and id_maps.can_own(found) else ()
        return Start(("--only-root", *map_options(found), *owners), command)

    def target(self, pid: int) -> int:
        """Return ``pid``: runc passes signals on."""
        return pid

    def finish(self, code: int) -> int:
        """Return ``code``, unless the log says that it is the engine's own."""
        message = self._complaint() if code else ""
        if message:
            raise SandboxError(f"{self._program} could not run the program ({message})")
        return code

    def close(self) -> None:
        """Remove the bundle, and with it the engine's state."""
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)
            self._place = None

    def _complaint(self) -> str:
        import msgspec

        message = ""
        with suppress(OSError, AttributeError):
            for line in (self._place / "log").read_bytes()[:_MAX_LOG].splitlines():  # type: ignore[operator]
                with suppress(msgspec.MsgspecError):
                    record = msgspec.json.decode(line)
                    if isinstance(record, dict) and record.get("level") in ("error", "fatal"):
                        message = str(record.get("msg", ""))
        return message


def _maps(container: Container) -> Maps:
    if not id_maps.is_ordinary_user():
        return Maps()
    process = container.process
    found = id_maps.ranges()
    if found:
        return found
    if (process.uid, process.gid) != (0, 0):
        raise SandboxError(
            f"without subordinate ids you can run as user 0 only, not as {process.uid}:{process.gid}",
            hint="add yourself to /etc/subuid and /etc/subgid, say --user 0, or use the built-in stage 1",
        )
    return Maps(((0, os.getuid(), 1),), ((0, os.getgid(), 1),))


def bundle(container: Container) -> dict[str, Any]:
    """Return the ``config.json`` of the container."""
    process = container.process
    capabilities = list(external.CAPABILITIES)
    held = capabilities if process.uid == 0 else []
    namespaces = ["pid", "ipc", "uts", "mount", *(["network"] if container.network == "none" else [])]
    return {
        "ociVersion": _VERSION,
        "process": {
            **_terminal(),
            "user": {"uid": process.uid, "gid": process.gid, "additionalGids": list(process.groups)},
            "args": list(process.arguments),
            "env": [f"{name}={value}" for name, value in process.environment.items()],
            "cwd": process.directory,
            "capabilities": {"bounding": capabilities, "effective": held, "permitted": held},
            "noNewPrivileges": True,
        },
        "root": {"path": external.writable(container), "readonly": container.read_only},
        "hostname": container.hostname,
        "mounts": _mounts(container),
        "linux": {
            "namespaces": [{"type": kind} for kind in namespaces],
            "maskedPaths": sandbox.masked_paths(),
            "readonlyPaths": list(sandbox.FROZEN),
            "seccomp": _seccomp(),
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        },
    }


def _terminal() -> dict[str, Any]:
    if not (os.isatty(0) and os.isatty(1)):
        return {"terminal": False}
    size = os.get_terminal_size(0)
    return {"terminal": True, "consoleSize": {"height": size.lines, "width": size.columns}}


def _mounts(container: Container) -> list[dict[str, Any]]:
    def memory(target: str, *options: str) -> dict[str, Any]:
        return {"destination": target, "type": "tmpfs", "source": "tmpfs", "options": list(options)}

    def bind(source: str, target: str, *options: str) -> dict[str, Any]:
        return {"destination": target, "type": "bind", "source": source, "options": ["rbind", *options]}

    strict = ("nosuid", "noexec", "nodev")
    own_view = container.network == "none" or not id_maps.is_ordinary_user()
    made = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": list(strict)},
        memory("/dev", "nosuid", "strictatime", "mode=755"),
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
        memory("/dev/shm", *strict, "mode=1777"),  # noqa: S108 - inside
        # Only who owns the network may mount a sysfs; the machine's own is all that is left for others.
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*strict, "ro"]}
        if own_view
        else bind("/sys", "/sys", *strict, "ro"),
    ]
    if container.read_only:
        made += [memory("/tmp", "nosuid", "nodev", "mode=1777")]  # noqa: S108 - inside
        made += [memory("/var/tmp", "nosuid", "nodev", "mode=1777")]  # noqa: S108 - inside
        made += [memory("/run", "nosuid", "nodev", "mode=755")]
    for mount in container.mounts:
        if mount.source:
            made.append(
                bind(mount.source, mount.target, "nosuid", "nodev", "ro" if mount.read_only else "rw")
            )
        else:
            made.append(memory(mount.target, "nosuid", "nodev", "mode=1777"))
    return made


def _seccomp() -> dict[str, Any]:
    names = [row.split()[0] for row in sandbox.DENIED.replace("\n", " ").split(",")]
    refuse = {"action": "SCMP_ACT_ERRNO", "errnoRet": errno.EPERM}
    rules: list[dict[str, Any]] = [
        {"names": names, **refuse},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
    ]
    for flag in sandbox.NAMESPACES:
        mask = {"index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ"}
        rules.append({"names": ["clone"], **refuse, "args": [mask]})
    for request in sandbox.INJECTING:
        equal = {"index": 1, "value": request, "op": "SCMP_CMP_EQ"}
        rules.append({"names": ["ioctl"], **refuse, "args": [equal]})
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}
