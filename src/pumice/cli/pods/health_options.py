"""The options of ``pumice run`` for health checks, with the spelling and meaning of podman."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from pumice.cli.parsing.arguments import OptionGroup
    from pumice.formats.oci import HealthCheck

NAMES = (
    *("health_cmd", "health_interval", "health_retries", "health_start_period", "health_timeout"),
    "no_healthcheck",
)
"""What the options are called after parsing."""
_MAX_RETRIES = 1_000_000


def add_options(parser: OptionGroup) -> None:
    """Add the options."""
    parser.add_argument(
        "--health-cmd",
        metavar="COMMAND",
        help='check the health with a command for a shell, or a JSON list such as ["CMD", "true"]',
    )
    for name, text in (
        ("--health-interval", "time between two checks (default: 30s)"),
        ("--health-timeout", "time limit of a check (default: 30s)"),
        ("--health-start-period", "time after the start in which failures do not count (default: 0s)"),
    ):
        parser.add_argument(name, metavar="TIME", help=text)
    parser.add_argument(
        "--health-retries", metavar="N", help="failures in a row that make a pod unhealthy (default: 3)"
    )
    parser.add_argument("--no-healthcheck", action="store_true", help="do not run the check of the image")


def plan_health_check(options: argparse.Namespace) -> HealthCheck | None:
    """Return the health check of the options, None for that of the image; raises UsageError.

    Without a command, its other fields replace those of the image's check.
    """
    values = {name: getattr(options, name) for name in NAMES if getattr(options, name)}
    if not values:
        return None
    from pumice.formats.oci import HealthCheck
    from pumice.runtime.isolation.option_values import parse_integer

    if options.no_healthcheck:
        if len(values) > 1:
            raise UsageError("--no-healthcheck contradicts the other options of the health check")
        return HealthCheck(("NONE",))
    retries = values.get("health_retries")
    return HealthCheck(
        _parse_command(values.get("health_cmd", "")),
        _parse_time("--health-interval", values.get("health_interval")),
        _parse_time("--health-timeout", values.get("health_timeout")),
        _parse_time("--health-start-period", values.get("health_start_period")),
        parse_integer("--health-retries", retries, 1, _MAX_RETRIES) if retries else 0,
    )


def _parse_command(text: str) -> tuple[str, ...]:
    if text == "none":
        return ("NONE",)
    if not text.startswith("["):
        return ("CMD-SHELL", text) if text else ()
    import msgspec

    try:
        words = msgspec.json.decode(text, type=tuple[str, ...])
    except msgspec.MsgspecError:  # such as [ -e /run/ready ]
        return ("CMD-SHELL", text)
    if not words:
        raise UsageError("--health-cmd is an empty list", hint='write ["CMD", "PROGRAM", "ARG"]')
    return words if words[0] in ("CMD", "CMD-SHELL", "NONE") else ("CMD", *words)


def _parse_time(option: str, text: str | None) -> int:
    """Return a time in nanoseconds, 0 without one."""
    from pumice.runtime.pod_inputs.durations import parse_duration

    try:
        return parse_duration(text) if text else 0
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
