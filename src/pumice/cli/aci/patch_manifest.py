"""``pumice aci patch-manifest``: write an App Container image again with another manifest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pumice.cli.display import progress_modes
from pumice.cli.image_access import aci_options
from pumice.cli.parsing import arguments as command_line
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from pumice.appc.image_manifest import ImageManifest
    from pumice.appc.streams import Compression
    from pumice.image.aci_reader import ValidatedAci

_FIELDS = (
    ("--name", "NAME", "set the name of the image"),
    ("--exec", "COMMAND", "set the program and its arguments, quoted as in a shell"),
    ("--user", "USER", "set the user"),
    ("--group", "GROUP", "set the group"),
    ("--supplementary-groups", "GID,...", "set the supplementary groups"),
    ("--capability", "CAP,...", "set the capabilities that the app keeps"),
    ("--revoke-capability", "CAP,...", "set the capabilities that the app loses"),
    ("--mounts", "MOUNT:...", "set the mount points, each NAME,path=PATH[,readOnly=true]"),
    ("--ports", "PORT:...", "set the ports, each NAME,protocol=PROTOCOL,port=NUMBER[,count=NUMBER]"),
    ("--isolators", "ISOLATOR:...", "set isolators, each NAME,request=AMOUNT,limit=AMOUNT"),
    ("--seccomp-mode", "MODE", "retain or remove the system calls of --seccomp-set, with ,errno=NAME"),
    ("--seccomp-set", "CALL,...", "set system calls and wildcards"),
)


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice aci``."""
    action = command_line.add_action(
        parser,
        "patch-manifest",
        run,
        "write a copy of an image with a changed manifest",
        progress=True,
        examples=(
            "pumice aci patch-manifest --exec '/bin/hello --loud' hello.aci loud.aci",
            "pumice aci patch-manifest --replace --user 1000 --group 1000 hello.aci",
        ),
    )
    action.add_argument("source", metavar="FILE", help="image to read")
    action.add_argument("target", metavar="NEW", nargs="?", help="image to write; - is standard output")
    action.add_argument("--replace", action="store_true", help="replace FILE instead of writing NEW")
    action.add_argument("--overwrite", action="store_true", help="replace NEW if it exists")
    action.add_argument(
        "--manifest", metavar="FILE", help="use the manifest in FILE instead of the image's own"
    )
    group = action.add_argument_group("changes")
    for name, metavar, text in _FIELDS:
        group.add_argument(name, metavar=metavar, help=text)


def run(options: argparse.Namespace) -> int:
    """Write the image; print its image ID."""
    from pumice.image import aci_reader
    from pumice.image.aci_rewriter import rewrite_aci
    from pumice.image.output import Output

    if bool(options.target) == options.replace:
        raise UsageError("pass either NEW or --replace", hint="NEW is the file to write")
    target = options.target or options.source
    aci_options.check_free(target, overwrite=options.overwrite or options.replace)
    source = Path(options.source)
    validated = aci_reader.validate_aci(source)
    aci_options.print_warnings(options.source, validated.warnings)
    manifest = _patch(options, validated)
    # bzip2 is only read.
    compression = {"plain": "none", "bzip2": "gzip"}.get(validated.compression, validated.compression)
    with Output(target, sys.stdout.buffer) as file:
        image_id = rewrite_aci(
            source,
            manifest,
            file,
            cast("Compression", compression),
            progress_modes.make_progress(options.progress),
        )
    print(image_id, file=sys.stderr if target == "-" else sys.stdout)
    return 0


def _patch(options: argparse.Namespace, validated: ValidatedAci) -> ImageManifest:
    from pumice.appc import manifest_patch
    from pumice.appc.image_manifest import MAX_MANIFEST, read_image_manifest
    from pumice.errors import ImageError
    from pumice.image.regular_file import read_small

    manifest = validated.manifest
    if options.manifest:
        data = read_small(Path(options.manifest), MAX_MANIFEST)
        if data is None:
            raise ImageError("the file does not exist", where=options.manifest[:200])
        manifest, warnings = read_image_manifest(data)
        aci_options.print_warnings(options.manifest, warnings)
    values = {name: getattr(options, name.lstrip("-").replace("-", "_")) for name, _, _ in _FIELDS}
    for name, value in values.items():
        if value == "":
            raise UsageError(f"{name} is empty")
    patch = manifest_patch.ManifestPatch(
        **{name.lstrip("-").replace("-", "_"): value for name, value in values.items() if value is not None}
    )
    return manifest_patch.apply_patch(manifest, patch)
