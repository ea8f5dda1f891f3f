"""The cache of what the commands of ``generate`` write: they run once for equal images."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.cache import Cache
from pumice.assembly.layer_assembly import assemble_layers
from pumice.errors import PumiceError
from pumice.evidence.facts import GENERATED
from pumice.image.model import Image
from pumice.packing import compose
from pumice.packing.compose import LayerChunk
from pumice.packing.tree import Node

if TYPE_CHECKING:
    from pumice.assembly.context import BuildContext
    from pumice.assembly.layer_assembly import LayerContents
    from pumice.assembly.platform_model import PlatformInputs
    from pumice.formats.tar import Entry


_MAX_DIFFERENCES = 10


class CommandOutput(msgspec.Struct, frozen=True):
    """What commands wrote, as a part of a layer, and the paths that were dropped."""

    chunk: LayerChunk
    dropped: tuple[str, ...]

    def entries(self) -> list[Entry]:
        """Return the entries that the commands added or changed."""
        return [*self.chunk.directories, *(item.entry for item in self.chunk.items)]


_CACHE = Cache("generate", CommandOutput, lambda output: (output.chunk.blob,))


def get_output(
    contents: LayerContents, inputs: PlatformInputs, created: int, context: BuildContext
) -> CommandOutput:
    """Return what the commands of the recipe write to the image with ``contents``.

    ``created`` is the time of the image in seconds since 1970. The commands run only if something of the
    image or of the commands changed, or if the context asks for several rounds. Raises ImageError and
    SandboxError as `generate.run_commands` does, and PumiceError if two rounds differ.
    """
    layers = assemble_layers(contents, inputs.recipe.layers, context)
    commands = [(command.command, command.paths) for command in inputs.recipe.generate]
    diff_ids = [layer.layer.diff_id for layer in layers]
    key = _CACHE.key(inputs.architecture, diff_ids, commands, inputs.recipe.environment, created)
    output = _CACHE.get(context.home, key) if context.rounds == 1 else None
    if output is None:
        from pumice.assembly.image_programs import write_image

        image = write_image(inputs, layers, context.home.blobs)
        output = _run_round(0, image, contents, inputs, created, context)
        for number in range(1, context.rounds):
            _wait_for_next_second()
            _compare_rounds(output, _run_round(number, image, contents, inputs, created, context))
        _CACHE.put(context.home, key, output)
    return output


def add_output(contents: LayerContents, output: CommandOutput) -> LayerContents:
    """Return the contents with the output of the commands in place of what it replaces.

    The segments of packages still have the files that were replaced.
    """
    entries = output.entries()
    paths = {entry.path for entry in entries}
    return msgspec.structs.replace(
        contents,
        generated=[item for item in contents.generated if item.entry.path not in paths],
        nodes={**contents.nodes, **{entry.path: Node(entry, GENERATED) for entry in entries}},
        command_output=output.chunk,
    )


def _run_round(
    number: int,
    image: Image,
    contents: LayerContents,
    inputs: PlatformInputs,
    created: int,
    context: BuildContext,
) -> CommandOutput:
    """Unpack the image, run the commands on it, and write what they changed as a part of a layer."""
    from pumice.assembly import command_output, generate
    from pumice.image import rootfs
    from pumice.progress import Silent

    commands = inputs.recipe.generate
    home = context.home
    with (
        tempfile.TemporaryDirectory(prefix="generate-", dir=home.directory("tmp")) as folder,
        context.progress.task("running commands"),
    ):
        root = Path(folder, "root")
        rootfs.write_directory(image, root, progress=Silent(), set_owners=False)
        changes = generate.run_commands(
            root,
            commands,
            generate.make_environment(inputs.recipe.environment, created),
            generate.surroundings_of_round(number),
        )
        entries = command_output.read_output(root, changes.kept, contents, changes.modes, created)
        return CommandOutput(compose.write_chunk(entries, home.blobs), changes.dropped)


def _compare_rounds(first: CommandOutput, other: CommandOutput) -> None:
    """Raise PumiceError with the paths that differ, and what differs."""
    first_files, other_files = _describe(first), _describe(other)
    differences = [
        f"/{path} ({difference})"
        for path in sorted(first_files.keys() | other_files.keys())
        if (difference := _find_difference(first_files.get(path), other_files.get(path)))
    ]
    if differences:
        listed = ", ".join(differences[:_MAX_DIFFERENCES])
        more = len(differences) - _MAX_DIFFERENCES
        raise PumiceError(
            "the commands of 'generate' do not write the same twice: "
            f"{listed}{f' and {more} more' if more > 0 else ''}",
            hint="look for times, host names, process ids and random numbers in these files",
        )


def _describe(output: CommandOutput) -> dict[str, tuple[Entry, str]]:
    files = {item.entry.path: (item.entry, item.sha256) for item in output.chunk.items}
    return files | {entry.path: (entry, "") for entry in output.chunk.directories}


def _find_difference(first: tuple[Entry, str] | None, other: tuple[Entry, str] | None) -> str:
    """Return what differs between a file of two rounds, in a few words; empty if nothing does."""
    if first == other:
        return ""
    if first is None or other is None:
        return "only in one round"
    (entry, sha256), (other_entry, other_sha256) = first, other
    if entry.kind != other_entry.kind:
        return f"{entry.kind} or {other_entry.kind}"
    if entry.link != other_entry.link:
        return f"link to {entry.link} or {other_entry.link}"
    if entry.mode != other_entry.mode:
        return f"mode {entry.mode:04o} or {other_entry.mode:04o}"
    if entry.size != other_entry.size:
        return f"{entry.size} or {other_entry.size} bytes"
    return "content" if sha256 != other_sha256 else "owner"


def _wait_for_next_second() -> None:
    """Wait until a program that writes the time in seconds must write another one."""
    time.sleep(1.01 - time.time() % 1)
