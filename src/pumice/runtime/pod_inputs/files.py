"""Read the file of a pod, whatever its format is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.appc.pod_manifest import is_pod_manifest
from pumice.errors import FormatError, Problem, RecipeError, UsageError
from pumice.formats import yaml
from pumice.os_errors import suggest_path
from pumice.runtime.network.request import check_pod_name
from pumice.runtime.pod_inputs import appc_manifest, compose, kubernetes
from pumice.runtime.pod_inputs.environment_files import read_environment_file
from pumice.runtime.pod_inputs.interpolation import Interpolation
from pumice.runtime.pod_inputs.nodes import NodeDecoder
from pumice.runtime.pods.app_names import check_app_names, choose_app_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import BinaryIO

    from pumice.formats.yaml import Node
    from pumice.runtime.pod_inputs.model import PodInput

_MAX_DOCUMENTS = 100
_MAX_PROBLEMS = 50
_HINT = "write a Kubernetes Pod or Deployment, a compose file, or an App Container pod manifest"


def read_pod_file(path: str, environ: Mapping[str, str], stdin: BinaryIO) -> PodInput:
    """Return the pod of a file, or of ``stdin`` for ``-``.

    Variables of compose files come from ``environ``, and then from the file ``.env`` in its directory. Raises
    UsageError if the file cannot be read, RecipeError with all problems of its content, and FormatError.
    """
    data = _read(path, stdin)
    if is_pod_manifest(data):
        try:
            return _finish(appc_manifest.read_manifest(data), path)
        except FormatError as error:
            where = f"{path[:200]}: {error.where}" if error.where else path[:200]
            raise FormatError(error.message, where=where, hint=error.hint) from None
    roots = _read_documents(data, path)
    decoder = NodeDecoder()
    pod = None
    if all(map(kubernetes.is_kubernetes, roots)):
        pod = kubernetes.read_objects(roots, decoder)
    elif len(roots) == 1 and compose.is_compose(roots[0]):
        folder = Path(path).resolve().parent if path != "-" else Path.cwd()
        root, unset = _interpolate(roots[0], folder, environ)
        pod = compose.read_compose(root, decoder, folder)
        decoder_ignored = tuple(
            f"the variable {name}, which is not set ({where})" for name, where in unset.items()
        )
        pod = pod and msgspec.structs.replace(pod, ignored=(*pod.ignored, *decoder_ignored))
    else:
        raise UsageError("the file does not describe a pod", where=path[:200], hint=_HINT)
    if decoder.problems or pod is None:
        raise RecipeError(_first(decoder.problems))
    unknown = tuple(f"{field.path} ({field.where})" for field in decoder.unknown)
    return _finish(msgspec.structs.replace(pod, ignored=(*unknown, *pod.ignored)), path)


def _read(path: str, stdin: BinaryIO) -> bytes:
    if path == "-":
        return stdin.read(yaml.MAX_BYTES + 1)
    try:
        with Path(path).open("rb") as file:
            return file.read(yaml.MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(
            f"cannot read the file of the pod: {reason}", where=path[:200], hint=suggest_path(path)
        ) from None


def _read_documents(data: bytes, path: str) -> list[Node]:
    """Return the documents of a YAML stream, each with its lines numbered as in the stream."""
    roots = []
    problems: list[Problem] = []
    for text in split_documents(data):
        document = yaml.read_document(text, os.path.relpath(path) if path != "-" else "-")
        problems += document.problems
        if document.root is not None:
            roots.append(document.root)
    if problems:
        raise RecipeError(_first(problems))
    if not roots:
        raise UsageError("the file is empty", where=path[:200], hint=_HINT)
    return roots


def split_documents(data: bytes) -> list[bytes]:
    """Return the documents that lines ``---`` separate, with empty lines for what precedes each."""
    if len(data) > yaml.MAX_BYTES:
        return [data]  # refused by the reader
    documents: list[list[bytes]] = [[]]
    for number, line in enumerate(data.splitlines(keepends=True)):
        if line.rstrip() == b"---" or line.startswith((b"--- ", b"---\t")):
            documents.append([b"\n"] * (number + 1))
        else:
            documents[-1].append(line)
    texts = [b"".join(lines) for lines in documents[:_MAX_DOCUMENTS]]
    return [text for text in texts if any(_has_content(line) for line in text.splitlines())]


def _has_content(line: bytes) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith((b"#", b"%"))


def _interpolate(root: Node, folder: Path, environ: Mapping[str, str]) -> tuple[Node, dict[str, str]]:
    values: dict[str, str] = {}
    if (folder / ".env").is_file():
        lines = read_environment_file(str(folder / ".env"))
        values |= {name: _unquote(value) for name, _, value in (line.partition("=") for line in lines)}
    interpolation = Interpolation({**values, **environ})
    replaced = interpolation.replace(root)
    if interpolation.problems:
        raise RecipeError(_first(interpolation.problems))
    return replaced, interpolation.unset


def _unquote(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _first(problems: Iterable[Problem]) -> list[Problem]:
    return list(problems)[:_MAX_PROBLEMS] or [Problem("the file does not describe a pod", hint=_HINT)]


def _finish(pod: PodInput, path: str) -> PodInput:
    """Return the pod with checked names; raises UsageError."""
    check_app_names([app.options.name for app in pod.apps])
    for app in pod.apps:
        if not app.reference or app.reference.startswith("-"):
            raise UsageError(f"the app {app.options.name!r} has no image", where=path[:200])
    _check_cycles(pod, path)
    if pod.hostname:
        check_pod_name(pod.hostname)
    stem = choose_app_name(Path(path).stem) if path != "-" else "pod"
    return msgspec.structs.replace(pod, name=pod.name or stem)


def _check_cycles(pod: PodInput, path: str) -> None:
    """Raise UsageError if apps wait for one another."""
    needs = {app.options.name: {need.app for need in app.options.after} for app in pod.apps}
    while ready := [name for name, names in needs.items() if not names & needs.keys()]:
        for name in ready:
            del needs[name]
    if needs:
        raise UsageError(f"the apps {', '.join(sorted(needs))} wait for one another", where=path[:200])
