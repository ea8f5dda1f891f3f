"""What ``push``, ``pull``, ``copy``, ``load`` and ``save`` say at their end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pumice.cli.main import main
from tests.support.registry import Registry

IMAGE = "example.com/hello:1.0"
ANYWAY = "--insecure-options=image"
Out = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("host")


def run(capsys: Out, *arguments: str) -> tuple[str, str]:
    assert main(arguments) == 0
    return capsys.readouterr()


def summary(capsys: Out, *arguments: str) -> tuple[str, dict[str, str]]:
    """Return the headline without its time, and the rows by label."""
    error = run(capsys, *arguments)[1]
    lines = error.splitlines()
    start = next(number for number, line in enumerate(lines) if re.search(r" in [0-9.]+ s$", line))
    rows = dict(line.strip().split("  ", 1) for line in lines[start + 1 :])
    return lines[start].rpartition(" in ")[0], {label: text.strip() for label, text in rows.items()}


def event(capsys: Out, *arguments: str) -> dict[str, Any]:
    error = run(capsys, *arguments, "--progress", "json")[1]
    parsed: dict[str, Any] = json.loads(error.splitlines()[-1])
    return parsed


def test_push_names_the_destination_and_counts_the_blobs(host: str, capsys: Out) -> None:
    target = f"docker://{host}/team/hello:1.0"
    headline, rows = summary(capsys, "push", IMAGE, target)
    assert headline == f"pushed {IMAGE}"
    assert rows == {
        "to": target,
        "platform": "linux/amd64",
        "blobs": rows["blobs"],
        "signed": "no",
        "next": f"pumice sign {target} --key KEY",
    }
    assert re.fullmatch(r"2 sent \(\d+ B\)", rows["blobs"])
    assert summary(capsys, "push", IMAGE, target)[1]["blobs"] == "2 already present"


def test_blobs_are_mounted_between_repositories(host: str, registry: Registry, capsys: Out) -> None:
    run(capsys, "push", IMAGE, f"{host}/a/hello")
    _, rows = summary(capsys, "copy", f"docker://{host}/a/hello:1.0", f"docker://{host}/b/hello")
    assert rows["blobs"] == "2 mounted"
    assert rows["to"] == f"docker://{host}/b/hello:1.0"


def test_signatures_and_other_artifacts_are_named(
    host: str, capsys: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    key = "KEY.key"
    generated = "".join(run(capsys, "key", "generate", "--output", "KEY", "--passphrase-file", "/dev/null"))
    (fingerprint,) = set(re.findall(r"\b[0-9a-f]{64}\b", generated))
    target = f"docker://{host}/team/hello:1.0"
    unlock = ("--passphrase-file", "/dev/null")
    _, rows = summary(capsys, "push", IMAGE, target, "--sign", key, "--as", IMAGE, *unlock)
    assert re.fullmatch(rf"as {IMAGE} by {fingerprint[:16]}", rows["signed"])
    assert rows["next"] == f"pumice verify {target}"
    headline, rows = summary(capsys, "pull", target, "mine:2", ANYWAY)
    assert headline == f"pulled {target}"
    assert rows["attached"].startswith("2 artifacts: ")
    assert "signature" in rows["attached"]
    assert rows["signed"] == "yes, not verified"
    assert rows["next"] == "pumice run mine:2"
    assert event(capsys, "pull", target, "mine:3", ANYWAY, "--only-image")["artifacts"] == []
    run(capsys, "trust", "add", "--prefix", "example.com/hello", "KEY.pub", "--fingerprint", fingerprint)
    _, rows = summary(capsys, "pull", target, "mine:4", "--as", IMAGE)
    assert rows["signed"] == "by a trusted key"


def test_a_copy_within_the_store_is_a_tag(capsys: Out) -> None:
    output, error = run(capsys, "copy", IMAGE, "store:other:2")
    assert "pulling" not in error
    assert output.startswith("sha256:")
    headline, rows = summary(capsys, "copy", IMAGE, "store:other:3")
    assert headline == f"tagged {IMAGE}"
    assert rows == {"to": "other:3", "platform": "linux/amd64", "signed": "no", "next": "pumice run other:3"}


def test_a_copy_to_a_layout_counts_what_was_there(capsys: Out) -> None:
    assert summary(capsys, "copy", IMAGE, "oci:layout")[1]["blobs"].startswith("2 copied (")
    _, rows = summary(capsys, "copy", IMAGE, "oci:layout")
    assert rows["blobs"] == "2 already present"
    assert rows["next"] == "pumice inspect oci:layout"


def test_an_archive_is_saved_and_loaded(capsys: Out) -> None:
    run(capsys, "tag", IMAGE, "other:2")
    headline, rows = summary(capsys, "save", IMAGE, "other:2", "-o", "both.tar")
    assert headline == "saved 2 images"
    assert rows["images"] == f"{IMAGE}, other:2"
    assert rows["to"] == "both.tar"
    assert rows["next"] == "pumice load --input both.tar"
    headline, rows = summary(capsys, "load", "--input", "both.tar", ANYWAY)
    assert headline == "loaded 2 images"
    assert rows["from"] == "both.tar"
    assert rows["next"] == f"pumice run {IMAGE}"


@pytest.mark.parametrize("quiet", [("-q",), ("--progress", "none")])
def test_quiet_prints_the_digest_only(host: str, capsys: Out, quiet: tuple[str, ...]) -> None:
    for arguments in [
        ("push", IMAGE, f"{host}/a/hello"),
        ("copy", IMAGE, "oci:layout"),
        ("copy", IMAGE, "store:other:2"),
        ("save", IMAGE, "-o", "saved.tar"),
    ]:
        output, error = run(capsys, *arguments, *quiet)
        assert error == ""
        assert output.startswith("sha256:") or arguments[0] == "save"


def test_the_event_has_the_same_facts(host: str, capsys: Out) -> None:
    target = f"docker://{host}/team/hello:1.0"
    pushed = event(capsys, "push", IMAGE, target)
    assert pushed["event"] == "pushed"
    assert pushed["images"] == [IMAGE]
    assert pushed["destination"] == target
    assert (pushed["sent"], pushed["present"], pushed["mounted"]) == (2, 0, 0)
    assert pushed["sent_size"] > 0
    assert pushed["platforms"] == ["linux/amd64"]
    assert pushed["signed"] == ""
    assert event(capsys, "copy", IMAGE, "store:other:2")["event"] == "tagged"
    assert event(capsys, "save", IMAGE, "-o", "saved.tar")["event"] == "saved"
    loaded = event(capsys, "load", "--input", "saved.tar", ANYWAY)
    assert (loaded["event"], loaded["source"], loaded["images"]) == ("loaded", "saved.tar", [IMAGE])
