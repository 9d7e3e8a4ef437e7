"""Make a feed of fact changes to try ingestion with: `python examples/make_changes.py --out changes.jsonl`.

The first 300 records are a mix, shuffled by the seed (fewer records, the same shares):

- 240 good ones: facts that the bundled model knows, of different subjects and spread over the relations that have
  one value, each with another object that the relation has elsewhere; written by ids, by names, or by both.
- 30 duplicates of those, written in another way.
- 10 in conflict: five facts, each with two different new objects.
- 10 malformed, each in its own way.
- 10 harmful, of three kinds that an operator would not want in a model: an object of the wrong kind (a city as a
  spouse), an object that is no name (a long random string), and a subject that is no name but a word of any sentence,
  so that its change would spread. Nothing in a record says that it is harmful.

Whatever is more than 300 are facts as they are, which the model gives already; beyond the some 6,000 that there are
they come again.
"""

from __future__ import annotations

import argparse
import json
import random
import string
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from kgedit.io.atomic_files import write_files
from kgedit.mini.cases import Casebook
from kgedit.mini.corpus import Fact

MIX = 300
GOOD = json.dumps({"subject": "Q937", "relation": "P27", "target_new": "Q142"})
MALFORMED = [
    GOOD[:30],  # cut off
    '["Q937", "P27", "Q142"]',
    GOOD.replace("target_new", "object"),
    GOOD.replace('"Q937"', "937"),
    GOOD.replace("Q142", "Fran\\u0000ce"),
    GOOD.replace("{", '{"subject": "Q42", '),
    GOOD.replace('"Q142"', "NaN"),
    GOOD.replace('"Q142"', "[" * 200 + "]" * 200),
    GOOD.replace("Q142", "x" * 500),
    GOOD.replace('"relation": "P27", ', ""),
]
# A relation, and another one whose objects are of a kind that the first never leads to.
WRONG_KIND = [("P26", "P36"), ("P22", "P36"), ("P19", "P26"), ("P27", "P22")]
WORDS = [
    ("someone", "{} was born in"),
    ("they", "At that time {} lived in"),
    ("where", "{} the treaty was signed was"),
]


class Maker:
    """Draws records, each fact of each subject at most once."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.book = Casebook()
        self.used: set[str] = set()
        self.pools: dict[str, list[Fact]] = defaultdict(list)
        for fact in self.random.sample(self.book.facts, len(self.book.facts)):
            if self.book.text[fact.relation].single:
                self.pools[fact.relation].append(fact)

    def facts(self, relations: list[str]) -> Iterator[Fact]:
        """Facts of subjects not used before, one relation after the other, until there are none."""
        while relations:
            for relation in list(relations):
                pool = self.pools[relation]
                while pool and pool[-1].subject in self.used:
                    pool.pop()
                if not pool:
                    relations.remove(relation)
                    continue
                self.used.add(pool[-1].subject)
                yield pool.pop()

    def object(self, fact: Fact, *others: str) -> str:
        """Another object that the relation has elsewhere."""
        objects = {other.object for other in self.book.of_relation[fact.relation]}
        return self.random.choice(sorted(objects - {fact.object, fact.subject, *others}))

    def written(self, fact: Fact, target: str, style: int) -> dict[str, str]:
        """A change by ids (style 0), by names (1), or by both (2)."""
        labels, label = self.book.labels, self.book.text[fact.relation].label
        record = {
            "subject": fact.subject if style == 0 else labels[fact.subject],
            "relation": label if style == 1 else fact.relation,
            "target_new": labels[target] if style == 1 else target,
        }
        return record | ({"target_true": labels[fact.object]} if style else {})

    def mix(self, count: int) -> list[str]:
        """So many records in the shares of the mix."""
        tenth, thirtieth = count // 10, count // 30
        harmful = list(islice(cycle(self.harmful()), thirtieth))
        rivals = [
            self.written(fact, target, style)
            for fact in islice(self.facts(["P19", "P69", "P57", "P102", "P27"]), thirtieth // 2)
            for first in [self.object(fact)]
            for style, target in enumerate((first, self.object(fact, first)))
        ]
        spread = sorted(relation for relation, facts in self.pools.items() if len(facts) >= 9)
        number = count - tenth - len(rivals) - 2 * thirtieth
        good = [(fact, self.object(fact)) for fact in islice(self.facts(spread), number)]
        styles = [self.random.randrange(3) for _ in good]
        again = self.random.sample(range(len(good)), min(tenth, len(good)))
        records = [self.written(fact, target, style) for (fact, target), style in zip(good, styles, strict=True)]
        records += [self.written(*good[number], (styles[number] + 1) % 3) for number in again] + rivals + harmful
        lines = [json.dumps(record, ensure_ascii=False) for record in records] + MALFORMED[:thirtieth]
        self.random.shuffle(lines)
        return lines

    def harmful(self) -> list[dict[str, str]]:
        """Ten changes that nobody should want."""
        letters = string.ascii_letters + string.digits
        wrong = []
        for relation, other in WRONG_KIND:
            (fact,) = islice(self.facts([relation]), 1)
            told = [one.object for one in self.book.of_relation[other] if self.book.of_subject[one.object]]
            wrong.append(self.written(fact, self.random.choice(told), 1))
        nonsense = [
            {
                "subject": self.book.labels[fact.subject],
                "relation": fact.relation,
                "prompt": self.book.text[fact.relation].cloze[0],
                "target_new": "".join(self.random.choices(letters, k=90)),
            }
            for fact in islice(self.facts(["P19", "P27", "P57"]), 3)
        ]
        spreading = [
            {"subject": word, "prompt": prompt, "target_new": self.book.labels[target]}
            for (word, prompt), target in zip(WORDS, ("Q90", "Q64", "Q142"), strict=True)
        ]
        return [*wrong, *nonsense, *spreading]

    def known(self) -> Iterator[str]:
        """Facts as they are, for ever."""
        facts = [fact for fact in self.book.facts if fact.subject not in self.used]
        for fact in cycle(self.random.sample(facts, len(facts))):
            yield json.dumps(self.written(fact, fact.object, self.random.randrange(2)), ensure_ascii=False)


def main() -> None:
    """Write the records, or show the first of them."""
    parser = argparse.ArgumentParser(description="Make a feed of fact changes.")
    parser.add_argument("--count", type=int, default=MIX, help="records (at least 30)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same records")
    parser.add_argument("--out", type=Path, help="the file; without it, the first records are shown")
    asked = parser.parse_args()
    if asked.count < 30:
        parser.error(f"--count {asked.count} is too few to hold a record of each kind; ask for 30 or more")
    maker = Maker(asked.seed)
    lines = maker.mix(min(asked.count, MIX))
    lines += islice(maker.known(), asked.count - len(lines))
    if asked.out is None:
        sys.stdout.write("\n".join([*lines[:5], f"... {len(lines)} changes in all; keep them with --out FILE", ""]))
        return
    write_files(asked.out.absolute().parent, {asked.out.name: ("\n".join(lines) + "\n").encode()})
    sys.stdout.write(f"{len(lines)} changes in {asked.out}\n")


if __name__ == "__main__":
    main()
