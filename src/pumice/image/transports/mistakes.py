"""Explains text that is not a reference to an image, and says what to write instead.

People write the name of a file, a directory, a recipe or a registry where a reference is expected. Files are
only looked at to explain such a mistake; that never follows from the content of an image.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.errors import ImageError, PumiceError, UsageError
from pumice.image.transports.locations import (
    ACI,
    DOCKER_ARCHIVE,
    LAYOUT,
    LAYOUT_ARCHIVE,
    REGISTRY,
    STORE,
    TRANSPORTS,
    Transport,
)
from pumice.registry import reference as registry_reference

if TYPE_CHECKING:
    from pumice.store.home import Home

_MAX_SHOWN = 200
_ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".aci")
_ARCHIVE_NOUNS = {
    "docker-archive": "an archive of docker save",
    "oci-archive": "an OCI archive",
    "aci": "an App Container image",
}
_RECIPE_SUFFIXES = (".yaml", ".yml")
_RECIPES = ("pumice.yaml", "recipe.yaml")
_FOREIGN_SCHEMES = ("docker-daemon:", "containers-storage:", "ostree:", "sif:")
"""Transports of skopeo and podman that lead into programs that Pumice does not use."""
_TAR_BLOCK, _TAR_MAGIC_OFFSET = 512, 257
_URL_SCHEMES = ("https://", "http://")


class Lookalike(msgspec.Struct, frozen=True):
    """What a text is instead of a reference, as in "'a.tar' is an OCI archive", and what to do."""

    description: str
    suggestion: str = ""
    """The reference to write instead, "" if there is none."""
    hint: str = ""
    """What to do if there is no reference for it."""
    can_be_replaced: bool = True
    """Whether an image may be written in its place."""


def check_source(text: str) -> None:
    """Raise UsageError if a bare name is not a reference to an image that can be read."""
    lookalike = identify(text)
    if lookalike is not None:
        raise UsageError(
            f"{_quote(text)} is {lookalike.description}, not the name of an image",
            hint=f"write {lookalike.suggestion}" if lookalike.suggestion else lookalike.hint,
        )


def check_registry_name(text: str, expectation: str, hint: str) -> None:
    """Raise UsageError if text that must name something in a registry is something else.

    ``expectation`` says what must be named, ``hint`` what to write.
    """
    lookalike = identify(text)
    if lookalike is None:
        return
    if lookalike.suggestion.startswith(REGISTRY.scheme):
        hint = f"write {lookalike.suggestion.removeprefix(REGISTRY.scheme)}"
    raise UsageError(f"{_quote(text)} is {lookalike.description}: {expectation}", hint=hint)


def check_stored_name(text: str) -> None:
    """Raise UsageError if text that must name an image in the store is something else."""
    lookalike = identify(text)
    if lookalike is not None:
        raise UsageError(
            f"{_quote(text)} is {lookalike.description}, not an image in the local store",
            hint="run 'pumice images' to list the images",
        )


def explain_absence(text: str, home: Home, *, can_pull: bool = True) -> PumiceError:
    """Return the error for a name or digest that the store does not have.

    ``can_pull`` is whether the command could use the image after pulling it.
    """
    if files.is_file(text) or files.is_directory(text):  # not before: images may have such names
        return _explain_path(text)
    if registry_reference.is_registry_host(text.partition("@")[0].rstrip("/")):
        host = text.rstrip("/")
        return UsageError(
            f"{_quote(text)} is not in the local store, and names no repository in a registry",
            hint=f"write {host[:_MAX_SHOWN]}/NAME[:TAG]",
        )
    if _is_path(text):
        return ImageError(
            f"{_shorten(text)} is not in the local store, and there is no such file or directory",
            hint="run 'pumice images' to list the images",
        )
    pull = _suggest_pull(text) if can_pull else ""
    similar = _suggest_name(text, home)
    if not home.refs.names():
        hint = f"the store is empty: {pull or 'build a recipe first, or set PUMICE_HOME'}"
    elif similar:
        hint = f"{similar} otherwise, {pull}" if pull else similar
    else:
        hint = pull or "run 'pumice images' to list the images"
    return ImageError(f"{_shorten(text) or repr(text)} is not in the local store", hint=hint)


def _explain_path(text: str) -> PumiceError:
    """Return the error for a name that no image has, but a file or directory without an image."""
    if files.is_file(text):
        noun, hint = "a file without an image", "run 'pumice images' to list the images"
    else:
        recipe = next((name for name in _RECIPES if files.is_file(f"{text}/{name}")), "")
        noun = f"a directory with {'a recipe' if recipe else 'no image'}"
        hint = (
            f"run 'pumice build {_shorten(text)}' first" if recipe else "an OCI layout has a file oci-layout"
        )
    return UsageError(f"{_quote(text)} is not in the local store, but {noun}", hint=hint)


def _suggest_name(text: str, home: Home) -> str:
    from difflib import get_close_matches

    names = home.refs.names()
    # Compare with each whole name, its last component, and that component without the version.
    nearby = {name.rpartition("/")[2].partition(":")[0]: name for name in reversed(names)}
    nearby |= {name.rpartition("/")[2]: name for name in reversed(names)} | {name: name for name in names}
    matches = get_close_matches(_shorten(text), nearby, n=1)
    if matches:
        return f"did you mean {nearby[matches[0]]}?"
    scheme, colon, path = text.partition(":")
    schemes = {transport.name: transport.scheme for transport in TRANSPORTS if transport.is_readable}
    matches = get_close_matches(scheme, schemes, n=1, cutoff=0.8) if colon else []
    return f"did you mean {schemes[matches[0]]}{path.lstrip('/')[:_MAX_SHOWN]}?" if matches else ""


def _suggest_pull(text: str) -> str:
    """Return how to pull an image, "" for a digest and for a name that no registry can have."""
    if all(letter in "0123456789abcdef" for letter in text.removeprefix("sha256:")):
        return ""
    try:
        registry_reference.parse_reference(text)
    except UsageError:
        return ""
    return f"try 'pumice pull {_shorten(text)}'"


def explain_destination(text: str) -> UsageError:
    """Return the error for a destination without a transport that can be written."""
    from difflib import get_close_matches

    lookalike = identify(text)
    if lookalike is not None and lookalike.suggestion:
        return UsageError(
            f"destination {_quote(text)} has no transport", hint=f"write {lookalike.suggestion}"
        )
    syntaxes = ", ".join(transport.syntax for transport in TRANSPORTS if transport.is_writable)
    if lookalike is not None and not lookalike.can_be_replaced:
        return UsageError(
            f"destination {_quote(text)} is {lookalike.description}", hint=f"use one of {syntaxes}"
        )
    scheme, colon, _ = text.partition(":")
    schemes = {transport.name: transport.scheme for transport in TRANSPORTS if transport.is_writable}
    matches = get_close_matches(scheme, schemes, n=1) if colon else []
    if matches or "://" in text:
        hint = f"did you mean {schemes[matches[0]]}?" if matches else f"use one of {syntaxes}"
        return UsageError(
            f"unknown transport {_shorten(scheme)[:40]!r} in destination {_quote(text)}", hint=hint
        )
    return UsageError(f"destination {_quote(text)} has no transport", hint=_suggest_destination(text))


def _suggest_destination(text: str) -> str:
    short_text = _shorten(text)
    in_registry, in_store = f"{REGISTRY.scheme}{short_text}", f"{STORE.scheme}{short_text}"
    if text and registry_reference.is_registry_host(text.rstrip("/")):
        return f"for that registry, write {REGISTRY.scheme}{short_text.rstrip('/')}/NAME[:TAG]"
    if text.endswith(_ARCHIVE_SUFFIXES):
        return f"write {_guess_archive(text).scheme}{short_text}"
    if registry_reference.has_registry_host(text):
        return f"write {in_registry} for the registry, or {in_store} for the local store"
    if ":" in text:
        return f"write {in_store} for the local store, or {in_registry} for a registry"
    directory, name = f"{LAYOUT.scheme}{short_text or 'DIR'}", f"{STORE.scheme}{short_text or 'NAME'}"
    return f"write {directory} for a directory, or {name} for the local store"


def identify(text: str) -> Lookalike | None:
    """Return what a bare name is if it cannot be meant as a reference, None otherwise."""
    for scheme in _URL_SCHEMES:
        if text.startswith(scheme):
            return Lookalike("a URL", f"{REGISTRY.scheme}{_shorten(text[len(scheme) :])}")
    for scheme in _FOREIGN_SCHEMES:
        if text.startswith(scheme):
            return Lookalike(
                f"in {scheme} of another program",
                hint=f"export it first, for example with 'skopeo copy {_shorten(text)} oci:DIR'",
                can_be_replaced=False,
            )
    if not text or "\0" in text or len(text) > 4096:
        return None
    return _identify_path(text)


def _identify_path(path: str) -> Lookalike | None:
    if files.is_directory(path):
        return _identify_directory(path)
    if path.endswith(_RECIPE_SUFFIXES):
        build = f"run 'pumice build {_shorten(path)}' first"
        return Lookalike("a recipe", hint=build, can_be_replaced=False)
    if files.is_file(path):
        return _identify_file(path)
    if path.endswith(_ARCHIVE_SUFFIXES) and ":" not in path:
        return Lookalike("the name of an archive", f"{_guess_archive(path).scheme}{_shorten(path)}")
    return None


def _guess_archive(path: str) -> Transport:
    """Return the transport of an archive by its name."""
    return ACI if path.endswith(".aci") else LAYOUT_ARCHIVE


def _is_path(text: str) -> bool:
    return text.startswith(("/", "./", "../", "~")) or text in (".", "..")


def _identify_directory(path: str) -> Lookalike | None:
    """Return what a directory is; None if it is not an image and its name could be that of an image."""
    if files.is_file(f"{path}/oci-layout"):
        return Lookalike("a directory with an OCI layout", f"{LAYOUT.scheme}{_shorten(path)}")
    for name in _RECIPES:
        recipe = f"{path.rstrip('/')}/{name}"
        if _is_path(path) and files.is_file(recipe):
            return Lookalike("a directory with a recipe", hint=f"run 'pumice build {_shorten(recipe)}' first")
    if _is_path(path):
        return Lookalike("a directory without an image", hint="an OCI layout has a file oci-layout")
    return None


def _identify_file(path: str) -> Lookalike | None:
    """Return what a file is; None if it is not an image and its name could be that of an image."""
    if path.endswith(".lock"):
        return Lookalike("a lock file", hint="run 'pumice build RECIPE' first", can_be_replaced=False)
    suggestion = _archive_reference(path)
    if suggestion:
        return Lookalike(_ARCHIVE_NOUNS[suggestion.partition(":")[0]], suggestion)
    if path.endswith(_ARCHIVE_SUFFIXES):
        return Lookalike("a tar file without an image", hint="run 'pumice images' to list the images")
    if _is_path(path):
        return Lookalike("a file without an image", hint="run 'pumice images' to list the images")
    return None


def _archive_reference(path: str) -> str:
    """Return the reference to the image in a tar file, "" if there is none.

    An archive of a new docker save is an OCI layout as well; only its ``manifest.json`` has the names.
    """
    from pumice.image.transports.archive_members import index_archive

    if not path.endswith(_ARCHIVE_SUFFIXES) and not _has_tar_header(path):
        return ""  # without reading a large file that is not an archive
    try:
        members = index_archive(Path(path)).ranges
    except PumiceError:
        return ""
    for transport, member in (
        (DOCKER_ARCHIVE, "manifest.json"),
        (LAYOUT_ARCHIVE, "oci-layout"),
        (ACI, "manifest"),
    ):
        if member in members:
            return f"{transport.scheme}{_shorten(path)}"
    return ""


def _has_tar_header(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            return file.read(_TAR_BLOCK)[_TAR_MAGIC_OFFSET:].startswith(b"ustar")
    except OSError:
        return False


def _shorten(text: str) -> str:
    return text[:_MAX_SHOWN]


def _quote(text: str) -> str:
    return repr(_shorten(text))
