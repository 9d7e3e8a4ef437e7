"""The Hugging Face hub: files of a folder go up in one commit, and come back by name and revision."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kgedit.errors import HubFailed
from kgedit.io.text import short

_LOG_IN = "log in with `hf auth login` or set HF_TOKEN"


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

    _check_repo(repo)
    api = HfApi()
    with in_words(f"{repo} could not be written to the Hugging Face hub"):
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

    _check_repo(repo)
    with in_words(f"{repo} could not be read from the Hugging Face hub"):
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns)))


@contextmanager
def in_words(failed: str) -> Iterator[None]:
    """What the hub and its client raise, as one sentence.

    Args:
        failed: Its beginning: what could not be done.

    Raises:
        HubFailed: The beginning, the cause and the remedy.
    """
    from huggingface_hub.errors import HfHubHTTPError

    # Its bases are OSError and the errors of the HTTP client, which is another one from version to version.
    failures: tuple[type[Exception], ...] = (ValueError, *HfHubHTTPError.__bases__)
    try:
        yield
    except failures as error:
        raise HubFailed(f"{failed}: {_cause(error)}") from error


def _cause(error: BaseException) -> str:
    """Why the hub did not do what it was asked for, and the remedy."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        return _cause(error.__cause__)  # the hub did not give it, and the cache has no copy
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, and the hub's cache on this machine has no whole copy; unset it"
    if isinstance(error, errors.HFValidationError):
        return "no repository can have this name; write OWNER/NAME"
    if isinstance(error, errors.GatedRepoError):
        return f"its owner must let this account read it; ask for that on its page, and {_LOG_IN}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the hub has none of this name that this account may read; check the spelling, or {_LOG_IN}"
    if isinstance(error, errors.RevisionNotFoundError):
        return "it has no such revision; name one of its branches, tags or commits"
    if isinstance(error, errors.HfHubHTTPError):
        remedy = _LOG_IN if error.response.status_code in (401, 403) else "try again later"
        said = f": {_one_line(error.server_message)}" if error.server_message else ""
        return f"the hub answers with status {error.response.status_code}{said}; {remedy}"
    if isinstance(error, ConnectionError | TimeoutError | errors.HfHubHTTPError.__bases__[0]):
        return f"the hub cannot be reached ({_named(error)}); check the network and its proxy"
    if isinstance(error, OSError):
        return f"files cannot be kept in the hub's cache ({_named(error)}); check its folder (HF_HOME)"
    return f"{_named(error)}; check the name and the revision"


def _named(error: BaseException) -> str:
    said = _one_line(str(error))
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _one_line(text: str) -> str:
    return short(" ".join(text.split()), 100)


def _check_repo(repo: str) -> None:
    if not is_hub_id(repo):
        raise HubFailed(f"{repo!r} is no name of a repository; write OWNER/NAME")
