"""The configuration with which nginx serves a static registry."""

from __future__ import annotations

from pumice.errors import UsageError
from pumice.formats import oci
from pumice.publish.tree import MANIFEST_SUFFIXES

FILE_NAME = "nginx.conf"

_TEMPLATE = """\
# Serves the OCI registry in this directory, for reading. It does not change when images are published.
# Include this file in a server block:
#
#   server {{
#     listen 443 ssl;
#     server_name registry.example;
#     ssl_certificate /etc/ssl/registry.example.crt;
#     ssl_certificate_key /etc/ssl/registry.example.key;
#     include {quoted_directory}/nginx.conf;
#   }}

location = /v2/ {{
  default_type application/json;
  add_header Docker-Distribution-Api-Version registry/2.0 always;
  return 200 "{{}}";
}}

location = /v2/_catalog {{
  root "{directory}";
  default_type application/json;
}}

location ~ "^/v2/.+/tags/list$" {{
  root "{directory}";
  default_type application/json;
}}

# A manifest is a file whose suffix stands for its media type.
location ~ "^/v2/.+/manifests/(?<pumice_digest>sha256:[0-9a-f]{{64}})$" {{
  root "{directory}";
  types {{
{types}
  }}
  add_header Docker-Content-Digest $pumice_digest;
  add_header Docker-Distribution-Api-Version registry/2.0;
  add_header Cache-Control "public, max-age=31536000, immutable";
  try_files {candidates} =404;
}}

location ~ "^/v2/.+/manifests/[^/]+$" {{
  root "{directory}";
  types {{
{types}
  }}
  add_header Docker-Distribution-Api-Version registry/2.0;
  add_header Cache-Control "no-cache";
  try_files {candidates} =404;
  error_page 404 = @pumice_manifest;
}}

# The type of a tag can change between looking for its file and opening it: look again.
location @pumice_manifest {{
  root "{directory}";
  types {{
{types}
  }}
  add_header Docker-Distribution-Api-Version registry/2.0;
  add_header Cache-Control "no-cache";
  try_files {candidates} =404;
}}

location ~ "^/v2/.+/blobs/(?<pumice_digest>sha256:[0-9a-f]{{64}})$" {{
  root "{directory}";
  default_type application/octet-stream;
  types {{ }}
  add_header Docker-Content-Digest $pumice_digest;
  add_header Cache-Control "public, max-age=31536000, immutable";
}}

location ~ "^/v2/.+/referrers/sha256:[0-9a-f]{{64}}$" {{
  root "{directory}";
  default_type {index};
  types {{ }}
  add_header Cache-Control "no-cache";
  try_files $uri /v2/no-referrers =404;
}}

location /v2/ {{
  return 404;
}}
"""


def make_configuration(directory: str) -> str:
    """Return the configuration for the tree in ``directory``, an absolute path; raises UsageError.

    It is for inclusion in a ``server`` block.
    """
    if any(character in directory for character in "\"\\$;{}'\n\r\t") or not directory.isprintable():
        raise UsageError(
            "nginx cannot serve a directory with quotes, $, braces or control characters in its path",
            where=directory[:200],
            hint="choose another directory",
        )
    types = "\n".join(f"    {kind} {suffix[1:]};" for kind, suffix in MANIFEST_SUFFIXES.items())
    candidates = " ".join(f"$uri{suffix}" for suffix in MANIFEST_SUFFIXES.values())
    quoted_directory = directory if " " not in directory else f'"{directory}"'
    return _TEMPLATE.format(
        directory=directory,
        quoted_directory=quoted_directory,
        types=types,
        candidates=candidates,
        index=oci.INDEX,
    )
