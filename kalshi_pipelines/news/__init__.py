"""News: articles that matter to markets, found within a budget, and never trusted.

Belongs here: providers of articles, what is looked for, the budget of searches, normalisation and grouping, links to
markets and events, sentiment and full-text search. Does not belong here: Dagster (``defs.news``), how rows are kept
(``warehouse``), and what an answer of a vendor must look like (``contracts.declared.other_vendors``).

Every text of an article is a stranger's: it is cleaned once, where it comes in (``untrusted``), and only ever stored,
counted and shown.
"""
