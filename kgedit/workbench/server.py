"""Serves the page: to this machine alone unless a token guards it; no other host is told or asked anything."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from kg_cache.bundled import bundled_store
from kg_cache.store import Store
from kgedit.editor import Editor
from kgedit.errors import MissingExtra, SettingError
from kgedit.ingest.store.store import JOURNAL, open_store
from kgedit.io.environment import environment
from kgedit.lm.loading import Loading
from kgedit.lm.second_moment.find import MomentSource
from kgedit.mini import MINI
from kgedit.progress import Progress
from kgedit.workbench.desk import Desk
from kgedit.workbench.page import build_page, theme
from kgedit.workbench.shown import STYLE
from kgedit.workbench.store_picker import default_store

# gradio's own page has inline scripts, and makes workers and functions out of text.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
# No link from outside, nothing noted, no second process, and no line on stdout but ours.
_QUIET: Mapping[str, Any] = {
    "prevent_thread_lock": True,
    "quiet": True,
    "share": False,
    "inbrowser": False,
    "ssr_mode": False,
    "pwa": False,
    "mcp_server": False,
    "enable_monitoring": False,
    "run_history": False,
    "footer_links": [],
}


@dataclass(frozen=True)
class Served:
    """A page that is being served.

    Attributes:
        url: Its address.
        token: What it asks for; None on the loopback.
        wait: Returns when it is stopped.
    """

    url: str
    token: str | None
    page: Any

    def wait(self) -> None:
        """Return when it is stopped, by Ctrl-C."""
        self.page.block_thread()


@contextmanager
def serving(
    model: str | None = None,
    *,
    method: str | None = None,
    graph: str | Path | None = None,
    moments: MomentSource = "auto",
    store: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    progress: Progress | None = None,
    loading: Loading | None = None,
) -> Iterator[Served]:
    """Serve the workbench for the length of a `with` block.

    Args:
        model: See `Editor.from_pretrained`; by default the store's, or else the bundled one.
        method: The method that is set at first, and makes the changes of the journal; by default glame, and in the
            journal the one of the model's preset.
        graph: File of facts; by default the store's, or else the bundled snapshot.
        moments: See `Editor.from_pretrained`.
        store: Folder of ingested changes, for the journal; by default one in the working directory, made with the
            first feed that is received.
        host: Address to listen on; any but this machine's own asks for a token.
        port: Port; by default the first free one from 7860.
        progress: Called with (what, done, total) while the model is loaded.
        loading: Device and the like.

    Raises:
        MissingExtra: gradio is not installed.
        SettingError: The host is no address, or the port is in use.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before it is imported
    try:
        import gradio  # noqa: F401
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware
    except ImportError as error:
        raise MissingExtra("the workbench needs gradio; install it with pip install 'kgedit[workbench]'") from error
    token = None if is_loopback(host) else secrets.token_urlsafe(24)
    model, graph = _of_the_store(store, model, graph)
    facts = bundled_store() if graph is None else Store.open(graph, read_only=True)
    editor = Editor.from_pretrained(
        model, method=method or "glame", graph=facts, moments=moments, progress=progress, **(loading or {})
    )
    editor.progress = None
    # gradio reads from the environment where it copies what is sent, and what is exported to be downloaded: the pages
    # of one process share the folder of the first.
    with tempfile.TemporaryDirectory(prefix="kgedit-workbench-") as files, environment(GRADIO_TEMP_DIR=files):
        desk = Desk(
            editor=editor,
            model=model,
            method=method or "glame",
            journal_method=method,
            graph=facts,
            graph_file=None if graph is None else Path(graph),
            moments=moments,
            store=default_store(model) if store is None else Path(store).absolute(),
            files=Path(files),
            loading=loading or {},
            own_machine=token is None,
        )
        # A page of another site cannot reach this one under a name of its own (DNS rebinding).
        hosts = ["localhost", "127.0.0.1", "[::1]", host] if token is None else ["*"]
        page = build_page(desk)
        try:
            _, url, _ = page.queue().launch(
                server_name=f"[{host}]" if ":" in host else host,  # as it stands in an address of the page
                server_port=port,
                auth=None if token is None else (lambda _, given: is_token(given, token)),
                auth_message="Any name; the password is the token that `kgedit workbench` has printed.",
                app_kwargs={
                    "middleware": [Middleware(TrustedHostMiddleware, allowed_hosts=hosts), Middleware(Headers)]
                },
                theme=theme(),
                css=STYLE,
                **_QUIET,
            )
        except OSError as error:
            raise SettingError(
                f"cannot serve on {host}, {f'port {port}' if port else 'ports from 7860 on'}: it is in use, or this "
                "machine has no such address; name another --port or --host"
            ) from error
        try:
            yield Served(url, token, page)
        finally:
            page.close(verbose=False)


class Headers:
    """Adds to every answer the headers that keep the page to its own host."""

    def __init__(self, app: Any) -> None:
        """Wrap an ASGI application."""
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = {"content-security-policy": _POLICY, "referrer-policy": "no-referrer"}
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in added.items())]
            await send(message)

        await self.app(scope, receive, sending)


def is_token(given: str, token: str) -> bool:
    """Whether a password is the token; told in the same time, right or wrong, and of any letters."""
    return secrets.compare_digest(given.encode(errors="replace"), token.encode())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    Raises:
        SettingError: It is no address.
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        raise SettingError(f"{host!r} is no address to listen on; give one such as 127.0.0.1 or 0.0.0.0") from None


def _of_the_store(
    directory: str | Path | None, model: str | None, graph: str | Path | None
) -> tuple[str, str | Path | None]:
    """Model and graph as given, or else those that a store belongs to."""
    if directory is not None and (Path(directory) / JOURNAL).exists():
        with open_store(directory) as store:
            return model or store.model or MINI, graph or store.graph
    return model or MINI, graph
