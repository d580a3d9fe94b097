"""Meanings of the tables of news."""

from typing import Final

from kalshi_pipelines.warehouse.dictionary.language import OURS, TableText, texts
from kalshi_pipelines.warehouse.dictionary.shared import RUN

_PROVIDER: Final = "provider of news"
_LINK: Final = texts(
    news_article_id="Article.",
    relevance=("How much the article is about it, from 0 to 1; NULL if not judged.", OURS, "share"),
    relevance_method="Method that judged the relevance; NULL if not judged.",
    provider="Provider that found the article for it; NULL in adopted rows.",
    query="Query that found the article; NULL in adopted rows.",
    rank="Place of the article in the answer to the query, from 1; NULL in adopted rows.",
    linked_us="Time at which the link was made; NULL in adopted rows.",
)
TRACKED_ITEMS: Final = TableText(
    "A market or event whose news are collected.",
    texts(
        tracked_item_id="Number of the item.",
        ticker="Ticker of the market or event.",
        item_type="`market` or `event`.",
        search_queries=("Queries that are sent to the providers.", OURS, "JSON list"),
        is_active="Whether news are collected.",
        created_us="Time at which tracking began.",
        last_collected_us="Time of the last collection; NULL if none.",
        ingest_run_id="The run that chose the item, in `ingest_runs`; NULL if a person did.",
    ),
)
ARTICLES: Final = TableText(
    "An article.",
    texts(
        news_article_id="Number of the article.",
        url=("Address of the article, without parts that only count visits.", _PROVIDER),
        title=("Title.", _PROVIDER),
        source_domain=("Host of the address.", _PROVIDER),
        published_us=("Time that the publisher gives; NULL if unknown. It can be wrong.", _PROVIDER),
        collected_us="Time at which we read the article. It was not known to us before.",
        text_snippet=("Beginning or summary of the text; NULL if not sent.", _PROVIDER),
        full_text=("The whole text; NULL if not sent.", _PROVIDER),
        exa_request_id=("Request that found the article at Exa; NULL for other providers.", "Exa"),
        language="Language as a tag such as `en`; NULL if unknown.",
        group_id="First article of the same story, often itself; NULL in adopted articles.",
        text_sketch="Sketch of the text, by which equal stories are found; NULL without a text.",
    )
    | {"ingest_run_id": RUN},
)
ARTICLE_MARKETS: Final = TableText("An article that is about a market.", _LINK | texts(ticker="Market."))
ARTICLE_EVENTS: Final = TableText("An article that is about an event.", _LINK | texts(event_ticker="Event."))
SENTIMENTS: Final = TableText(
    "The sentiment of an article, as one method judged it at one time.",
    texts(
        news_sentiment_id="Number of the row.",
        news_article_id="Article.",
        analyzed_us="Time of the judgment.",
        score=("From -1, negative, to 1, positive.", OURS, "score"),
        label="positive, neutral or negative.",
        confidence=("From 0 to 1.", OURS, "share"),
        method="Method that judged.",
        keywords_matched=("Words that decided; NULL if the method knows none.", OURS, "JSON list"),
    )
    | {"ingest_run_id": RUN},
)
ARTICLE_SOURCES: Final = TableText(
    "A provider that returned an article.",
    texts(
        news_article_id="Article.",
        provider="Name of the provider.",
        url=("Address that the provider gives.", _PROVIDER),
        provider_article_id=("Id of the article at the provider; NULL if it has none.", _PROVIDER),
        request_id=("Request that found the article; NULL if the provider names none.", _PROVIDER),
        found_us="Time of the first find.",
    )
    | {"ingest_run_id": RUN},
)
FINDS: Final = TableText(
    "An article that a query for a market or event returned, before its relevance was judged.",
    texts(
        item_type="`market` or `event`.",
        ticker="Ticker of the market or event.",
        news_article_id="Article.",
        provider="Name of the provider.",
        query="The query.",
        rank="Place of the article in the answer, from 1.",
        found_us="Time of the find.",
    )
    | {"ingest_run_id": RUN},
)
SENTIMENT_WINDOWS: Final = TableText(
    "The sentiment of the articles about a market or event over some days. A story counts once.",
    texts(
        item_type="`market` or `event`.",
        ticker="Ticker of the market or event.",
        days=("Length of the window.", OURS, "days"),
        until_us="End of the window. An article has its time of publication, or of collection if unknown.",
        articles="Articles in the window.",
        stories="Stories in the window: several articles can tell one.",
        positive="Positive stories.",
        neutral="Neutral stories.",
        negative="Negative stories.",
        without_published_time="Articles whose time of publication is unknown.",
        mean_score=("Mean of the scores, from -1 to 1.", OURS, "score"),
        weighted_score=("Mean of the scores weighted by relevance and confidence, from -1 to 1.", OURS, "score"),
        weight=("Sum of the weights.", OURS, "weight"),
        previous_weighted_score=("The weighted score of the window before; NULL if it has no story.", OURS, "score"),
        method="Method that judged the articles.",
        computed_us="Time of the computation.",
    )
    | {"ingest_run_id": RUN},
)
