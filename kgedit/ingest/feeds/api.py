"""Wikidata's action API, asked as politely as a SPARQL endpoint: entities by id, and entities at a revision."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kg_cache.deadline import Deadline
from kg_cache.errors import AnswerTooLarge, EndpointBusy, EndpointDown, EndpointRefused, EndpointTruncated
from kg_cache.http_errors import plain_errors, retry_after
from kg_cache.ids import check_entity_id
from kg_cache.opener import open_within, read_bounded, safe_opener
from kg_cache.sparql import Endpoint, user_agent
from kg_cache.text import show
from kgedit.ingest.feeds.settings import FeedSettings

_PER_REQUEST = 50  # ids that the API takes at once
_MAX_LAG = 5  # seconds that the wiki's copies may lag before it would rather not be asked

Json = dict[str, Any]


class Api:
    """The action API at `settings.api`.

    Args:
        settings: Address, contact, limits.
        sleep: Pauses for some seconds.
        on_wait: Told the seconds and the reason before each wait.
    """

    def __init__(
        self,
        settings: FeedSettings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        on_wait: Callable[[float, str], None] | None = None,
    ) -> None:
        self._settings = settings
        self._host = urllib.parse.urlsplit(settings.api).hostname or ""
        self._opener = safe_opener(settings.api)
        self._answered = False  # whether there is an API at the address at all
        self._gate = Endpoint(settings.model_copy(update={"endpoint": settings.api}), sleep=sleep, on_wait=on_wait)

    def entities(self, ids: Sequence[str]) -> Iterator[tuple[str, Json | None]]:
        """Each item with its statements; None for one that does not exist. An answer too large is asked in halves.

        Args:
            ids: Item ids; a merged one comes back as the item it was merged into.

        Raises:
            InvalidId: An id is malformed; nothing was asked.
            EndpointError: The API gives no usable answer.
        """
        items = list(dict.fromkeys(check_entity_id(id) for id in ids))
        work = deque(items[start : start + _PER_REQUEST] for start in range(0, len(items), _PER_REQUEST))
        while work:
            chunk = work.popleft()
            try:
                answer = self._get(action="wbgetentities", ids="|".join(chunk), props="info|claims")
            except EndpointTruncated:
                if len(chunk) == 1:
                    raise
                work.extendleft((chunk[len(chunk) // 2 :], chunk[: len(chunk) // 2]))
                continue
            yield from _by_id(chunk, answer)

    def revisions(self, numbers: Sequence[int]) -> dict[int, Json]:
        """An item's content at some revisions; those that are hidden or gone are left out.

        Raises:
            EndpointError: The API gives no usable answer.
        """
        answer = self._get(
            whole=True, action="query", prop="revisions", revids="|".join(str(int(number)) for number in numbers),
            rvslots="main", rvprop="ids|content", formatversion="2",
        )  # fmt: skip
        contents = {}
        try:
            for page in answer.get("query", {}).get("pages", []):
                for revision in page.get("revisions", []):
                    if "content" in (main := revision["slots"]["main"]):
                        contents[int(revision["revid"])] = _object(json.loads(main["content"]))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise EndpointRefused(f"{self._host} answered with revisions that cannot be read ({error!r})") from error
        return contents

    def _get(self, *, whole: bool = False, **parameters: str) -> Json:
        """The answer to a request; `whole` asks again where it came in part, since it cannot be asked in parts."""
        ask = self._ask_whole if whole else self._ask
        query = urllib.parse.urlencode({**parameters, "format": "json", "maxlag": _MAX_LAG})
        try:
            return self._gate.politely(lambda: ask(f"{self._settings.api}?{query}"))
        except EndpointRefused as error:
            raise EndpointRefused(str(error).replace("KGEDIT_ENDPOINT", "KGEDIT_API")) from error

    def _ask_whole(self, url: str) -> Json:
        try:
            return self._ask(url)
        except AnswerTooLarge:
            raise
        except EndpointTruncated as error:  # a gateway that waited for too long, or an answer that was cut off
            raise EndpointDown(str(error).replace("ask about fewer items", "try again later")) from error

    def _ask(self, url: str) -> Json:
        agent = user_agent(self._settings, self._host)
        request = urllib.request.Request(url, headers={"User-Agent": agent, "Accept": "application/json"})  # noqa: S310
        deadline = time.monotonic() + self._settings.timeout
        with (
            Deadline(self._settings.timeout) as limit,
            plain_errors(self._host, limit),
            open_within(self._opener, request, limit) as response,
        ):
            kind, lag = response.headers.get_content_type(), response.headers.get("Retry-After")
            body = read_bounded(response, self._settings.max_response_bytes, deadline, time.monotonic)
        if kind != "application/json":
            if self._answered:  # the page of a gateway or of maintenance in the place of what was there
                raise EndpointDown(f"{self._host} answered with {kind} instead of JSON; try again later")
            raise EndpointRefused(
                f"{self._host} answered with {kind} instead of JSON: {show(body[:300].decode('utf-8', 'replace'))}; "
                "check KGEDIT_API and KGEDIT_CONTACT"
            )
        try:
            answer = _object(json.loads(body))
        except (ValueError, RecursionError) as error:
            raise EndpointTruncated(
                f"the answer of {self._host} is cut off or damaged after {len(body)} bytes"
            ) from error
        self._answered = True
        if "error" in answer:
            raise _refusal(answer["error"], self._host, lag)
        return answer


def _refusal(error: object, host: str, lag: str | None) -> EndpointBusy | EndpointRefused:
    code = error.get("code") if isinstance(error, dict) else None
    said = f"{host} answered with the error {show(str(code))}"
    if code in ("maxlag", "ratelimited", "readonly"):
        seconds = retry_after(lag, time.time())
        return EndpointBusy(f"{said} (busy); try again later", seconds)
    info = str(error.get("info", "")) if isinstance(error, dict) else ""
    return EndpointRefused(f"{said} {show(info)}; check the ids and KGEDIT_API")


def _by_id(ids: Sequence[str], answer: Json) -> Iterator[tuple[str, Json | None]]:
    entities = answer.get("entities")
    by_id: Json = dict(entities) if isinstance(entities, dict) else {}
    for entity in list(by_id.values()):  # a merged item may stand under its own id or under the one it became
        merged = entity.get("redirects") if isinstance(entity, dict) else None
        if isinstance(merged, dict) and isinstance(merged.get("from"), str):
            by_id.setdefault(merged["from"], entity)
    for id in ids:
        entity = by_id.get(id)
        yield id, entity if isinstance(entity, dict) and "missing" not in entity else None


def _object(value: object) -> Json:
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value
