"""``multigpu-repl records``: what it finds, shows and writes, and what it says when it cannot."""

import asyncio
import json
import re

import duckdb
import pytest

from repl import cli, exits
from repl.messages import Finished
from repl.session.answer import Answer
from repl.session.record.schema import MIGRATIONS
from repl.session.record.store import Store
from tests.session.recording import exchange, recorded
from tests.session.support import step


def scored():
    answer = Answer()
    answer.feed(step(0, "the", raw_lp=-0.5, rank=0))
    answer.feed(step(1, " end\x1b[31m", raw_lp=-5.0, rank=3))
    answer.feed(Finished(id=1, reason="eos", text="the end\x1b[31m"))
    return exchange(2, prompt="to find", answer=answer)


@pytest.fixture
def record(tmp_path):
    async def fill():
        store = Store(tmp_path / "r.db")
        store.record(exchange(1, prompt="first of all"))
        store.record(scored())
        store.record(exchange(3, prompt="hidden", shown=False, request={"task": "score"}))
        store.annotate(2, "remember this", vote=1)
        await store.close()

    asyncio.run(fill())
    return tmp_path / "r.db"


@pytest.fixture
def records(record, capsys):
    def run(action, *words, code=exits.OK):
        assert cli.main(["records", action, "--record", str(record), *words]) == code
        said = capsys.readouterr()
        return said.out if code == exits.OK else said.err

    return run


def test_list_has_the_answers_but_not_what_probes_asked_for_themselves(records):
    found = [json.loads(line) for line in records("list", "--json").splitlines()]
    assert [(one["id"], one["prompt"]) for one in found] == [(1, "first of all"), (2, "to find")]
    assert "#2" in records("list")
    assert len(records("list", "--json", "--probes").splitlines()) == 3
    assert len(records("list", "--json", "-n", "1").splitlines()) == 1


def test_long_texts_leave_the_number_and_the_model_their_room(tmp_path, capsys):
    asyncio.run(recorded(tmp_path / "r.db", exchange(18, prompt="p" * 100, text="a" * 300)))
    assert cli.main(["records", "list", "--record", str(tmp_path / "r.db")]) == exits.OK
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split() == ["#", "asked", "model", "prompt", "answer"]
    number, _, _, model, prompt, answer = line.split()
    assert (number, model) == ("#18", "m")
    assert (prompt[:3], prompt[-1], answer[:3], answer[-1]) == ("ppp", "…", "aaa", "…")


def test_search_and_filters(records):
    def ids(*words):
        return [json.loads(line)["id"] for line in records(*words, "--json").splitlines()]

    assert ids("search", "o find") == [2]
    assert ids("search", "nothing like it") == []
    assert ids("list", "--task", "score", "--probes") == [3]
    assert ids("list", "--model", "m") == [1, 2]
    assert ids("list", "--model", "other") == []
    assert ids("list", "--since", "2026-02-01") == []
    assert ids("list", "--since", "2026-01-31") == [1, 2]


def test_show_has_everything_and_lets_no_escape_sequence_out(records):
    text = records("show", "#2")
    assert "> to find" in text
    assert "remember this" in text
    assert "-5.5000 nats" in text
    assert "\x1b[31m" not in text
    assert "␛[31m" in text
    assert json.loads(records("show", "2", "--json"))["text"] == "the end\x1b[31m"


def test_sessions(records):
    (one,) = [json.loads(line) for line in records("sessions", "--json").splitlines()]
    assert (one["answers"], one["models"]) == (2, "m")
    assert one["id"] in records("sessions")


@pytest.mark.parametrize("ending", [".jsonl", ".openai.jsonl", ".lm-eval.jsonl", ".html", ".md"])
def test_export(records, tmp_path, ending):
    target = tmp_path / f"out{ending}"
    records("export", str(target), "--text", "to find")
    assert "to find" in target.read_text() or ending == ".openai.jsonl"
    assert "first of all" not in target.read_text()
    assert "exists" in records("export", str(target), code=exits.USAGE)
    records("export", str(target), "--replace")


def test_export_to_parquet_is_read_by_duckdb(records, tmp_path):
    target = tmp_path / "out.parquet"
    records("export", str(target))
    query = f"SELECT gen_id, prompt, len(tokens) FROM '{target}' ORDER BY gen_id"
    assert duckdb.sql(query).fetchall() == [(1, "first of all", 2), (2, "to find", 2)]


def test_faults_are_explained(records, record, tmp_path, capsys):
    assert "there is no answer #9" in records("show", "9", code=exits.USAGE)
    for words in (("-n", "9" * 30), ("-n", "0"), ("-n", "many")):
        assert "not a number of answers" in records("list", *words, code=exits.USAGE)
    assert "'99999' is not a date" in records("list", "--since", "99999", code=exits.USAGE)
    assert "not the number of an answer" in records("show", "x9", code=exits.USAGE)
    assert "no format '.doc'" in records("export", "x.doc", code=exits.USAGE)
    assert "nothing in the record fits" in records("export", "x.md", "--model", "no", code=exits.USAGE)
    assert cli.main(["records", "list", "--record", str(tmp_path / "none")]) == exits.USAGE
    assert "there is no record" in capsys.readouterr().err
    assert cli.main(["records", "list", "--record", "n" * 300]) == exits.USAGE
    assert "there is no record" in capsys.readouterr().err
    (tmp_path / "junk").write_bytes(b"junk" * 1000)
    assert cli.main(["records", "list", "--record", str(tmp_path / "junk")]) == exits.USAGE
    assert re.search("cannot be read: file is not a database", capsys.readouterr().err)


def test_record_of_a_later_version_is_left_alone(records, record):
    import sqlite3

    connection = sqlite3.connect(record)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    assert "later version" in records("list", code=exits.USAGE)
