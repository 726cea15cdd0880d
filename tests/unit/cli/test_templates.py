"""Templates of `--format`: what podman 4.3 prints for the same values is what is expected here."""

from __future__ import annotations

import pytest

from reconciler.cli import formats
from reconciler.cli.maps import Map
from reconciler.cli.templates import heading, parse, render
from reconciler.model.errors import InvalidInput

ROW = {
    "ID": "92cf1d5a4fdd",
    "Names": "web",
    "Labels": Map({"app": "x", "a.b/c": "y"}),
    "None": Map(),
    "Mounts": [{"Source": "/tmp", "Destination": "/mnt"}, {"Source": "/a", "Destination": "/b"}],
    "Cmd": ["sleep", "1000"],
    "State": {"Pid": 174, "Running": True, "Error": ""},
    "Asked": lambda: "when wanted",
    "Pid": 0,
}


def rendered(template: str, value: object = ROW) -> str:
    return render(parse(template), value)


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        pytest.param("plain", "plain", id="text is itself"),
        pytest.param("{{.ID}} {{.Names}}", "92cf1d5a4fdd web", id="fields among text"),
        pytest.param("{{ .ID }}", "92cf1d5a4fdd", id="blanks inside the braces"),
        pytest.param("{{.State.Pid}} {{.State.Running}}", "174 true", id="a path, and how numbers and booleans look"),
        pytest.param("{{.Labels}}", "map[a.b/c:y app:x]", id="a map in the order of its keys"),
        pytest.param("{{.Labels.app}} {{.Labels.nope}}", "x <no value>", id="a missing key has no value"),
        pytest.param("{{.Cmd}}", "[sleep 1000]", id="a list"),
        pytest.param("{{.State}}", "{174 true }", id="a struct"),
        pytest.param("{{.Asked}}", "when wanted", id="a value that is made when it is asked for"),
        pytest.param(r"a\tb\nc", "a\tb\nc", id="escapes in text"),
        pytest.param(r'{{join .Cmd "\t"}}', "sleep\t1000", id="escapes in a string"),
        pytest.param("{{join .Cmd `,`}}", "sleep,1000", id="join"),
        pytest.param('{{join .Names ","}}', "web", id="join of what is text already"),
        pytest.param("{{upper .Names}} {{lower `ABC`}}", "WEB abc", id="upper and lower"),
        pytest.param("{{json .Cmd}}", '["sleep","1000"]', id="json stands in one line"),
        pytest.param("{{json .State}}", '{"Pid":174,"Running":true,"Error":""}', id="json of a struct"),
        pytest.param("{{json .Asked}}", '"when wanted"', id="json of what is made"),
        pytest.param('{{json "é<"}}', '"é<"', id="json keeps what can be read"),
        pytest.param('{{index .Labels "a.b/c"}}|{{index .Labels "no"}}', "y|", id="index of a map"),
        pytest.param("{{index .Cmd 1}}", "1000", id="index of a list"),
        pytest.param("{{.Names | upper}}", "WEB", id="a pipe"),
        pytest.param("{{.Cmd | json | upper}}", '["SLEEP","1000"]', id="a longer pipe"),
        pytest.param("{{if .Labels}}y{{else}}n{{end}}", "y", id="if"),
        pytest.param("{{if .None}}y{{else}}n{{end}}{{if .Pid}}y{{end}}", "n", id="empty and zero are false"),
        pytest.param("{{if .Pid}}a{{else if .ID}}b{{else}}c{{end}}", "b", id="else if"),
        pytest.param("{{range .Mounts}}{{.Source}}:{{.Destination}} {{end}}", "/tmp:/mnt /a:/b ", id="range"),
        pytest.param("{{range .Labels}}{{.}},{{end}}", "y,x,", id="range over a map, in the order of its keys"),
        pytest.param("{{range .None}}{{.}}{{else}}none{{end}}", "none", id="range over nothing"),
        pytest.param("{{range .Mounts}}{{$.ID}} {{end}}", "92cf1d5a4fdd 92cf1d5a4fdd ", id="$ is where it began"),
        pytest.param(
            "{{range .Mounts}}{{range .}}{{.}} {{end}}{{end}}", "/mnt /tmp /b /a ", id="a range inside a range"
        ),
        pytest.param("a  {{- .Names -}}  b", "awebb", id="trimming"),
        pytest.param("a{{/* not shown */}}b", "ab", id="a comment"),
        pytest.param("{{.Names}}}", "web}", id="a brace behind"),
    ],
)
def test_shows(template, shown):
    assert rendered(template) == shown


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{{.Foo}}", "can't evaluate field Foo"),
        ("{{.State.Foo}}", "can't evaluate field Foo"),
        ("{{.Names.Foo}}", "can't evaluate field Foo of 'web'"),
        ("{{.ID", "never closed by }}"),
        ("{{.ID}", "'}' is not supported inside"),
        ("{{}}", "empty {{}}"),
        ("{{printf .ID}}", '"printf" is not supported'),
        ("{{len .Names}}", '"len" is not supported'),
        ("{{with .State}}{{.Pid}}{{end}}", '"with" is not supported'),
        ("{{define `x`}}{{end}}", '"define" is not supported'),
        ("{{true}}", '"true" is not supported as a value'),
        ("{{$x := .ID}}", "variables such as $x"),
        ("{{range $k, $v := .Labels}}{{end}}", "variables such as $k"),
        ("{{(.ID)}}", "'(' is not supported"),
        ("{{.Labels.a-b}}", '{{index .Labels "KEY"}}'),
        ("{{.Names .ID}}", ".Names takes no argument"),
        ("{{.Names | .ID}}", "cannot stand behind a |"),
        ("{{.Names | }}", "a value is missing"),
        ("{{if .ID}}", "never closed by {{end}}"),
        ("{{end}}", "{{end}} without an if or range"),
        ("{{else}}", "{{else}} without an if or range"),
        ("{{range .Cmd}}{{else if .ID}}{{end}}", "{{else if …}} is not supported here"),
        ("{{range .Names}}{{end}}", "range needs a list"),
        ("{{join .Cmd}}", "join cannot be used with '[sleep 1000]'"),
        ("{{join .Cmd 3}}", "join cannot be used with"),
        ("{{index .Cmd 7}}", "index cannot be used with"),
        ("{{index .Names 1}}", "index cannot be used with"),
        ("{{upper}}", "upper cannot be used with nothing"),
        (r'{{upper "\z"}}', "is not a string"),
    ],
)
def test_refuses_in_one_line(template, complaint):
    with pytest.raises(InvalidInput) as error:
        rendered(template)
    assert complaint in error.value.message
    assert error.value.message.startswith("cannot use --format: ")
    assert "\n" not in error.value.message
    assert error.value.hint


def test_an_unknown_field_names_those_that_there_are():
    with pytest.raises(InvalidInput) as error:
        rendered("{{.Nmae}}", {"Names": "", "ID": ""})
    assert error.value.hint == "there are: ID, Names"


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("{{.ID}}\t{{.Names}}", "CONTAINER ID\tNAMES"),
        ("{{upper .ID}} x", "CONTAINER ID x"),
        ("{{.Labels.app}}", "APP"),
        ("{{if .ID}}{{.Names}}{{else}}-{{end}}", "NAMES"),
        ("{{range .Mounts}}{{.Source}}{{end}}", "MOUNTS"),
        ('{{index .Labels "a"}}', "LABELS"),
        ("{{.}}", ""),
    ],
)
def test_headings(template, line):
    assert heading(parse(template), {"ID": "CONTAINER ID"}) == line


# --- rows ----------------------------------------------------------------------------------------------------------

ROWS = [{"ID": "aa", "Names": "web/app", "Labels": Map()}, {"ID": "bbbb", "Names": "x", "Labels": Map(k="v")}]
HEADINGS = {"ID": "CONTAINER ID"}


@pytest.mark.parametrize("form", ["json", " json ", "{{json .}}", "{{ json . }}", "{{json}}"])
def test_json_by_any_of_its_names(form):
    assert formats.is_json(form)


@pytest.mark.parametrize("form", ["table", "jsonx", "{{json .ID}}", ""])
def test_what_is_not_json(form):
    assert not formats.is_json(form)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        pytest.param("{{.ID}} {{.Names}}", "aa web/app\nbbbb x\n", id="one line for each, and no headings"),
        pytest.param(r"{{.ID}}\t{{.Names}}", "aa    web/app\nbbbb  x\n", id="tabs are columns"),
        pytest.param(
            r"table {{.ID}}\t{{.Names}}", "CONTAINER ID  NAMES\naa            web/app\nbbbb          x\n", id="a table"
        ),
        pytest.param(
            "table {{ .ID }} {{ .Names }}",
            "CONTAINER ID  NAMES\naa            web/app\nbbbb          x\n",
            id="by blanks",
        ),
        pytest.param("{{range .}}{{.ID}};{{end}}", "aa;bbbb;\n", id="a range over all is carried out once"),
        pytest.param("{{range .Labels}}{{.}}{{end}}", "\nv\n", id="any other for each row"),
    ],
)
def test_rows(form, text):
    assert formats.rows_text(form, ROWS, HEADINGS) == text


def test_a_table_without_headings_or_rows():
    assert formats.rows_text("table {{.ID}}", ROWS, HEADINGS, header=False) == "aa\nbbbb\n"
    assert formats.rows_text("table {{.ID}}", [], HEADINGS) == "CONTAINER ID\n"
    assert formats.rows_text("{{.ID}}", [], HEADINGS) == ""
