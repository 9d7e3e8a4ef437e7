from pathlib import Path

import pytest
from pydantic import ValidationError

from kg_cache.settings import Settings


@pytest.mark.parametrize(
    "endpoint",
    [
        "file:///etc/passwd", "ftp://query.wikidata.org/sparql", "data:,x", "gopher://x", "//wikidata.org",
        "query.wikidata.org/sparql", "https://", "https:///sparql", "https://me:secret@query.wikidata.org/sparql",
        "https://user@query.wikidata.org/sparql", "http://query.wikidata.org/sparql",
        "http://169.254.169.254/",
        "http://127.0.0.1.example.org/", "http://localhost.example.org/", "https://x.org/sparql?query=1",
        "https://x.org/#a", "https://x.org/a b", "https://x.org/\r\nHost: y", "https://ｗｉｋｉ.org/", "",
    ],
)  # fmt: skip
def test_unsafe_endpoints_are_refused(endpoint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(endpoint=endpoint)
    assert "secret" not in str(caught.value.errors()[0]["msg"])


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://query.wikidata.org/sparql",
        "http://127.0.0.1:8890/sparql",
        "http://[::1]:1/",
        "http://localhost/",
    ],
)
def test_safe_endpoints_pass(endpoint: str) -> None:
    assert Settings(endpoint=endpoint).endpoint == endpoint


@pytest.mark.parametrize("contact", ["a\r\nX-Evil: 1", "a)", "x", "ü@example.org"])
def test_a_contact_cannot_forge_headers(contact: str) -> None:
    with pytest.raises(ValidationError):
        Settings(contact=contact)


@pytest.mark.parametrize("language", ["", "EN", "en'", 'en") #', "e", "en-"])
def test_a_language_is_a_tag(language: str) -> None:
    with pytest.raises(ValidationError):
        Settings(language=language)


def test_no_endpoint_may_be_waited_for_longer_than_wikidata_computes() -> None:
    assert Settings().timeout < 65
    with pytest.raises(ValidationError):
        Settings(timeout=65)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KGEDIT_ENDPOINT", "https://example.org/sparql")
    monkeypatch.setenv("KGEDIT_CHUNK_SIZE", "7")
    monkeypatch.delenv("KGEDIT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = Settings()
    assert (settings.endpoint, settings.chunk_size) == ("https://example.org/sparql", 7)
    assert settings.cache_dir == tmp_path / "kgedit"
