"""Which texts open a gate: `python -m benchmarks.gates --data counterfact.json --model smollm2 --layers 1,3,6`.

The records' edits get gates (docs/methods.md, "A gate on any change"), and no weight is computed. Printed for each
layer, for keys compared by their roots and as they are: the threshold at which the given share of paraphrases opens
the gate of its own edit, the share of other texts (neighbours, and prompts of further records, none of which names the
subject) that opens any gate there, and the paraphrases that are nearer to another edit's gate than to their own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from kgedit.cli.progress import working
from kgedit.delta.gated import raised, rooted
from kgedit.editor import Editor
from kgedit.evaluate.benchmarks.counterfact.record import CounterFactRecord
from kgedit.evaluate.benchmarks.reading import load
from kgedit.lm.tokens import encode_prompt, encode_texts
from kgedit.methods.engine.subject_keys import last_keys, subject_keys
from kgedit.methods.gate import BEGINNINGS


class Keys(NamedTuple):
    """Keys of one layer, float32.

    Attributes:
        gates: (edits, prefixes, d_ff), of each edit's prompt behind each context prefix.
        paraphrases: (edits, d_ff), at the subject in another wording.
        others: (tokens, d_ff), every token of the other texts.
        beginnings: (words, d_ff), of words at the beginning of a text.
    """

    gates: Tensor
    paraphrases: Tensor
    others: Tensor
    beginnings: Tensor


def main() -> None:
    """Print a row for each layer and way of comparing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="CounterFact file, original or flattened")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--layers", default="1", help="such as 1,3,6")
    parser.add_argument("--first", type=int, default=0, help="the first record")
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--others", type=int, default=200, help="further records, whose prompts are other texts")
    parser.add_argument("--open", type=float, default=0.9, help="share of paraphrases that is to open its gate")
    given = parser.parse_args()
    layers = tuple(int(layer) for layer in given.layers.split(","))
    with working(f"Loading {given.model}") as advance:
        editor = Editor.from_pretrained(given.model, method="rome", progress=advance)
        records = [record for record in load(given.data).records if isinstance(record, CounterFactRecord)]
        records = records[given.first : given.first + given.edits + given.others]
        edits = [
            record
            for record in records[: given.edits]
            if record.paraphrases and record.rewrite.subject in record.paraphrases[0]
        ]
        texts = [probe.prompt for record in records for probe in record.neighborhood[:1]]
        texts += [record.rewrite.text for record in records[given.edits :]]
        rows = encode_texts(editor.tokenizer, texts)
        text_of_token = torch.tensor([text for text, row in enumerate(rows) for _ in row.ids])  # (tokens,)
        subjects = [record.rewrite.subject for record in edits]
        named = torch.tensor([[subject in text for subject in subjects] for text in texts])  # (texts, edits)
        found = _keys(editor, edits, [row.ids[: end + 1] for row in rows for end in range(len(row.ids))], layers)
    for layer in layers:
        for exponent, way in ((0.5, "by their roots"), (1.0, "as they are")):
            threshold, opened, nearer = _opened(
                found[layer], named[text_of_token], text_of_token, exponent, given.open
            )
            sys.stdout.write(
                f"layer {layer}, keys {way}: threshold {threshold:.2f} opens {100 * given.open:.0f} % of "
                f"{len(edits)} paraphrases and {100 * opened:.1f} % of {len(texts)} other texts; "
                f"{100 * nearer:.1f} % of the paraphrases are nearer to another gate\n"
            )


def _keys(
    editor: Editor, edits: Sequence[CounterFactRecord], others: Sequence[Sequence[int]], layers: tuple[int, ...]
) -> dict[int, Keys]:
    model, tokenizer, prefixes = editor.model, editor.tokenizer, editor.workbench.prefixes
    at_edits, at_paraphrases = [], []
    for record in edits:
        subject, paraphrase = record.rewrite.subject, record.paraphrases[0]
        at_edits += [encode_prompt(tokenizer, record.rewrite.prompt, subject, prefix=prefix) for prefix in prefixes]
        at_paraphrases.append(encode_prompt(tokenizer, paraphrase.replace(subject, "{}", 1), subject))
    at_beginnings = [encode_prompt(tokenizer, "{} is", word) for word in BEGINNINGS]
    gates, paraphrases, beginnings = (
        subject_keys(model, prompts, layers) for prompts in (at_edits, at_paraphrases, at_beginnings)
    )
    tokens = last_keys(model, others, layers)
    return {
        layer: Keys(
            gates[layer].view(len(edits), len(prefixes), -1), paraphrases[layer], tokens[layer], beginnings[layer]
        )
        for layer in layers
    }


def _opened(
    keys: Keys, named: Tensor, text_of_token: Tensor, exponent: float, share: float
) -> tuple[float, float, float]:
    """The threshold, the share of other texts that open a gate there, and that of paraphrases nearer to another's."""
    gates = rooted(keys.gates, exponent)  # (edits, prefixes, d_ff)
    likeness = torch.einsum("td,epd->tep", rooted(keys.paraphrases, exponent), gates).amax(-1)  # (edits, edits)
    own = likeness.diagonal()
    threshold = float(own.quantile(1 - share))
    least = raised(keys.gates, keys.beginnings, threshold, exponent)  # (edits, prefixes)
    cosine = torch.einsum("td,epd->tep", rooted(keys.others, exponent), gates)  # (tokens, edits, prefixes)
    opens = ((cosine > least).any(-1) & ~named).any(-1)  # (tokens,)
    of_text = torch.zeros(int(text_of_token.max()) + 1).scatter_reduce(0, text_of_token, opens.float(), "amax")
    nearer = likeness.amax(-1) > own
    return threshold, float(of_text.mean()), float(nearer.float().mean())


if __name__ == "__main__":
    main()
