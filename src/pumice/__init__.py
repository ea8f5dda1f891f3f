"""Pumice: small, reproducible container images cut out of distribution packages."""
