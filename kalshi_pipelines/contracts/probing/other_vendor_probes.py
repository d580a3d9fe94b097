"""Probes outside of the exchange's API: its published documents, and one search at Exa within a budget.

The check of answers compares only JSON bodies, and the documents are not JSON. So the probe of a document also examines
the document itself, and reports the differences together with the answer.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final
from xml.parsers import expat

import sqlalchemy as sa

from kalshi_pipelines.contracts.comparison import openapi_document as openapi
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity
from kalshi_pipelines.contracts.language.responses import Response, VendorRequest
from kalshi_pipelines.contracts.probing.probe_client import ProbeClient, ProbeFailure
from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.spending import Budget, reserve, settle
from kalshi_pipelines.warehouse.tables import contract_findings, vendor_documents

DOCUMENTS: Final = "https://docs.kalshi.com"
EXA: Final = "https://api.exa.ai"
CHANGELOG: Final = "GET docs.kalshi.com/changelog/rss.xml"
SEARCH: Final = "POST api.exa.ai/search"
MOST_RESULTS: Final = 3
#: The amount reserved for one search at Exa. A search without page contents costs about half a cent, so the amount is
#: ample.
MOST_SEARCH_MICRODOLLARS: Final = 10_000
_MOST_FEED_BYTES: Final = 4 * 1024 * 1024
_MOST_FEED_TAGS: Final = 200_000
_MICRO: Final = Decimal(1_000_000)
NOT_LIVE: Final = "KALSHI_RUN_LIVE_API is not set, and this needs the network"


class UnreadableChangelog(ExpectedError):
    """The error for a changelog that is not an RSS feed or may be harmful to parse. The message gives the reason."""


@dataclass(frozen=True)
class ProbeResult:
    """The result of a probe outside of the exchange's API.

    Attributes:
        answer: The answer, or the failure to get one.
        differences: Differences that the probe found in a document.
        spent_microdollars: The cost of the probe in micro-dollars.
    """

    answer: Response | ProbeFailure
    differences: tuple[Difference, ...] = ()
    spent_microdollars: int = 0


def vendor_skip_reasons(settings: Settings) -> Mapping[str, str]:
    """Return the other vendors' endpoints that the settings exclude from probing, each with the reason."""
    if not settings.run_live_api:
        return dict.fromkeys((openapi.ENDPOINT, CHANGELOG, SEARCH), NOT_LIVE)
    if settings.exa_api_key is None:
        return {SEARCH: "no Exa key: set EXA_API_KEY"}
    return {} if settings.exa_daily_probe_dollars else {SEARCH: "no budget: set KALSHI_EXA_DAILY_PROBE_DOLLARS"}


def probe_openapi_document(engine: sa.Engine, client: ProbeClient, root: str = DOCUMENTS) -> ProbeResult:
    """Read the published OpenAPI document and compare it with the accepted document.

    The first document is accepted at once. A later document is accepted once every difference has an acknowledged
    finding.
    """
    answer = client.send(VendorRequest(openapi.ENDPOINT), root)
    if isinstance(answer, ProbeFailure) or answer.status != 200:
        return ProbeResult(answer)
    try:
        present = openapi.digest_document(answer.body)
    except openapi.UnreadableDocument as error:
        return ProbeResult(answer, (openapi.unreadable_document(str(error)),))
    accepted = _load_accepted(engine)
    differences = openapi.compare_digests(accepted, present) if accepted else []
    if accepted is None or (differences and _is_acknowledged(engine, client.environment, differences)):
        _accept(engine, openapi.hash_document(answer.body), present, client.clock())
        differences = []
    return ProbeResult(answer, tuple(differences))


def probe_changelog(client: ProbeClient, root: str = DOCUMENTS) -> ProbeResult:
    """Read the exchange's changelog, and report a difference unless it is an RSS feed with entries."""
    answer = client.send(VendorRequest(CHANGELOG), root)
    if isinstance(answer, ProbeFailure) or answer.status != 200:
        return ProbeResult(answer)
    try:
        items = count_entries(answer.body)
    except UnreadableChangelog as error:
        return ProbeResult(answer, (_changelog_difference("an RSS feed", str(error), Kind.ABSURD),))
    return ProbeResult(
        answer,
        ()
        if items
        else (_changelog_difference("a feed with entries", "a feed without entries", Kind.INVARIANT_BROKEN),),
    )


def probe_search(engine: sa.Engine, client: ProbeClient, settings: Settings, root: str = EXA) -> ProbeResult | str:
    """Send one small search to Exa if the budget of the day allows it; otherwise return the reason to skip it."""
    why_not = vendor_skip_reasons(settings).get(SEARCH)
    if why_not is not None or settings.exa_api_key is None:
        return why_not or NOT_LIVE
    budget = Budget("api.exa.ai", "probes", int(settings.exa_daily_probe_dollars * _MICRO))
    spending = reserve(engine, budget, MOST_SEARCH_MICRODOLLARS, client.clock())
    if spending is None:
        return f"the daily budget of {settings.exa_daily_probe_dollars} dollars has no room for another search"
    sent = {"query": "Kalshi prediction market", "numResults": MOST_RESULTS, "type": "auto"}
    secret = {"x-api-key": settings.exa_api_key.get_secret_value()}
    # The search is sent only once, because Exa may charge for a search even if no answer arrives.
    answer = client.send_once(VendorRequest(SEARCH, is_signed=True, sent=sent), root, secret)
    spent = None if isinstance(answer, ProbeFailure) else cost_of(answer.body)
    if spent is not None:
        settle(engine, spending, spent)
    return ProbeResult(answer, spent_microdollars=MOST_SEARCH_MICRODOLLARS if spent is None else spent)


def cost_of(body: bytes) -> int | None:
    """Return the cost that an answer of Exa states, in micro-dollars rounded up; ``None`` if it states none.

    The cost is decoded separately, with exact decimals, because the decoding for checks uses floats.
    """
    try:
        answer = json.loads(body, parse_float=Decimal, parse_int=Decimal)
        total = answer["costDollars"]["total"]
        return int((total * _MICRO).to_integral_value("ROUND_CEILING")) if 0 <= total < 1_000 else None
    except (ValueError, KeyError, TypeError, InvalidOperation, RecursionError):
        return None


def count_entries(body: bytes) -> int:
    """Return the number of entries of an RSS feed. Document types and entities are refused before they have effects.

    Raises:
        UnreadableChangelog: The body is not an RSS feed, or it may do harm.
    """
    if len(body) > _MOST_FEED_BYTES:
        raise UnreadableChangelog(f"it has more than {_MOST_FEED_BYTES // 1024 // 1024} MB")
    names: dict[str, int] = {}
    root: list[str] = []

    def start_element(name: str, _: object) -> None:
        root[:] = root or [name]
        names[name] = names.get(name, 0) + 1
        if sum(names.values()) > _MOST_FEED_TAGS:
            raise UnreadableChangelog("it has too many elements")

    def refuse(*_: object) -> int:
        raise UnreadableChangelog("it declares a document type, which may make a small document endless")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start_element
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError) as error:
        raise UnreadableChangelog(f"it is not XML: {re.sub('[0-9]+', 'n', str(error))}") from None
    if root != ["rss"]:
        raise UnreadableChangelog("it is XML, but no RSS")
    return names.get("item", 0)


def _changelog_difference(before: str, after: str, kind: Kind) -> Difference:
    advice = "Look at the feed. Until it works again, a person must read the vendor's announcements."
    return Difference(CHANGELOG, "$", kind, Severity.RISKY, before, after, advice=advice)


def _load_accepted(engine: sa.Engine) -> openapi.DocumentDigest | None:
    with engine.connect() as connection:
        text = connection.scalar(
            sa.select(vendor_documents.c.digest).where(vendor_documents.c.document == openapi.ENDPOINT)
        )
    found: openapi.DocumentDigest | None = None if text is None else json.loads(text)
    return found


def _is_acknowledged(engine: sa.Engine, environment: str, differences: list[Difference]) -> bool:
    columns = contract_findings.c
    with engine.connect() as connection:
        known = connection.scalars(
            sa.select(columns.fingerprint).where(
                columns.environment == environment,
                columns.endpoint == openapi.ENDPOINT,
                columns.status == "acknowledged",
            )
        ).all()
    return {each.fingerprint(environment) for each in differences} <= set(known)


def _accept(engine: sa.Engine, sha256: str, digest: openapi.DocumentDigest, now_us: int) -> None:
    values = {"sha256": sha256, "digest": json.dumps(digest), "accepted_us": now_us}
    is_document = vendor_documents.c.document == openapi.ENDPOINT
    with writing(engine) as connection:
        if not connection.execute(sa.update(vendor_documents).where(is_document).values(values)).rowcount:
            connection.execute(sa.insert(vendor_documents).values(document=openapi.ENDPOINT, **values))
