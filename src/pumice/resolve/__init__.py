"""Requirements and an index in, an exact set of packages or a readable reason out."""

from pumice.resolve.problem import Reason, Solution, Wants
from pumice.resolve.solver import resolve

__all__ = ["Reason", "Solution", "Wants", "resolve"]
