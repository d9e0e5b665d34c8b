"""Import: a person's own file of interactions becomes a data set like any other.

`open` and decode a file (`text`), find out how it is laid out (`sniff`, `headers`, `contents`), read it in
batches of plain cells (`records`, `json_lines`, `parquet`), clean these into events and items (`events`,
`items`), filter and order them (`filters`, `ordering`), and keep them in a folder (`store`) with a report.
"""
