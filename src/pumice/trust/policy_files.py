"""The files of the policy: reading them, and where those of a prefix are.

The directory of a prefix is its scope, such as ``prefix.d/example.com/apps``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError, TrustError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

ROOT, PREFIX, MIRROR = "root.d", "prefix.d", "mirror.d"
_MAX_FILE = 1 << 20


class PolicyDirectory(msgspec.Struct, frozen=True):
    """A directory of policy files."""

    name: str
    path: Path


def prefix_directory(prefix: str) -> str:
    """Return the path of a prefix below a policy directory; raises UsageError for an invalid prefix."""
    return scope_directories(_check_prefix(prefix))[-1]


def scope_directories(name: str) -> list[str]:
    """Return the scope of each prefix of a name, the shortest first."""
    components = name.split("/") if name else []
    if any(not _encode_component(component).strip(".") for component in components):
        return []
    return [
        "/".join([PREFIX, *map(_encode_component, components[: count + 1])])
        for count in range(len(components))
    ]


def decode_prefix(scope: str) -> str:
    """Return the prefix of a scope."""
    return "/".join(decode_component(component) for component in scope.split("/")[1:])


def _encode_component(component: str) -> str:
    """Encode a component, so that it is not a special path, and unique if file names ignore case."""
    plain = "abcdefghijklmnopqrstuvwxyz0123456789._-"
    return "".join(c if c in plain else "".join(f"%{byte:02x}" for byte in c.encode()) for c in component)


def decode_component(component: str) -> str:
    """Return a component as it was before it was encoded."""
    from urllib.parse import unquote

    return unquote(component)


def _check_prefix(prefix: str) -> str:
    from pumice.trust.image_names import is_valid

    if not is_valid(f"{prefix}:0") or prefix.endswith("/"):
        raise UsageError(f"invalid prefix {prefix[:100]!r}", hint="use a prefix such as example.com/apps")
    return prefix


def list_directory(folder: Path) -> list[str]:
    """Return the sorted names of the files in a directory, none if it does not exist; raises TrustError."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _read_error(folder, error) from None


def read_text(path: Path) -> str | None:
    """Return the text of a small file, None if it does not exist; raises TrustError, FormatError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _read_error(path, error) from None
    if len(data) > _MAX_FILE:
        raise FormatError("the file is larger than 1 MiB", where=str(path))
    return data.decode("utf-8", "replace")


def _read_error(path: Path, error: OSError) -> TrustError:
    return TrustError(
        f"cannot read the trust policy: {(error.strerror or str(error)).lower()}", where=str(path)
    )
