"""What the name of a figure means: its beginning says what is asked, its endings how answers are counted."""

from __future__ import annotations

# Beginning of a name -> what is asked, and behind a colon what counts if no ending says otherwise. The longest that
# fits counts.
_ASKED = {
    "efficacy": "the edit prompt: the new object is more probable than the old one; in MQuAKE it is the greedy answer",
    "efficacy_before": "the edit prompt, by which the unedited model is asked for the old object",
    "paraphrase": "other wordings of the edited fact: the new object is more probable than the old one",
    "neighborhood": "the same relation of other subjects: what was right before stays",
    "portability": "questions that follow from the edit, with the answer that holds after it",
    "editing_score": "harmonic mean of efficacy, paraphrase, neighborhood and, where there is one, portability",
    "multihop": "a question over several facts: one of its phrasings gets the answer that holds after the edits",
    "multihop_mean": "a question over several facts: share of its phrasings that get the answer after the edits",
    "multihop_before": "a question over several facts, asked of the unedited model: it answers as before the edits",
    "multihop_probability": "a question over several facts: the answer after the edits is more probable than before",
    "edit_wise": "share of a case's edited facts that are recalled",
    "instance_wise": "every single fact of the chain after the edits is recalled",
    "fluency": "entropy of the words of sampled texts: low for texts that repeat themselves",
    "consistency": "likeness of sampled texts about the subject to texts about things with the new object",
    "zsre_efficacy": "the edit prompt: share of answer tokens that are most probable",
    "zsre_generality": "another wording: share of answer tokens that are most probable",
    "zsre_specificity": "an unrelated question: share of answer tokens that are most probable",
    "reliability": "the edit prompt gets the new object",
    "generality": "another wording of the edited fact gets the new object",
    "locality": "unrelated questions keep their answers",
    "reverse": "the edited fact asked about its new object: the subject is more probable than the answer before",
    "reverse_before": "the same question, asked of the unedited model: it answers as before the edit",
    "judgement": "whether the new object has this subject: yes is more probable than no",
    "object_facts": "other facts of the new object stay",
    "logical_generalization": "facts that follow from the edit by symmetry or inverse relations",
    "compositionality_1": "two hops from the subject: the end of a path that begins with the edited fact",
    "compositionality_2": "two hops that come to the subject through a fact about another one",
    "subject_aliasing": "the edited fact, asked by another name of the subject",
    "preservation": "objects that the subject had beside the edited one are still named",
    "relation_specificity": "other relations of the subject stay as they are",
    "edit_success": "the edited fact itself is said",
    "recall": "the fact is recalled by the unedited model",
    "recall_accuracy": "a known fact: share of the object's tokens that are most probable, those before them given",
    "probability": "of the right object behind the prompt of a fact",
    "chat": "the question as a user's turn",
    "distraction": "the edit prompt behind a true sentence that has the old object",
    "after_telling": "the question behind what the model itself tells about the subject",
    "negation": "the edit prompt negated: the new object is nowhere in the answer",
    "choice": "new object, old object or not sure, with letters: chance is one third",
    "disturbed": "in a sequence of edits: the edit of another case changes a fact that the case's answer rests on",
    "unrelated": "unrelated facts: they keep their answers",
    "subject_facts": "other facts of the subject: they keep their answers",
}
_COUNTED = {
    "magnitude": "the difference of the two probabilities",
    "accuracy": "the greedy answer is the right object",
    "teacher_forced": "share of answer tokens that are most probable, the right tokens before them given",
    "generated": "the whole greedy answer is right",
    "any": "for one of the phrasings",
    "mean": "share of the phrasings",
    "before": "asked of the unedited model: it answers as before the edits",
    "argmax": "share of phrasings whose answer is most probable, token by token",
    "published_fuzzy": "by the released evaluation: a sampled text matches in part",
    "strict": "a right name stands in the first sentence of the answer",
    "executed": "share of tests whose conditions the unedited model meets",
    "few_shot": "behind the published demonstrations",
    "chain_of_thought": "behind demonstrations that think step by step",
    "free_contains": "the text up to its natural stop holds a right name",
    "free_begins": "the text up to its natural stop begins with a right name",
    "free": "the text up to its natural stop is a right name and nothing else",
    "undisturbed": "without the cases whose answer the edit of another one changes",
    "2": "chains of two facts",
    "3": "chains of three facts",
    "4": "chains of four facts",
}
_FREE = ("free", "free_contains", "free_begins")
# Endings that say what counts, so that the usual rule of the figure does not.
_INSTEAD = (*_FREE, "accuracy")
# Texts that must stay are compared with what the unedited model said.
_KEPT = {"neighborhood", "unrelated", "subject_facts"}
_COUNTED_KEPT = {
    "free": "the sentence is the same as before the edit",
    "free_contains": "the sentence holds the name that it began with before the edit",
    "free_begins": "the sentence begins with the name that it began with before the edit",
}
_BY_ONE_RULE = {"negation", "choice"}  # whatever the ending


def meaning(metric: str) -> str:
    """What a figure means; empty for a name that is not known, such as that of a plugin."""
    stem = metric
    endings: list[str] = []
    while stem not in _ASKED:
        ending = max((word for word in _COUNTED if stem.endswith(f"_{word}")), key=len, default=None)
        if ending is None:
            return ""
        stem, endings = stem.removesuffix(f"_{ending}"), [ending, *endings]
    asked = _ASKED[stem]
    if stem in _BY_ONE_RULE:
        endings = [ending for ending in endings if ending not in _FREE]
    if any(ending in _INSTEAD for ending in endings):
        asked = asked.partition(":")[0]
    counted = _COUNTED | _COUNTED_KEPT if stem in _KEPT else _COUNTED
    return "; ".join([asked, *(counted[ending] for ending in endings)])
