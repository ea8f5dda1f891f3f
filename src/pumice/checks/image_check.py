"""All checks of an image, in the order in which their findings are reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.checks.accounts import check_user
from pumice.checks.chains import check_programs
from pumice.checks.directories import check_directories
from pumice.checks.links import check_links
from pumice.checks.locales import check_locale
from pumice.checks.ports import check_ports
from pumice.checks.privileges import check_privileges
from pumice.checks.shell_commands import check_shell_commands
from pumice.checks.shells import check_shell
from pumice.checks.units import check_units
from pumice.checks.written_files import check_written_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pumice.checks.finding import Finding
    from pumice.checks.model import CheckedImage

CHECKS: tuple[Callable[[CheckedImage], Iterable[Finding]], ...] = (
    check_programs,
    check_units,
    check_shell_commands,
    check_shell,
    check_locale,
    check_links,
    check_user,
    check_directories,
    check_written_files,
    check_ports,
    check_privileges,
)


def check_image(image: CheckedImage) -> tuple[Finding, ...]:
    """Return the findings of all checks, each once, warnings first."""
    findings = dict.fromkeys(finding for check in CHECKS for finding in check(image))
    return tuple(sorted(findings, key=lambda finding: finding.is_note))
