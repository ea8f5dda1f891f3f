r"""Templates of ``--format``: what Go's text/template does with the same text, as far as they go."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.cli.display.templates import parse_template, render
from pumice.errors import UsageError


class Layer(msgspec.Struct):
    digest: str
    size: int


class Row(msgspec.Struct):
    name: str
    media_type: str
    tags: list[str]
    labels: dict[str, str]
    layers: tuple[Layer, ...] = ()
    created: str | None = None
    anything: Any = None


VALUE = {
    "name": "app",
    "media_type": "text/plain",
    "tags": ["a", "b"],
    "labels": {"org.example": "x"},
    "layers": [{"digest": "sha256:1", "size": 1}, {"digest": "sha256:2", "size": 20}],
    "created": None,
    "anything": {"Deep": {"er": True}},
}


def formatted(template: str) -> str:
    return render(parse_template(template, list[Row]), [VALUE])


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{.Name}}", "app"),
        ("{{ .Name }}", "app"),
        ("{{.MediaType}} {{.media_type}} {{.mediatype}}", "text/plain text/plain text/plain"),
        (r"{{.Name}}\t{{.Created}}|\n.", "app\t|\n."),
        ("{{json .Tags}}", '["a", "b"]'),
        ("{{.Tags}}", '["a", "b"]'),
        ('{{join .Tags ","}}', "a,b"),
        ('{{.Tags | join ", "}}', "a, b"),
        ("{{len .Layers}} {{len .Name}}", "2 3"),
        ("{{upper .Name}} {{.Name | upper | lower}}", "APP app"),
        ("{{range .Layers}}{{.Digest}}={{.Size}};{{end}}", "sha256:1=1;sha256:2=20;"),
        ("{{range .Tags}}{{.}} {{else}}none{{end}}", "a b "),
        ("{{if .Created}}yes{{else}}no{{end}}{{if .Name}}!{{end}}", "no!"),
        ('{{index .Labels "org.example"}}{{index .Labels "none"}}', "x"),
        ("{{index .Tags 1}}{{index .Tags 9}}", "b"),
        ("{{.Anything.Deep.er}}{{.Anything.none.none}}", "true"),
        ("{{range .Labels}}{{.}}{{end}}", "x"),
    ],
)
def test_templates(template: str, expected: str) -> None:
    assert formatted(template) == f"{expected}\n"


def test_json_of_everything() -> None:
    assert msgspec.json.decode(formatted("{{json .}}")) == VALUE


def test_a_table_has_headings_and_columns() -> None:
    template = parse_template(r"table {{.Name}}\t{{.MediaType}}\t{{json .Tags}}", Row)
    assert render(template, [VALUE, VALUE | {"name": "longer"}]) == (
        "NAME    MEDIA TYPE  TAGS\n"
        'app     text/plain  ["a", "b"]\n'
        'longer  text/plain  ["a", "b"]\n'
    )  # fmt: skip


def test_values_cannot_control_a_terminal_or_add_lines() -> None:
    template = parse_template("{{.Name}}{{json .Name}}", Row)
    assert render(template, [VALUE | {"name": "\x1b[2J\n"}]) == '\\u001b[2J\\u000a"\\u001b[2J\\n"\n'


@pytest.mark.parametrize(
    ("template", "message", "hint"),
    [
        (
            "{{.Nmae}}",
            "invalid template in --format: unknown field .Nmae",
            (
                "did you mean .Name? the fields are "
                ".Name, .MediaType, .Tags, .Labels, .Layers, .Created, .Anything"
            ),
        ),
        (
            "{{range .Layers}}{{.Name}}{{end}}",
            "invalid template in --format: unknown field .Name",
            "the fields are .Digest, .Size",
        ),
        (
            "{{.Name.First}}",
            "invalid template in --format: the value has no field .First",
            "use {{.}}",
        ),
        ("{{.Name", "invalid template in --format: '{{' has no '}}'", None),
        ("{{}}", "invalid template in --format: an action is empty", None),
        ("{{end}}", "invalid template in --format: unexpected {{end}}", None),
        ("{{range .Tags}}", "invalid template in --format: {{range}} has no {{end}}", None),
        ("{{call .Name}}", "invalid template in --format: cannot use 'call'", None),
        ("{{.Name.__class__}}", "invalid template in --format: the value has no field .__class__", None),
        ("{{join .Tags}}", "invalid template in --format: join needs 2 arguments", None),
        ("{{index .Tags -1}}", "invalid template in --format: cannot use '-1'", None),
    ],
)
def test_mistakes(template: str, message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        parse_template(template, list[Row])
    assert caught.value.message == message
    if hint:
        assert caught.value.hint == hint


@given(st.text(alphabet='{}. |"\\jsonrangeifendlse019aXN', max_size=60))
def test_any_text_is_rendered_or_refused(text: str) -> None:
    try:
        template = parse_template(text, Row)
    except UsageError:
        return
    render(template, [VALUE])
