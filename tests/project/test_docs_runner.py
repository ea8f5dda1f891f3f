"""The runner of documentation examples detects differences."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import docs

PAGE = """\
# A page

<!-- file: sub/a.txt -->
```text
one 8080
two
```

```console
$ cat sub/a.txt
one 8080
two
$ printf 'a\\nb\\nsha256:%s\\n' 123
a
...
sha256:…
$ echo \\
>   joined
joined
```

<!-- exits: 3 -->
```console
$ echo wrong >&2; exit_with() { return 3; }; exit_with
wrong
```

<!-- not run: it would never end -->
```sh
sleep infinity
```

```sh
# a comment
sleep 300 &
kill %1
```
"""


def run(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    page = tmp_path / "page.md"
    page.write_text(text)
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    return docs.run(page, folder)


def test_a_correct_page_has_no_complaints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(PAGE, tmp_path, monkeypatch) == []


def test_other_output_is_a_complaint_that_names_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (problem,) = run("# x\n\n```console\n$ echo b\na\n```\n", tmp_path, monkeypatch)
    assert problem == "page.md:4: echo b\nprinted\nb\ninstead of\na\n"


def test_a_failing_command_ends_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = run("```sh\nfalse\necho more\n```\n", tmp_path, monkeypatch)
    assert "ended with 1 instead of 0" in first
    assert second.endswith("was not reached")


def test_needs_are_read() -> None:
    assert docs.needs("<!-- needs: skopeo umoci -->\n") == ["skopeo", "umoci"]
