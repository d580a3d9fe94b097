"""What the sandbox's press writes: outlets, headlines and sentences. All names are made up.

Belongs here: words. Does not belong here: which story is written when (``stories``).
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Outlet:
    """Who publishes: the domain and the name that stands behind its headlines elsewhere."""

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
    "Analysts turn cautious on {topic} after a volatile session",
    "{topic}: five things to watch this week",
    "Late surge lifts expectations for {topic}",
    "Officials decline to comment as questions about {topic} grow",
    "Why forecasters disagree about {topic}",
    "Fresh figures put {topic} back in the spotlight",
    "Setback for optimists: {topic} slips in new survey",
    "Inside the numbers that drive {topic}",
    "Traders weigh surprise data on {topic}",
    "{topic} beats every estimate, stunning observers",
    "Warning signs mount around {topic}",
    "A quiet day for {topic} before a busy weekend",
    "Experts praise strong recovery in {topic}",
    "Lawsuit casts doubt over {topic}",
    "What history says about {topic}",
    "Record turnout of bettors follows {topic}",
)
TONES: Final = (
    (
        "The results were strong and beat every estimate, a clear win that lifted confidence.",
        "Observers praised the gains and expect further growth and success.",
        "The outlook improved sharply, and supporters are optimistic.",
    ),
    (
        "The figures were weak and missed every estimate, a loss that deepened fears of a decline.",
        "Critics warned of failure, and the risk of a further drop is rising.",
        "The outlook worsened badly, and a lawsuit adds to the trouble.",
    ),
    (
        "The figures were published in the afternoon and were in line with those of last month.",
        "A spokesperson said that the next announcement is due on Thursday.",
        "The committee met for two hours and did not set a date.",
    ),
)
"""Sentences of a good, a bad and a plain story."""
LEADS: Final = (
    "{headline}. That is what people who follow {topic} were told on {day}.",
    "On {day} attention turned to {topic} once more.",
    "There was news about {topic} on {day}.",
)
EDITED: Final = ("UPDATE 1-{0}", "Exclusive: {0}", "{0} - report", "Updated: {0}")
"""How other editors print the same headline."""
