"""The validator of the App Container specification, which runs in a pod and checks its executor.

``ace-validator`` is ``github.com/appc/spec/ace`` of version 0.8.11, built with ``CGO_ENABLED=0``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import aci, people
from tests.support.handmade import file, folder
from tests.support.peers import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

pytestmark = pytest.mark.peer("ace-validator")

_ATTEMPTS = 5
_TIMEOUT = "Client.Timeout"
"""The validator waits for 100 ms for each answer, which is too little on a busy machine."""
LABELS = [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]
DATABASE = {"mountPoints": [{"name": "database", "path": "/db"}]}
MAIN: dict[str, Any] = {
    "exec": ["/ace-validator", "main"],
    "user": "0",
    "group": "0",
    "eventHandlers": [
        {"name": "pre-start", "exec": ["/ace-validator", "prestart"]},
        {"name": "post-stop", "exec": ["/ace-validator", "poststop"]},
    ],
    "workingDirectory": "/opt/acvalidator",
    "environment": [{"name": "IN_ACE_VALIDATOR", "value": "correct"}],
    **DATABASE,
}
ANNOTATIONS = [
    {"name": "created", "value": "2014-10-27T19:32:27.67021798Z"},
    {"name": "lorem", "value": "ipsum"},
]


@pytest.fixture(params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        yield someone


@pytest.fixture(params=["builtin", "bwrap", "runc", "crun", "fly"])
def stage1(request: pytest.FixtureRequest) -> str:
    """Return each stage 1 that runs event handlers; kvm does not."""
    if request.param not in ("builtin", "fly"):
        need(request.param)
    return str(request.param)


def write_image(folder_: Path, name: str, app: dict[str, Any], **members: Any) -> str:
    """Write an image with the validator; return its image ID."""
    items = [
        folder(""),
        file("ace-validator", Path(need("ace-validator")).read_bytes(), 0o755),
        folder("opt"),
        folder("opt/acvalidator"),
    ]
    return aci.image(
        folder_ / f"{name}.aci", items, name=f"example.com/{name}", app=app, labels=LABELS, **members
    )


def test_the_executor_is_valid(person: Person, stage1: str) -> None:
    main = write_image(person.home, "ace-validator-main", MAIN, annotations=ANNOTATIONS)
    sidekick = {"exec": ["/ace-validator", "sidekick"], "user": "0", "group": "0", **DATABASE}
    other = write_image(person.home, "ace-validator-sidekick", sidekick)
    mounts = [{"volume": "database", "path": "/db"}]
    manifest = {
        "acKind": "PodManifest",
        "acVersion": "0.8.11",
        "volumes": [{"name": "database", "kind": "empty"}],
        "annotations": [{"name": "example.com/team", "value": "rock"}],
        "apps": [
            {
                "name": "ace-validator-main",
                "image": {"id": main},
                "mounts": mounts,
                "annotations": [{"name": "lorem", "value": "dolor"}],
            },
            {"name": "ace-validator-sidekick", "image": {"id": other}, "mounts": mounts},
        ],
    }
    (person.home / "pod.json").write_text(json.dumps(manifest))
    person.give(person.home)
    files = [word for name in ("main", "sidekick") for word in ("--aci", f"ace-validator-{name}.aci")]
    options = ("--progress", "none", "--insecure-options=image", "--stage1", stage1)
    for _ in range(_ATTEMPTS):
        result = person.pumice("play", *options, *files, "pod.json")
        if _TIMEOUT not in result.stdout + result.stderr:
            break
    lines = {line.partition(" | ")[2].strip() for line in result.stdout.splitlines()}
    assert lines == {"prestart OK", "main OK", "sidekick OK", "poststop OK"}, result.stderr
    assert result.returncode == 0
