"""News about markets and events: articles found within a budget and treated as untrusted.

Belongs here: providers of articles, search targets, the search budget, normalisation and grouping of articles, links to
markets and events, sentiment and full-text search. Does not belong here: Dagster (``defs.news``), storage of rows
(``warehouse``), and the contracts of vendors (``contracts.declared.other_vendors``).

Text of an article is untrusted. The module ``untrusted`` cleans each text once on arrival. Later code only stores,
counts and shows the text.
"""
