"""The record: one SQLite file with every line typed and every answer."""
