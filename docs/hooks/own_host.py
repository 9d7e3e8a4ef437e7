"""Refuses a page that loads anything from another host: fonts, scripts, styles, pictures."""

from __future__ import annotations

import logging
import re
from typing import Any

_ELSEWHERE = r"[\"']?(?:https?:)?//"
_LOADED = re.compile(rf"<(?:script|img|iframe|source)\b[^>]*\bsrc={_ELSEWHERE}|<link\b[^>]*\bhref={_ELSEWHERE}")
_LOG = logging.getLogger("mkdocs.hooks.own_host")


def on_post_page(output: str, page: Any, **_: Any) -> None:
    """Warns, which ends a strict build."""
    for tag in _LOADED.findall(output):
        _LOG.warning("%s loads from another host: %s", page.file.src_uri, tag)
