"""RippleEdits' wording of each relation around its subject, and the Wikidata property.

The files name relations by these words and say neither the subject's name nor the object's: both must be read out
of the sentence, for which one has to know what stands around them (Cohen et al., 2024; MIT licence). Properties are
those of Wikidata; relations that are none (uncle, aunt) have no id.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple


class RippleWording(NamedTuple):
    """What stands before and after the subject, and the property id."""

    before: str
    after: str
    property: str | None


def _of(noun: str, property_id: str | None, verb: str = "is", start: str = "The name of the") -> RippleWording:
    return RippleWording(f"{start} {noun} of ", f" {verb}", property_id)


def _which(noun: str, rest: str, property_id: str) -> RippleWording:
    return RippleWording(f"The name of the {noun} which ", f" {rest} is", property_id)


WORDINGS = MappingProxyType(
    {
        "MOTHER": _of("mother", "P25"),
        "FATHER": _of("father", "P22"),
        "BROTHER": _of("brother", "P7"),
        "SISTER": _of("sister", "P9"),
        "SIBLING": _of("siblings", "P3373", verb="are", start="The names of the"),
        "SPOUSE": _of("spouse", "P26"),
        "UNCLE": _of("uncle", None),
        "AUNT": _of("aunt", None),
        "CHILD": _of("child", "P40"),
        "NUMBER_OF_CHILDREN": RippleWording("The number of children ", " has is", "P1971"),
        "SEX_OR_GENDER": _of("gender", "P21", start="The"),
        "PLACE_OF_BIRTH": _of("place of birth", "P19", start="The"),
        "PLACE_OF_DEATH": _of("place of death", "P20", start="The"),
        "PLACE_OF_BURIAL": _of("place of burial", "P119", start="The"),
        "COUNTRY": _which("country", "is associated with", "P17"),
        "COUNTRY_OF_CITIZENSHIP": _of("country of citizenship", "P27"),
        "POSITION_HELD": RippleWording("The name of the position held by ", " is", "P39"),
        "STEPFATHER": _of("stepfather", "P43"),
        "STEPMOTHER": _of("stepmother", "P44"),
        "MEMBER_OF_SPORTS_TEAM": _which("sports team", "is a member of", "P54"),
        "ALMA_MATER": _of("alma mater", "P69"),
        "SEXUAL_ORIENTATION": _of("sexual orientation", "P91", start="The"),
        "OCCUPATION": _of("occupation", "P106", start="The"),
        "EMPLOYER": _of("employer", "P108"),
        "LEAGUE": _which("league", "plays in", "P118"),
        "FIELD_OF_WORK": _of("field of work", "P101"),
        "NATIVE_LANGUAGE": _of("mother tongue", "P103", start="The"),
        "AWARD_RECEIVED": RippleWording("The name of the award ", " won is", "P166"),
        "FOLLOWS": RippleWording("", " follows", "P155"),
        "FOLLOWED_BY": RippleWording("", " is followed by", "P156"),
        "ETHNIC_GROUP": _which("ethnic group", "is associated with", "P172"),
        "RELIGION": _which("religion", "is associated with", "P140"),
        "EYE_COLOR": _of("eye color", "P1340", start="The"),
        "DATE_OF_BIRTH": _of("date of birth", "P569", start="The"),
        "DATE_OF_DEATH": _of("date of death", "P570", start="The"),
        "HEAD_OF_GOVERNMENT": _of("head of government", "P6"),
        "HEAD_OF_STATE": _of("head of state", "P35"),
        "CONTINENT": _which("continent", "is part of", "P30"),
        "CAPITAL": _of("capital city", "P36"),
        "CURRENCY": RippleWording("The name of the currency in ", " is", "P38"),
        "OFFICIAL_LANGUAGE": _of("official language", "P37", start="The"),
        "ANTHEM": _of("anthem", "P85"),
        "CAPITAL_OF": _which("country", "is the capital of", "P1376"),
        "AUTHOR": _of("author", "P50"),
        "EDITOR": _of("editor", "P98"),
        "DIRECTOR": _of("director", "P57"),
        "SCREENWRITER": _of("screenwriter", "P58"),
        "CAST_MEMBER": _of("cast members", "P161", verb="are", start="The names of the"),
        "ARCHITECT": _of("architect", "P84"),
        "COMPOSER": _of("composer", "P86"),
        "FOUNDER": _of("founder", "P112"),
    }
)
