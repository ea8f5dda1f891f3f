"""The command ``pumice cp``."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import peers, pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person


@pytest.fixture(scope="module")
def pod(person: Person) -> Iterator[str]:
    name = pods.start(person, "box:1", "sleep 600")
    yield name
    pods.run_ok(person, "rm", "--force", name)


def inside(person: Person, pod: str, script: str) -> str:
    return pods.run_ok(person, "exec", pod, "sh", "-c", script)


def write(person: Person, name: str, text: str) -> None:
    path = person.home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    person.give(person.home / name.partition("/")[0])


def test_files_are_copied_as_cp_does(person: Person, pod: str) -> None:
    write(person, "page", "hello\n")
    inside(person, pod, "rm -rf /tmp/*; mkdir /tmp/into")
    for target in ("/tmp/new", "tmp/into", "/tmp/into/"):
        pods.run_ok(person, "cp", "page", f"{pod}:{target}")
    assert inside(person, pod, "cat /tmp/new /tmp/into/page") == "hello\nhello\n"
    inside(person, pod, "echo other > /tmp/new")
    pods.run_ok(person, "cp", f"{pod}:/tmp/new", "page")
    assert (person.home / "page").read_text() == "other\n"


def test_directories_are_copied_as_cp_does(person: Person, pod: str) -> None:
    write(person, "site/a/b", "deep\n")
    inside(person, pod, "rm -rf /tmp/*; mkdir /tmp/into")
    for source, target in (("site", "/tmp/new"), ("site", "/tmp/into"), ("site/.", "/tmp/into")):
        pods.run_ok(person, "cp", source, f"{pod}:{target}")
    assert inside(person, pod, "cat /tmp/new/a/b /tmp/into/site/a/b /tmp/into/a/b") == "deep\n" * 3
    inside(person, pod, "ln -s a /tmp/new/link; ln /tmp/new/a/b /tmp/new/same")
    pods.run_ok(person, "cp", f"{pod}:/tmp/new/.", "copy")
    assert (person.home / "copy/link").readlink() == Path("a")
    assert (person.home / "copy/same").stat().st_ino == (person.home / "copy/a/b").stat().st_ino
    assert (person.home / "copy/same").stat().st_uid == (person.home).stat().st_uid


@pytest.mark.parametrize("stage1", ["bwrap", "runc"])
def test_every_stage_1_has_the_same_files(person: Person, stage1: str) -> None:
    peers.need(stage1)
    other = pods.start(person, "--stage1", stage1, "box:1", "echo out > /tmp/o; sleep 600")
    write(person, "page", "hello\n")
    pods.run_ok(person, "cp", "page", f"{other}:/tmp/new")
    assert inside(person, other, "cat /tmp/new; stat -c %u /tmp/new") == "hello\n0\n"
    assert person.pumice("cp", f"{other}:/tmp/new", "-").returncode == 0
    pods.run_ok(person, "rm", "--force", other)


def test_pods_exchange_files_and_archives(person: Person, pod: str) -> None:
    other = pods.start(person, "box:1", "sleep 600")
    inside(person, pod, "echo text > /tmp/f")
    pods.run_ok(person, "cp", f"{pod}:/tmp/f", f"{other}:/tmp/g")
    process = subprocess.run(
        person.command("cp", f"{other}:/tmp", "-"), env=person.environment(), capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(process.stdout)) as archive:
        assert sorted(archive.getnames()) == ["tmp", "tmp/g"]
    subprocess.run(
        person.command("cp", "-", f"{pod}:/tmp"), env=person.environment(), input=process.stdout, check=True
    )
    assert inside(person, pod, "cat /tmp/tmp/g") == "text\n"
    pods.run_ok(person, "rm", "--force", other)


def test_files_in_the_pod_belong_to_the_user_of_its_program(person: Person) -> None:
    web = pods.start(person, "--user", "web", "box:1", "sleep 600")
    write(person, "page", "hello\n")
    pods.run_ok(person, "cp", "page", f"{web}:/tmp/page")
    assert inside(person, web, "stat -c %u:%g /tmp/page") == "33:34\n"
    if person.name == "root":
        pods.run_ok(person, "cp", "--archive=false", "page", f"{web}:/tmp/kept")
        assert inside(person, web, "stat -c %u:%g /tmp/kept") == "0:0\n"
    pods.run_ok(person, "rm", "--force", web)


def test_kinds_of_files_are_only_replaced_on_request(person: Person, pod: str) -> None:
    write(person, "page", "hello\n")
    write(person, "folder/a", "a\n")
    inside(person, pod, "rm -rf /tmp/*; mkdir -p /tmp/d/page; touch /tmp/folder")
    for source, target, reason in (
        ("page", "/tmp/d", "a directory exists where a file would be written"),
        ("folder", "/tmp/folder", "a file exists where a directory would be written"),
    ):
        process = person.pumice("cp", source, f"{pod}:{target}")
        assert process.returncode == 10
        assert reason in process.stderr
        pods.run_ok(person, "cp", "--overwrite", source, f"{pod}:{target}")
    assert inside(person, pod, "cat /tmp/d/page /tmp/folder/a") == "hello\na\n"


def test_links_of_a_container_do_not_lead_out_of_it(person: Person, pod: str) -> None:
    write(person, "secret", "host\n")
    secret = person.home / "secret"
    inside(person, pod, f"rm -rf /tmp/*; ln -s {secret} /tmp/out; ln -s ../../../.. /tmp/up")
    process = person.pumice("cp", f"{pod}:/tmp/out", "-")
    assert process.returncode == 10
    assert "host" not in process.stdout
    # The link is resolved in the container: its own root, whose parent is itself.
    process = person.pumice("cp", f"{pod}:/tmp/up{secret}", "-")
    assert process.returncode == 10
    write(person, "page", "hello\n")
    process = person.pumice("cp", "page", f"{pod}:/tmp/up{person.home}/page2")
    assert process.returncode == 10
    assert not (person.home / "page2").exists()
    process = person.pumice("cp", f"{pod}:/proc/1/root/etc/passwd", "stolen")
    assert process.returncode == 10
    pods.run_ok(person, "cp", "page", f"{pod}:/tmp/out")
    assert secret.read_text() == "host\n"


def test_a_container_cannot_make_cp_write_elsewhere_by_a_race(person: Person, pod: str) -> None:
    """A directory becomes a link and back while it is copied: what arrives is the directory or an error."""
    (person.home / "outside").mkdir(exist_ok=True)
    (person.home / "outside" / "here").write_text("untouched")
    outside = person.home / "outside"
    inside(person, pod, "rm -rf /tmp/*; mkdir -p /tmp/t/d; echo x > /tmp/t/d/here")
    script = f"cd /tmp/t; while [ -e /tmp/t ]; do mv d e; ln -s {outside} d; mv d f; rm f; mv e d; done"
    with person.running_pumice("exec", pod, "sh", "-c", script):
        for number in range(2):
            process = person.pumice("cp", f"{pod}:/tmp/t", f"taken{number}")
            assert process.returncode in (0, 10), process.stderr
            process = person.pumice("cp", "page", f"{pod}:/tmp/t/d/here")
            assert process.returncode in (0, 10), process.stderr
        inside(person, pod, "rm -rf /tmp/t; true")
    assert (outside / "here").read_text() == "untouched"
    assert sorted(path.name for path in outside.iterdir()) == ["here"]


def test_what_is_written_here_follows_no_link_and_keeps_no_rights(person: Person, pod: str) -> None:
    script = "rm -rf /tmp/*; mkdir -p /tmp/t/d; echo x > /tmp/t/d/f; touch /tmp/t/set; chmod 6755 /tmp/t/set"
    inside(person, pod, script)
    target = person.home / "target" / "t"
    target.mkdir(parents=True)
    (person.home / "elsewhere").mkdir()
    (target / "d").symlink_to(person.home / "elsewhere")
    person.give(person.home)
    process = person.pumice("cp", f"{pod}:/tmp/t", "target")
    assert process.returncode == 10
    assert "a file exists where a directory would be written" in process.stderr
    assert list((person.home / "elsewhere").iterdir()) == []
    (target / "d").unlink()
    pods.run_ok(person, "cp", f"{pod}:/tmp/t", "target")
    assert (target / "d" / "f").read_text() == "x\n"
    assert (target / "set").stat().st_mode & 0o7777 == 0o755


def test_a_sparse_file_is_refused_by_its_size(person: Person, pod: str) -> None:
    inside(person, pod, "rm -rf /tmp/*; dd if=/dev/null of=/tmp/huge bs=1 seek=900G 2>/dev/null")
    process = person.pumice("cp", f"{pod}:/tmp/huge", "huge")
    assert process.returncode == 8
    assert "the files are larger than 68719476736 bytes in total" in process.stderr
    assert not (person.home / "huge").exists()
    write(person, "page", "hello\n")
    process = person.pumice("cp", "--max-size", "3b", "page", f"{pod}:/tmp/f")
    assert process.returncode == 8


def test_hostile_archives_stay_below_their_directory(person: Person, pod: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("l")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("l/evil"))
    process = subprocess.run(
        person.command("cp", "-", f"{pod}:/tmp"),
        env=person.environment(),
        input=buffer.getvalue(),
        capture_output=True,
        check=False,
    )
    assert process.returncode == 10, process.stderr
    assert b"a link or a file is in the way of a directory" in process.stderr
    assert "evil" not in inside(person, pod, "ls /etc")
    process = subprocess.run(
        person.command("cp", "-", f"{pod}:/tmp"),
        env=person.environment(),
        input=b"not an archive" * 100,
        capture_output=True,
        check=False,
    )
    assert process.returncode == 8


def test_locations_of_images_are_still_those_of_copy(person: Person) -> None:
    process = person.pumice("cp", "store:box:1", "oci:layout", "--insecure-options=image")
    assert process.returncode == 0, process.stderr
    assert (person.home / "layout" / "index.json").exists()


def test_a_pod_that_does_not_run_is_refused(person: Person) -> None:
    pods.start(person, "--name", "over", "box:1", "true")
    pods.status(person, "over", "--wait")
    process = person.pumice("cp", "over:/etc/passwd", "x")
    assert process.returncode == 10
    assert "the pod over is not running" in process.stderr
    pods.run_ok(person, "rm", "over")
