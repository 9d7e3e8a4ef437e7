"""Where a target follows its prompt after a space, and where it follows at once."""

from __future__ import annotations

import pytest

from kgedit.text.boundary import Boundary, boundary, joined, marked, stem, tidied


@pytest.mark.parametrize(
    ("prompt", "target", "between"),
    [
        ("问：法国的首都是哪里？答：", "北京", ""),
        ("法国的首都是", "巴黎", ""),
        ("法国的首都是", "Paris", ""),
        ("The capital is", "北京", " "),
        ("答:", "北京", ""),
        ("X plays for", "Y", " "),
        ('{"country": "France", "capital": "', "Beijing", ""),
        ('{"country": "France", "capital":', "Beijing", " "),
        ('He said "hello"', "x", " "),
        ("He said, “", "x", ""),
        ("He said “hello”", "x", " "),
        ("Er sagte „", "x", ""),
        ("Er sagte „hallo“", "x", " "),
        ("Il dit «", "x", ""),
        ("Il dit « oui »", "x", " "),
        ("han sade ”", "x", ""),
        ("han sade ”ja”", "x", " "),
        ("Hun sagde »", "x", ""),
        ("Hun sagde »ja«", "x", " "),
        ("(", "x", ""),
        ("city (", "x", ""),
        ("city (a)", "x", " "),
        ("born in '", "x", ""),
        ("the dogs'", "x", " "),
        ("La capitale de l'", "Allemagne", ""),
        ("Baden-", "Baden", ""),
        ("Paris -", "x", " "),
        ("-", "x", " "),
        ("\n-", "x", " "),
        ("1990–", "1995", ""),
        ("A:", "x", " "),
        ("A:\n", "x", ""),
        ("<|assistant|>", "x", ""),
        ("France ->", "x", " "),
        ("[/INST]", "x", " "),
        ("It costs $", "5", ""),
        ("It costs 5 €", "x", " "),
        ("他加入了NBA", "湖人队", ""),
        ("ประเทศไทยมีเมืองหลวงคือ", "กรุงเทพ", ""),
        ("프랑스의 수도는", "파리", " "),
        ("「", "東京", ""),
        ("フランスの首都は「", "パリ", ""),
        ("首都は：", "パリ", ""),
        ("{'capital': '", "x", ""),
        ("don't say '", "x", ""),
        ("he's 6\"", "x", " "),
        ("**", "x", ""),
        ("the **city**:", "x", " "),
        ("the **city**", "x", " "),
        ("the **", "x", ""),
        ("`", "x", ""),
        ("x =", "1", " "),
        ("x=", "1", ""),
        ("C#", "x", " "),
        ("C++", "x", " "),
        ("50%", "x", " "),
        ("Washington, D.C.", "x", " "),
        ("答： ", "北京", " "),
        ("X is\u2060", "Y", ""),
        ("他说“", "x", ""),
        ("他说“好”", "x", ""),
        ("- ", "x", " "),
        ("http://a.b/", "x", ""),
        ("AC/", "DC", ""),
        ("either /", "x", " "),
        ('name: "', "x", ""),
        ('Q: "Who?" A: "', "x", ""),
        ("It is called “Foo” or ‘", "x", ""),
        ("rock 'n'", "roll", " "),
        ("l’", "x", ""),
        ('Key["', "x", ""),
        ("f(", "x", ""),
        ("et—", "x", ""),
        ("Capital of 法国:", "Paris", " "),
    ],
)
def test_the_boundary_follows_from_prompt_and_target(prompt: str, target: str, between: Boundary) -> None:
    assert boundary(prompt, target) == between
    assert joined(prompt, target) == stem(prompt) + between + target


@pytest.mark.parametrize("prompt", ["{} plays for", "答：", "(", "Q: who? A:  "])
@pytest.mark.parametrize("wanted", ["", " "])
def test_a_boundary_can_be_set_against_the_rules(prompt: str, wanted: Boundary) -> None:
    assert boundary(marked(prompt, wanted), "Paris") == wanted
    assert stem(marked(prompt, wanted)) == prompt.rstrip(" ")
    assert marked(prompt, None) == prompt


def test_spaces_at_the_end_stay_where_they_say_something() -> None:
    assert tidied("{} plays for  ") == "{} plays for"
    assert tidied("答：  ") == "答： "
    assert tidied("<|user|>\n") == "<|user|>\n"
