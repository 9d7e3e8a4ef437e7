"""A Hugging Face hub on loopback, as far as `kgedit.io.hub` uses one: repositories of small files, and commits."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "c" * 40


@dataclass
class Hub:
    """What the server holds.

    Attributes:
        address: Where it listens.
        files: Repository -> name -> content.
        private: Repositories that were made private.
        tokens: What the requests sent to identify themselves.
        refused: Repository -> status and error code with which every question about it is answered.
    """

    address: str
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    tokens: set[str | None] = field(default_factory=set)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)


def ask_at(address: str, cache: Path, patch: pytest.MonkeyPatch) -> None:
    """Has the hub's client ask at an address and keep what it gets in a folder."""
    from huggingface_hub import constants

    patch.setattr(constants, "ENDPOINT", address)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))


@contextmanager
def hub() -> Iterator[Hub]:
    """A running server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.hub = Hub(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.hub  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined]

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.tokens.add(self.headers.get("Authorization"))
        match self.path.split("?")[0].strip("/").split("/"):
            case ["api", "repos", "create"]:
                asked = json.loads(body)
                repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
                self.hub.files.setdefault(repo, {})
                if asked.get("private") or asked.get("visibility") == "private":
                    self.hub.private.add(repo)
                self._json({"url": f"{self.hub.address}/{repo}", "name": repo})
            case ["api", "validate-yaml"]:
                self._json({"errors": [], "warnings": []})
            case ["api", "models", _, _, "preupload", _]:
                paths = [file["path"] for file in json.loads(body)["files"]]
                self._json(
                    {"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]}
                )
            case ["api", "models", owner, name, "commit", _]:
                for row in map(json.loads, body.decode().splitlines()):
                    if row["key"] == "file":
                        content = base64.b64decode(row["value"]["content"])
                        self.hub.files[f"{owner}/{name}"][row["value"]["path"]] = content
                url = f"{self.hub.address}/{owner}/{name}/commit/{COMMIT}"
                self._json({"success": True, "commitOid": COMMIT, "commitUrl": url, "hookOutput": ""})
            case _:
                self._json({"error": "no such address"}, 404, "RepoNotFound")

    def do_GET(self) -> None:
        match self.path.split("?")[0].strip("/").split("/"):
            case ["api", "models", owner, name, *_] if (repo := f"{owner}/{name}") in self.hub.refused:
                status, code = self.hub.refused[repo]
                self._json({"error": "refused by the test"}, status, code)
            case ["api", "models", owner, name, "tree", *_] if (repo := f"{owner}/{name}") in self.hub.files:
                files = self.hub.files[repo].items()
                self._json(
                    [{"type": "file", "path": path, "size": len(body), "oid": _oid(body)} for path, body in files]
                )
            case ["api", "models", owner, name, *_] if (repo := f"{owner}/{name}") in self.hub.files:
                siblings = [{"rfilename": file} for file in self.hub.files[repo]]
                self._json({"id": repo, "sha": COMMIT, "private": False, "siblings": siblings})
            case [owner, name, "resolve", _, *path] if "/".join(path) in self.hub.files.get(f"{owner}/{name}", {}):
                self._send(self.hub.files[f"{owner}/{name}"]["/".join(path)], "application/octet-stream")
            case _:
                self._json({"error": "Repository not found"}, 404, "RepoNotFound")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _json(self, value: object, status: int = 200, code: str = "") -> None:
        self._send(json.dumps(value).encode(), "application/json", status, code)

    def _send(self, body: bytes, kind: str, status: int = 200, code: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{_oid(body)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _oid(body: bytes) -> str:
    return hashlib.sha1(body, usedforsecurity=False).hexdigest()
