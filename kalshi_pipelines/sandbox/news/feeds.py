"""Articles as RSS 2.0 and Atom documents."""

from collections.abc import Iterable, Sequence
from email.utils import formatdate
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from kalshi_pipelines.sandbox.clock import rfc3339
from kalshi_pipelines.sandbox.news.stories import GeneratedArticle
from kalshi_pipelines.units import SECOND_US

RSS: Final = "application/rss+xml"
ATOM: Final = "application/atom+xml"


def rss(title: str, articles: Iterable[GeneratedArticle], now_us: int, items: Sequence[bytes] = ()) -> bytes:
    """Return an RSS 2.0 document of articles. ``items`` are XML items to put before the articles."""
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<channel><title>{escape(title)}</title><link>https://www.wiredesk.example/</link>"
        "<description>News of the sandbox</description><language>en-us</language>"
        f"<lastBuildDate>{_rfc822(now_us)}</lastBuildDate>"
    )
    body = b"".join([*items, *(_item(article) for article in articles)])
    return head.encode() + body + b"</channel></rss>"


def _item(article: GeneratedArticle) -> bytes:
    paragraphs = "".join(f"<p>{escape(part)}</p>" for part in article.text.split("\n\n"))
    return (
        f"<item><title>{escape(article.title)}</title><link>{escape(article.url)}</link>"
        f"<guid isPermaLink={quoteattr('false')}>{escape(article.story)}-{article.variant}</guid>"
        + (f"<pubDate>{_rfc822(article.published_us)}</pubDate>" if article.published_us is not None else "")
        + (f"<dc:creator>{escape(article.author)}</dc:creator>" if article.author else "")
        + f"<source url={quoteattr(f'https://www.{article.outlet.domain}/rss')}>{escape(article.outlet.name)}</source>"
        f"<description>{escape(paragraphs)}</description></item>"
    ).encode()


def atom(title: str, articles: Iterable[GeneratedArticle], now_us: int) -> bytes:
    """Return an Atom document of articles."""
    entries = "".join(
        f"<entry><id>urn:story:{escape(article.story)}:{article.variant}</id><title>{escape(article.title)}</title>"
        f"<link rel={quoteattr('alternate')} href={quoteattr(article.url)}/>"
        f"<updated>{rfc3339(article.published_us or now_us)}</updated>"
        + (f"<published>{rfc3339(article.published_us)}</published>" if article.published_us is not None else "")
        + (f"<author><name>{escape(article.author)}</name></author>" if article.author else "")
        + f'<summary type="text">{escape(article.text)}</summary></entry>'
        for article in articles
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en">'
        f"<id>urn:sandbox:news</id><title>{escape(title)}</title><updated>{rfc3339(now_us)}</updated>{entries}</feed>"
    ).encode()


def _rfc822(microseconds: int) -> str:
    return formatdate(microseconds // SECOND_US, usegmt=True)
