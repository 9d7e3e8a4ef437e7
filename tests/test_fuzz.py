"""Whatever stands in files or behind options: done (exit code 0), or one line on stderr (2) and nothing changed.

Seeded, and short. `KGEDIT_FUZZ=500 pytest tests/test_fuzz.py` draws 500 examples of each kind, others every time.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from families import tiny_model
from kgedit.cli import main
from kgedit.delta.storage import MANIFEST
from kgedit.ingest.change import Change, MalformedChange
from kgedit.ingest.feeds.sse import Parser
from kgedit.ingest.feeds.stream import StreamFeed

EXAMPLES = int(os.environ.get("KGEDIT_FUZZ", "0"))
EDIT = ("edit", "--subject", "Albert Einstein", "--relation", "P27", "--target", "France")


def fuzzed(examples: int) -> settings:
    """Some examples, the same in every run unless more are asked for."""
    return settings(
        max_examples=EXAMPLES or examples, derandomize=not EXAMPLES, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


NUMBERS = st.sampled_from([0, -1, 1, 7, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**30, -(10**30)])
FLOATS = st.sampled_from([0.0, -0.5, 1e-300, 1e300, float("nan"), float("inf"), -float("inf")])
# Lone surrogates, control characters, right-to-left marks, combining and far letters.
TEXTS = st.text(st.sampled_from("aQ1P{}%:=,.-+[]\"'\\/ \t\n\r\0\x1b\u202e\ud800\udfff\udc80é\u0301問😀"), max_size=8)
PLAIN = st.none() | st.booleans() | NUMBERS | FLOATS | TEXTS
JUNK = PLAIN | st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2), max_leaves=4
)
# What a process can be given: bytes that are no UTF-8 arrive as some surrogates, and NUL cannot.
WORDS = st.text(st.sampled_from("aQ1P{}%:=,.-+[]\"'\\/ \t\n\x1b\u202e\udc80\udcff問😀"), max_size=8)
VALUES = WORDS | NUMBERS.filter(lambda number: abs(number) > 7).map(str) | FLOATS.map(str)


class Workplace:
    """A tiny model, a delta, a feed and an empty store in one folder, and the command line run on them."""

    def __init__(self, root: Path) -> None:
        self.root, self.model, self.feed = root, root / "model", root / "feed.jsonl"
        model, tokenizer = tiny_model("gpt2")
        model.save_pretrained(self.model)
        tokenizer.save_pretrained(self.model)
        self.feed.write_text(json.dumps({"subject": "Q937", "relation": "P27", "target_new": "Q142"}) + "\n")
        self.delta = root / "delta"
        assert self.run(*EDIT, "--method", "rome", "--model", str(self.model), "--out", str(self.delta)) == 0

    def run(self, *words: str) -> int:
        """Run the command line; what it must hold is asserted here."""
        before = self._state()
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main([*words])
        told = err.getvalue()
        assert ended.value.code in (0, 2), (words, told)
        if ended.value.code == 2:
            assert told.startswith("kgedit: "), (words, told)
            assert told.count("\n") == 1, (words, told)
            assert out.getvalue() == "", words
            assert self._state() == before, words
        return int(ended.value.code)

    def _state(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            for path in sorted(self.root.rglob("*"))
        }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("fuzz"))


def as_bytes(value: object) -> bytes:
    """JSON with NaN, and with lone surrogates as escapes."""
    return json.dumps(value).encode()


def changed(value: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """An object with one field, perhaps far inside, replaced or added."""
    key = data.draw(st.sampled_from(sorted(value)) | TEXTS)
    inner = value.get(key)
    if isinstance(inner, dict) and inner and data.draw(st.booleans()):
        return value | {key: changed(inner, data)}
    if isinstance(inner, list) and inner and isinstance(inner[0], dict) and data.draw(st.booleans()):
        return value | {key: [changed(inner[0], data), *inner[1:]]}
    return value | {key: data.draw(JUNK)}


@given(data=st.data(), file=st.sampled_from(["config.json", "tokenizer_config.json", "generation_config.json"]))
@fuzzed(8)
def test_configs_of_models(place: Workplace, data: st.DataObject, file: str) -> None:
    folder = place.root / "changed-model"
    shutil.copytree(place.model, folder, dirs_exist_ok=True)
    (folder / file).write_bytes(as_bytes(changed(json.loads((place.model / file).read_text()), data)))
    place.run("ask", "Albert Einstein was born in", "-k", "1", "--model", str(folder))


@given(data=st.data(), sealed=st.booleans())
@fuzzed(8)
def test_manifests_of_deltas(place: Workplace, data: st.DataObject, sealed: bool) -> None:
    folder = place.root / "changed-delta"
    shutil.copytree(place.delta, folder, dirs_exist_ok=True)
    manifest = changed(json.loads((place.delta / MANIFEST).read_text()), data)
    if sealed:  # the checksum of who made it so on purpose
        body = {name: value for name, value in manifest.items() if name != "checksum"}
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        manifest["checksum"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / MANIFEST).write_bytes(as_bytes(manifest))
    place.run("ask", "Albert Einstein was born in", "-k", "1", "--model", str(place.model), "--delta", str(folder))


FIELDS = st.sampled_from(
    ["subject", "relation", "target_new", "target_true", "prompt", "boundary", "dated", "evidence"]
)
RECORDS = st.dictionaries(FIELDS, JUNK, max_size=3).map(
    lambda fields: {"subject": "Q937", "relation": "P27", "target_new": "Q142"} | fields
)


@given(records=st.lists(RECORDS | JUNK, min_size=1, max_size=6), good=st.integers(0, 6))
@fuzzed(6)
def test_records(place: Workplace, records: list[object], good: int) -> None:
    feed = place.root / "records.jsonl"
    lines = [as_bytes(record) for record in records]
    lines.insert(good % (len(lines) + 1), place.feed.read_bytes().strip())
    feed.write_bytes(b"\n".join(lines) + b"\n")
    assert place.run("ingest", "plan", str(feed), "--model", str(place.model)) == 0


@given(
    content=st.binary(max_size=60)
    | st.lists(st.lists(TEXTS, max_size=4), max_size=4).map(str).map(lambda text: text.encode(errors="surrogatepass")),
    ending=st.sampled_from(["jsonl", "json", "csv", "tsv", "gz"]),
)
@fuzzed(6)
def test_feeds(place: Workplace, content: bytes, ending: str) -> None:
    feed = place.root / f"feed.{ending}"
    feed.write_bytes(content)
    format = ("--format", "jsonl") if ending == "gz" else ()
    place.run("ingest", "plan", str(feed), *format, "--model", str(place.model))


class NoRevisions:
    """An API that knows nothing."""

    def revisions(self, numbers: list[int]) -> dict[int, dict[str, Any]]:
        return {}


EVENT = {"meta": {"dt": "2026-11-23T10:00:00Z"}, "type": "edit", "wiki": "wikidatawiki", "namespace": 0,
         "title": "Q937", "comment": "", "revision": {"new": 2, "old": 1}}  # fmt: skip


@given(data=st.data(), id=TEXTS, raw=st.booleans())
@fuzzed(60)
def test_events(data: st.DataObject, id: str, raw: bool) -> None:
    body = data.draw(st.binary(max_size=40)) if raw else as_bytes(changed(EVENT, data))
    block = b"id: " + (id * 300).encode(errors="surrogatepass") + b"\ndata: " + body + b"\n\n"
    feed = StreamFeed(Parser().feed(block), NoRevisions(), {"P27": True}, clock=lambda: datetime.now(UTC))
    for item in feed:
        assert isinstance(item, Change | MalformedChange)
        item.model_dump_json()


TEMPLATES = [
    "ask * --model MODEL -k 1", "ask x --model MODEL -k *", "ask x --model *", "ask x --model MODEL --delta *",
    "ask x --model MODEL --dtype *", "ask x --model MODEL --device *", "ask x --model MODEL --revision *",
    "graph show *", "graph show Q937 --limit *", "graph stats --graph *", "graph import * --out NEW",
    "graph rules --confidence *", "graph rules --subject * --relation * --target Q90",
    "ingest plan *", "ingest plan FEED --model MODEL --show *", "ingest plan FEED --model MODEL --map *",
    "ingest plan FEED --model MODEL --map subject=*", "ingest plan FEED --model MODEL --property *",
    "ingest plan FEED --format *", "ingest plan FEED --model MODEL --limit *", "ingest plan FEED --before *",
    "ingest plan stream --limit 1 --since *", "ingest plan stream --limit *",
    "ingest run FEED --store NEW --model MODEL --method *", "ingest run FEED --store NEW --model MODEL --batch *",
    "ingest run FEED --store NEW --model MODEL --method rome --moments * --seed *",
    "journal list --store *", "journal list --store NEW --limit *", "journal show * --store NEW",
    "journal undo * --store NEW", "export adapter --store * --out NEW", "ingest verify *", "models fetch *",
    "edit --subject * --relation P27 --target France --model MODEL --method rome --out NEW",
    "edit --subject Q937 --relation * --target France --model MODEL --method rome --out NEW",
    "edit --subject Q937 --relation P27 --target * --model MODEL --method rome --out NEW",
    "edit --subject Q937 --prompt * --target Ulm --model MODEL --method rome --out NEW",
    "edit --subject Q937 --relation P27 --target France --model MODEL --method rome --out NEW --seed *",
    "edit --subject Q937 --relation P27 --target France --model MODEL --method rome:layer=* --out NEW",
    "edit --subject Q937 --relation P27 --target France --model MODEL --method rome:steps=* --out NEW",
    "edit --subject Q937 --relation P27 --target France --model MODEL --method memit:layers=* --out NEW",
    "edit --subject Q937 --relation P27 --target France --model MODEL --method rome:clamp=* --out NEW",
    "edit --subject Q937 --relation P27 --target France --model MODEL --method rome --moments * --out NEW",
    "eval counterfact --data * --model MODEL", "eval counterfact --data FEED --model MODEL --methods *",
    "eval counterfact --data FEED --model MODEL --seed *", "eval counterfact --data FEED --model MODEL --limit *",
    "eval mquake --data FEED --model MODEL --styles *", "eval make --suite * --data NEW", "demo --seed *x",
    "moments --model MODEL --text * --out NEW", "moments --model MODEL --text FEED --out NEW --layers *", "*",
]  # fmt: skip


@given(data=st.data(), template=st.sampled_from(TEMPLATES))
@fuzzed(30)
def test_arguments(place: Workplace, data: st.DataObject, template: str) -> None:
    names = {"MODEL": str(place.model), "FEED": str(place.feed), "NEW": str(place.root / "new")}
    words = [names.get(word, word) for word in template.split()]
    words = [word.replace("*", data.draw(VALUES)) if "*" in word else word for word in words]
    place.run(*words)
    shutil.rmtree(place.root / "new", ignore_errors=True)
