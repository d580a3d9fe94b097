"""The configured account, opened with the trade key: its orders, other traders, kill switch and audit."""
