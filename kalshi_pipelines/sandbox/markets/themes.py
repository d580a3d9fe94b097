"""Wording of the generated catalogue: its themes, its subjects and their names.

Belongs here: names and sentences. Does not belong here: numbers of rows, prices, dates and tickers. All teams, people
and companies are invented or named after places.
"""

from dataclasses import dataclass
from typing import Final

CITIES: Final = (
    "Albany", "Austin", "Boise", "Buffalo", "Cádiz", "Chicago", "Dakar", "Denver", "Durban", "El Paso", "Fargo",
    "Genève", "Glasgow", "Hanoi", "Houston", "Ibadan", "Izmir", "Jakarta", "Juneau", "Kraków", "Kyoto", "Lagos",
    "Lima", "Lyon", "Malmö", "Miami", "Mumbai", "Nairobi", "Nashville", "Oslo", "Omaha", "Osaka", "Perth", "Porto",
    "Québec", "Quito", "Reno", "Rīga", "Salem", "São Paulo", "Seattle", "Taipei", "Tampa", "Tulsa", "Ulm",
    "Utrecht", "Verona", "Vigo", "Warsaw", "Wichita", "Xalapa", "Yonkers", "York", "Zagreb", "Zürich", "Łódź",
)  # fmt: skip
PEOPLE: Final = (
    "Ada Quill", "Benoît Marsh", "Carla Ngata", "Dmitri Oake", "Elena Faro", "Farid Osman", "Greta Lindqvist",
    "Hugo Brandt", "Inês Prado", "Jonas Kettle", "Kaito Mori", "Lucía Serra", "Mara Voss", "Nils Aker",
    "Orla Byrne", "Pavel Novák", "Quinn Harrow", "Rosa Delmar", "Søren Holt", "Tara Whitlock", "Uma Raman",
    "Viktor Stahl", "Wren Castell", "Yara Haddad", "Zoë Lark",
)  # fmt: skip
WORDS: Final = (
    "Inflation", "Tariff", "Border", "Moon", "Bitcoin", "Recession", "Budget", "Vaccine", "Robot", "Climate",
    "Steel", "Champion", "Record", "Apology", "Dividend", "Satellite",
)  # fmt: skip


@dataclass(frozen=True)
class Theme:
    """A theme of generated series.

    ``shape`` says how its events are divided into markets. ``grids`` lists its price grids.
    """

    code: str
    shape: str
    category: str
    title: str
    subjects: tuple[str, ...]
    tags: tuple[str, ...]
    frequency: str = "custom"
    shard: int = 0
    grids: tuple[str, ...] = ("linear_cent",)
    unit: str = ""
    fee_type: str = "quadratic"
    prefix: str = "KX"


THEMES: Final = (
    Theme("GAME", "game", "Sports", "{0} Football Game", CITIES, ("Football",), fee_type="quadratic_with_maker_fees"),
    Theme(
        "MATCH",
        "game",
        "Sports",
        "{0} Open Tennis Match",
        CITIES,
        ("Tennis",),
        shard=3,
        grids=("linear_cent", "deci_cent"),
    ),
    Theme(
        "SPREAD",
        "ladder",
        "Sports",
        "{0} Basketball Spread",
        CITIES,
        ("Basketball",),
        shard=3,
        unit="points",
        fee_type="quadratic_with_maker_fees",
    ),
    Theme("GOALS", "ladder", "Sports", "{0} Regulation Time Team Total", CITIES, ("Soccer",), unit="goals"),
    Theme(
        "CUP",
        "field",
        "Sports",
        "{0} Cup Winner",
        CITIES,
        ("Soccer", "Futures"),
        "annual",
        grids=("tapered_deci_cent",),
    ),
    Theme(
        "HIGH",
        "buckets",
        "Climate and Weather",
        "Highest temperature in {0}",
        CITIES,
        ("Daily temperature",),
        "daily",
        unit="°",
    ),
    Theme("RAIN", "ladder", "Climate and Weather", "Rain in {0} this month", CITIES, (), "monthly", unit="inches"),
    Theme(
        "PRICE",
        "buckets",
        "Crypto",
        "{0} Coin price range",
        CITIES,
        ("Hourly", "Crypto"),
        "hourly",
        2,
        ("deci_cent", "center_whole_edge_deci_cent", "center_half_edge_quint_cent"),
        "$",
    ),
    Theme(
        "15M",
        "single",
        "Crypto",
        "{0} Coin up or down",
        CITIES,
        ("15 min", "Crypto"),
        "fifteen_min",
        2,
        ("center_quint_edge_deci_cent", "center_deci_edge_deci_cent", "center_half_edge_half_cent"),
    ),
    Theme(
        "METAL",
        "ladder",
        "Commodities",
        "{0} metals fixing",
        CITIES,
        ("Metals",),
        "daily",
        2,
        ("center_whole_edge_half_cent",),
        "$",
    ),
    Theme("CPI", "ladder", "Economics", "Inflation in {0}", CITIES, ("Inflation",), "monthly", unit="%", prefix=""),
    Theme(
        "FED",
        "field",
        "Economics",
        "{0} Bank rate decision",
        CITIES,
        (),
        "quarterly",
        grids=("center_whole_edge_quint_cent",),
        prefix="",
    ),
    Theme("JOBS", "buckets", "Economics", "Payrolls of {0}", CITIES, ("Jobs numbers",), "monthly", unit="jobs"),
    Theme(
        "MAYOR",
        "field",
        "Elections",
        "{0} mayoral election",
        CITIES,
        ("Local",),
        "one_off",
        grids=("tapered_deci_cent", "linear_cent"),
    ),
    Theme(
        "VOTE",
        "ladder",
        "Elections",
        "{0} turnout",
        CITIES,
        (),
        "one_off",
        unit="%",
        grids=("center_whole_edge_centi_cent",),
    ),
    Theme("MENTION", "mentions", "Mentions", "What will {0} say?", PEOPLE, ("Speeches",), "one_off"),
    Theme("OUT", "single", "Politics", "{0} out of office?", PEOPLE, ("Resignations",), "one_off"),
    Theme(
        "ALBUM",
        "field",
        "Entertainment",
        "Top artist in {0}",
        CITIES,
        ("Music", "Charts"),
        "weekly",
        grids=("center_half_edge_deci_cent", "center_half_edge_centi_cent"),
    ),
    Theme(
        "FILM",
        "ladder",
        "Entertainment",
        "{0} film festival score",
        CITIES,
        ("Rotten scores",),
        "one_off",
        unit="points",
    ),
    Theme(
        "LAUNCH",
        "single",
        "Science and Technology",
        "{0} orbital launch",
        CITIES,
        (),
        "custom",
        grids=("center_quint_edge_quint_cent",),
    ),
    Theme(
        "FLU",
        "ladder",
        "Health",
        "Flu cases in {0}",
        CITIES,
        (),
        "weekly",
        unit="cases",
        grids=("center_quint_edge_centi_cent",),
        prefix="",
    ),
    Theme("SHIP", "buckets", "Transportation", "Ships through the port of {0}", CITIES, (), "weekly", unit="ships"),
    Theme(
        "CEO", "single", "Companies", "{0} Holdings names a new chief", CITIES, ("CEOs",), "one_off", fee_type="flat"
    ),
    Theme(
        "WAR",
        "single",
        "World",
        "Ceasefire signed in {0}",
        CITIES,
        (),
        "one_off",
        grids=("center_deci_edge_centi_cent", "center_centi_edge_centi_cent"),
    ),
)

SECONDARY_RULES: Final = (
    "The underlying of this market is {title} as published by {source} for the date named in the title. Figures are "
    "read as first published; later corrections do not change the outcome once the market has been determined. ",
    "If {source} publishes nothing by the latest expiration, the market resolves on the most recent figure that "
    "was published before it, and to No if there is none. ",
    "A contest that is postponed but begins within forty-eight hours of its first scheduled start keeps this market "
    "open. One that is abandoned, or that begins later, resolves to a fair price under the rules of the exchange. ",
    "Where two sources disagree the one listed first is followed. Times are Eastern Time; a day ends at 11:59 PM. ",
    "Nothing in the name of this market means that the exchange is linked with, or endorsed by, a league, an office or "
    "a company mentioned in it. Names and marks remain the property of their owners.",
)
SOURCES: Final = (
    ("The Gazette", "https://gazette.example/results"),
    ("Statistics Office", "https://statistics.example/releases"),
    ("The League", "https://league.example/scores"),
    ("Weather Service", "https://weather.example/daily"),
    ("Reference Rate Index", "https://index.example/fixings"),
)
PROHIBITIONS: Final = (
    "Anyone employed by a source of this contract may not trade it.",
    "Anyone who holds material information on the underlying that is not public may not trade it.",
    "Players, coaches, staff and owners taking part in the event, and members of their households, may not trade it.",
)
