"""A generated corpus of news articles with known stories: originals, their copies, and similar other stories.

Stories come in families that differ in one thing only: a place, a team, a number, a direction or a week. Similar but
different stories are therefore as common as copies.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from kalshi_pipelines.units import DAY_US

START_US = 1_790_000_000_000_000


def _invented(starts: str, ends: str) -> list[str]:
    return [f"{start}{end}" for start in starts.split() for end in ends.split()]


_PLACES = _invented("Mar Bel Lin Ash Port Clar West Graf Nor Hol Old Red", "ville ford burgh wick ton haven mouth dale")
_TEAMS = _invented("Thunder Iron River Storm Sun Night Star Wild", "hawks wolves kings riders bears crows")
_FIRMS = _invented("Tel Ora Nex Vidi Bo Chev Wal Pax", "ix tron dyne mart labs corp")
_PEOPLE = _invented(
    "Haw Lind Okaf March Dev Yama Cast Whit Bran Nov Had Oye", "ley or quist etti ereux moto ellan combe ak lar"
)
_COUNTRIES = _invented("Nor Bra Ken Pol Viet Tur Can Gre", "land zania mark stan via ola")
_GOODS = ("oil", "gold", "copper", "wheat", "coffee", "gas", "silver", "corn", "cotton", "sugar")
_CAUSES = (
    "as traders weigh supply data",
    "after central bank minutes",
    "amid storm warnings",
    "on strong demand from Asia",
    "as inflation worries ease",
    "before holiday weekend",
    "after surprise report",
    "despite analyst doubts",
)
_OUTLETS = ("Reuters", "AP", "CNN", "Guardian", "Herald", "Tribune", "Gazette", "Courier", "Examiner", "Mirror", "Post")
_SITES = [f"{name.lower()}-{kind}.example" for name in _OUTLETS for kind in ("news", "daily", "online", "local")]
_FILLER = (
    "officials said on {day} that the decision followed weeks of talks and would be reviewed again next month while "
    "observers in {place} warned that the effect on households could be larger than first thought because {firm} and "
    "its suppliers had already changed their plans for the year and expected further announcements from {person} who "
    "declined to comment on the details but confirmed that a statement was being prepared for publication"
)
_TRACKING = ("utm_source=feed&utm_medium=rss", "fbclid=abc123", "ref=home", "at_medium=RSS", "gclid=xyz&utm_campaign=a")
_CHANGES = (
    ("says", "states"), ("after", "following"), ("amid", "on"), ("big", "major"), ("before", "ahead of"),
    ("strong", "robust"), ("report", "data"), ("warnings", "alerts"), ("weigh", "digest"), ("ease", "fade"),
)  # fmt: skip


@dataclass(frozen=True)
class CorpusArticle:
    """An article of the corpus with the number of its story. Entries with the same page number are one article."""

    story: int
    page: int
    url: str
    title: str
    text: str | None
    published_us: int


def _titles(random_: random.Random) -> str:
    place, other_place = sorted(random_.sample(_PLACES, 2))
    team, other_team = sorted(random_.sample(_TEAMS, 2))
    firm, person, country = random_.choice(_FIRMS), random_.choice(_PEOPLE), random_.choice(_COUNTRIES)
    good, cause = random_.choice(_GOODS), random_.choice(_CAUSES)
    number = random_.randint(2, 99)
    return random_.choice(
        (
            f"{team} beat {other_team} {100 + number}-{100 - number // 4} in {place}",
            f"High temperature in {place} tops {60 + number % 50} degrees {cause}",
            f"{firm} shares {random_.choice(('rise', 'fall'))} {number} percent {cause}",
            f"{good.capitalize()} prices {random_.choice(('climb', 'slip'))} {cause}",
            f"{country} election: {person} leads polls by {number} points",
            f"{person} {random_.choice(('approves', 'rejects'))} {country} trade deal worth ${number} billion",
            f"Fed official {person} says rates may {random_.choice(('rise', 'fall'))} {cause}",
            f"{country} inflation {random_.choice(('rises', 'falls'))} to {number / 10} percent in big surprise",
            f"{firm} to open new plant near {place} with {number * 100} jobs",
            f"Storm nears {place} and {other_place}, schools closed, thousands without power",
            f"Court in {place} hears {firm} appeal over {number} million dollar fine",
            f"{person} nominated to lead {country} central bank after long debate",
        )
    )


def _body(random_: random.Random, title: str) -> str:
    values = {
        "day": random_.choice(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")),
        "place": random_.choice(_PLACES),
        "firm": random_.choice(_FIRMS),
        "person": random_.choice(_PEOPLE),
    }
    filler = _FILLER.format(**values).split()
    start = random_.randrange(len(filler))
    lead = (
        f"{title}, according to {random_.choice(_OUTLETS)} and two people with knowledge of {random_.randint(1, 999)}."
    )
    own = [f"{random_.choice(filler)} {random_.choice(filler)}" for _ in range(20)]
    return " ".join([lead, *own, *filler[start:], *filler[:start]])


def _edited(random_: random.Random, title: str) -> str:
    """Return a title with one or two changes that an editor at another outlet might make."""
    for _ in range(random_.randint(1, 2)):
        kind = random_.randrange(7)
        split = title.split()
        if kind == 0:
            title = f"{random_.choice(('UPDATE 1-', 'Exclusive: ', 'WRAPUP 2-', 'BREAKING: '))}{title}"
        elif kind == 1:
            title = f"{title}{random_.choice((' - ', ' | ', ' — '))}{random_.choice(_OUTLETS)}"
        elif kind == 2:
            old, new = random_.choice(_CHANGES)
            title = " ".join(new if word == old else word for word in split)
        elif kind == 3 and len(split) > 8:
            title = " ".join(split[:-2])
        elif kind == 4:
            title = title.title()
        elif kind == 5:
            title = f"{title}, {random_.choice(('sources say', 'officials confirm', 'report shows'))}"
        else:
            title = title.replace(",", "").replace(":", " -")
    return title


def _variant(random_: random.Random, url: str) -> str:
    """Return another address of the same page."""
    scheme, rest = url.split("://")
    host, path = rest.split("/", 1)
    kind = random_.randrange(6)
    if kind == 0:
        return f"{url}?{random_.choice(_TRACKING)}"
    if kind == 1:
        return f"http://{host}/{path}"
    if kind == 2:
        return f"{scheme}://m.{host}/{path}"
    if kind == 3:
        return f"{scheme}://www.{host.upper()}/{path}/amp"
    if kind == 4:
        return f"https://www.google.com/amp/s/{host}/{path}"
    return f"{url}/#comments"


def articles(count: int, seed: int = 1) -> list[CorpusArticle]:
    """Return at least ``count`` articles in the order of their publication."""
    return sorted(_generated(count, random.Random(seed)), key=lambda each: (each.published_us, each.url))


def _generated(count: int, random_: random.Random) -> Iterator[CorpusArticle]:
    story = page = made = 0
    seen: defaultdict[str, list[int]] = defaultdict(list)
    while made < count:
        title = _titles(random_)
        published = START_US + random_.randrange(30) * DAY_US + random_.randrange(DAY_US)
        if any(abs(published - other) < 9 * DAY_US for other in seen[title]):
            continue  # the product groups articles with equal titles within nine days as copies
        seen[title].append(published)
        story += 1
        text = _body(random_, title)
        has_text = random_.random() < 0.6
        for copy in range(random_.choice((1, 1, 1, 1, 2, 3, 5))):
            page += 1
            site = random_.choice(_SITES)
            url = f"https://{site}/{random_.choice(('news', 'world', 'a'))}/{page}-{title.split()[0].lower()}"
            shown = title if copy == 0 else _edited(random_, title) if random_.random() < 0.7 else title
            at = published + min(copy, 2) * random_.randrange(1, DAY_US)
            body = text if has_text and random_.random() < 0.8 else None
            yield CorpusArticle(story, page, url, shown, body, at)
            made += 1
            if random_.random() < 0.15:
                yield CorpusArticle(story, page, _variant(random_, url), shown, body, at)
                made += 1
