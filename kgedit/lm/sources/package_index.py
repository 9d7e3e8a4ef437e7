"""Downloads a file of the package index that pip is told of, going on where an earlier download ended.

`pip download` begins anew. So where all that pip is told of is one index on the web, the file of a known SHA-256 is
looked up there and asked for from the first byte that is missing; folders of wheels, proxies, credentials and further
indexes are left to pip.

Simple API: https://packaging.python.org/en/latest/specifications/simple-repository-api/
"""

from __future__ import annotations

import ast
import html
import http.client
import json
import re
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

from kgedit.errors import FetchFailed, FileCorrupt

_PYPI = "https://pypi.org/simple"
_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
# With these pip may look elsewhere than in the one index, or ask there otherwise than is done here.
_FOR_PIP = {"client-cert", "extra-index-url", "find-links", "keyring-provider", "no-index", "proxy", "trusted-host"}
_FAILURES = (OSError, http.client.HTTPException, ValueError)  # of the network; URLError and SSLError are OSErrors
_NO_PAGE = (*_FAILURES, LookupError, TypeError, AttributeError)  # JSON of another shape too
_SECONDS = 30.0  # without a byte
_CHUNK = 1 << 18  # bytes
_LARGEST_PAGE = 1 << 26  # bytes


def download(package: str, sha256: str, size: int, part: Path, said: Callable[[int], None]) -> bool:
    """Get a file of a package, or what is missing of it.

    Args:
        package: Name of the distribution.
        sha256: Of the file that is looked for on the index's page; what came is for the caller to check.
        size: Of the file, in bytes.
        part: Where it goes; holds what came before, and keeps what came when the download ends early.
        said: Called with the number of bytes that are there.

    Returns:
        Whether it is there now; if not, it is pip that can get it, or nobody.

    Raises:
        FetchFailed: The index broke off, and sent no more of the file than was there before.
        FileCorrupt: The file at the place that the index names has another size.
        OSError: The part cannot be written.
    """
    try:
        opener, address = _looked_up(package, sha256)
    except _NO_PAGE:
        return False
    if address is None:
        return False
    before, there = -1, _size(part)
    while before < there < size:
        before, failure = there, _go_on(opener, address, size, part, said)
        there = _size(part)
        if failure and not there:
            return False
    if there < size:
        raise FetchFailed(
            f"{urlsplit(address).hostname} broke off after {there / 1e6:.1f} of {size / 1e6:.1f} MB"
            f"{failure}; fetch again, which goes on from there"
        )
    return True


def _looked_up(package: str, sha256: str) -> tuple[urllib.request.OpenerDirector, str | None]:
    """How the index is asked, and the address that it gives for the file; None if it is pip that must look."""
    settings = _pip_settings()
    index = settings.get("index-url", _PYPI)
    secure = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=settings.get("cert")))
    opener = urllib.request.build_opener(secure)
    if _FOR_PIP & settings.keys() or not _on_the_web(index):
        return opener, None
    request = urllib.request.Request(f"{index.rstrip('/')}/{package}/", headers={"Accept": _ACCEPT})  # noqa: S310
    with opener.open(request, timeout=_SECONDS) as response:
        page = response.read(_LARGEST_PAGE).decode("utf-8")
        if response.headers.get_content_type().endswith("json"):
            files = [(file["url"], file["hashes"].get("sha256")) for file in json.loads(page)["files"]]
        else:
            links = [urldefrag(html.unescape(link)) for link in re.findall(r"""href\s*=\s*["']([^"']+)""", page)]
            files = [(link.url, link.fragment.removeprefix("sha256=")) for link in links]
        found = [urljoin(response.url, url) for url, given in files if given == sha256]
    return opener, next(filter(_on_the_web, found), None)


def _pip_settings() -> dict[str, str]:
    """What `pip download` is told by files and environment; of several values of a setting the one that it follows."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    listed = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False).stdout  # noqa: S603
    settings: dict[str, str] = {}
    for section in ("global", "download", ":env:"):
        rows = re.findall(rf"^{section}\.([\w-]+)=(.*)$", listed, flags=re.MULTILINE)
        settings |= {name: str(ast.literal_eval(value)) for name, value in rows}
    return settings


def _on_the_web(address: str) -> bool:
    """Whether an address is one of http or https without a password in it."""
    parts = urlsplit(address)
    return parts.scheme in ("http", "https") and parts.username is None


def _go_on(
    opener: urllib.request.OpenerDirector, address: str, size: int, part: Path, said: Callable[[int], None]
) -> str:
    """Ask for the bytes that are missing, and keep what comes of them; the failure in words if nothing does."""
    there = _size(part)
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={there}-"} if there else {})}
    try:
        response = opener.open(urllib.request.Request(address, headers=headers), timeout=_SECONDS)  # noqa: S310
    except _FAILURES as error:
        if getattr(error, "code", None) == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()  # of a longer file than this one
        return f" ({error})"
    with response:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {there}-"):
            there = 0  # this server sends whole files only
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and there + int(length) != size:
            part.unlink(missing_ok=True)
            raise FileCorrupt(
                f"{address} has {there + int(length):,} bytes, the file of the catalogue {size:,}: the package index "
                "offers another one under this name. Use an index that you trust."
            )
        with part.open("r+b" if there else "wb") as sink:
            sink.seek(there)
            for chunk in _chunks(response, size - there):
                sink.write(chunk)
                there += len(chunk)
                said(there)
    return ""


def _chunks(response: http.client.HTTPResponse, most: int) -> Iterator[bytes]:
    """The bytes of an answer as far as they come."""
    while most:
        try:
            chunk = response.read(min(_CHUNK, most))
        except _FAILURES:
            return
        if not chunk:
            return
        most -= len(chunk)
        yield chunk


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
