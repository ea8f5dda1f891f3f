"""Dependency resolution: from requirements and package indexes to an exact set of packages, or a proof."""

from pumice.resolve.problem import Reason, Requirements, Solution
from pumice.resolve.solver import resolve

__all__ = ["Reason", "Requirements", "Solution", "resolve"]
