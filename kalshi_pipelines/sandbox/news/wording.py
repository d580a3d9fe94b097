"""Text of the generated news: outlets, headlines and sentences. All names are invented.

Belongs here: wording. Does not belong here: which stories exist, and their dates (``stories``).
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Outlet:
    """A news outlet: its domain, its name as appended to copied headlines, and a section of its site."""

    domain: str
    name: str
    section: str


OUTLETS: Final = (
    Outlet("harborledger.example", "Harbor Ledger", "markets"),
    Outlet("thedailycurrent.example", "The Daily Current", "news"),
    Outlet("northfieldpost.example", "Northfield Post", "world"),
    Outlet("wiredesk.example", "Wire Desk", "stories"),
    Outlet("meridianreview.example", "Meridian Review", "analysis"),
    Outlet("civicobserver.example", "Civic Observer", "politics"),
    Outlet("portside.example", "Portside", "business"),
    Outlet("eveningcourier.example", "Evening Courier", "latest"),
)
AUTHORS: Final = ("Ines Calder", "Tomas Wray", "Lena Ostrow", "Paul Ferris", "Noor Haddon", None)

HEADLINES: Final = (
    "{person} turns cautious on {topic} after a volatile session in {place}",
    "{topic}: {number} things {person} will watch this week",
    "Late surge in {place} lifts expectations of {person} for {topic}",
    "{person} declines to comment as questions about {topic} grow",
    "Why {person} and the forecasters of {place} disagree about {topic}",
    "Fresh figures of {person} put {topic} back in the spotlight",
    "Setback for {person}: {topic} slips in a survey of {number}",
    "Inside the {number} numbers that drive {topic}, by {person}",
    "{place} weighs surprise data of {person} on {topic}",
    "{topic} beats the estimate of {person}, stunning {place}",
    "{person} sees warning signs mount around {topic}",
    "A quiet day for {topic}, says {person}, before a busy weekend in {place}",
    "{person} praises strong recovery in {topic}",
    "Lawsuit of {person} casts doubt over {topic}",
    "What {person} says of the history of {topic}",
    "Record crowd follows {topic} in {place}, {person} among it",
)
TONES: Final = (
    (
        "The results were strong and beat every estimate, a clear win that lifted confidence in {place}.",
        "{person} praised the gains and expects further growth and success within {number} days.",
        "The outlook improved sharply, and supporters in {place} are optimistic.",
        "A survey of {number} observers found most of them confident of a good outcome.",
        "Record demand helped, said {person}, who called it the best week of the year.",
        "An agreement reached in {place} removed the last obstacle and boosted hopes.",
        "{number} of those asked expect an advance, and only a few do not.",
        "The breakthrough surprised even {person}, who had hoped for half as much.",
    ),
    (
        "The figures were weak and missed every estimate, a loss that deepened fears of a decline in {place}.",
        "{person} warned of failure, and said that the risk of a further drop is rising.",
        "The outlook worsened badly, and a lawsuit filed in {place} adds to the trouble.",
        "A survey of {number} observers found most of them worried about a bad outcome.",
        "Disappointing demand hurt, said {person}, who called it the worst week of the year.",
        "Talks in {place} collapsed over a dispute, which dashed hopes.",
        "{number} of those asked expect a crisis, and only a few do not.",
        "The scandal cost {person} the trust of sponsors, and losses are growing.",
    ),
    (
        "The figures were published in the afternoon in {place} and were in line with those of last month.",
        "{person}, who speaks for the organisers, said that the next announcement is due in {number} days.",
        "The committee met for two hours in {place} and did not set a date.",
        "A list of {number} names was handed to the members before lunch.",
        "{person} read a statement of four pages and took no questions.",
        "The schedule has {number} entries, the first of them in {place}.",
        "Nobody at the desk of {person} answered the telephone on that day.",
        "The rules are the same as before, and {number} copies were printed.",
    ),
)
"""Sentences for good, bad and neutral news stories."""
PLACES: Final = (
    "Harlow", "Port Ellery", "Kestrel Bay", "Dunmore", "Vale City", "Ostend Hill", "Marrow", "Tamsin", "Corvale",
    "Brightwater", "Saint Orrin", "Lowen", "Elmsgate", "Pinhook", "Garrow Falls", "Westerly", "Ashby Cross", "Nore",
    "Quillan", "Redfern", "Thistle Point", "Umber", "Wexcombe", "Yarrowby",
)  # fmt: skip
_FIRST_NAMES: Final = (
    "Ruth", "Oskar", "Maya", "Leon", "Sofia", "Amir", "Hanna", "Piotr", "Nadia", "Colm", "Ingrid", "Tariq",
)  # fmt: skip
_LAST_NAMES: Final = (
    "Vane", "Thiel", "Ferrow", "Abara", "Quist", "Doyle", "Boyd", "Marlowe", "Sorensen", "Okafor", "Lind", "Castellan",
)  # fmt: skip
PEOPLE: Final = tuple(f"{first} {last}" for first in _FIRST_NAMES for last in _LAST_NAMES)
LEADS: Final = (
    "{headline}. That is what people who follow {topic} were told on {day}.",
    "On {day} attention turned to {topic} once more.",
    "There was news about {topic} on {day}.",
)
EDITED: Final = ("UPDATE 1-{0}", "Exclusive: {0}", "{0} - report", "Updated: {0}")
"""Patterns by which an outlet rewords the headline of a story that it copies."""
