"""What ``pumice build`` builds and where it goes, checked before the build starts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import locking
from pumice.assembly.context import read_source_date_epoch
from pumice.assembly.recipe_build import BuildSettings
from pumice.cli.recipes import build_annotations
from pumice.errors import UsageError
from pumice.recipe.load import load_recipe

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from pumice.image.transports.locations import Location
    from pumice.recipe.model import Recipe


NAME_FIELD = "{name}"
"""Stands for the last part of the image's name in a destination."""


class BuildPlan(msgspec.Struct, frozen=True):
    """What is built and where it goes, checked before the build starts.

    ``names`` are those of the image in the store.
    """

    recipe: Recipe
    settings: BuildSettings
    names: list[str]
    destinations: list[Location]


def make_plan(options: argparse.Namespace, path: Path) -> BuildPlan:
    """Return the plan for the recipe at ``path``; raises PumiceError."""
    source_date_epoch = read_source_date_epoch(os.environ)
    _parse_destinations(options.output, "name", "1")  # reports a mistake there before one in the recipe
    recipe = build_annotations.override(load_recipe(path, dict(options.recipe_arguments)), options)
    settings = BuildSettings(
        architectures=locking.choose_architectures(recipe, options.archs),
        locked=options.locked,
        offline=options.offline,
        bundle=options.bundle,
        rounds=options.rounds,
        source_date_epoch=source_date_epoch,
    )
    names, pushed = _choose_names(options, recipe)
    destinations = [*_parse_destinations(options.output, recipe.name, recipe.version), *pushed]
    if destinations:
        from pumice.assembly import image_writer

        image_writer.check_destinations(destinations, recipe, settings.architectures)
    return BuildPlan(recipe, settings, names, destinations)


def make_final_plan(options: argparse.Namespace, plan: BuildPlan, recipe: Recipe) -> BuildPlan:
    """Return the plan for a recipe whose version is known now; raises UsageError or ImageError."""
    if recipe.version == plan.recipe.version:
        return plan
    from pumice.assembly import image_writer

    names, pushed = _choose_names(options, recipe)
    destinations = [*_parse_destinations(options.output, recipe.name, recipe.version), *pushed]
    image_writer.check_destinations(destinations, recipe, plan.settings.architectures)
    return BuildPlan(recipe, plan.settings, names, destinations)


def _choose_names(options: argparse.Namespace, recipe: Recipe) -> tuple[list[str], list[Location]]:
    """Return the names of the image in the store, and where ``--push`` pushes it; raises UsageError."""
    own_names = [f"{recipe.name}:{tag}" for tag in (recipe.version, *recipe.tags)]
    tagged_names = _tagged_names(options, recipe)
    pushed = _push_destinations(own_names, tagged_names) if options.push else []
    names = [] if options.no_store else [*own_names, *tagged_names]
    return list(dict.fromkeys(names)), pushed


def _tagged_names(options: argparse.Namespace, recipe: Recipe) -> list[str]:
    """Return the names of ``-t``; raises UsageError."""
    if options.no_store:
        if options.tag:
            raise UsageError("cannot use --tag with --no-store", hint="leave out one of them")
        if not options.output and not options.push:
            raise UsageError("--no-store needs a destination", hint="write the image with -o DEST")
    names = []
    if options.tag:
        from pumice.image.transports import locations, references

        for text in options.tag:
            tagged = references.parse_destination(locations.with_scheme(locations.STORE, text))
            tagged.check(recipe.name, recipe.version)
            names.append(tagged.describe(recipe.version).text.removeprefix(locations.STORE.scheme))
    return names


def _push_destinations(own_names: Sequence[str], tagged_names: Sequence[str]) -> list[Location]:
    """Return where ``--push`` pushes to: each ``-t`` with a registry host, or else the image's own names."""
    from pumice.image.transports import locations, references
    from pumice.registry.reference import has_registry_host

    tagged = [name for name in tagged_names if has_registry_host(name)]
    targets = list(dict.fromkeys(tagged or [name for name in own_names if has_registry_host(name)]))
    if not targets:
        raise UsageError(
            f"cannot push {own_names[0]}: its name has no registry host",
            hint=f"pass -t HOST/{own_names[0]}, or -o docker://HOST/NAME:TAG",
        )
    return [references.parse_destination(locations.REGISTRY.scheme + target) for target in targets]


def _parse_destinations(texts: Sequence[str], name: str, version: str) -> list[Location]:
    """Return the destinations of ``-o``, in which ``{name}`` and ``{version}`` are those of the image."""
    if not texts:
        return []
    from pumice.image.transports import references

    short_name = name.rpartition("/")[2]
    expanded = [text.replace(NAME_FIELD, short_name).replace("{version}", version) for text in texts]
    return [references.parse_destination(text) for text in expanded]
