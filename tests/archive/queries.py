"""Runs the queries of docs/OPERATIONS.md on an archive by DuckDB: each finds something. queries.py ROOT PAGE"""

import re
import sys

import duckdb

root, page = sys.argv[1:3]
text = open(page, encoding="utf-8").read()
(queries,) = re.findall(r"```sql\n(.*?)```", text[text.index("## The archive"):], re.DOTALL)
for query in queries.split(";\n"):
    if query.strip():
        rows = duckdb.connect().execute(query.replace("site-a", root)).fetchmany(3)
        print(rows[:1])
        assert rows, f"finds nothing: {query}"
