"""The recipe that `pumice init` writes: it builds as it is, and its comments show more keys."""

from __future__ import annotations

_STARTER = """\
# The recipe of a container image. Build and run it:
#
#   pumice build {file}
#   pumice run {name}:1.0
#
# Lines that begin with '#' show what else a recipe can contain.

name: {name}
version: "1.0"
# description: Says hello
# labels: {{com.example.team: web}}

# Where packages come from. Mirrors and keys are those of this machine's apt, unless the recipe names them:
#   from: {{debian: bookworm, mirrors: ["https://mirror.example/debian"]}}
from: {{debian: bookworm}}

# What to install, with all dependencies.
# name=version pins a version, -name excludes a package, ./file.deb is a local package.
packages:
  - python3-minimal
  # - ca-certificates

# Your own files, from this directory or written here.
files:
  - to: /app/hello.py
    text: |
      print("Hello from a small image")
  # - {{from: app, to: /app, ignore: ["__pycache__/", "*.pyc"]}}
  # - {{to: /app/data, directory: true, owner: nonroot}}

# environment: {{LANG: C.UTF-8}}

run:
  user: nonroot
  command: [/usr/bin/python3, /app/hello.py]
  # arguments: [--verbose]
  # ports: {{http: 8080}}

# archs: [amd64, arm64]       # default: this machine's
# include: [docs, locales]    # not installed by default
# python: {{bytecode: true}}    # faster start, larger image
# args: {{GREETING: Hello}}     # replaces ${{GREETING}} in values; set it with --arg GREETING=Hi
"""


def starter_recipe(folder: str, file: str) -> str:
    """Return a commented recipe for an image named after the directory ``folder``, for the file ``file``."""
    label = "".join(c if c.isascii() and c.isalnum() else "-" for c in folder.lower())
    label = "-".join(part for part in label.split("-") if part)[:64].strip("-")
    printable_file = "".join(c if c.isprintable() else "?" for c in file)
    return _STARTER.format(name=f"example.com/{label or 'hello'}", file=printable_file)
