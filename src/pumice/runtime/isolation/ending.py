"""Why a container ended: out of memory, or a system call that the filter does not allow."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from pumice.runtime.isolation import seccomp_profile

if TYPE_CHECKING:
    from pumice.runtime.sandbox.memory_watch import MemoryWatch

_KILLED, _BAD_CALL = 128 + 9, 128 + 31
_RECORD = re.compile(r"type=1326 .* sig=31 .* syscall=(\d+) ")
_MAX_RECORDS = 10_000


def explain_end(code: int, memory: MemoryWatch, started: int) -> str:
    """Return why a program ended with ``code``, ``""`` if nothing is known about it.

    ``started`` is the time of its start on the monotonic clock, in microseconds.
    """
    if code == _KILLED:
        return memory.explain_kill()
    return explain_bad_call(started) if code == _BAD_CALL else ""


def explain_bad_call(started: int) -> str:
    """Return which system call of a program was not allowed; ``started`` is as for `explain_end`."""
    name = find_refused_call(_read_kernel_log(started))
    if name:
        return f"the program was killed because its seccomp profile does not allow the system call {name}"
    reason = "the program was killed by SIGSYS, as for a system call that its seccomp profile does not allow"
    return f"{reason}; pass --explain to see which"


def find_refused_call(records: list[str]) -> str:
    """Return the name of the call in the last audit record about a filter, ``""`` if there is none."""
    names = {number: name for name, number in seccomp_profile.read_numbers(os.uname().machine).items()}
    for record in reversed(records):
        if match := _RECORD.search(record):
            return names.get(int(match[1]), f"number {match[1]}")
    return ""


def _read_kernel_log(since: int) -> list[str]:
    """Return the records of the kernel's log since a time; none if only root may read it."""
    records: list[str] = []
    try:
        descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return records
    try:
        while len(records) < _MAX_RECORDS:
            try:
                record = os.read(descriptor, 8192).decode(errors="replace")
            except BrokenPipeError:  # overwritten in between
                continue
            fields = record.partition(";")[0].split(",")
            if len(fields) > 2 and fields[2].isdigit() and int(fields[2]) >= since:
                records.append(record)
    except OSError:  # there are no more
        pass
    finally:
        os.close(descriptor)
    return records
