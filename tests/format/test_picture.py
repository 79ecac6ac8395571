"""docs/_static/stored.svg shows what kvcodec stores today."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from tests.format import picture, worked


def test_the_picture_is_what_the_code_writes() -> None:
    """Drawn anew it is the same: ``python -m tests.format.picture`` writes the file."""
    assert picture.PICTURE.read_text("utf-8") == picture.picture()


def test_the_picture_shows_each_layer() -> None:
    """The name, the JSON, each field of the header by its name in docs/FORMAT.md, the body."""
    (raw_key,) = worked.run(picture.CASE).stored
    drawn = " ".join(ET.fromstring(picture.picture()).itertext())  # noqa: S314 - our own
    assert raw_key == "tokens/ada/github"
    assert '{"text":"ghp_example","scope":"repo"}' in drawn
    for name in ("written at", "expires at", "cipher", "key id", "sealed body"):
        assert name in drawn
    assert len(picture.header_fields()) == 8


def test_it_is_read_in_light_and_dark() -> None:
    """Both sets of colours name the same ones."""
    style = picture.picture().partition("<style>")[2].partition("</style>")[0]
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    names = {word for word in light.split() if word.startswith("--")}
    assert names == {word for word in dark.partition("} }")[0].split() if word.startswith("--")}
