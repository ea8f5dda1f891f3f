"""Secrets and identities that package scripts generate.

No image may contain one, because all its copies would share it.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from pumice.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NAMES = (
    (r"etc/ssh/ssh_host_[^/]*_key(\.pub)?", "an SSH host key", "'ssh-keygen -A'"),
    (r"etc/ssl/(private|certs)/ssl-cert-snakeoil\.(key|pem)", "a snakeoil key", "'make-ssl-cert'"),
    (r"(etc|var/lib/dbus)/machine-id", "a machine id", "'systemd-machine-id-setup'"),
    (r"etc/hostid", "a host id", "'zgenhostid'"),
    (r"var/lib/systemd/(random-seed|credential\.secret)", "a random seed", "the program that needs it"),
    (r"etc/bind/rndc\.key", "a control key of bind", "'rndc-confgen -a'"),
    (r"etc/mysql/debian\.cnf", "a database password", "the program that needs it"),
    (r"etc/(iscsi/initiatorname\.iscsi|nvme/host(nqn|id))", "a name of this machine", "its own program"),
    (r"etc/(munge/munge\.key|corosync/authkey)", "a cluster key", "the program that needs it"),
)  # fmt: skip
"""Patterns of paths, what they are, and what makes them."""
_SECRETS = [(re.compile(pattern), kind, program) for pattern, kind, program in _NAMES]
_PRIVATE_KEY = re.compile(rb"^-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----$", re.MULTILINE)
_MAX_READ = 1 << 16


def refuse_secrets(root: Path, paths: Iterable[str]) -> None:
    """Raise ImageError if one of the files that scripts wrote below ``root`` is a secret or an identity.

    Empty files, such as an empty machine id, are allowed. Links are not followed.
    """
    for path in paths:
        content = _read_beginning(root / path)
        if not content or content.strip() in (b"", b"uninitialized"):
            continue
        kind, program = _identify(path, content)
        if kind:
            raise ImageError(
                f"the scripts of packages generate {kind}, which all containers would share: /{path}",
                hint=f"let each container run {program} when it starts, or put the file under 'files'",
            )


def _identify(path: str, content: bytes) -> tuple[str, str]:
    """Return what a file is and what makes it, empty texts if it is no secret."""
    for pattern, kind, program in _SECRETS:
        if pattern.fullmatch(path):
            return kind, program
    if _PRIVATE_KEY.search(content):
        return "a private key", "the program that needs it"
    return "", ""


def _read_beginning(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # a link, or it cannot be read: then it cannot be in the image either
        return b""
    try:
        return os.read(descriptor, _MAX_READ) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    finally:
        os.close(descriptor)
