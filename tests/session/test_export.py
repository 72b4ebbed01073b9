import hashlib
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import duckdb
import msgspec
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repl.messages import Error, Failed, Finished, ModelSpec, Request, Started
from repl.params import Params
from repl.pool import Timings
from repl.probe.figure import Figure, Span
from repl.safe import visible
from repl.session import export
from repl.session.answer import Answer
from repl.session.exchange import Exchange, Identity
from repl.session.export import html, lmeval, markdown, openai
from repl.session.export.lines import facts
from tests.session.support import step

HOSTILE = "<script>alert(1)</script>\"'&amp; ``` ```` </pre> \x1b]52;c;eA==\x07 \u202e ]]> [x](y) | # *"
TEXTS = st.text(st.one_of(st.sampled_from("`~\n\r\x1b<>&\"'#|\u202e "), st.characters()), max_size=60)


def exchange(number=1, line=1, prompt="ask", text="an answer", model="m", steps=(), terminal=None, marks=()):
    answer = Answer()
    answer.feed(Started(id=1, prompt_ids=(1,), prompt_text=prompt))
    for one in steps:
        answer.feed(one)
    answer.feed(terminal or Finished(id=1, reason="eos", text=text, batch=2))
    params = Params(temperature=0.5, seed=77, stop=("\n",))
    return Exchange(
        id=number,
        line=line,
        identity=Identity(spec=ModelSpec(name=model, backend="full", path="/m"), checkpoint_hash="abc"),
        prompt=prompt,
        request=Request(model=model, prompt=prompt, params=params),
        requested={"temperature": 0.5},
        created=datetime(2026, 1, 31, tzinfo=UTC),
        conversation="c",
        marks=marks,
        answer=answer,
        replica="m/0",
        timings=Timings(submitted=0, placed=0.1, first=0.2, ended=1.2),
    )


class Page(HTMLParser):
    """Collects the elements and the text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


def answers_in(page):
    return [text for text in Page(page).texts if text.strip()]


# -- HTML ------------------------------------------------------------------------------------------------


@given(TEXTS, TEXTS, TEXTS)
def test_nothing_in_an_exchange_becomes_an_element(prompt, text, name):
    plain = Page(html.render([exchange()]))
    page = html.render([exchange(prompt=prompt, text=text, model=name)])
    assert Page(page).tags == plain.tags
    assert {a for a, _ in Page(page).attributes} == {a for a, _ in plain.attributes}
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", page)


def test_page_is_self_contained_and_follows_the_readers_theme():
    page = html.render([exchange()])
    assert not re.search(r"https?:|src=|href=|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page
    assert "script" not in Page(page).tags


def test_page_shows_answers_of_a_line_side_by_side_with_their_facts():
    page = html.render([exchange(1, 1, model="a"), exchange(3, 3), exchange(2, 1, model="b")])
    assert page.count("<section>") == 2
    first = page.split("</section>")[0]
    assert first.index("answer-1") < first.index("answer-2")
    assert first.count('class="prompt"') == 1
    assert "temperature 0.5, stop \\n · seed 77" in page


def test_page_shows_errors_and_marks():
    error = Failed(id=1, error=Error(kind="x", message="it <broke>", hint="mend it"))
    texts = answers_in(html.render([exchange(terminal=error, marks=("no <b> here",))]))
    assert "it <broke>. mend it" in texts
    assert "no <b> here" in texts


# -- Markdown --------------------------------------------------------------------------------------------


def blocks(text):
    """Fenced blocks by the rule of CommonMark: a block ends at a run of at least as many backticks."""
    found, fence, body = [], None, []
    for line in text.split("\n"):
        match = re.fullmatch(r" {0,3}(`{3,})([^`]*)", line)
        if fence is None and match:
            fence, body = match[1], []
        elif fence is not None and match and len(match[1]) >= len(fence) and not match[2].strip():
            found.append("\n".join(body))
            fence = None
        elif fence is not None:
            body.append(line)
    assert fence is None
    return found


@given(TEXTS)
def test_no_text_leaves_its_fence(text):
    assert blocks(markdown.fenced(text)) == [visible(text)]


@given(TEXTS, TEXTS)
def test_markdown_has_the_same_shape_whatever_the_texts(prompt, text):
    page = markdown.render([exchange(prompt=prompt, text=text or "x")])
    assert len(blocks(page)) == 2
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", page)


def test_markdown_of_names_and_errors_holds_no_markup():
    error = Failed(id=1, error=Error(kind="x", message="# a\n\n[b](c) <i>", hint=""))
    page = markdown.render([exchange(model="*m*\n# x", terminal=error)])
    assert "### \\*m\\*␊\\# x" in page
    assert "> \\# a␊␊\\[b\\]\\(c\\) \\<i\\>" in page


# -- JSONL -----------------------------------------------------------------------------------------------


def lines(path, exchanges):
    export.write(path, exchanges, replace=True)
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def test_jsonl_has_what_is_needed_to_ask_again(tmp_path):
    steps = (
        step(
            0, "é", raw_lp=-0.5, proc_lp=float("-inf"), rank=0, top=((5, -0.5, b"\xc3"), (6, -1.0, b"\xa9"))
        ),
    )
    (found,) = lines(tmp_path / "x.jsonl", [exchange(prompt=HOSTILE, text=HOSTILE, steps=steps)])
    assert found["prompt"] == found["text"] == HOSTILE
    assert found["params"] == json.loads(msgspec.json.encode(msgspec.structs.asdict(Params()))) | {
        "temperature": 0.5,
        "seed": 77,
        "stop": ["\n"],
    }
    assert found["requested"] == {"temperature": 0.5}
    assert (found["seed"], found["lane"], found["batch"], found["finish"]) == (77, "fast", 2, "eos")
    assert (found["model"]["path"], found["model"]["checkpoint_hash"]) == ("/m", "abc")
    assert found["seconds"] == {"queue": 0.1, "first": 0.2, "total": 1.2}
    (token,) = found["tokens"]
    assert (token["raw_lp"], token["proc_lp"], token["minus_infinity"]) == (-0.5, None, ["proc_lp"])
    assert bytes(token["bytes"]).decode() == "é"
    assert token["top"][1] == {"token": 6, "raw_lp": -1.0, "bytes": [0xA9]}


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=4))
def test_jsonl_is_one_valid_line_for_each_exchange(tmp_path_factory, texts):
    found = lines(
        tmp_path_factory.mktemp("x") / "x.jsonl", [exchange(n, text=t) for n, t in enumerate(texts)]
    )
    assert [one["text"] for one in found] == texts


@pytest.mark.parametrize("ending", export.ENDINGS)
def test_every_format_takes_every_end(tmp_path, ending):
    error = Error(kind="x", message="m")
    some = [exchange(1), exchange(2, terminal=Failed(id=1, error=error)), exchange(3, text="")]
    assert export.write(tmp_path / f"some{ending}", some).stat().st_size
    export.write(tmp_path / f"none{ending}", [])


SCORED = (
    step(0, "the", raw_lp=-0.5, rank=0, entropy=1.0, top=((5, -0.5, b"the"), (6, -1.0, b"\xa9"))),
    step(1, " <b>", raw_lp=-6.0, rank=9),
)


def test_openai_form_has_the_log_probabilities():
    found = openai.as_object(exchange(7, text="the <b>", steps=SCORED))
    (choice,) = found["choices"]
    assert choice["message"]["content"] == "the <b>"
    first, second = choice["logprobs"]["content"]
    assert (first["token"], first["logprob"], first["bytes"]) == ("the", -0.5, [*b"the"])
    assert [t["logprob"] for t in first["top_logprobs"]] == [-0.5, -1.0]
    assert (second["token"], second["top_logprobs"]) == (" <b>", [])
    assert found["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def test_lm_eval_form_has_the_likelihood_and_whether_it_is_greedy():
    scored = exchange(7, prompt="of", text="the <b>", steps=SCORED)
    scored.request = msgspec.structs.replace(scored.request, task="score", target="the <b>")
    found = lmeval.as_object(scored)
    assert found["arguments"] == {"gen_args_0": {"arg_0": "of", "arg_1": "the <b>"}}
    assert found["resps"] == [[["-6.5", "False"]]]
    assert found["prompt_hash"] == hashlib.sha256(b"of").hexdigest()
    answered = lmeval.as_object(exchange(8, text="four"))
    assert answered["resps"] == [["four"]]
    assert answered["arguments"]["gen_args_0"]["arg_1"]["until"] == ["\n"]


def test_parquet_answers_the_documented_queries(tmp_path):
    path = export.write(tmp_path / "x.parquet", [exchange(7, text="the <b>", steps=SCORED), exchange(8)])
    query = f"SELECT gen_id, sum(t.raw_lp) FROM (SELECT gen_id, UNNEST(tokens) AS t FROM '{path}') GROUP BY 1"
    assert duckdb.sql(query).fetchall() == [(7, -6.5)]
    frame = pandas.read_parquet(path)
    assert list(frame["gen_id"]) == [7, 8]
    assert [token["bytes"] for token in frame["tokens"][0]] == [b"the", b" <b>"]
    assert frame["created"][0] == pandas.Timestamp(2026, 1, 31, tz="UTC")


def test_page_shows_tokens_in_the_colour_of_their_surprisal():
    page = html.render([exchange(text="the <b>", steps=SCORED)])
    assert '<span class="heat0" title="0.72 bits · rank 0 · entropy 1.44 bits · the 0.607' in page
    assert '<span class="heat5" title="8.66 bits · rank 9"> &lt;b&gt;</span>' in page


class Picture(Figure, frozen=True):
    name = "picture"

    @property
    def title(self):
        return "a <title>"

    def rows(self, width):
        return [(Span("plain "), Span("<hot>", "heat7"))]


def test_pages_keep_the_figures_shown():
    page = html.render([exchange()], [Picture()])
    assert 'plain <span class="heat7">&lt;hot&gt;</span>' in page
    assert "a &lt;title&gt;" in page
    assert "plain <hot>" in blocks(markdown.render([exchange()], [Picture()]))


def test_facts_have_units_that_suit_them():
    slow = exchange(steps=[step(0, "x")])
    slow.timings = Timings(submitted=0, placed=1, first=11.016, ended=12)
    assert "1 token" in facts(slow) and "first after 11.0 s" in facts(slow)
