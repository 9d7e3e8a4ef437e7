"""The journal in a browser: undo and its effect, and a feed that is received, reviewed and exported on the page."""

from __future__ import annotations

import json
import re
import zipfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ingest.test_review import FEED, FEW
from kgedit.ingest.change import MalformedChange
from kgedit.ingest.maintenance import Undone
from kgedit.ingest.plan.plan import Plan, PlanHeader, Planned, Verdict
from kgedit.ingest.review import accept
from kgedit.ingest.store.entry import State
from kgedit.ingest.store.store import open_store
from kgedit.workbench import journal_tab
from kgedit.workbench.journal_html import STATES, plan_html
from kgedit.workbench.journal_tab import undone_in_words
from kgedit.workbench.store_picker import default_store, described
from workbench.looking import pale, picture, wide


def test_every_state_of_a_change_has_plain_words() -> None:
    assert STATES.keys() == {*State}
    assert len({*STATES.values()}) == len(State), "the list is filtered by them"


def test_a_record_that_is_no_change_is_listed_with_its_reason() -> None:
    bad = MalformedChange(feed="feed<1>", position="line 9", why="no target_new")
    item = Planned(number=1, verdict=Verdict.MALFORMED, reason="there is no <target_new>", malformed=bad)
    text = plan_html(Plan(PlanHeader.model_construct(), [item]))
    assert "<td>feed&lt;1&gt;, line 9</td><td>malformed</td><td></td><td>there is no &lt;target_new&gt;</td>" in text


def test_an_undo_by_a_counter_patch_is_told_from_one_that_leaves_nothing_of_the_change() -> None:
    plain, patched = (undone_in_words(Undone(undone=7, weights_hash="0", answer=said)) for said in (None, "Germany"))
    assert "those that the remaining changes give" in plain
    assert "remaining changes" not in patched
    assert "counter-patch has the model answer 'Germany' again" in patched
    again = undone_in_words(Undone(undone=7, weights_hash="0", superseded=4))
    assert "Change 4, an earlier one of the same fact, does not come back" in again


def test_a_store_of_a_folder_that_was_named_by_a_relative_path_is_of_the_pages_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model", "other"):
        (tmp_path / name).mkdir()
    with open_store(tmp_path / "store", write=True) as store:
        store.bind(str(tmp_path / "model"), "0")
    assert "This page has the model" not in described(tmp_path / "store", "model")
    assert "This page has the model other" in described(tmp_path / "store", "other")


def test_a_store_is_named_for_its_model_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["mini", "org/a b?c", "/models/x.gguf", "..", "/"]
    assert [default_store(name).name for name in names] == [
        f"kgedit-store-{name}" for name in ("mini", "a-b-c", "x.gguf", "model", "model")
    ]
    assert {default_store(name).parent for name in names} == {tmp_path}


def test_another_store_is_opened_in_the_page(opened: Any, served: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with open_store(tmp_path / "other", write=True) as store:
        store.bind("gpt2", "0" * 64)
    opened.get_by_role("tab", name="Journal").click()
    opened.get_by_text("holds 2 changes of the model mini.").wait_for()
    folder = opened.get_by_role("textbox", name="Folder of the store")
    for path, told in (
        (tmp_path / "new", "is not there yet"),
        (tmp_path / "file", "is a file; a store is a folder"),
        (tmp_path / "other", "This page has the model mini: changes can be read"),
    ):
        folder.fill(str(path))
        opened.get_by_role("button", name="Open this folder").click()
        opened.get_by_text(told).wait_for()
        opened.wait_for_timeout(500)  # until the list is read anew, and whatever else follows
        assert opened.get_by_text(told).is_visible(), "what was told stays"
        if path.name == "new":
            opened.get_by_text("No changes yet").wait_for()
            opened.get_by_role("button", name="Next that waits").click()
            opened.get_by_role("alert").filter(has_text="no journal").wait_for()
    assert not (tmp_path / "new").exists()  # until a feed is received
    assert wide(opened) == []
    # Another window has the store that the page was begun with.
    other = opened.context.new_page()
    other.goto(served.url)
    other.get_by_role("tab", name="Journal").click()
    other.get_by_text(re.compile("holds 2 changes of the model mini.$")).wait_for()


def test_a_change_of_the_journal_is_undone_and_the_answer_returns(opened: Any, tmp_path: Path) -> None:
    opened.get_by_role("tab", name="Journal").click()
    opened.get_by_text("1 to 2 of 2").wait_for()
    opened.get_by_role("combobox", name="Change").click()
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("Enter")
    now, unedited = (
        opened.get_by_role("row").filter(has_text=re.compile(f"^{who}")) for who in ("with what", "unedited")
    )
    now.wait_for()
    said = [row.get_by_role("cell").nth(1).inner_text() for row in (unedited, now)]
    assert said[0] != said[1]
    link = opened.get_by_role("link", name="https://example.org/a_b").first
    assert link.get_attribute("rel") == "noopener noreferrer"
    assert (wide(opened), pale(opened)) == ([], {})
    picture(opened, "workbench-journal", tmp_path)
    opened.get_by_role("button", name="Undo").click()
    opened.get_by_text("is undone; the weights").wait_for()
    opened.get_by_role("row").filter(has_text=re.compile(f"^with what is in force\\s*{re.escape(said[0])}")).wait_for()
    # What is undone cannot be refused, and the state is found by its name.
    opened.get_by_role("button", name="Refuse").click()
    opened.get_by_role("alert").filter(has_text="does not wait").wait_for()
    opened.get_by_role("textbox", name="Search").fill("no such change")
    opened.get_by_text("No change fits.").wait_for()


def choose(opened: Any, feed: Path) -> None:
    """Choose a file, again where the field was drawn anew meanwhile, and wait until the page has all of it."""
    from playwright.sync_api import TimeoutError as TookTooLong

    there = opened.locator(".file-preview a").first  # a link to it: while it is sent, only its name is shown
    for _ in range(3):
        opened.get_by_text("Drop File Here").first.wait_for()
        opened.locator("input[type=file]").set_input_files(feed)
        with suppress(TookTooLong):
            there.wait_for(timeout=20_000)
            return
    there.wait_for()


def test_a_feed_is_received_reviewed_and_exported_without_the_command_line(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_tab, "accept", partial(accept, settings=FEW))  # fewer facts to guard, as a test has
    feed = tmp_path / "<b id=taken>feed.jsonl"
    feed.write_text(FEED.lstrip(), encoding="utf-8")
    # 1. Receive: two wait, and the record that is no change has its reason.
    opened.get_by_role("tab", name="Journal").click()
    opened.get_by_text("1 to 2 of 2").wait_for()  # the page is there, with all that listens to it
    opened.get_by_text("Receive changes for review").click()
    choose(opened, feed)
    opened.get_by_role("button", name="Receive for review").click()
    opened.get_by_text("2 changes wait now").wait_for()
    opened.get_by_text("1 to 4 of 4").wait_for()  # the list is read before it is searched
    opened.get_by_role("row").filter(has_text="nobody at all").first.wait_for()
    assert opened.locator("#taken").count() == 0
    # 2. Review: one is refused, with a reason; the rest of the list is accepted together.
    opened.get_by_role("textbox", name="Search").fill("place of birth paris")
    opened.get_by_text("1 to 1 of 1").wait_for()
    together = opened.get_by_role("checkbox", name=re.compile("all of the list that wait"))
    together.check()
    opened.get_by_role("textbox", name="Why it is refused").fill("he was born in Ulm")
    opened.get_by_role("button", name="Refuse").click()
    opened.get_by_role("row").filter(has_text=re.compile(r"refused.*he was born in Ulm")).wait_for()
    opened.get_by_role("textbox", name="Search").fill("einstein")
    opened.get_by_text("1 to 2 of 2").wait_for()
    opened.get_by_role("checkbox", name="Accept also what the guards speak against").check()
    opened.get_by_role("button", name="Accept").click()
    opened.get_by_role("row").filter(has_text=re.compile(r"citizenship.*in force")).wait_for(timeout=240_000)
    # 3. Export: an adapter whose card names the change.
    opened.get_by_role("button", name="Export what is in force").click()
    link = opened.locator("a[href*='adapter.zip']").first
    link.wait_for()
    with opened.expect_download() as download:
        link.click()
    with zipfile.ZipFile(download.value.path()) as written:
        assert "peft_type" in json.loads(written.read("adapter_config.json"))
        assert "Albert Einstein" in written.read("README.md").decode()
