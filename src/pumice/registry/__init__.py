"""Registries of OCI images: distribution-spec, both sides of it."""
