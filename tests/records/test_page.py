"""The queries of docs/records.md run, and find what they say."""

import asyncio
import re
import sqlite3
from pathlib import Path

import duckdb
import pandas
import pytest

from repl.messages import Finished, ModelSpec
from repl.session import export
from repl.session.answer import Answer
from repl.session.exchange import Identity
from repl.session.record.store import Store
from tests.session.recording import exchange
from tests.session.support import step

PAGE = (Path(__file__).parents[2] / "docs" / "records.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def answered(number, model, lps):
    answer = Answer()
    for index, lp in enumerate(lps):
        other = (1, -3.0, b"other")
        answer.feed(step(index, "ab", raw_lp=lp, rank=0, entropy=1.0, top=((100 + index, lp, b"ab"), other)))
    answer.feed(Finished(id=1, reason="eos", text="ab" * len(lps)))
    spec = ModelSpec(name=model, backend="full", path="/m")
    return exchange(number, prompt="same", answer=answer, identity=Identity(spec=spec))


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    path = tmp_path_factory.mktemp("record") / "records.db"

    async def fill():
        store = Store(path)
        store.record(answered(1, "sure", [-0.5, -0.5]))
        store.record(answered(2, "unsure", [-2.0, -2.0]))
        await store.close()

    asyncio.run(fill())
    return path


def test_every_query_of_the_page_runs(record):
    connection = sqlite3.connect(record)
    by_model, unsure, same = [connection.execute(sql).fetchall() for sql in blocks("sql")]
    connection.close()
    assert [(name, answers) for name, answers, _ in by_model] == [("sure", 1), ("unsure", 1)]
    assert by_model[0][2] == pytest.approx(0.5 / 2 / 0.6931, rel=1e-3)
    assert {row[4] for row in unsure} == {"other"}
    assert [row[1] for row in same] == ["sure", "unsure"]


def test_the_pandas_lines_run(record, monkeypatch):
    monkeypatch.chdir(record.parent)
    lines = blocks("python")[0].strip().splitlines()
    names = {}
    exec("\n".join(lines[:-1]), names)
    means = eval(lines[-1], names)
    assert isinstance(means, pandas.Series)
    assert means.to_dict() == {1: -0.5, 2: -2.0}
    names["record"].close()


def test_the_duckdb_query_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export.write(Path("answers.parquet"), [answered(1, "sure", [-0.5]), answered(2, "unsure", [-2.0, -1.0])])
    (query,) = blocks("duckdb")
    found = duckdb.sql(query).fetchall()
    assert [(model, tokens) for model, tokens, *_ in found] == [("sure", 1), ("unsure", 2)]
