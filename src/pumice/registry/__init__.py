"""A client for OCI registries that other Python programs can use.

    from pumice.registry import AuthFiles, Client, parse_reference

    with Client(AuthFiles(os.environ)) as client:
        reference = parse_reference("registry.example/team/app:1.0")
        manifest = client.get_manifest(reference)       # the bytes as received, with a verified digest
        for referrer in client.list_referrers(reference.repository, manifest.digest):
            print(referrer.descriptor.artifact_type)

``docs/reference/registry-api.md`` is its reference page.
"""

from __future__ import annotations

from pumice.formats.oci import Descriptor
from pumice.registry.client import Client
from pumice.registry.credentials import Anonymous, AuthFiles, Credentials, Login, StaticCredentials
from pumice.registry.errors import DeniedError, NotFoundError, RegistryError
from pumice.registry.listing import Referrer
from pumice.registry.message import Body, Request, Response, Transport, TransportError
from pumice.registry.raw_manifest import PushedManifest, RawManifest
from pumice.registry.reference import Reference, Repository, fallback_tag, parse_reference, parse_repository
from pumice.registry.registry_config import RegistryConfig
from pumice.registry.retry import RetryPolicy
from pumice.registry.settings import ClientSettings
from pumice.registry.transport import TlsFiles, Urllib3Transport

__all__ = [
    "Anonymous",
    "AuthFiles",
    "Body",
    "Client",
    "ClientSettings",
    "Credentials",
    "DeniedError",
    "Descriptor",
    "Login",
    "NotFoundError",
    "PushedManifest",
    "RawManifest",
    "Reference",
    "Referrer",
    "RegistryConfig",
    "RegistryError",
    "Repository",
    "Request",
    "Response",
    "RetryPolicy",
    "StaticCredentials",
    "TlsFiles",
    "Transport",
    "TransportError",
    "Urllib3Transport",
    "fallback_tag",
    "parse_reference",
    "parse_repository",
]
