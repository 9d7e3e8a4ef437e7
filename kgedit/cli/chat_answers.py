"""What a chat model answers to an edited fact in its chat form, before and after the edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.lm.chat import ChatChoice, ChatForm
from kgedit.lm.scoring.name_probability import name_probabilities
from kgedit.methods.computing import check_chat
from kgedit.text.template import fill


@dataclass(frozen=True)
class ChatAnswers:
    """Answers of one edit's question in a chat.

    Attributes:
        editor: Asks its model as it is.
        question: The question in chat form; None where the model is not asked as a chat.
        target: The new object.
        before: Answer and probability of the target when this was made.
    """

    editor: Editor
    question: str | None
    target: str
    before: tuple[str, float]

    @classmethod
    def of(cls, editor: Editor, edit: Edit, choice: ChatChoice, system: str | None) -> ChatAnswers:
        """Set the form in which the editor's edits are made, and ask the model as it is.

        Raises:
            ChatTemplateError: "always" for a model without a chat template, or for a method that does not optimise in
                one; or the template fails.
        """
        check_chat(editor.method, choice)
        editor.chat = ChatForm.chosen(choice, editor.tokenizer, system=system, questions=editor.text.first_questions)
        if editor.chat is None:
            return cls(editor, None, "", ("", 0.0))
        request, _ = editor.prepare(edit)
        question = fill(editor.chat.templates(request.prompt, request.relation)[-1], request.subject)
        return cls(editor, question, request.target, _answer(editor, question, request.target))

    def compared(self) -> dict[str, Any] | None:
        """Question, answers and probabilities before and now; None where the model is not asked as a chat."""
        if self.question is None or self.editor.chat is None:
            return None
        after = _answer(self.editor, self.question, self.target)
        return {
            "question": self.question,
            "before": self.before[0],
            "after": after[0],
            "probability_before": self.before[1],
            "probability_after": after[1],
        }


def _answer(editor: Editor, question: str, target: str) -> tuple[str, float]:
    (probability,) = name_probabilities(editor.model, editor.tokenizer, [(question, target)])
    return editor.complete(question, names=(target,)), probability
