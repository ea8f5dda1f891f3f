"""A release of slice definitions as frozen values."""

from __future__ import annotations

from typing import Literal

import msgspec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PathKind = Literal["copy", "glob", "dir", "text", "symlink", "generate"]
ARCHITECTURES = ("amd64", "arm64", "armhf", "i386", "ppc64el", "riscv64", "s390x")
"""The architectures that a path can be limited to."""


class PathRule(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """An item of ``contents``: a path of the slice, and how it is made.

    ``info`` is the source of a copy if it differs from ``path``, the content of a text file or the target of
    a link. ``mode`` is 0 for the default. ``until_mutate`` removes the path after the scripts.
    """

    path: str
    kind: PathKind
    info: str = ""
    mode: int = 0
    mutable: bool = False
    until_mutate: bool = False
    architectures: tuple[str, ...] = ()
    generate: str = ""
    prefer: str = ""
    line: int = 0
    column: int = 0

    @property
    def is_extracted(self) -> bool:
        """Whether the content comes from the package."""
        return self.kind in ("copy", "glob")

    @property
    def source(self) -> str:
        """The path or pattern in the package."""
        return self.info if self.kind == "copy" and self.info else self.path

    def applies_to(self, architecture: str) -> bool:
        """Whether the path is for an architecture."""
        return not self.architectures or architecture in self.architectures

    def has_same_content(self, other: PathRule) -> bool:
        """Whether two rules for one path give the same result, apart from the package they copy from."""
        return (self.kind, self.info, self.mode, self.mutable, self.generate) == (
            other.kind,
            other.info,
            other.mode,
            other.mutable,
            other.generate,
        )


class Essential(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """A slice that another one requires, on some architectures only if ``architectures`` is not empty."""

    name: str
    architectures: tuple[str, ...] = ()
    line: int = 0
    column: int = 0


class Slice(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """A slice of ``package``; ``mutate`` is its script, in Starlark, which starts in ``mutate_line``."""

    package: str
    name: str
    hint: str = ""
    essential: tuple[Essential, ...] = ()
    contents: tuple[PathRule, ...] = ()
    mutate: str = ""
    mutate_line: int = 0
    line: int = 0
    column: int = 0

    @property
    def full_name(self) -> str:
        """The name with that of the package, such as ``openssl_bins``."""
        return f"{self.package}_{self.name}"


class PackageSlices(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """The slices of a package, by name. ``archive`` is the only archive to take it from (empty: any).

    ``file`` is the path of the definition in the release.
    """

    name: str
    file: str
    archive: str = ""
    slices: dict[str, Slice] = {}

    def location(self, item: Slice | PathRule | Essential) -> str:
        """Return the ``file:line:column`` of a part of the definition."""
        return f"{self.file}:{item.line}:{item.column}"


class Archive(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An archive of packages. ``keys`` are armored OpenPGP certificates that must sign it.

    Archives with a negative priority are only for packages that name them.
    """

    name: str
    version: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    priority: int = 0
    pro: str = ""
    keys: tuple[str, ...] = ()


class Maintenance(msgspec.Struct, frozen=True, omit_defaults=True):
    """The dates of a release, as YYYY-MM-DD; ``expanded`` and ``legacy`` may be empty."""

    standard: str
    end_of_life: str
    expanded: str = ""
    legacy: str = ""

    @property
    def supported_until(self) -> str:
        """The day on which the support of the ordinary archives ends."""
        return self.expanded or self.end_of_life


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A release of slice definitions that has been checked.

    ``digest`` covers all of its files. ``notes`` say what was ignored.
    """

    format: str
    maintenance: Maintenance
    archives: dict[str, Archive]
    packages: dict[str, PackageSlices]
    digest: str = ""
    notes: tuple[str, ...] = ()

    def find_slice(self, full_name: str) -> Slice | None:
        """Return the slice with a full name such as ``openssl_bins``, None if there is none."""
        package, _, name = full_name.partition("_")
        definition = self.packages.get(package)
        return definition.slices.get(name) if definition else None

    def all_slices(self) -> Iterator[Slice]:
        """Yield every slice, by package and name."""
        for name in sorted(self.packages):
            slices = self.packages[name].slices
            for slice_name in sorted(slices):
                yield slices[slice_name]

    def location(self, item: Slice | PathRule | Essential, package: str) -> str:
        """Return the ``file:line:column`` of a part of the definition of ``package``."""
        return self.packages[package].location(item)
