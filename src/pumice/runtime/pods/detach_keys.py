"""The keys that end ``pumice attach`` while the program goes on."""

from __future__ import annotations

from pumice.errors import UsageError

DEFAULT = "ctrl-p,ctrl-q"
_CONTROL_NAMES = "abcdefghijklmnopqrstuvwxyz@^[]\\_"


def parse_keys(text: str) -> bytes:
    """Return the bytes of keys such as ``ctrl-p,ctrl-q`` or ``x``, empty for none; raises UsageError."""
    keys = bytearray()
    for name in text.split(",") if text else ():
        control = name.removeprefix("ctrl-")
        if control != name and len(control) == 1 and control.lower() in _CONTROL_NAMES:
            keys.append(ord(control.upper()) & 0x1F)
        elif len(name) == 1 and name.isascii() and name.isprintable():
            keys.append(ord(name))
        else:
            raise UsageError(
                f"{name[:40]!r} is not a key",
                hint="write keys such as ctrl-p or x, separated by commas, or an empty text for none",
            )
    return bytes(keys)


class DetachKeys:
    """Finds the keys in what is typed. A beginning of them is held back until it is clear what follows."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def filter(self, typed: bytes) -> tuple[bytes, bool]:
        """Return what the program gets, and whether the keys were typed; what follows them is dropped."""
        if not self._keys:
            return typed, False
        data = self._held + typed
        before, keys, _ = data.partition(self._keys)
        if keys:
            self._held = b""
            return before, True
        length = max(count for count in range(len(self._keys)) if data.endswith(self._keys[:count]))
        self._held = data[len(data) - length :]
        return data[: len(data) - length], False
