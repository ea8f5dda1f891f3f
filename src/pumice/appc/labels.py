"""Labels, annotations and environment variables: lists of names with values, each name once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.appc import names
from pumice.appc.members import Members, check_unique
from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.appc.findings import Findings

PLATFORMS = {
    "linux": (
        "amd64",
        "i386",
        "aarch64",
        "aarch64_be",
        "armv6l",
        "armv7l",
        "armv7b",
        "ppc64",
        "ppc64le",
        "s390x",
    ),
    "freebsd": ("amd64", "i386", "arm"),
    "darwin": ("x86_64", "i386"),
}
"""The values of the labels ``os`` and ``arch`` that the specification knows."""
_OTHER_SPELLINGS = {
    "386": "i386",
    "arm": "armv7l",
    "arm64": "aarch64",
    "armhf": "armv7l",
    "ppc64el": "ppc64le",
    "x86_64": "amd64",
}
_BOOLEAN_ANNOTATION = "appc.io/executor/supports-systemd-notify"


class Label(msgspec.Struct, frozen=True):
    """A label of an image, by which it is found."""

    name: str
    value: str


class Annotation(msgspec.Struct, frozen=True):
    """An annotation of an image, a pod or an app."""

    name: str
    value: str


class Variable(msgspec.Struct, frozen=True):
    """An environment variable."""

    name: str
    value: str


def find_value(items: Iterable[Label | Annotation | Variable], name: str) -> str | None:
    """Return the value for a name, None if it is not in the list."""
    return next((item.value for item in items if item.name == name), None)


def read_labels(parent: Members, name: str = "labels") -> tuple[Label, ...]:
    """Return the labels of an image or a dependency; raises FormatError."""
    findings = parent.findings
    where = parent.place(name)

    def read(value: Any, place: str) -> Label:
        members = Members(value, place, ("name", "value"), findings)
        label = Label(members.text("name"), members.text("value"))
        names.check_identifier(label.name, members.place("name"), findings)
        if label.name == "name":
            raise FormatError("the label 'name' is reserved for the name of the image", where=place)
        return label

    labels = parent.items(name, read)
    check_unique([label.name for label in labels], where, "label")
    _check_platform(labels, where, findings)
    return labels


def _check_platform(labels: tuple[Label, ...], where: str, findings: Findings) -> None:
    system, architecture = find_value(labels, "os"), find_value(labels, "arch")
    if system is None:
        if architecture is not None:
            findings.warn(where, "there is a label 'arch' without a label 'os'")
        return
    if system not in PLATFORMS:
        raise FormatError(
            f"unknown operating system {system[:40]!r}",
            where=where,
            hint=f"use one of {', '.join(PLATFORMS)}",
        )
    if architecture is not None and architecture not in PLATFORMS[system]:
        hint = f"use one of {', '.join(PLATFORMS[system])}"
        if (spelling := _OTHER_SPELLINGS.get(architecture, "")) in PLATFORMS[system]:
            hint = f"did you mean {spelling}?"
        raise FormatError(
            f"App Container has no architecture {architecture[:40]!r} for {system}", where=where, hint=hint
        )


def read_annotations(parent: Members, name: str = "annotations") -> tuple[Annotation, ...]:
    """Return annotations; raises FormatError for a malformed well-known one."""
    findings = parent.findings

    def read(value: Any, place: str) -> Annotation:
        members = Members(value, place, ("name", "value"), findings)
        annotation = Annotation(members.text("name"), members.text("value"))
        names.check_identifier(annotation.name, members.place("name"), findings)
        _check_annotation(annotation, members.place("value"))
        return annotation

    annotations = parent.items(name, read)
    check_unique([annotation.name for annotation in annotations], parent.place(name), "annotation")
    return annotations


def _check_annotation(annotation: Annotation, where: str) -> None:
    if annotation.name == "created":
        names.check_date(annotation.value, where)
    elif annotation.name in ("homepage", "documentation"):
        names.check_web_address(annotation.value, where)
    elif annotation.name == _BOOLEAN_ANNOTATION and annotation.value not in ("true", "false"):
        raise FormatError(f"expected true or false, not {annotation.value[:40]!r}", where=where)


def read_environment(parent: Members, name: str = "environment") -> tuple[Variable, ...]:
    """Return environment variables; raises FormatError."""

    def read(value: Any, place: str) -> Variable:
        members = Members(value, place, ("name", "value"), parent.findings)
        return Variable(
            names.check_variable(members.text("name"), members.place("name")), members.text("value")
        )

    variables = parent.items(name, read)
    check_unique([variable.name for variable in variables], parent.place(name), "variable")
    return variables
