"""The words for an omission, in reports, explanations and evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.omission import tables

if TYPE_CHECKING:
    from pumice.omission.model import OmittedPackage, Use


def describe_omission(package: OmittedPackage) -> str:
    """Return why a package is left out, as a clause."""
    if package.by_recipe:
        return "the recipe gives it up"
    reasons = tables.reasons()
    rows = (package.name, *(f"{user}{tables.SEPARATOR}{package.name}" for user in package.needed_by))
    reason = next((reasons[row] for row in rows if row in reasons), "")
    if reason:
        return f"only package scripts use it: {reason}"
    if package.needed_by:
        return "only package scripts use it"
    return "only packages that are left out need it"


def describe_use(use: Use) -> str:
    """Return how a file uses a package, as a sentence without a full stop."""
    if not use.user:
        return f"the recipe's {f'file /{use.file}' if use.file else 'command'} uses {use.thing}"
    if not use.file:
        return f"{use.user} uses it: {use.thing}"
    return f"/{use.file} of {use.user} uses {use.thing}"
