"""``pumice test``."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.cli.main import main
from pumice.formats import oci
from pumice.formats.tar import Entry
from pumice.store.home import Home
from tests.support import images, peers, people

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

Out = pytest.CaptureFixture[str]


def web_image(home: Home) -> None:
    content = images.shell()
    content["etc/passwd"] = "root:x:0:0::/root:/bin/sh\nwww:x:33:34::/srv:/bin/sh\n"
    content["etc/group"] = "root:x:0:\nwww:x:34:\n"
    content["srv/index.html"] = "Welcome\n"
    content["srv/own"] = Entry("srv/own", "dir", 0o2750, uid=33, gid=34)
    content["bin/httpd"] = Entry("bin/httpd", "symlink", 0o777, link="busybox")
    content["bin/nc"] = Entry("bin/nc", "symlink", 0o777, link="busybox")
    config = oci.RunConfig(
        entrypoint=("sh", "-c"),
        cmd=("echo default",),
        exposed_ports={"8080/tcp": oci.Empty()},
        env=("PATH=/bin", "LANG=C.UTF-8"),
        labels={"team": "web"},
        user="33:34",
    )
    images.make(home, [content], name="web:1", config=config)
    images.make(home, [content], name="arm:1", architecture="arm64", config=config)


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        with Home(someone.home / "store") as home:
            web_image(home)
        someone.give(someone.home)
        yield someone


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    with Home(tmp_path / "store") as home:
        web_image(home)
    return tmp_path


def run(capsys: Out, text: str, *arguments: str, code: int = 0) -> str:
    Path("tests.yaml").write_text(text)
    assert main(("test", "web:1", "--file", "tests.yaml", *arguments)) == code
    return capsys.readouterr().out


PASSING = r"""
tests:
  - name: the image's command
    stdout: {equals: "default\n"}
  - name: arguments
    arguments: ["echo out; echo err >&2; exit 3"]
    exit_code: 3
    stdout: {equals: "out\n", not_contains: err}
    stderr: {matches: "^err$"}
  - name: input, environment and directory
    command: [sh, -c, 'read x; echo $x $Y; pwd']
    input: "word\n"
    environment: {Y: other}
    directory: /srv
    stdout: {equals: "word other\n/srv\n"}
  - name: setup
    command: [cat, /tmp/a]
    setup: [[mkdir, -p, /tmp], [sh, -c, "echo noise; echo hi > /tmp/a"]]
    user: root
    stdout: {equals: "hi\n"}
  - name: a fresh container
    command: [cat, /tmp/a]
    exit_code: 1
    stderr: {contains: No such file}
  - name: a program that does not exist
    command: [/nope]
    exit_code: 127
  - name: http
    arguments: ["exec httpd -f -p 8080 -h /srv"]
    http:
      - {path: /index.html, body: {equals: "Welcome\n"}, response_headers: {Content-Type: text/html}}
      - {path: /nope, status: 404}
  - name: tcp
    arguments: ["echo pong | nc -l -p 7000"]
    tcp: {port: 7000, receive: {contains: pong}}
"""


def test_programs_and_servers_run_for_root_and_ordinary_users(person: Person) -> None:
    (person.home / "tests.yaml").write_text(PASSING)
    (person.home / "tests.yaml").chmod(0o644)
    process = person.pumice("test", "web:1", "--file", "tests.yaml")
    lines = process.stdout.splitlines()
    assert lines[-1] == "8 tests: 8 passed, 0 failed", process.stdout + process.stderr
    assert lines[0] == "ok    the image's command"
    assert process.returncode == 0


@pytest.mark.parametrize("stage1", ["bwrap", "runc"])
def test_other_executors_run_servers_too(store: Path, capsys: Out, stage1: str) -> None:
    peers.need(stage1)
    assert "3 passed, 0 failed" in run(
        capsys, PASSING, "--stage1", stage1, "-k", "http", "-k", "tcp", "-k", "argum"
    )
    output = run(capsys, PASSING, "--stage1", stage1, "-k", "setup", code=1)
    assert "only --stage1 builtin can run it" in output


FAILING = r"""
tests:
  - name: output
    command: [sh, -c, "echo one; echo two >&2; exit 2"]
    stdout: {equals: two, matches: "^t"}
  - name: endless output
    command: [sh, -c, "while :; do echo 1234567890123456789012345678901234567890; done 2>/dev/null"]
  - name: never ends
    command: [sleep, "600"]
    timeout: 1
  - name: ends early
    arguments: ["echo reason >&2; exit 4"]
    tcp: {port: 7000}
  - name: bad setup
    command: [sh]
    setup: [[sh, -c, "echo broken >&2; exit 5"]]
  - name: wrong answer
    arguments: ["exec httpd -f -p 8080 -h /srv"]
    http: {path: /nope, body: {contains: Welcome}, response_headers: {Server: x}}
  - name: wrong files
    file:
      - {path: /nope}
      - {path: /srv/index.html, mode: "0600", owner: www, content: {contains: Goodbye}}
      - {path: /bin/sh, exists: false}
    image: {user: root, ports: [80], environment: {LANG: C}}
"""

EXPECTED = r"""FAIL  output (tests.yaml:3:5)
      exit code
        expected: 0
        actual:   2
      stdout
        expected: equals 'two'
        actual:   one
      stdout
        expected: matches '^t'
        actual:   one
        stderr:   two
FAIL  endless output (tests.yaml:6:5)
      stdout
        expected: at most 1 MiB
        actual:   more
FAIL  never ends (tests.yaml:8:5)
      program
        expected: ends within 1 s
        actual:   still running
FAIL  ends early (tests.yaml:11:5)
      port 7000
        expected: accepts connections
        actual:   the program ended with exit code 4
        stderr:   reason
FAIL  bad setup (tests.yaml:14:5)
      program
        expected: can be run
        actual:   the setup command 'sh' ended with exit code 5: broken
FAIL  wrong answer (tests.yaml:17:5)
      status of GET /nope
        expected: 200
        actual:   404
      header Server of GET /nope
        expected: x
        actual:   none
      body of GET /nope
        expected: contains 'Welcome'
"""

EXPECTED_FILES = r"""FAIL  wrong files (tests.yaml:20:5)
      /nope
        expected: exists
        actual:   does not exist
      mode of /srv/index.html
        expected: 0600
        actual:   0644
      owner of /srv/index.html
        expected: www
        actual:   0
      content of /srv/index.html
        expected: contains 'Goodbye'
        actual:   Welcome
      /bin/sh
        expected: does not exist
        actual:   exists
      user
        expected: root
        actual:   33:34
      variable LANG
        expected: C
        actual:   C.UTF-8
      ports
        expected: has 80/tcp
        actual:   8080/tcp
7 tests: 0 passed, 7 failed
"""


def test_failures_show_what_was_expected(store: Path, capsys: Out) -> None:
    output = run(capsys, FAILING, code=1)
    assert output[: len(EXPECTED)] == EXPECTED
    assert output[-len(EXPECTED_FILES) :] == EXPECTED_FILES


FILES = r"""
tests:
  - file:
      - {path: /srv/own, type: directory, mode: "2750", owner: "www:www"}
      - {path: /srv/own, owner: "33"}
      - {path: /bin/httpd, type: link, link: busybox}
      - {path: /bin/httpd, type: file, mode: "0755"}
      - {path: /srv/index.html, content: {equals: "Welcome\n"}}
      - {path: /nope, exists: false}
  - image:
      user: www
      command: [sh, -c]
      arguments: [echo default]
      environment: {LANG: C.UTF-8}
      labels: {team: web}
      ports: [8080]
"""


def test_files_and_config_need_no_container(store: Path, capsys: Out) -> None:
    """So they can be tested for other platforms, and without a signature."""
    assert "2 passed" in run(capsys, FILES)
    with Home(store / "store") as home:
        for path in (store / "store").glob("built*"):
            path.unlink() if path.is_file() else None
        digest = home.refs.get("arm:1")
    assert digest
    assert main(("test", "arm:1", "--file", "tests.yaml")) == 0


def test_json_and_junit_have_every_failure(store: Path, capsys: Out) -> None:
    report = json.loads(run(capsys, FAILING, "--json", "--junit", "report.xml", "-k", "output", code=1))
    assert (report["image"], report["platform"]) == ("web:1", "linux/amd64")
    assert (report["passed"], report["failed"]) == (0, 2)
    assert report["tests"][0]["failures"][0] == {"subject": "exit code", "expected": "0", "actual": "2"}
    assert report["tests"][0]["stderr"] == "two\n"
    suite = ET.parse(store / "report.xml").getroot()[0]
    assert suite.attrib["failures"] == "2"
    case = suite[0]
    assert (case.attrib["name"], case.attrib["file"], case.attrib["line"]) == ("output", "tests.yaml", "3")
    assert case[0].attrib["message"] == "exit code: expected 0, actual 2"


STRUCTURE = r"""
schemaVersion: "2.0.0"
globalEnvVars: [{key: GREETING, value: hello}]
commandTests:
  - name: version
    setup: [["mkdir", "-p", "/tmp"], ["touch", "/tmp/file"]]
    teardown: [["rm", "/tmp/file"]]
    command: "sh"
    args: ["-c", "ls /tmp; echo $GREETING $PATH; echo oops >&2"]
    envVars: [{key: PATH, value: "/x:$PATH"}]
    expectedOutput: ["file\nhello /x:/bin"]
    excludedOutput: ["^hello"]
    expectedError: ["o+ps"]
containerRunOptions: {user: root}
fileExistenceTests:
  - {name: page, path: /srv/index.html, shouldExist: true, permissions: "-rw-r--r--", uid: 0, gid: 0}
  - {name: link, path: /bin/httpd, permissions: Lrwxrwxrwx}
  - {name: program, path: /bin/busybox, isExecutableBy: any}
  - {name: nothing, path: /nope, shouldExist: false}
fileContentTests:
  - {name: content, path: /srv/index.html, expectedContents: ["^Wel.*"], excludedContents: ["^x"]}
metadataTest:
  envVars: [{key: LANG, value: 'C\..*', isRegex: true}]
  labels: [{key: team, value: web}]
  exposedPorts: ["8080"]
  unexposedPorts: ["80"]
  entrypoint: [sh, -c]
  user: "33:34"
"""


def test_container_structure_tests_run_as_they_are(store: Path, capsys: Out) -> None:
    assert run(capsys, STRUCTURE).endswith("7 tests: 7 passed, 0 failed\n")


def test_unsigned_images_are_not_run(store: Path, capsys: Out) -> None:
    assert main(("copy", "web:1", "oci:copied")) == 0
    Path("tests.yaml").write_text(FILES)
    assert main(("test", "oci:copied", "--file", "tests.yaml")) == 0  # nothing runs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("web:1",), "web:1 has no tests"),
        (("web:1", "--file", "tests.yaml", "-k", "nope"), "no test has a name with 'nope'"),
        (("web:1", "--file", "gone.yaml"), "cannot read 'gone.yaml': no such file or directory"),
        (("web:1", "--locked"), "--arg, --locked and --offline need a recipe"),
        (("gone.yaml",), "the recipe 'gone.yaml' does not exist"),
        (("web:1", "--file", "tests.yaml", "--timeout", "0"), "--timeout must be at least 1"),
    ],
)
def test_wrong_command_lines(store: Path, capsys: Out, arguments: tuple[str, ...], message: str) -> None:
    Path("tests.yaml").write_text(FILES)
    assert main(("test", *arguments)) != 0
    assert message in capsys.readouterr().err
