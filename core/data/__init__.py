"""Data sets: catalogues, sequences, splits and fixed candidate lists."""
