"""MQuAKE's statement and question for each relation, as published with it (Zhong et al., 2023; MIT licence).

Records that spell their edits out ("The author of Misery is Richard Dawkins") say neither subject nor relation; the
pair of statement and question says both. Spelling is the data set's own.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple


class MquakeWording(NamedTuple):
    """Statement up to the object, and question; "{}" stands for the subject."""

    cloze: str
    question: str


WORDINGS = MappingProxyType(
    {
        "P6": MquakeWording(
            "The name of the current head of the {} government is",
            "What is the name of the current head of the {} government?",
        ),
        "P17": MquakeWording("{} is located in the country of", "Which country is {} located in?"),
        "P19": MquakeWording("{} was born in the city of", "Which city was {} born in?"),
        "P20": MquakeWording("{} died in the city of", "Which city did {} die in?"),
        "P26": MquakeWording("{} is married to", "Who is {} married to?"),
        "P27": MquakeWording("{} is a citizen of", "What is the country of citizenship of {}?"),
        "P30": MquakeWording("{} is located in the continent of", "Which continent is {} located in?"),
        "P35": MquakeWording(
            "The name of the current head of state in {} is", "What is the name of the current head of state in {}?"
        ),
        "P36": MquakeWording("The capital of {} is", "What is the capital of {}?"),
        "P37": MquakeWording("The official language of {} is", "What is the official language of {}?"),
        "P40": MquakeWording("{}'s child is", "Who is {}'s child?"),
        "P50": MquakeWording("The author of {} is", "Who is the author of {}?"),
        "P69": MquakeWording("The univeristy where {} was educated is", "Which university was {} educated at?"),
        "P106": MquakeWording("{} works in the field of", "What kind of work does {} do?"),
        "P108": MquakeWording("{} is employed by", "Who is the employer of {}?"),
        "P112": MquakeWording("{} was founded by", "Who founded {}?"),
        "P127": MquakeWording("{} is owned by", "Who owns {}?"),
        "P131": MquakeWording("{} is located in", "Where is {} located?"),
        "P136": MquakeWording("The type of music that {} plays is", "What type of music does {} play?"),
        "P140": MquakeWording("{} is affiliated with the religion of", "Which religion is {} affiliated with?"),
        "P159": MquakeWording(
            "The headquarters of {} is located in the city of", "Which city is the headquarter of {} located in?"
        ),
        "P169": MquakeWording("The chief executive officer of {} is", "Who is the chief executive officer of {}?"),
        "P170": MquakeWording("{} was created by", "Who was {} created by?"),
        "P175": MquakeWording("{} was performed by", "Who performed {}?"),
        "P176": MquakeWording("The company that produced {} is", "Which company is {} produced by?"),
        "P178": MquakeWording("{} was developed by", "Who is the developer of {}?"),
        "P190": MquakeWording(
            "The twinned administrative body of {} is", "What is the twinned administrative body of {}?"
        ),
        "P264": MquakeWording("{} is represented by", "What music label is {} represented by?"),
        "P276": MquakeWording("{} is located in", "Where is {} located?"),
        "P286": MquakeWording("The head coach of {} is", "Who is the head coach of {}?"),
        "P364": MquakeWording("The original language of {} is", "What is the original language of {}?"),
        "P407": MquakeWording("{} was written in the language of", "Which language was {} written in?"),
        "P413": MquakeWording("{} plays the position of", "What position does {} play?"),
        "P449": MquakeWording("The origianl broadcaster of {} is", "Who is the original broadcaster of {}?"),
        "P463": MquakeWording("{} is a member of", "Which organization is {} a member of?"),
        "P488": MquakeWording("The chairperson of {} is", "Who is the chairperson of {}?"),
        "P495": MquakeWording("{} was created in the country of", "Which country was {} created in?"),
        "P641": MquakeWording("{} is associated with the sport of", "Which sport is {} associated with?"),
        "P740": MquakeWording("{} was founded in the city of", "Where was {} founded?"),
        "P800": MquakeWording("{} is famous for", "What is {} famous for?"),
        "P937": MquakeWording("{} worked in the city of", "Which city did {} work in?"),
        "P1037": MquakeWording("The director of {} is", "Who is the director of {}?"),
        "P1308": MquakeWording("The {} is", "Who is the {}?"),
        "P1412": MquakeWording("{} speaks the language of", "What language does {} speak?"),
    }
)
