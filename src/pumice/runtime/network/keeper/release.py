"""Releasing the network of a pod that has ended: interfaces, rules, addresses, helpers and files."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import shutil
import signal
import subprocess

from pumice.runtime.network.keeper import cni, hosts, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_ROUNDS = 10
_END_SECONDS = 10
_SECONDS = 60
"""For each call of iptables, which waits for others that change the rules."""
_PROGRAM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_MNT_DETACH = 2
_TABLES = (("iptables", "nat"), ("iptables", "filter"), ("ip6tables", "nat"), ("ip6tables", "filter"))
PASTA_FILE, SLIRP_FILE = "pasta.pid", "slirp.sock"
"""The files of helpers in the directory of an attachment, which are among their arguments."""
SETUP_LOCK = "setup"
"""A file that the plugins of an attachment hold open with a lock while they set it up."""


def release(directory: str) -> list[str]:
    """Release what the attachment in ``directory`` holds and remove it; return what failed.

    The caller holds the lock of the directory. A second call, and one after a restart of the machine, are
    harmless. If a program does not end in time, the directory stays, so that a later call tries again.
    """
    record = records.read_record(directory)
    _wait_for_setup(directory)
    record = records.read_record(directory) or record
    _end_helpers(directory, record)
    failures: list[str] = []
    netns = os.path.join(directory, "netns")
    if record.get("plugins"):
        failures = cni.delete(record, netns if os.path.exists(netns) else "")
        try:
            remove_rules(str(record["id"]))
        except subprocess.TimeoutExpired as error:
            return [*failures, f"cannot remove the rules of the firewall: {error}"]
    if os.path.exists(netns):
        ctypes.CDLL(None).umount2(netns.encode(), _MNT_DETACH)
    shutil.rmtree(directory, ignore_errors=True)
    if record.get("network") and record.get("shares_names"):
        hosts.rewrite_members(os.path.dirname(directory), str(record["network"]))
    return failures


def _wait_for_setup(directory: str) -> None:
    """Wait for plugins that still run, because a killed ``pumice run`` does not end them."""
    try:
        with open(os.path.join(directory, SETUP_LOCK), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        pass


def _end_helpers(directory: str, record: dict[str, Any]) -> None:
    """Kill pasta or slirp4netns and wait for its end, after which no port is bound and no file is written.

    The record has no helper if ``pumice run`` was killed while it started one, which is then looked for.
    """
    pid = record.get("helper_pid")
    if isinstance(pid, int):
        _end_helper(pid, directory)
    elif record.get("driver") in ("pasta", "slirp4netns"):
        for _ in range(_MAX_ROUNDS):  # what is killed may just have started another process
            helpers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
            if sum(_end_helper(pid, directory) for pid in helpers) == 0:
                return


def _end_helper(pid: int, directory: str) -> bool:
    """Kill a process and wait for its end, if it is a helper of an attachment; return whether it was."""
    if not _is_helper(pid, directory):
        return False
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not _is_helper(pid, directory):  # the number is that of another process by now
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll(_END_SECONDS * 1000)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(descriptor)
    return True


def _is_helper(pid: int, directory: str) -> bool:
    """Return whether one of the arguments of a process is the file of a helper in an attachment."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = file.read().split(b"\0")
    except OSError:
        return False
    return any(os.fsencode(os.path.join(directory, name)) in arguments for name in (PASTA_FILE, SLIRP_FILE))


def remove_rules(identifier: str) -> int:
    """Remove the firewall rules whose comment has ``identifier``, and their chains; return their number.

    Plugins leave them if their network namespace was gone when they were asked to delete them. Raises
    TimeoutExpired.
    """
    count = 0
    for program, table in _TABLES:
        lines = _run(f"{program}-save", "-t", table).split("\n")
        rules = [line for line in lines if line.startswith("-A ") and identifier in line]
        chains = {_jump_target(rule) for rule in rules} - {""}
        for rule in rules:
            _run(program, "-t", table, "-D", *_split_rule(rule)[1:])
        for chain in sorted(chains):
            _run(program, "-t", table, "-F", chain)
            _run(program, "-t", table, "-X", chain)
        count += len(rules)
    return count


def _jump_target(rule: str) -> str:
    """Return the chain of one container to which a rule jumps, ``""`` if there is none."""
    words = _split_rule(rule)
    target = words[words.index("-j") + 1] if "-j" in words[:-1] else ""
    own = (target.startswith(("CNI-DN-", "CNI-SN-")) or len(target) == 28) and target.startswith("CNI-")
    return target if own else ""


def _split_rule(rule: str) -> list[str]:
    import shlex

    return shlex.split(rule)


def _run(program: str, *arguments: str) -> str:
    path = shutil.which(program, path=_PROGRAM_PATH)
    if path is None:
        return ""
    process = subprocess.run(
        [path, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=_SECONDS,
    )
    return process.stdout if process.returncode == 0 else ""
