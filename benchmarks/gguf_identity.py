"""Whether an edit says in llama.cpp, word for word, what it says in transformers.

    python -m benchmarks.gguf_identity --model smollm2 --precision f32

One edit is made, its adapter exported, and the model file written anew in 16 or 32 bits as the adapter's base (the
quantised file computes with other weights than those the edit was made for). Behind a hundred prompts llama.cpp
decodes greedily, with the adapter and without it, and the model in this process is asked for each of its tokens.
Printed: texts that are the same throughout, the largest gap by which llama.cpp's token was not this model's most
probable one, and the largest difference of a log-probability behind a prompt, all in natural logarithms.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel

from benchmarks.llama_cpp import LlamaCpp
from kg_cache.settings import Settings
from kgedit.cli.progress import working
from kgedit.delta.gguf.from_file import gguf_from_file
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.lm.sources.convert import source_file

SUBJECTS = ("Albert Einstein", "Marie Curie", "France", "Kyoto", "the capital of Germany", "Wolfgang Amadeus Mozart")
OPENINGS = ("{} is", "{} was born in", "Where is {}?", "A letter to {}:", "1921, {} and", "{}", "Q: Who is {}? A:")
PROMPTS = [opening.format(subject) for opening in OPENINGS for subject in SUBJECTS]
PROMPTS += [f"{one} {two}" for one, two in zip(PROMPTS, PROMPTS[5:] + PROMPTS[:16], strict=False)]
PROMPTS += [f"{prompt} the" for prompt in PROMPTS[:16]]
_LEAST = -12.0  # log-probabilities below this one are not compared


def compare(judge: LlamaCpp, model: PreTrainedModel, prompts: Sequence[str], tokens: int) -> tuple[list[float], float]:
    """Each prompt's largest gap of log-probability between the best token and llama.cpp's, 0 if all are the same.

    And the largest difference of a log-probability behind a prompt.
    """
    gaps, worst = [], 0.0
    for prompt in prompts:
        ids = judge.tokenize(prompt)
        theirs = judge.greedy_ids(ids, tokens)
        with torch.no_grad():
            logits = model(torch.tensor([ids + theirs])).logits[0, len(ids) - 1 :]
        mine = logits.log_softmax(-1)  # (tokens + 1, vocabulary)
        chosen = mine[: len(theirs)].gather(1, torch.tensor(theirs).unsqueeze(1))[:, 0]  # (tokens,)
        gaps.append(float((mine[: len(theirs)].max(dim=-1).values - chosen).max()))
        first = mine[0].tolist()
        probable = judge.logprobs(ids, len(first)).items()
        worst = max(worst, *(abs(first[token] - value) for token, value in probable if value > _LEAST))
    return gaps, worst


def main() -> None:
    """Make the edit, and print what is the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="one that came from a GGUF file")
    parser.add_argument("--method", default="glame")
    parser.add_argument("--precision", choices=("f16", "f32"), default="f32")
    parser.add_argument("--subject", default="Albert Einstein")
    parser.add_argument("--relation", default="P27")
    parser.add_argument("--target", default="France")
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    parser.add_argument("--tokens", type=int, default=24, help="of each text")
    given = parser.parse_args()
    with working(f"Loading {given.model}") as advance, tempfile.TemporaryDirectory() as folder:
        editor = Editor.from_pretrained(given.model, method=given.method, progress=advance)
        source = getattr(editor.model.config, "gguf_source", None)
        if source is None:
            parser.error(f"{given.model} did not come from a GGUF file")
        file = source_file(source["sha256"], Settings().cache_dir)
        if file is None:
            parser.error(f"the GGUF file of {given.model} is gone")
        base = gguf_from_file(None, file, Path(folder) / "base.gguf", precision=given.precision)
        edit = Edit(subject=given.subject, relation=given.relation, target_new=given.target)
        result = editor.apply(edit)
        judge = LlamaCpp(base, [editor.export_gguf(Path(folder) / "lora.gguf")])
        found = {}
        for name, scale in (("edited", 1.0), ("unedited", 0.0)):
            advance(f"comparing texts, {name}", 0, 0)
            if not scale:
                editor.revert(result.id)
            judge.scales(scale)
            gaps, worst = compare(judge, editor.model, PROMPTS[: given.prompts], given.tokens)
            found[name] = {
                "texts": len(gaps), "the same": sum(gap == 0.0 for gap in gaps),
                "largest gap": round(max(gaps), 5), "largest difference": round(worst, 5),
            }  # fmt: skip
    sys.stdout.write(json.dumps({**vars(given), **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
