"""Templates: texts with one slot "{}" for the subject.

A template with several "{}" may write those that mean themselves as "{{}}", which leaves exactly one slot. In a
template with a single "{}" that one is the slot, whatever stands around it.
"""

from __future__ import annotations

from kgedit.errors import PromptError
from kgedit.io.text import short

SLOT = "{}"
LITERAL = "{{}}"


def split_slot(template: str) -> tuple[str, str]:
    """The text before and behind the slot, literal braces as they are read.

    Raises:
        PromptError: There is no slot, or more than one.
    """
    parts = template.split(SLOT)
    if len(parts) == 2:
        return parts[0], parts[1]
    parts = [part.replace("\0", SLOT) for part in template.replace(LITERAL, "\0").split(SLOT)]
    if len(parts) != 2:
        raise PromptError(
            f'the prompt {short(template)!r} has {len(parts) - 1} slots "{SLOT}" where one is needed; put exactly '
            f'one in the place of the subject, and write "{LITERAL}" for each that means itself, as in JSON'
        )
    return parts[0], parts[1]


def fill(template: str, subject: str) -> str:
    """The template with the subject in its slot; the subject's own braces stay.

    Raises:
        PromptError: There is no slot, or more than one.
    """
    before, behind = split_slot(template)
    return before + subject + behind
