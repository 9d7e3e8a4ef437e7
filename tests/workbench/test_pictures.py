"""The book's pictures on a phone: small letters stay readable, and no picture makes the page wider."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from workbench.looking import BOOK

PICTURES = sorted((BOOK / "pictures").glob("*.svg"))
READABLE = 10.5  # pixels of a letter's height


def test_letters_of_the_pictures_can_be_read_on_a_phone(browser: Any, tmp_path: Path) -> None:
    shown = "".join(f'<p><img src="{picture.as_uri()}"></p>' for picture in PICTURES)
    sheet = f'<link rel="stylesheet" href="{(BOOK / "style" / "book.css").as_uri()}">'
    # As the theme has it: its unit, and no picture wider than the page unless the book says so.
    theme = "<style>html { font-size: 125% } .md-typeset img { max-width: 100%; height: auto }</style>"
    phone = '<meta name="viewport" content="width=device-width">'
    (tmp_path / "page.html").write_text(f'{phone}{theme}{sheet}<article class="md-typeset">{shown}</article>')
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto((tmp_path / "page.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    widths = page.evaluate("[...document.images].map(image => image.getBoundingClientRect().width)")
    page.close()
    assert len(widths) == len(PICTURES) > 3
    for picture, width in zip(PICTURES, widths, strict=True):
        text = picture.read_text(encoding="utf-8")
        own = float(re.search(r'viewBox="[\d.]+ [\d.]+ ([\d.]+)', text)[1])  # type: ignore[index]
        sizes = [float(size) for size in re.findall(r'font-size="([\d.]+)"', text)]
        if sizes:  # letters of a drawing by matplotlib are paths, none smaller than its font of 8
            assert min(sizes) * width / own >= READABLE, picture.name
        else:
            assert width >= own, picture.name
