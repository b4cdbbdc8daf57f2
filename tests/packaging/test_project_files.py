"""What stands around the code: it says what is so, in the form that its readers expect."""

import ast
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import funnel

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def test_the_version_stands_in_one_place() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "funnel/__init__.py"
    assert read(ROOT / "CITATION.cff")["version"] == funnel.__version__
    assert f"## {funnel.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_citation_has_what_its_format_requires() -> None:
    """Of https://github.com/citation-file-format/citation-file-format/blob/main/schema-guide.md, version 1.2.0."""
    found = read(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(found)
    assert found["cff-version"] == "1.2.0"
    assert found["type"] in ("software", "dataset")
    assert found["license"] == PROJECT["project"]["license"]
    assert all(set(author) == {"name"} for author in found["authors"])  # entities
    assert all(isinstance(word, str) for word in found["keywords"])


def test_the_declared_names_are_the_public_names() -> None:
    stub = ast.parse((ROOT / "funnel" / "__init__.pyi").read_text(encoding="utf-8"))
    named = {
        alias.asname: (node.module, alias.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(named) == set(funnel.__all__) - {"__version__"}
    for public, (module, name) in named.items():
        assert public == name
        assert funnel._WHERE[name] == module


@pytest.mark.parametrize("path", [path for path in FORMS if path.name != "config.yml"], ids=lambda path: path.name)
def test_an_issue_form_is_whole(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= set(form)
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    assert asked
    assert any(part["validations"]["required"] for part in asked)
    identifiers = [part["id"] for part in asked]
    assert len(set(identifiers)) == len(identifiers)
    assert all(part["type"] in ("textarea", "input", "dropdown", "checkboxes") for part in asked)
    assert all(part["attributes"]["label"] for part in asked)


def test_issues_come_by_three_forms_and_ask_for_versions() -> None:
    assert [path.stem for path in FORMS] == ["bug", "config", "feature", "schema"]
    assert isinstance(read(FORMS[1])["blank_issues_enabled"], bool)
    for form in (FORMS[0], FORMS[3]):
        text = form.read_text(encoding="utf-8")
        assert "funnel --version" in text
        assert "funnel check" in text
    assert (ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md").is_file()


def test_what_contributing_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:funnel|tests|docs)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target
    extras = PROJECT["project"]["optional-dependencies"]
    for names in re.findall(r"pip install -e '\.\[([\w,]+)\]'", text):
        assert set(names.split(",")) <= set(extras)
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    tested = [word for line in "".join(blocks).splitlines() for word in shlex.split(line, comments=True)]
    assert "pre-commit" in tested
    assert (ROOT / ".pre-commit-config.yaml").is_file()


def test_the_sdist_names_what_is_there_and_no_folder_below() -> None:
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    for path in included:
        assert path.startswith("/"), path
        assert (ROOT / path[1:]).exists(), path
