"""The Hugging Face hub: files of a folder go up in one commit, and come back by name and revision."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kgedit.errors import HubFailed


def is_hub_id(name: str) -> bool:
    """Whether a name is of the form "owner/name"."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) is not None


def upload(
    files: Mapping[str, Path | bytes], repo: str, *, message: str, private: bool, revision: str | None = None
) -> str:
    """Put files into a model repository, which is made if it is absent, in one commit.

    Args:
        files: Name in the repository -> a file, or its content.
        repo: "owner/name".
        message: Of the commit.
        private: Whether a repository that is made now is private; one that is there stays as it is.
        revision: Branch, made if it is absent; the main one by default.

    Returns:
        Address of the commit.

    Raises:
        HubFailed: The hub cannot be reached, or does not let this account write there; nothing was changed then, but
            for an empty repository.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    with _told(repo, "written to"):
        api.create_repo(repo, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo, branch=revision, exist_ok=True)
        operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=file) for name, file in files.items()]
        return api.create_commit(repo, operations, commit_message=message, revision=revision).commit_url


def download(repo: str, patterns: Sequence[str], *, revision: str | None = None) -> Path:
    """The files of a repository whose names fit one of the patterns, in the hub's own cache.

    Raises:
        HubFailed: The hub cannot be reached, or has no such repository, or not for this account.
    """
    from huggingface_hub import snapshot_download

    with _told(repo, "read from"):
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns)))


@contextmanager
def _told(repo: str, what: str) -> Iterator[None]:
    from huggingface_hub.errors import HfHubHTTPError

    if not is_hub_id(repo):
        raise HubFailed(f"{repo!r} is no name of a repository; write OWNER/NAME")
    # Its bases are OSError and the errors of the HTTP client, which is another one from version to version.
    failures: tuple[type[Exception], ...] = (ValueError, *HfHubHTTPError.__bases__)
    try:
        yield
    except failures as error:
        reason = " ".join(str(error).split())
        raise HubFailed(
            f"{repo} could not be {what} on the Hugging Face hub: {reason[:400]}. Check the name and the network, and "
            "log in with `hf auth login` or set HF_TOKEN"
        ) from error
