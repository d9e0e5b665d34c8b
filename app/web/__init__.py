"""The page: one file per tab, one service that both tabs and the HTTP interface ask."""
