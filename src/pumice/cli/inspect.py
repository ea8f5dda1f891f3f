"""``pumice inspect``: what an image or a pod is."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from pumice.cli.display import output, results
from pumice.cli.image_access import reading, registries
from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments, pod_views
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from pumice.cli.parsing.arguments import Parser
    from pumice.image.inventory import ListedFile
    from pumice.image.summary import ArtifactSummary, PlatformSummary, Summary

_EPILOG = """If both a pod and an image have the name, the pod is shown.
REF is name:version, a name with only one version, a digest or a prefix of it,
oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG] or docker://HOST/NAME[:TAG]."""
_LONGEST = 12


def parser() -> Parser:
    """Return the parser of ``pumice inspect``."""
    parser = command_line.make_parser(
        "inspect",
        "Show the digest, platforms, sizes, config, layers and packages of an image, and the files\n"
        "that need attention; or the state, apps, mounts, network and isolation of a pod.",
        progress=False,
        epilog=_EPILOG,
        examples=(
            "pumice inspect example.com/hello:1.0",
            "pumice inspect oci:hello --format json",
            "pumice inspect --type pod web",
        ),
    )
    parser.add_argument("reference", metavar="REF", help="image to examine, or the name or id of a pod")
    parser.add_argument(
        "--platform", metavar="PLATFORM", help="show only this platform, such as linux/arm64 (default: all)"
    )
    parser.add_argument(
        "-t",
        "--type",
        choices=("all", "image", "pod"),
        default="all",
        metavar="TYPE",
        help="what REF names: image, pod, or all for a pod, else an image (default: all)",
    )
    pod_arguments.add_app(parser)
    results.add_format_options(parser, "inspect", default="text", has_variants=True)
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print the summary of an image."""
    options = parser().parse_args(arguments)
    if options.type != "image" and _inspect_pod(options):
        return 0
    if options.app is not None:
        raise UsageError("--app is for pods", hint="name a pod, or omit --app")
    from pumice.formats import platforms
    from pumice.image import summary

    result_format = results.check_template(options.format, "inspect")
    platform = platforms.parse_platform(options.platform) if options.platform else None
    with reading.open_image(options) as (image, home):
        image_summary = summary.summarize(image, platform, home.records)
    results.write_result(image_summary, result_format, lambda: _format_text(image_summary))
    return 0


def _inspect_pod(options: argparse.Namespace) -> bool:
    """Print what is known of the pod that the arguments name; return False if they name none."""
    from pumice.runtime.pods import pod_store

    text = options.reference
    if options.type == "all" and (":" in text or "/" in text):  # no pod has such a name
        return False
    with pod_views.open_home() as home:
        if options.type == "all" and not ((home.root / "pods").is_dir() and pod_store.find_pods(home, text)):
            return False
        from pumice.cli.pods.pod_inspection import format_pod, inspect_pod

        result_format = results.check_template(options.format, "inspect pod")
        pod = inspect_pod(pod_store.find_pod(home, text), home, options.app)
    results.write_result(pod, result_format, lambda: format_pod(pod))
    return True


def _format_text(image_summary: Summary) -> Iterator[str]:
    yield from _format_fields(
        [
            ("digest", image_summary.digest),
            ("media type", image_summary.media_type),
            ("size", output.format_size(image_summary.size)),
            ("platforms", ", ".join(platform.platform for platform in image_summary.platforms)),
        ]
    )
    for platform_summary in image_summary.platforms:
        yield ""
        yield from _format_platform(platform_summary)
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
