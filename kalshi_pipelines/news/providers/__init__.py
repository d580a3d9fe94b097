"""Where articles come from: one file for each provider, all of them behind ``protocol.NewsProvider``."""
