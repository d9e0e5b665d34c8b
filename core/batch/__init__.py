"""Batch: lists for many people at once, from a file of histories to a table of lists.

Understand the file (`layout`), read it into people (`reading`, `people`, `report`), score them shard by shard
(`scoring`), and write what comes out (`table`, `run`), so that a killed run goes on where it was.
"""
