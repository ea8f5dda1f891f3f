"""``pumice inspect``: what an image is."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, reading, registries, results

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pumice.cli.arguments import Parser
    from pumice.image.inventory import ListedFile
    from pumice.image.summary import ArtifactSummary, PlatformSummary, Summary

_EPILOG = """REF is name:version, a name with only one version, a digest or a prefix of it,
oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG] or docker://HOST/NAME[:TAG]."""
_LONGEST = 12


def parser() -> Parser:
    """Return the parser of ``pumice inspect``."""
    parser = command_line.make_parser(
        "inspect",
        "Show the digest, platforms, sizes, config, layers and packages of an image, and the files\n"
        "that need attention. Nothing in the image is executed.",
        progress=False,
        epilog=_EPILOG,
        examples=(
            "pumice inspect example.com/hello:1.0",
            "pumice inspect oci:hello --format json",
        ),
    )
    parser.add_argument("reference", metavar="REF", help="image to examine")
    parser.add_argument("--platform", metavar="PLATFORM", help="show only this platform, such as linux/arm64")
    results.add_format_options(parser, "inspect", default="text")
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print the summary of an image."""
    options = parser().parse_args(arguments)
    from pumice.formats import platforms
    from pumice.image import summary

    platform = platforms.parse_platform(options.platform) if options.platform else None
    with reading.open_image(options) as (image, home):
        image_summary = summary.summarize(image, platform, home.records)
    results.write_result(image_summary, options.format, lambda: _format_text(image_summary))
    return 0


def _format_text(image_summary: Summary) -> Iterator[str]:
    yield from _format_fields(
        [
            ("digest", image_summary.digest),
            ("media type", image_summary.media_type),
            ("size", output.format_size(image_summary.size)),
            ("platforms", ", ".join(platform.platform for platform in image_summary.platforms)),
        ]
    )
    for one in image_summary.platforms:
        yield ""
        yield from _format_platform(one)
    for artifact in image_summary.artifacts:
        yield ""
        yield from _format_artifact(artifact)


def _format_artifact(artifact: ArtifactSummary) -> Iterator[str]:
    yield output.printable(f"artifact {artifact.artifact_type}".rstrip())
    yield from _format_fields(
        [("digest", artifact.digest), ("size", output.format_size(artifact.size))], "  "
    )
    yield from _format_list("annotations", _format_pairs(artifact.annotations))
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


def _format_platform(platform: PlatformSummary) -> Iterator[str]:
    yield output.printable(platform.platform)
    config = platform.config
    fields = [
        ("manifest", platform.digest),
        ("config", platform.config_digest),
        ("created", platform.created),
        ("release", platform.release),
        (
            "size",
            (
                f"{output.format_size(platform.size)} compressed, "
                f"{output.format_size(platform.unpacked)} unpacked"
            ),
        ),
        ("files", str(platform.files)),
        ("packages", f"{len(platform.packages)} installed"),
        ("user", config.get("User", "")),
        ("entrypoint", _format_command(config.get("Entrypoint", ()))),
        ("command", _format_command(config.get("Cmd", ()))),
        ("directory", config.get("WorkingDir", "")),
        ("ports", ", ".join(sorted(config.get("ExposedPorts", ())))),
        ("volumes", ", ".join(sorted(config.get("Volumes", ())))),
        ("stop signal", config.get("StopSignal", "")),
        ("health", _format_command(config.get("Healthcheck", {}).get("Test", ()))),
    ]
    yield from _format_fields(fields, "  ")
    yield from _format_list("environment", config.get("Env", ()))
    yield from _format_list("labels", _format_pairs(config.get("Labels", {})))
    yield from _format_list("annotations", _format_pairs(platform.annotations))
    yield from _format_layers(platform)
    yield from _format_list("users", _join_in_lines([user.name for user in platform.users]))
    yield from _format_list("set-ID files", [_file(file) for file in platform.set_id])
    yield from _format_list("files with capabilities", [_file(file) for file in platform.capable])
    yield from _format_list("world-writable", [_file(file) for file in platform.world_writable])


def _format_layers(platform: PlatformSummary) -> Iterator[str]:
    yield "  layers"
    rows = [
        (
            str(number),
            layer.digest,
            output.format_size(layer.size),
            output.format_size(layer.unpacked),
            layer.comment,
        )
        for number, layer in enumerate(platform.layers, 1)
    ]
    table = output.format_table(("", "digest", "size", "unpacked", "what"), rows, right=(0, 2, 3))
    yield from (f"    {line}".rstrip() for line in table.splitlines())


def _format_fields(pairs: Iterable[tuple[str, str]], indent: str = "") -> Iterator[str]:
    for name, value in pairs:
        if value:
            yield f"{indent}{name:<12}  {_one_line(value)}"


def _format_list(name: str, values: Sequence[str]) -> Iterator[str]:
    if values:
        yield f"  {name}"
        yield from (f"    {_one_line(value)}" for value in values)


def _one_line(text: str) -> str:
    return output.printable(text.replace("\n", "\\n"))


def _format_pairs(values: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in sorted(values.items())]


def _format_command(words: Sequence[str]) -> str:
    import shlex

    return shlex.join(words)


def _join_in_lines(names: Sequence[str]) -> list[str]:
    return [", ".join(names[start : start + _LONGEST]) for start in range(0, len(names), _LONGEST)]


def _file(file: ListedFile) -> str:
    by = f"  ({file.package})" if file.package else ""
    kinds = {"dir": stat.S_IFDIR, "char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO}
    mode = stat.filemode(int(file.mode, 8) | kinds.get(file.kind, stat.S_IFREG))
    return f"{mode} {file.uid}:{file.gid} {file.path}{by}"
