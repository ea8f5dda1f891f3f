"""The members of a JSON object, read one by one; what is left over is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pumice.appc.findings import Findings

_Item = TypeVar("_Item")
_MAX_NUMBER = (1 << 63) - 1


class Members:
    """An object of a manifest at the place ``where``, whose members may be called ``names``.

    A null is the same as no member. The reference implementation ignores case in names of members, so
    documents with other capitals exist: they are accepted with a warning, unless a member then exists twice.
    """

    def __init__(self, value: object, where: str, names: Iterable[str], findings: Findings) -> None:
        if not isinstance(value, dict):
            raise FormatError(f"expected an object, not {_describe(value)}", where=where)
        self.where = where
        self.findings = findings
        self._values: dict[str, Any] = {}
        spelling = {name.casefold(): name for name in names}
        for key, member in value.items():
            name = spelling.get(key.casefold())
            if name is None:
                findings.warn(where, f"unknown member {key[:60]!r}")
                continue
            if name in self._values:
                raise FormatError(f"the member {name!r} is given twice", where=where)
            if key != name:
                findings.warn(where, f"the member {key!r} is written {name!r}")
            self._values[name] = member

    def place(self, name: str) -> str:
        """Return the place of a member, such as ``app.ports``."""
        return f"{self.where}.{name}"

    def has(self, name: str) -> bool:
        """Return whether there is such a member that is not null."""
        return self._values.get(name) is not None

    def get(self, name: str) -> Any:
        """Return the value of a member, None if there is none."""
        return self._values.get(name)

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string; raises FormatError if it is missing and there is no ``default``."""
        value = self._values.get(name)
        if value is None:
            if default is None:
                raise FormatError(f"the member {name!r} is missing", where=self.where)
            return default
        if not isinstance(value, str):
            raise FormatError(f"expected a string, not {_describe(value)}", where=self.place(name))
        if "\0" in value:
            raise FormatError("the string contains a NUL", where=self.place(name))
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return true or false."""
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise FormatError(f"expected true or false, not {_describe(value)}", where=self.place(name))
        return value

    def number(
        self, name: str, default: int | None = None, *, least: int = 0, most: int = _MAX_NUMBER
    ) -> int:
        """Return an integer within bounds; raises FormatError if it is missing without a ``default``."""
        value = self._values.get(name)
        if value is None:
            if default is None:
                raise FormatError(f"the member {name!r} is missing", where=self.where)
            return default
        return check_number(value, self.place(name), least=least, most=most)

    def items(self, name: str, read: Callable[[Any, str], _Item]) -> tuple[_Item, ...]:
        """Return a list, each item read by ``read(value, where)``; an absent list is empty."""
        value = self._values.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise FormatError(f"expected a list, not {_describe(value)}", where=self.place(name))
        return tuple(read(item, f"{self.place(name)}[{number}]") for number, item in enumerate(value))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings."""
        return self.items(name, check_text)

    def table(self, name: str) -> dict[str, str]:
        """Return an object whose members are strings."""
        value = self._values.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise FormatError(f"expected an object, not {_describe(value)}", where=self.place(name))
        return {key: check_text(member, f"{self.place(name)}.{key[:60]}") for key, member in value.items()}


def check_text(value: object, where: str) -> str:
    """Return a string without NUL; raises FormatError for any other value."""
    if not isinstance(value, str):
        raise FormatError(f"expected a string, not {_describe(value)}", where=where)
    if "\0" in value:
        raise FormatError("the string contains a NUL", where=where)
    return value


def check_number(value: object, where: str, *, least: int = 0, most: int = _MAX_NUMBER) -> int:
    """Return an integer within bounds; raises FormatError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise FormatError(f"expected an integer, not {_describe(value)}", where=where)
    if not least <= value <= most:
        raise FormatError(f"the number {str(value)[:40]} is not between {least} and {most}", where=where)
    return value


def check_unique(names: Iterable[str], where: str, noun: str) -> None:
    """Raise FormatError if a name is in a list twice."""
    known: set[str] = set()
    for name in names:
        if name in known:
            raise FormatError(f"the {noun} {name[:100]!r} is given twice", where=where)
        known.add(name)


def _describe(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
