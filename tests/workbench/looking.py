"""What a person would see of a page in a browser: too wide, too pale, and a picture of it for the book."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

WIDTHS = (390, 768, 1440)
BOOK = Path(__file__).resolve().parents[2] / "docs"

# Every visible text with its contrast against what lies behind it, where that is less than WCAG 2 AA asks for.
_PALE = """
() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = css => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => under.map((c, i) => i < 3 ? top[i] * top[3] + c * (1 - top[3]) : 1);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const page = document.body.classList.contains('dark') ? [0, 0, 0, 1] : [255, 255, 255, 1];
  const behind = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), page);
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.textContent.trim(), element = walk.currentNode.parentElement;
    if (!text || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    const box = element.getBoundingClientRect();
    if (box.width < 2 || box.height < 2 || element.closest('style, script, title, [disabled]')) continue;
    const style = getComputedStyle(element), back = behind(element);
    let ink = rgba(element instanceof SVGElement ? style.fill : style.color);
    for (let e = element; e; e = e.parentElement) ink[3] *= Number(getComputedStyle(e).opacity);
    const [high, low] = [light(over(ink, back)), light(back)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < (large ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} ${element.tagName} ${text.slice(0, 40)}`);
  }
  return [...new Set(found)];
}
"""


def wide(page: Any) -> list[int]:
    """The widths at which the page is wider than the window."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            found.append(width)
    return found


def pale(page: Any) -> dict[str, list[str]]:
    """Theme -> visible texts whose contrast is below WCAG 2 AA, by the colours that the browser computed."""
    found = {}
    page.add_style_tag(content="* { transition: none !important; animation: none !important }")  # no colour half-way
    for theme in ("light", "dark"):
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
        if texts := page.evaluate(_PALE):
            found[theme] = texts
    page.evaluate("document.body.classList.remove('dark')")
    return found


def picture(
    page: Any, name: str, folder: Path, *, of: Any = None, at: Any = None, width: int = 1200, height: int = 900,
    dark: bool = False,
) -> None:  # fmt: skip
    """A picture as the book shows it; into the book itself where KEEP_PICTURES is set.

    Args:
        page: The page.
        name: Its name in the book.
        folder: Where it is written else.
        of: The element that is shown; by default the page.
        at: What stands at the top of a page; by default its beginning.
        width: Of the window.
        height: Of the window.
        dark: The theme.
    """
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
    page.evaluate("window.scrollTo(0, 0)")
    if at is not None:
        at.evaluate("element => element.scrollIntoView({block: 'start'})")
    kept = BOOK / "pictures" / f"{name}.png"
    if os.environ.get("KEEP_PICTURES"):
        page.wait_for_timeout(1500)  # until what lies in a frame has its new width
    (of or page).screenshot(path=kept if os.environ.get("KEEP_PICTURES") else folder / f"{name}.png")
    page.evaluate("document.body.classList.remove('dark')")
    page.set_viewport_size({"width": 1440, "height": 900})
    assert kept.exists(), f"{kept} is missing: KEEP_PICTURES=1 pytest tests/workbench"
    assert f"pictures/{name}.png" in (BOOK / "workbench.md").read_text(encoding="utf-8")
