"""MQuAKE's statement and question for each relation, as published with it (Zhong et al., 2023; MIT licence).

Records that spell their edits out ("The author of Misery is Richard Dawkins") say neither subject nor relation; the
pair of statement and question says both. Spelling is the data set's own.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple


class Wording(NamedTuple):
    """Statement up to the object, and question; "{}" stands for the subject."""

    cloze: str
    question: str


WORDINGS = MappingProxyType(
    {
        "P6": Wording(
            "The name of the current head of the {} government is",
            "What is the name of the current head of the {} government?",
        ),
        "P17": Wording("{} is located in the country of", "Which country is {} located in?"),
        "P19": Wording("{} was born in the city of", "Which city was {} born in?"),
        "P20": Wording("{} died in the city of", "Which city did {} die in?"),
        "P26": Wording("{} is married to", "Who is {} married to?"),
        "P27": Wording("{} is a citizen of", "What is the country of citizenship of {}?"),
        "P30": Wording("{} is located in the continent of", "Which continent is {} located in?"),
        "P35": Wording(
            "The name of the current head of state in {} is", "What is the name of the current head of state in {}?"
        ),
        "P36": Wording("The capital of {} is", "What is the capital of {}?"),
        "P37": Wording("The official language of {} is", "What is the official language of {}?"),
        "P40": Wording("{}'s child is", "Who is {}'s child?"),
        "P50": Wording("The author of {} is", "Who is the author of {}?"),
        "P69": Wording("The univeristy where {} was educated is", "Which university was {} educated at?"),
        "P106": Wording("{} works in the field of", "What kind of work does {} do?"),
        "P108": Wording("{} is employed by", "Who is the employer of {}?"),
        "P112": Wording("{} was founded by", "Who founded {}?"),
        "P127": Wording("{} is owned by", "Who owns {}?"),
        "P131": Wording("{} is located in", "Where is {} located?"),
        "P136": Wording("The type of music that {} plays is", "What type of music does {} play?"),
        "P140": Wording("{} is affiliated with the religion of", "Which religion is {} affiliated with?"),
        "P159": Wording(
            "The headquarters of {} is located in the city of", "Which city is the headquarter of {} located in?"
        ),
        "P169": Wording("The chief executive officer of {} is", "Who is the chief executive officer of {}?"),
        "P170": Wording("{} was created by", "Who was {} created by?"),
        "P175": Wording("{} was performed by", "Who performed {}?"),
        "P176": Wording("The company that produced {} is", "Which company is {} produced by?"),
        "P178": Wording("{} was developed by", "Who is the developer of {}?"),
        "P190": Wording("The twinned administrative body of {} is", "What is the twinned administrative body of {}?"),
        "P264": Wording("{} is represented by", "What music label is {} represented by?"),
        "P276": Wording("{} is located in", "Where is {} located?"),
        "P286": Wording("The head coach of {} is", "Who is the head coach of {}?"),
        "P364": Wording("The original language of {} is", "What is the original language of {}?"),
        "P407": Wording("{} was written in the language of", "Which language was {} written in?"),
        "P413": Wording("{} plays the position of", "What position does {} play?"),
        "P449": Wording("The origianl broadcaster of {} is", "Who is the original broadcaster of {}?"),
        "P463": Wording("{} is a member of", "Which organization is {} a member of?"),
        "P488": Wording("The chairperson of {} is", "Who is the chairperson of {}?"),
        "P495": Wording("{} was created in the country of", "Which country was {} created in?"),
        "P641": Wording("{} is associated with the sport of", "Which sport is {} associated with?"),
        "P740": Wording("{} was founded in the city of", "Where was {} founded?"),
        "P800": Wording("{} is famous for", "What is {} famous for?"),
        "P937": Wording("{} worked in the city of", "Which city did {} work in?"),
        "P1037": Wording("The director of {} is", "Who is the director of {}?"),
        "P1308": Wording("The {} is", "Who is the {}?"),
        "P1412": Wording("{} speaks the language of", "What language does {} speak?"),
    }
)
