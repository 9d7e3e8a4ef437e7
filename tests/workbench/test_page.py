"""The workbench in a browser: an edit by the keyboard alone, two windows, hostile names, and every width."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from evaluate.test_compare import sequence
from kgedit.errors import SettingError
from kgedit.workbench.compare_tab import compared
from workbench.looking import pale, picture, wide


def field(page: Any, name: str) -> Any:
    return page.get_by_role("textbox", name=name, exact=True)


def typed(page: Any, text: str) -> None:
    page.keyboard.type(text)


def to(page: Any, target: Any) -> None:
    """Move on by the Tab key until the element has the focus."""
    for _ in range(40):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"the Tab key does not lead to {target}")


QUESTION = "Albert Einstein is a citizen of"


def ask(page: Any, answer: str) -> None:
    """Have both models go on with a sentence: the window's own gives this answer and the unedited one its old one."""
    field(page, "The beginning of a sentence").fill(QUESTION)
    page.get_by_role("button", name="Ask both models").click()
    for model, said in (("unedited", "United States of America"), ("edited", answer)):
        page.locator(f"section[aria-label={model}]").filter(has_text=f"{QUESTION} {said}").wait_for()


def test_an_edit_is_tried_kept_and_taken_back(opened: Any) -> None:
    for name, label in (("Subject", "Albert Einstein (Q937)"), ("New object", "France (Q142)")):
        field(opened, name).fill(label.partition(" (")[0])
        opened.get_by_role("radio", name=re.compile(f"^{re.escape(label)}")).check()
    opened.get_by_role("combobox", name="Relation").fill("nationality")
    opened.get_by_role("option", name=re.compile("citizenship")).first.click()
    opened.get_by_role("button", name="Try the edit").click()
    opened.get_by_text("The edit took").wait_for()
    opened.get_by_role("button", name="Keep").click()
    opened.get_by_text("Albert Einstein, France is kept in this window").wait_for()
    ask(opened, "France")
    opened.get_by_role("button", name="Take back").click()
    opened.get_by_text("Taken back: Albert Einstein, France").wait_for()
    ask(opened, "United States of America")


@pytest.mark.long
def test_an_edit_is_tried_kept_exported_and_taken_back_by_the_keyboard(
    opened: Any, served: Any, tmp_path: Path
) -> None:
    # 1. Find the subject by a part of its name, the relation by an everyday name, and the object.
    to(opened, field(opened, "Subject"))
    typed(opened, "einst")
    einstein = opened.get_by_role("radio", name=re.compile(r"^Albert Einstein \(Q937\)"))
    einstein.wait_for()
    to(opened, opened.get_by_role("radio").first)
    opened.keyboard.press("Space")
    assert einstein.is_checked()
    to(opened, opened.get_by_role("combobox", name="Relation"))
    typed(opened, "nationality")
    # The list holds fewer entries a moment later, and the arrow takes the first of those that it holds.
    opened.wait_for_function("() => document.querySelector('[role=option]')?.textContent.includes('citizenship')")
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("Enter")
    to(opened, field(opened, "New object"))
    typed(opened, "France")
    opened.get_by_role("radio", name=re.compile(r"^France \(Q142\)")).wait_for()
    # 2. Try: the answer changes, the probability beside it.
    to(opened, opened.get_by_role("button", name="Try the edit"))
    opened.keyboard.press("Enter")
    opened.get_by_text("The edit took").wait_for()
    fact = opened.get_by_role("row").filter(has_text=QUESTION).first.inner_text()
    assert re.search(r"United States of America 0\.0 %\s+France 9\d\.\d %", fact), fact
    # The drawing rings what changed, and tells the question and the answers to those who point at it.
    told = (
        opened.locator("svg g.told").filter(has=opened.locator("circle.changed")).locator("title").all_text_contents()
    )
    capital = "The country of citizenship of Albert Einstein has its capital in \u2026"
    assert f"{capital}\nbefore: Washington, D.C.\nafter: Paris" in told
    assert (wide(opened), pale(opened)) == ([], {})
    # The text of the edited model has the edit that is only tried.
    ask(opened, "France")
    picture(opened, "workbench-edit", tmp_path, height=1150)
    picture(opened, "workbench-drawing", tmp_path, of=opened.locator("figure"))
    picture(opened, "workbench-texts", tmp_path, of=opened.locator(".pair"))
    took = opened.get_by_text("The edit took")
    picture(opened, "workbench-phone", tmp_path, at=took, width=390, height=844, dark=True)
    # 3. Keep: this window's model says so, another window's does not.
    to(opened, opened.get_by_role("button", name="Keep"))
    opened.keyboard.press("Enter")
    opened.get_by_text("Albert Einstein, France is kept in this window").wait_for()
    opened.get_by_role("table").filter(has_text="relation or prompt").wait_for()
    ask(opened, "France")
    other = opened.context.new_page()
    other.goto(served.url)
    ask(other, "United States of America")
    # 4. Export, and take back: it answers as before.
    opened.get_by_role("button", name="Export what is kept").click()
    opened.locator("a[href*='delta.zip']").first.wait_for()
    opened.get_by_role("button", name="Take back").click()
    opened.get_by_text("Taken back: Albert Einstein, France").wait_for()
    ask(opened, "United States of America")
    opened.get_by_role("button", name="Export what is kept").click()
    opened.get_by_text("there is nothing to export").wait_for()


def test_an_example_is_filled_in_and_what_is_missing_is_named(opened: Any) -> None:
    opened.get_by_role("button", name="Try the edit").click()
    missing = opened.get_by_role("alert").filter(has_text="still to be filled in: Subject, Relation")
    missing.wait_for()
    field(opened, "Subject").fill("nobody of this name")
    opened.get_by_role("group", name="Subject: nothing found").or_(
        opened.get_by_text("nothing found")
    ).first.wait_for()
    # The facts of this page are of its own file, so no example of the bundled ones is offered.
    assert opened.get_by_role("button", name="Fill in an example").count() == 0


def test_a_hostile_name_is_text(opened: Any) -> None:
    field(opened, "Subject").fill("zzyzx")  # all at once, as a paste
    found = opened.get_by_role("radio", name=re.compile("Zzyzx"))
    found.wait_for()
    label = opened.locator("label").filter(has_text="Zzyzx").inner_text()
    assert "<img src=x" in label
    assert r"\u202egnirts" in label
    found.check()
    # In an error, too, which names what was typed.
    field(opened, "New object").fill("<b id=taken>\u202e")
    opened.get_by_role("button", name="Try the edit").click()
    opened.get_by_role("alert").filter(has_text="relation").wait_for()
    assert opened.title().startswith("kgedit workbench")
    assert opened.locator("img[onerror], #taken").count() == 0


def test_runs_are_compared_and_a_fact_is_traced(opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sequence(tmp_path / "first", "rome", {4: 1.0, 8: 0.5})
    sequence(tmp_path / "second", "rome", {4: 1.0, 8: 1.0}, settings={"rome": {"layer": 3}})
    opened.get_by_role("tab", name="Compare").click()
    opened.get_by_role("textbox", name="Folders of runs").fill("first\nsecond")
    opened.get_by_role("button", name="Compare").click()
    frame = opened.frame_locator("iframe[title='Comparison of runs']")
    frame.get_by_role("columnheader", name="rome@second@8").first.wait_for()
    frame.get_by_role("row", name=re.compile(r"^rome@first 8 8 8 50\.0 ±")).wait_for()
    frame.get_by_role("img", name=re.compile("by the number of edits")).wait_for()
    assert (wide(opened), pale(opened)) == ([], {})
    picture(opened, "workbench-compare", tmp_path)
    opened.get_by_role("tab", name="Where is it stored").click()
    opened.get_by_role("button", name="Trace").click()
    opened.get_by_role("alert").filter(has_text="name the subject").wait_for()
    opened.get_by_role("textbox", name="Subject of the fact").fill("Albert Einstein")
    opened.get_by_role("textbox", name="Sentence up to the answer").fill("{} was born in")
    opened.get_by_role("spinbutton", name="Noisy runs").fill("100")
    opened.get_by_role("checkbox", name="Neurons").check()
    # Long work is stopped, and asked for anew in a shorter form.
    opened.get_by_role("button", name="Trace").click()
    opened.get_by_role("button", name="Stop", exact=True).locator("visible=true").click()
    opened.get_by_role("alert").filter(has_text="stopped; nothing was changed").wait_for()
    opened.get_by_role("spinbutton", name="Noisy runs").fill("1")
    opened.get_by_role("button", name="Trace").click()
    traced = opened.frame_locator("iframe[title='Where the fact is stored']")
    traced.get_by_role("img").first.wait_for()
    traced.get_by_role("columnheader", name="its column says").wait_for()
    assert (wide(opened), pale(opened)) == ([], {})
    picture(opened, "workbench-where", tmp_path)


def test_only_this_machine_is_served_without_a_token(served: Any) -> None:
    request = urllib.request.Request(served.url, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request, timeout=30)
    with urllib.request.urlopen(served.url, timeout=30) as answer:
        assert "connect-src 'self'" in answer.headers["Content-Security-Policy"]
        assert not re.search(r'(?:src|href)="https?://', answer.read().decode())


def test_an_address_must_be_one() -> None:
    from kgedit.workbench.server import is_loopback

    assert [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0")] == [True, True, True, False]
    with pytest.raises(SettingError, match="no address"):
        is_loopback("everywhere")


def test_the_page_is_served_at_an_address_of_the_sixth_version_too() -> None:
    pytest.importorskip("gradio", reason="the extra `workbench` is not installed")
    from kgedit.workbench.server import serving

    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no such addresses")
    before = os.environ.get("GRADIO_TEMP_DIR")
    with serving("mini", method="rome", moments="identity", host="::1") as page:
        assert page.url.startswith("http://[::1]:")
        with urllib.request.urlopen(page.url, timeout=30) as answer:
            assert answer.status == 200
        # What is sent to a first page of the same process still finds its folder.
        assert before in (None, os.environ["GRADIO_TEMP_DIR"])
    assert os.environ.get("GRADIO_TEMP_DIR") == before


def test_any_password_is_compared_and_none_stops_the_page() -> None:
    from kgedit.workbench.server import is_token

    assert is_token("abc", "abc")
    assert [is_token(given, "abc") for given in ("pässword", "\ud800", "")] == [False] * 3


def test_a_home_that_is_not_there_is_told_where_the_result_would_stand() -> None:
    assert "no such user" in compared("~nosuchuser/run\n/tmp/b")
