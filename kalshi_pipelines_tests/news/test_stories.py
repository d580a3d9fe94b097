"""Copies of a story are grouped, and similar but different stories stay apart."""

from collections import Counter

import pytest

from kalshi_pipelines.news.addresses import canonical_address
from kalshi_pipelines.news.stories import Stories, features, likeness, sketch_of
from kalshi_pipelines.units import DAY_US, HOUR_US
from kalshi_pipelines_tests.support.news.corpus import CorpusArticle, articles


def alike(one: str, other: str, hours: int = 1, texts: tuple[str | None, str | None] = (None, None)) -> bool:
    first = features(one, 0, sketch_of(texts[0]))
    second = features(other, hours * HOUR_US, sketch_of(texts[1]))
    assert likeness(first, second) == likeness(second, first)
    return likeness(first, second) > 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Fed holds rates steady as inflation cools", "Fed Holds Rates Steady as Inflation Cools - Reuters"),
        ("Fed holds rates steady as inflation cools", "UPDATE 2-Fed holds rates steady as inflation cools"),
        ("Fed holds rates steady as inflation cools", "BREAKING: Fed holds rates steady, inflation cools | CNN"),
        ("Storm nears Miami, schools closed on Monday", "Storm nears Miami, schools closed on Monday, officials say"),
        ("Tesla shares fall 5 percent after earnings miss", "Tesla shares drop 5 percent after earnings miss"),
    ],
)
def test_edited_titles_are_one_story(one: str, other: str) -> None:
    assert alike(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("High temperature in Miami tops 90 degrees on Monday", "High temperature in Boston tops 90 degrees on Monday"),
        ("Tesla shares fall 5 percent after earnings miss", "Tesla shares fall 7 percent after earnings miss"),
        ("Tesla shares fall after strong earnings report", "Tesla shares rise after strong earnings report"),
        ("Senate approves trade deal with Japan after debate", "Senate rejects trade deal with Japan after debate"),
        ("Fed holds rates steady", "Oil prices climb on supply worries"),
        ("Why?", "How?"),
    ],
)
def test_stories_with_different_facts_stay_apart(one: str, other: str) -> None:
    assert not alike(one, other)


def test_the_same_words_a_week_later_are_another_story() -> None:
    assert alike("Fed holds rates steady as inflation cools", "Fed holds rates steady as inflation cools", 70)
    assert not alike("Fed holds rates steady as inflation cools", "Fed holds rates steady as inflation cools", 24 * 7)


@pytest.mark.parametrize(
    ("days", "title", "is_copy"),
    [
        (5, "Fed holds rates steady as inflation cools", True),
        (5, "Fed holds rates steady as inflation cools quickly", False),
        (8, "Fed holds rates steady as inflation cools", False),
        (-5, "Fed holds rates steady as inflation cools", False),
        (2, "Fed holds rates steady as inflation cools quickly", True),
    ],
)
def test_undated_article_matches_stories_of_the_week_before(days: int, title: str, is_copy: bool) -> None:
    dated = features("Fed holds rates steady as inflation cools", 20 * DAY_US, None)
    found = features(title, (20 + days) * DAY_US, None, is_dated=False)
    for known, new in ((dated, found), (found, dated)):
        stories = Stories([(1, known)])
        assert stories.story_of(new) == (1 if is_copy else None)


def test_same_text_under_another_title_is_one_story() -> None:
    text = "The central bank left its benchmark unchanged on Wednesday, and its chair said that " + " ".join(
        f"word{number}" for number in range(60)
    )
    titles = ("Fed leaves rates where they are", "Markets shrug as Fed waits")
    assert alike(*titles, texts=(text, text + " and more was said later"))
    assert not alike(*titles, texts=(text, " ".join(f"other{number}" for number in range(80))))


def assign_stories(corpus: list[CorpusArticle]) -> list[int]:
    """Return the story of each article, assigned one article after the other as in a collection."""
    stories, of_page, given = Stories(), {}, []
    for position, article in enumerate(corpus):
        page, _ = canonical_address(article.url)
        if page not in of_page:
            described = features(article.title, article.published_us, sketch_of(article.text))
            story = stories.story_of(described)
            of_page[page] = position if story is None else story
            stories.add(of_page[page], described)
        given.append(of_page[page])
    return given


def pairs(groups: "Counter[int] | Counter[tuple[int, int]]") -> int:
    return sum(count * (count - 1) // 2 for count in groups.values())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_corpus_copies_are_grouped_with_high_precision_and_recall(seed: int) -> None:
    corpus = articles(4_000, seed)
    given = assign_stories(corpus)
    right = pairs(Counter((article.story, story) for article, story in zip(corpus, given, strict=True)))
    assert right / pairs(Counter(given)) >= 0.99
    assert right / pairs(Counter(article.story for article in corpus)) >= 0.95
    assert given == assign_stories(corpus)
