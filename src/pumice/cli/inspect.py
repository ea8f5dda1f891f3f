"""``pumice inspect``: what an image is."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pumice.cli.arguments import Parser
    from pumice.image.inventory import FileFact
    from pumice.image.summary import ArtifactSummary, PlatformSummary, Summary

_EPILOG = """REF is name:version, name alone if there is one version, a digest or its beginning,
oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG] or docker://HOST/NAME[:TAG]."""
_LONGEST = 12


def _parser() -> Parser:
    made = command_line.make_parser(
        "inspect",
        "Show what an image is: digest, platforms, sizes, config, layers, packages, and what in it\n"
        "deserves a second look. Nothing of the image is run.",
        progress=False,
        epilog=_EPILOG,
    )
    made.add_argument("reference", metavar="REF", help="the image")
    made.add_argument("--platform", metavar="PLATFORM", help="one of its platforms only, such as linux/arm64")
    command_line.add_format_option(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Print the summary of an image."""
    asked = _parser().parse_args(arguments)
    from pumice.cli import registries
    from pumice.formats import platforms
    from pumice.image import summary
    from pumice.store.home import Home, locate

    platform = platforms.parse_platform(asked.platform) if asked.platform else None
    with Home(locate(os.environ)) as home, registries.open_image(asked.reference, home) as image:
        found = summary.summarise(image, platform, home.records)
    sys.stdout.write(
        _json(found) if asked.format == "json" else "".join(f"{line}\n" for line in _text(found))
    )
    return 0


def _json(found: Summary) -> str:
    import json

    import msgspec

    return json.dumps(msgspec.to_builtins(found), indent=2) + "\n"


def _text(found: Summary) -> Iterator[str]:
    yield from _fields(
        [
            ("digest", found.digest),
            ("media type", found.media_type),
            ("size", output.format_size(found.size)),
            ("platforms", ", ".join(one.platform for one in found.platforms)),
        ]
    )
    for one in found.platforms:
        yield ""
        yield from _platform(one)
    for artifact in found.artifacts:
        yield ""
        yield from _artifact(artifact)


def _artifact(artifact: ArtifactSummary) -> Iterator[str]:
    yield output.printable(f"artifact {artifact.artifact_type}".rstrip())
    yield from _fields([("digest", artifact.digest), ("size", output.format_size(artifact.size))], "  ")
    yield from _list("annotations", _pairs(artifact.annotations))
    yield "  blobs"
    rows = [
        (
            blob.digest,
            output.format_size(blob.size),
            output.printable(blob.media_type),
            output.printable(blob.title),
        )
        for blob in artifact.blobs
    ]
    table = output.format_table(("digest", "size", "type", "title"), rows, right=(1,))
    yield from (f"    {line}".rstrip() for line in table.splitlines())


def _platform(one: PlatformSummary) -> Iterator[str]:
    yield output.printable(one.platform)
    config = one.config
    fields = [
        ("manifest", one.digest),
        ("config", one.config_digest),
        ("created", one.created),
        ("release", one.release),
        ("size", f"{output.format_size(one.size)} compressed, {output.format_size(one.unpacked)} unpacked"),
        ("files", str(one.files)),
        ("packages", str(len(one.packages))),
        ("user", config.get("User", "")),
        ("entrypoint", _command(config.get("Entrypoint", ()))),
        ("command", _command(config.get("Cmd", ()))),
        ("directory", config.get("WorkingDir", "")),
        ("ports", ", ".join(sorted(config.get("ExposedPorts", ())))),
        ("volumes", ", ".join(sorted(config.get("Volumes", ())))),
        ("stop signal", config.get("StopSignal", "")),
        ("health", _command(config.get("Healthcheck", {}).get("Test", ()))),
    ]
    yield from _fields(fields, "  ")
    yield from _list("environment", config.get("Env", ()))
    yield from _list("labels", _pairs(config.get("Labels", {})))
    yield from _list("annotations", _pairs(one.annotations))
    yield "  layers"
    rows = [
        (
            str(number),
            layer.digest,
            output.format_size(layer.size),
            output.format_size(layer.unpacked),
            layer.comment,
        )
        for number, layer in enumerate(one.layers, 1)
    ]
    table = output.format_table(("", "digest", "size", "unpacked", "what"), rows, right=(0, 2, 3))
    yield from (f"    {line}".rstrip() for line in table.splitlines())
    yield from _list("users", _wrapped([user.name for user in one.users]))
    yield from _list("set-ID files", [_file(file) for file in one.set_id])
    yield from _list("files with capabilities", [_file(file) for file in one.capable])
    yield from _list("world-writable", [_file(file) for file in one.world_writable])


def _fields(pairs: Iterable[tuple[str, str]], indent: str = "") -> Iterator[str]:
    for name, value in pairs:
        if value:
            yield f"{indent}{name:<12}  {_one_line(value)}"


def _list(name: str, values: Sequence[str]) -> Iterator[str]:
    if values:
        yield f"  {name}"
        yield from (f"    {_one_line(value)}" for value in values)


def _one_line(text: str) -> str:
    return output.printable(text.replace("\n", "\\n"))


def _pairs(values: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in sorted(values.items())]


def _command(words: Sequence[str]) -> str:
    import shlex

    return shlex.join(words)


def _wrapped(names: Sequence[str]) -> list[str]:
    return [", ".join(names[start : start + _LONGEST]) for start in range(0, len(names), _LONGEST)]


def _file(file: FileFact) -> str:
    by = f"  ({file.package})" if file.package else ""
    kinds = {"dir": stat.S_IFDIR, "char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO}
    mode = stat.filemode(file.mode | kinds.get(file.kind, stat.S_IFREG))
    return f"{mode} {file.uid}:{file.gid} /{file.path}{by}"
