"""`kgedit export push`: puts an export or a saved delta on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kgedit.cli.options import AsJson
from kgedit.cli.output import emit, line
from kgedit.cli.progress import working


def push(
    folder: Annotated[Path, typer.Argument(help="What `kgedit export` or `kgedit edit --out` wrote.")],
    repo: Annotated[str, typer.Argument(help="OWNER/NAME; made if it is absent.")],
    licence: Annotated[
        str | None, typer.Option(help="For the card, e.g. apache-2.0; known for models that `kgedit models` lists.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch; the main one by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Publishes it on the Hugging Face hub, with its model card.

    Only the files that kgedit wrote are sent. The account is that of `hf auth login` or HF_TOKEN.
    """
    with working(f"Sending {folder}"):
        from kgedit.sharing import push_to_hub

        commit = push_to_hub(folder, repo, licence=licence, private=not public, revision=revision)
    data = {"repo": repo, "commit": commit, "folder": str(folder)}
    emit(data, lambda: [line(f"{folder} is in {repo}: {commit}")], as_json=as_json)
