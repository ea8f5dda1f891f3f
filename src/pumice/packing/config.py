"""The image config and annotations of a recipe (OCI image-spec 1.1, config.md and annotations.md)."""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING

from pumice.errors import ImageError
from pumice.formats import oci, platforms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.packing.layer_plan import LayerDigests
    from pumice.recipe.model import HealthCheck, Recipe

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ANNOTATION = "org.opencontainers.image."
_NANOSECONDS = 1_000_000_000
_ID = re.compile("[0-9]{1,10}")


def timestamp(seconds: int) -> str:
    """Format ``seconds`` since the epoch as RFC 3339 in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def standard_annotations(recipe: Recipe, created: int) -> dict[str, str]:
    """Return the standard annotations of an image; those of the recipe override them."""
    standard = {
        _ANNOTATION + "created": timestamp(created),
        _ANNOTATION + "title": recipe.name,
        _ANNOTATION + "version": recipe.version,
    }
    if recipe.description:
        standard[_ANNOTATION + "description"] = recipe.description
    return standard | recipe.annotations


def image_config(
    recipe: Recipe,
    architecture: str,
    titled_layers: Sequence[tuple[str, LayerDigests]],
    *,
    created: int,
    user: str,
) -> oci.ImageConfig:
    """Return the config of one platform's image.

    ``titled_layers`` are (title, digests), lowest first. ``user`` is the recipe's user with numeric
    ids, so that an engine can verify that it is not root without reading the layers.
    """
    platform = platforms.from_debian(architecture)
    run = recipe.run
    environment = {"PATH": PATH} | recipe.environment
    created_text = timestamp(created)
    return oci.ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        created=created_text,
        config=oci.RunConfig(
            user=user,
            exposed_ports={_add_protocol(port): oci.Empty() for port in run.ports.values()},
            env=tuple(f"{name}={environment[name]}" for name in sorted(environment)),
            entrypoint=run.command,
            cmd=run.arguments,
            volumes={path: oci.Empty() for path in run.volumes.values()},
            working_dir=run.directory or "/",
            labels=recipe.labels,
            stop_signal=run.stop_signal,
            healthcheck=_make_health_check(run.health) if run.health else None,
        ),
        rootfs=oci.RootFs("layers", tuple(layer.diff_id for _, layer in titled_layers)),
        history=tuple(
            oci.History(created=created_text, created_by=f"pumice: {name}") for name, _ in titled_layers
        ),
    )


def _add_protocol(port: str) -> str:
    return port if "/" in port else f"{port}/tcp"


def _make_health_check(check: HealthCheck) -> oci.HealthCheck:
    return oci.HealthCheck(
        test=("CMD", *check.command),
        interval=check.interval * _NANOSECONDS,
        timeout=check.timeout * _NANOSECONDS,
        start_period=check.start_period * _NANOSECONDS,
        retries=check.retries,
    )


def numeric_user(user: str, passwd: str, group: str) -> str:
    """Return ``user[:group]`` with numeric ids from passwd(5) and group(5); raise ImageError if unknown."""
    if not user:
        return ""
    name, colon, group_name = user.partition(":")
    number = _look_up_id(name, passwd, "user")
    return f"{number}:{_look_up_id(group_name, group, 'group')}" if colon else str(number)


def _look_up_id(name: str, table: str, kind: str) -> int:
    if name.isascii() and name.isdigit():
        return int(name)
    for line in table.splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 2 and _ID.fullmatch(fields[2]):
            return int(fields[2])
    if not table.strip():
        hint = f"the image has no {kind}s: use a number, such as 65532 for nonroot, or 'base: data'"
    else:
        hint = f"add it under '{kind}s' in the recipe, or use nonroot, root or a number"
    raise ImageError(f"the image has no {kind} {name!r}", hint=hint)
