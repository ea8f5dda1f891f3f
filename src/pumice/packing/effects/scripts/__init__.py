"""Maintainer scripts: interpreting them without running them, and carrying out their commands."""
