"""From pages of the exchange to rows of the warehouse and files of the lake, in one streaming pass."""
