"""The site that `make docs` makes: it builds without a warning, and names all that is public."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import kvcodec
import kvcodec.integrations.claude_agent
import kvcodec.integrations.langchain
import kvcodec.integrations.langgraph
import kvcodec.integrations.mcp
import kvcodec.integrations.openai_agents
import kvcodec.integrations.opentelemetry
import kvcodec.integrations.pydantic_ai
import kvcodec.integrations.pykeyvalue
import kvcodec.integrations.slack
import kvcodec.protocols
import kvcodec.testing

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
FRAMEWORKS = ROOT / "docs" / "frameworks"
PUBLIC = [
    kvcodec,
    kvcodec.protocols,
    kvcodec.testing,
    kvcodec.integrations.claude_agent,
    kvcodec.integrations.langchain,
    kvcodec.integrations.langgraph,
    kvcodec.integrations.mcp,
    kvcodec.integrations.openai_agents,
    kvcodec.integrations.opentelemetry,
    kvcodec.integrations.pydantic_ai,
    kvcodec.integrations.pykeyvalue,
    kvcodec.integrations.slack,
]


def test_it_builds(tmp_path: Path) -> None:
    """Pages, links between them, anchors and docstrings: a warning is an error."""
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    made = subprocess.run(
        [*command, str(ROOT / "docs"), str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "site" / "searchindex.js").exists()


def documented() -> list[str]:
    """The names that the reference has, each behind its module."""
    found: list[str] = []
    for page in sorted(REFERENCE.glob("*.md")):
        module = ""
        for line in page.read_text(encoding="utf-8").splitlines():
            directive = re.match(r"\.\. (currentmodule|auto\w+):: ([\w.]+)", line)
            if directive is None:
                continue
            if directive[1] == "currentmodule":
                module = directive[2]
            else:
                found.append(f"{module}.{directive[2]}")
    return found


def test_the_reference_is_whole() -> None:
    """Each public name stands there once."""
    found = documented()
    assert len(found) == len(set(found))
    again = {*kvcodec.__all__}  # protocols that the package gives too stand there
    public = {
        f"{module.__name__}.{name}"
        for module in PUBLIC
        for name in module.__all__
        if module is kvcodec or name not in again
    }
    assert set(found) == public


@pytest.mark.parametrize("page", sorted(FRAMEWORKS.glob("[!i]*.md")), ids=lambda page: page.stem)
def test_a_page_says_what_was_tried_and_begins_with_a_program(page: Path) -> None:
    """How to install it, the release that is installed here, and a program of under 40 lines."""
    text = page.read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extra = re.search(r"pip install 'kvcodec\[([\w-]+)\]'", text)
    assert extra is not None
    (needed,) = map(Requirement, project["optional-dependencies"][extra[1]])
    release = ".".join(version(needed.name).split(".")[:2])
    assert re.search(rf"{needed.name} {release}", text), f"{needed.name} {release} is not said"
    program = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert program is not None
    assert program[1].count("\n") < 40
    assert "may_drop" in text
