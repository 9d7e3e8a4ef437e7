"""Settings of the graph: each an argument, or an environment variable KGEDIT_<NAME>."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SUBSTITUTES = ("en", "mul")
"""Languages whose labels serve where the language asked for has none; "mul" is Wikidata's tag for all languages."""


def user_cache_dir() -> Path:
    """The folder for caches that the platform names: XDG_CACHE_HOME or ~/.cache, then kgedit."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "kgedit"


def user_config_dir() -> Path:
    """The folder for settings that the platform names: XDG_CONFIG_HOME or ~/.config, then kgedit."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "kgedit"


def is_loopback(host: str) -> bool:
    """Whether a host name means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Settings(BaseSettings):
    """Where facts come from and how gently they are asked for.

    Attributes:
        endpoint: SPARQL endpoint; https, or http on this machine; no user name or password in it.
        default_graph: Graph to ask on endpoints that hold several (Virtuoso).
        contact: Mail address or page that the endpoint's operators can reach you by; Wikimedia asks for it.
        cache_dir: Folder of the stores.
        config_dir: Folder of the user's own settings.
        language: Language of labels; where an item has none, English, then "mul", then its id.
        timeout: Seconds within which the whole answer must be there; below 65, since Wikidata itself stops at 60.
        max_response_bytes: Largest answer read.
        chunk_size: Items per query.
        entity_limit: Most claims stored of one item.
        retry_budget: Seconds that one question may spend waiting for the endpoint.
        attempts: Most requests for one query.
    """

    model_config = SettingsConfigDict(env_prefix="KGEDIT_", frozen=True, extra="ignore")

    endpoint: str = "https://query.wikidata.org/sparql"
    default_graph: str | None = None
    contact: str | None = Field(default=None, min_length=3, max_length=200, pattern=r"^[!-'*-~][ -'*-~]*$")
    cache_dir: Path = Field(default_factory=user_cache_dir)
    config_dir: Path = Field(default_factory=user_config_dir)
    language: str = Field(default="en", pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$")
    timeout: float = Field(default=62.0, gt=0, lt=65)
    max_response_bytes: int = Field(default=10_000_000, ge=1_000)
    chunk_size: int = Field(default=100, ge=1, le=200)
    entity_limit: int = Field(default=500, ge=1, le=10_000)
    retry_budget: float = Field(default=180.0, ge=0)
    attempts: int = Field(default=4, ge=1, le=20)

    @field_validator("endpoint", "default_graph")
    @classmethod
    def _plain_url(cls, value: str | None) -> str | None:
        if value is not None and (not value.isascii() or any(ch <= " " or ch in '<>"{}|\\^`' for ch in value)):
            raise ValueError(f"{value!r} is no plain URL: only printable ASCII, no spaces, quotes or brackets")
        return value

    @field_validator("endpoint")
    @classmethod
    def _safe_endpoint(cls, value: str) -> str:
        url = urlsplit(value)
        host = url.hostname or ""
        if url.scheme not in ("https", "http") or not host:
            raise ValueError(f"{value!r} is no web address; an endpoint is https://host/path")
        if url.username is not None or url.password is not None:
            raise ValueError("an endpoint with a user name or password in its address is refused; leave them out")
        if url.scheme == "http" and not is_loopback(host):
            raise ValueError(f"{value!r} is not encrypted; use https (http is accepted on this machine only)")
        if url.query or url.fragment:
            raise ValueError(f"{value!r} carries a query or fragment; give the bare address of the endpoint")
        return value
