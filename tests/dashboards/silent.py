"""Queries that give nothing in a good evening, each with the reason. One that does give data fails, too.

By dashboard, panel and number of the query; alerts by name and metric."""

REASONS: dict[tuple[str, str, int], str] = {}

# Series that begin with the first time that something happens, and it did not.
METRICS: dict[tuple[str, str], str] = {}
