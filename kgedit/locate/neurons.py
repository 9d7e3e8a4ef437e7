"""Which neurons a fact's answer depends on: sets by integrated gradients, and what each neuron's column says.

docs/methods.md, "Knowledge neurons".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.anatomy import anatomy_of, to_math
from kgedit.lm.neurons import Neuron, attributions, coarse_set, own_answer, refined_set
from kgedit.lm.tokens import PromptTokens

WORDINGS = 4  # of a relation, over which a refined set is taken
_SAID = 3  # tokens that a column raises most


class AnswerNeuron(BaseModel):
    """A neuron that an answer depends on.

    Attributes:
        layer: Its layer.
        entry: Its entry of that layer's key, and so the column of the MLP output matrix.
        attribution: What it gives to the answer's probability; in a refined set a mean over wordings.
        says: Tokens that its column raises most, by the head alone.
    """

    model_config = ConfigDict(frozen=True)

    layer: int
    entry: int
    attribution: float
    says: tuple[str, ...]


class FactNeurons(BaseModel):
    """The neurons of one fact.

    Attributes:
        prompt: The prompt.
        answer: What the model says behind it.
        wordings: Prompts that the refined set was taken over; with a single one there is no such set.
        coarse: Coarse set of the prompt, the largest attribution first.
        refined: Neurons that the wordings share, the most frequent first.
    """

    model_config = ConfigDict(frozen=True)

    prompt: str
    answer: str
    wordings: int
    coarse: tuple[AnswerNeuron, ...]
    refined: tuple[AnswerNeuron, ...]


def find_neurons(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    wordings: Sequence[PromptTokens],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> FactNeurons:
    """The neurons of one fact.

    Args:
        model: A causal language model of a known family; left as it was.
        tokenizer: Its tokenizer.
        wordings: The prompt, and others that ask for the same.
        progress: Called with the numbers of layers done and in all.
    """
    answer = own_answer(model, tokenizer, wordings[0].ids)
    sets = []
    for number, prompt in enumerate(wordings):

        def told(done: int, total: int, before: int = number) -> None:
            if progress:
                progress(before * total + done, len(wordings) * total)

        sets.append(coarse_set(attributions(model, prompt.ids, answer, progress=told)))
    return FactNeurons(
        prompt=wordings[0].text,
        answer=str(tokenizer.decode(list(answer))).strip(),
        wordings=len(wordings),
        coarse=_told(model, tokenizer, sets[0]),
        refined=_told(model, tokenizer, refined_set(sets)) if len(sets) > 1 else (),
    )


def summary(facts: Sequence[FactNeurons]) -> str:
    """What was found, in one or two sentences."""
    mean = sum(len(fact.coarse) for fact in facts) / len(facts)
    layers = Counter(neuron.layer for fact in facts for neuron in fact.coarse)
    if not layers:
        return "No neuron raises the probability of the answer."
    layer, count = max(layers.items(), key=lambda item: (item[1], -item[0]))
    carry = "neuron carries" if mean == 1 else "neurons carry"
    text = f"{mean:.3g} {carry} the answer, {100 * count / layers.total():.0f} % of them in layer {layer}"
    if len(facts) == 1:
        return f"{text}."
    # A neuron that most facts depend on is about none of them.
    shared = Counter((neuron.layer, neuron.entry) for fact in facts for neuron in fact.coarse)
    (place, entry), times = max(shared.items(), key=lambda item: (item[1], -item[0][0], -item[0][1]))
    return f"On average {text}. Neuron {entry} of layer {place} is among those of {times} of {len(facts)} facts."


def fact_rows(facts: Sequence[FactNeurons], most: int) -> list[tuple[str, str, str, str, str, str]]:
    """Prompt, answer, what its column says, layer, neuron and attribution times 100, for up to so many of each fact.

    Neurons of the refined set have a star.
    """
    rows = []
    for fact in facts:
        shared = {(neuron.layer, neuron.entry) for neuron in fact.refined}
        for number, neuron in enumerate(fact.coarse[:most]):
            star = "*" if (neuron.layer, neuron.entry) in shared else ""
            first = (fact.prompt, fact.answer) if number == 0 else ("", "")
            said = ", ".join(text.strip() for text in neuron.says)
            rows.append((*first, said, str(neuron.layer), f"{neuron.entry}{star}", f"{100 * neuron.attribution:.2f}"))
    return rows


def _told(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, neurons: Sequence[Neuron]
) -> tuple[AnswerNeuron, ...]:
    anatomy = anatomy_of(model)
    head = model.get_output_embeddings().weight.detach()  # type: ignore[no-untyped-call]  # (V, d)
    told = []
    for neuron in neurons:
        weight = to_math(anatomy.weight(model, neuron.layer).detach(), anatomy.conv1d)  # (d, d_ff)
        raised = (head @ weight[:, neuron.entry])[: len(tokenizer)]  # (V,), without the padding of the table
        best = raised.topk(min(_SAID, len(raised))).indices.tolist()
        says = tuple(str(tokenizer.decode([token])) for token in best)
        told.append(AnswerNeuron(**neuron._asdict(), says=says))
    return tuple(told)
