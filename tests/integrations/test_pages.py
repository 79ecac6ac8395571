"""The pages of docs/frameworks: the same sections in the same order, and what the tables say."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from tests.integrations.accepted import ATTACKS, Attack, Outcome, Seam

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "frameworks"
PAGES = {path.stem: path for path in sorted(FOLDER.glob("*.md")) if path.stem != "index"}
EXTRAS = {"py-key-value": "pykeyvalue"}
"""Of pages that are not named as their extra is."""

ROWS: dict[Attack, str] = {
    "wrong key": "under another key",
    "copied row": "a row copied from elsewhere",
    "planted plaintext": "plaintext planted there",
    "damaged row": "a row with one bit turned",
}
WORDS: dict[Outcome, str] = {
    "taken": "taken",
    "vanished": "vanishes",
    "refused": "refused",
    "not possible": "has no key",
}


def tables(text: str) -> dict[str, list[str]]:
    """The rows of a page's tables: the cells behind the first one, by that."""
    rows = [line.strip().strip("|").split("|") for line in text.splitlines() if line[:1] == "|"]
    return {first.strip(): [cell.strip() for cell in cells] for first, *cells in rows}


def seams_of(page: str) -> list[Seam]:
    """What was recorded of a page's framework."""
    name = EXTRAS.get(page, page).replace("-", "_")
    seams: list[Seam] = import_module(f"tests.integrations.seam_{name}").SEAMS
    return seams


@pytest.mark.parametrize("page", PAGES)
def test_sections_are_the_same_in_the_same_order(page: str) -> None:
    """Whoever has read one page finds the way in the next."""
    titles = re.findall(r"^## (.*)$", PAGES[page].read_text(encoding="utf-8"), re.MULTILINE)
    assert (titles[0], *titles[-3:]) == ("Install", "What is refused", "Rotating keys", "Limits")


@pytest.mark.parametrize("page", PAGES)
def test_the_extra_of_the_install_line_is_there(page: str) -> None:
    """With the versions that it was tested with; its module and reference are named."""
    text, extra = PAGES[page].read_text(encoding="utf-8"), EXTRAS.get(page, page)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (required,) = project["optional-dependencies"][extra]
    assert f"pip install 'kvcodec[{extra}]'" in text
    allowed = re.search(r"[<>=,.\d]+$", required)
    assert allowed is not None
    assert re.search(rf"^Tested with .*\(the extra allows `{allowed[0]}`\)", text, re.MULTILINE)
    assert "(../reference/integrations.md#" in text


@pytest.mark.parametrize("page", PAGES)
def test_the_table_says_what_was_seen(page: str) -> None:
    """Of what is shipped, as the seams have recorded it; what ours raises is named."""
    rows = tables(PAGES[page].read_text(encoding="utf-8"))
    for attack in ATTACKS:
        cells = rows[ROWS[attack]]
        for seam in seams_of(page):
            word = WORDS[seam.shipped[attack][1]]
            assert any(cell.startswith(word) for cell in cells), (attack, seam.name)
        assert cells[-1] in {"`UnknownKey`", "`Tampered`", "`NotEncrypted`"}


def test_the_index_leads_to_each() -> None:
    """In its table, which says what is there to use."""
    text = (FOLDER / "index.md").read_text(encoding="utf-8")
    links = re.findall(r"^\| \[.*?\]\((.*?)\.md\) \|", text, re.MULTILINE)
    assert sorted(links) == sorted(PAGES)
