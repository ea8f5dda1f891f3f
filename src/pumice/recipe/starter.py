"""The recipe that `pumice init` writes: it builds as it stands, and says what else there is."""

from __future__ import annotations

_STARTER = """\
# The recipe of a container image. Build and run it:
#
#   pumice build {file}
#   pumice run {name}:1.0
#
# Lines that begin with '#' show what else a recipe can say.

name: {name}
version: "1.0"
# description: Says hello
# labels: {{com.example.team: web}}

# Where packages come from. Mirrors and keys are those of this machine's apt, unless they are named:
#   from: {{debian: bookworm, mirrors: ["https://mirror.example/debian"]}}
from: {{debian: bookworm}}

# What to install; what these depend on comes by itself.
# name=version pins one, -name leaves one out, ./file.deb takes one of your own.
packages:
  - python3-minimal
  # - ca-certificates

# Your own files, from this folder or written here.
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
# include: [docs, locales]    # left out by default
# python: {{bytecode: true}}    # starts faster, is larger
"""


def starter_recipe(folder: str, file: str) -> str:
    """Return a commented recipe for an image named after ``folder``, to be written to ``file``."""
    label = "".join(c if c.isascii() and c.isalnum() else "-" for c in folder.lower())
    label = "-".join(part for part in label.split("-") if part)[:64].strip("-")
    printable_file = "".join(c if c.isprintable() else "?" for c in file)
    return _STARTER.format(name=f"example.com/{label or 'hello'}", file=printable_file)
