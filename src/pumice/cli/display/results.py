"""Results of commands in the formats that people and programs ask for: a table, JSON, or a template.

A command makes one typed value. Its JSON and the fields of templates follow from the type, which is also
the JSON Schema that ``pumice schema VERB`` prints and that ``docs/reference/schemas/`` has. Programs rely on
it: a type may get new fields, but never loses one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence

    from pumice.cli.display.templates import Template

RESULTS: dict[str, str] = {
    "check": "pumice.cli.check:ImageFinding[]",
    "catalog": "pumice.cli.catalog:CatalogEntry[]",
    "discover": "pumice.discovery.protocol:Discovery",
    "diff": "pumice.evidence.comparison:Difference",
    "events": "pumice.runtime.pods.events:PodEvent[]",
    "explain": "pumice.resolve.explain:Explanation[]",
    "explain slice": "pumice.slices.explanation:SliceExplanation[]",
    "files": "pumice.image.inventory:ListedFile[]",
    "files by-package": "pumice.image.inventory:PackageFact[]",
    "history": "pumice.cli.history:HistoryEntry[]",
    "images": "pumice.cli.images:StoredImage[]",
    "inspect": "pumice.image.summary:Summary",
    "inspect pod": "pumice.cli.pods.pod_inspection:InspectedPod",
    "key list": "pumice.cli.key:StoredKey[]",
    "licenses": "pumice.cli.licenses:LicenseReport",
    "port": "pumice.cli.pods.port_views:ListedPort[]",
    "ps": "pumice.cli.pods.pod_views:ListedPod[]",
    "lock": "pumice.cli.recipes.recipe_lock:LockResult[]",
    "reproduce": "pumice.cli.reproduce:Reproduction",
    "resolve": "pumice.cli.resolve:ResolvedReference",
    "sbom": "pumice.cli.sbom:SbomPackage[]",
    "show": "pumice.cli.show:EffectiveValues",
    "slice diff": "pumice.slices.comparison:ReleaseDifference",
    "slice draft": "pumice.cli.slice.draft:SliceDraft[]",
    "slice find": "pumice.cli.slice.list:ListedSlice[]",
    "slice list": "pumice.cli.slice.list:ListedSlice[]",
    "slice missing": "pumice.assembly.slice_missing:WholePackage[]",
    "slim": "pumice.cli.slim:SlimReport",
    "stats": "pumice.cli.stats:PodStats[]",
    "status": "pumice.cli.pods.pod_views:ListedPod[]",
    "store path": "pumice.cli.store:StorePath",
    "store verify": "pumice.cli.store:StoreVerification",
    "tags": "pumice.cli.tags:TagEntry[]",
    "test": "pumice.cli.test:TestReport",
    "top": "pumice.runtime.pods.process_list:ListedProcess[]",
    "tree": "pumice.cli.tree:Branch",
    "trust list": "pumice.cli.trust.list:TrustRules",
    "trust why": "pumice.cli.trust.why:TrustExplanation",
    "volume inspect": "pumice.cli.volume:ListedVolume[]",
    "volume ls": "pumice.cli.volume:ListedVolume[]",
    "verify": "pumice.cli.image_access.decision_views:Verification",
    "version": "pumice.cli.version:VersionResult",
}
"""The type of each command's result, as ``module:name``; ``[]`` after it means a list."""

_JSON = "json"
_TEMPLATE = "template"
_FOR_PEOPLE = ("table", "text")
"""Two names of the format for people; each command that has one of them takes both."""


class ResultFormat(NamedTuple):
    """A value of ``--format``: its name, and the template if it is one."""

    name: str
    template: Template | None = None

    @property
    def is_for_programs(self) -> bool:
        """Return whether the format is JSON or a template, which `write_result` makes by itself."""
        return self.name in (_JSON, _TEMPLATE)


class FormatReader(msgspec.Struct, frozen=True):
    """Reads a value of ``--format``; ``names`` are those of the formats besides templates."""

    command: str
    names: Sequence[str]

    def __call__(self, text: str) -> ResultFormat:
        """Return the format; raises UsageError."""
        return _parse_format(text, self.command, self.names)


def add_format_options(
    parser: argparse.ArgumentParser,
    command: str,
    *,
    default: str = "table",
    others: Sequence[str] = (),
    example: str = "Digest",
    has_variants: bool = False,
    json_help: str = "short for --format json",
) -> None:
    """Add ``--format`` and ``--json`` as ``format``, a `ResultFormat`, for a command in `RESULTS`.

    ``others`` are formats of the command besides ``default`` and JSON; ``example`` is one of its fields.
    With ``has_variants``, other options change the result, so the caller must call `check_template`.
    """
    names = tuple(dict.fromkeys((default, _JSON, *others)))
    choices = ", ".join((*names, "")) if len(names) > 1 else f"{names[0]} "
    parser.add_argument(
        "--format",
        type=FormatReader("" if has_variants else command, names),
        default=ResultFormat(default),
        metavar="FORMAT",
        help=f"{choices}or a template such as '{{{{.{example}}}}}' (default: {default})",
    )
    parser.add_argument(
        "--json",
        dest="format",
        action="store_const",
        const=ResultFormat(_JSON),
        help=json_help,
    )


def check_template(result_format: ResultFormat, command: str) -> ResultFormat:
    """Return the format with its template checked for another command's result; raises UsageError."""
    if result_format.template is None:
        return result_format
    from pumice.cli.display.templates import parse_template

    return ResultFormat(_TEMPLATE, parse_template(result_format.template.source, result_type(command)))


def _parse_format(text: str, command: str, names: Sequence[str]) -> ResultFormat:
    name = next((name for name in names if name in _FOR_PEOPLE), text) if text in _FOR_PEOPLE else text
    if name in names:
        return ResultFormat(name)
    if "{{" in text:
        from pumice.cli.display.templates import parse_template

        return ResultFormat(_TEMPLATE, parse_template(text, result_type(command) if command else Any))
    if "{" in text:
        raise UsageError(f"invalid format {text[:100]!r}", hint="write templates as '{{.Name}}'")
    from difflib import get_close_matches

    close = get_close_matches(text, names, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"use one of {', '.join(names)}, or a template"
    raise UsageError(f"--format cannot be {text[:100]!r}", hint=hint)


def write_result(
    result: Any, result_format: ResultFormat, present: Callable[[], str | Iterable[str]]
) -> None:
    """Write a result to standard output; ``present`` returns the format for people: a text, or its lines."""
    if not result_format.is_for_programs:
        presented = present()
        text = presented if isinstance(presented, str) else "".join(f"{line}\n" for line in presented)
    else:
        text = _format_for_programs(result, result_format.template)
    sys.stdout.write(text)


def _format_for_programs(result: Any, template: Template | None) -> str:
    import json

    text = json.dumps(msgspec.to_builtins(result, str_keys=True), indent=2) + "\n"
    if template is None:
        return text
    from pumice.cli.display.templates import render

    value = json.loads(text)  # templates know the types of JSON only
    return render(template, value if isinstance(value, list) else [value])


def check_command(command: str) -> None:
    """Raise UsageError unless ``command`` has a result."""
    from pumice.cli.commands import ALIASES

    if command in RESULTS:
        return
    from difflib import get_close_matches

    close = get_close_matches(ALIASES.get(command, command), RESULTS, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"use one of {', '.join(RESULTS)}"
    raise UsageError(f"{command[:100]!r} is not a command with --json", hint=hint)


def result_type(command: str) -> Any:
    """Return the type of a command's result."""
    from importlib import import_module
    from types import GenericAlias

    module, _, name = RESULTS[command].removesuffix("[]").partition(":")
    item_type = getattr(import_module(module), name)
    return GenericAlias(list, (item_type,)) if RESULTS[command].endswith("[]") else item_type


def result_schema(command: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a command's JSON output."""
    schema = msgspec.json.schema(result_type(command))
    for definition in schema.get("$defs", {}).values():
        _describe_output(definition)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"pumice {command} --json",
        **schema,
    }


def _describe_output(definition: dict[str, Any]) -> None:
    """Change the schema of a type that is read into one of what is written: every field is there."""
    from inspect import cleandoc

    if "description" in definition:
        definition["description"] = cleandoc(definition["description"]).replace("``", "`")
    if "properties" in definition:
        definition["required"] = list(definition["properties"])
        for field in definition["properties"].values():
            field.pop("default", None)
