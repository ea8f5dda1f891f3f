"""``pumice aci validate``: check App Container images, layouts and manifests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.display import output
from pumice.cli.image_access import aci_options
from pumice.cli.parsing import arguments as command_line
from pumice.errors import ImageError, PumiceError

if TYPE_CHECKING:
    import argparse

_NOUNS = {"appimage": "image", "layout": "image layout", "manifest": "manifest"}


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice aci``."""
    action = command_line.add_action(
        parser,
        "validate",
        run,
        "check images, image layouts and manifests",
        examples=("pumice aci validate hello.aci", "pumice aci validate --type manifest pod.json"),
    )
    action.add_argument(
        "files", metavar="FILE", nargs="+", help="image, image layout (a directory) or manifest"
    )
    action.add_argument(
        "--type",
        choices=tuple(_NOUNS),
        metavar="TYPE",
        help="appimage, layout or manifest (default: what FILE looks like)",
    )
    aci_options.add_non_standard_option(action)


def run(options: argparse.Namespace) -> int:
    """Check every file; the exit code is that of the last one that is not valid."""
    code = 0
    for file in options.files:
        try:
            _validate(Path(file), options)
        except PumiceError as error:
            sys.stderr.write(output.format_error(error, color=output.has_color(sys.stderr)))
            code = error.exit_code
    return code


def _validate(path: Path, options: argparse.Namespace) -> None:
    kind = options.type or _detect_type(path)
    if kind == "appimage":
        from pumice.image import aci_reader

        validated = aci_reader.validate_aci(path, non_standard=options.non_standard)
        warnings, detail = validated.warnings, f", {validated.image_id}"
    elif kind == "layout":
        from pumice.image import aci_layout

        warnings, detail = aci_layout.read_layout_manifest(path)[1], ""
    else:
        warnings, detail = _validate_manifest(path), ""
    aci_options.print_warnings(str(path), warnings)
    print(output.printable(f"{path}: valid App Container {_NOUNS[kind]}{detail}"))


def _detect_type(path: Path) -> str:
    from pumice.image.regular_file import open_regular

    if path.is_dir():
        return "layout"
    file = open_regular(path)
    if file is None:
        raise ImageError("the file does not exist", where=str(path)[:200])
    with file:
        return "manifest" if file.read(4096).lstrip()[:1] == b"{" else "appimage"


def _validate_manifest(path: Path) -> tuple[str, ...]:
    from pumice.appc.image_manifest import MAX_MANIFEST, read_image_manifest
    from pumice.appc.pod_manifest import is_pod_manifest, read_pod_manifest
    from pumice.errors import FormatError
    from pumice.image.regular_file import read_small

    data = read_small(path, MAX_MANIFEST)
    if data is None:
        raise ImageError("the file does not exist", where=str(path)[:200])
    try:
        return read_pod_manifest(data)[1] if is_pod_manifest(data) else read_image_manifest(data)[1]
    except FormatError as error:
        where = f"{path}: {error.where}" if error.where else str(path)
        raise FormatError(error.message, where=where, hint=error.hint) from None
