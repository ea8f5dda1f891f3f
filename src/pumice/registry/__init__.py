"""A client for OCI registries, worth using on its own.

    from pumice.registry import AuthFiles, Client, parse

    with Client(AuthFiles(os.environ)) as client:
        reference = parse("registry.example/team/app:1.0")
        document = client.manifest(reference)           # bytes as they were received, checked
        for link in client.referrers(reference.repository, document.digest):
            print(link.descriptor.artifact_type)

``docs/reference/registry-api.md`` is its manual.
"""

from __future__ import annotations

from pumice.registry.client import Client, Settings
from pumice.registry.credentials import Anonymous, AuthFiles, Credentials, Given, Login
from pumice.registry.document import Document, Stored
from pumice.registry.errors import DeniedError, NotFoundError, RegistryError
from pumice.registry.listing import Link
from pumice.registry.message import Body, Request, Response, Transport, TransportError
from pumice.registry.reference import Reference, Repository, fallback_tag, parse, parse_repository
from pumice.registry.retry import Policy
from pumice.registry.sites import Site
from pumice.registry.transport import Tls, Urllib3Transport

__all__ = [
    "Anonymous",
    "AuthFiles",
    "Body",
    "Client",
    "Credentials",
    "DeniedError",
    "Document",
    "Given",
    "Link",
    "Login",
    "NotFoundError",
    "Policy",
    "Reference",
    "RegistryError",
    "Repository",
    "Request",
    "Response",
    "Settings",
    "Site",
    "Stored",
    "Tls",
    "Transport",
    "TransportError",
    "Urllib3Transport",
    "fallback_tag",
    "parse",
    "parse_repository",
]
