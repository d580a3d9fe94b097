"""Providers of articles: one file for each kind of provider, and the protocol ``NewsProvider`` of all providers."""
