import math
from functools import partial

import pytest

from repl.probe.corpus import Corpus
from repl.probe.figure import as_json, as_text
from repl.probe.heatmap import HeatMap
from repl.probe.options import Options
from repl.session.frontend import Notice
from tests.session.reader import Reader, nats
from tests.session.support import opened, typed


@pytest.fixture
async def reader(screen):
    session = opened(Reader, screen, "a", "b")
    yield session
    await session.close()


@pytest.fixture
def do(reader, screen):
    return partial(typed, reader, screen)


async def test_a_text_is_scored_by_all_chosen_models(do, reader):
    reader.coordinator.tables["b"] = {**reader.coordinator.tables["b"], None: (0.1, 0.1, 0.7, 0.1)}
    figure = await do("/score a b c")
    assert isinstance(figure, HeatMap)
    assert [r.model for r in figure.readings] == ["a", "b"]
    sums = [r.totals for r in figure.readings]
    assert sums[0].nats == pytest.approx(math.log(0.5 * 0.6 * 0.4))
    assert sums[1].nats == pytest.approx(math.log(0.1 * 0.6 * 0.4))
    assert sums[0].bits_per_byte == pytest.approx(-math.log2(0.12) / 6)
    assert sums[0].perplexity == pytest.approx(0.12 ** (-1 / 3))
    data = as_json(figure)
    assert data["readings"][0]["totals"]["bits_per_token"] == pytest.approx(-math.log2(0.12) / 3)
    assert data["readings"][0]["tokens"][0]["bits"] == pytest.approx(1)


async def test_the_opening_is_always_told(do, reader):
    for line, words in (
        ("/score a b", "auto: what it was trained to begin with"),
        ("/score opening=bos a b", "bos: <s>"),
        ("/score opening=none a b", "none: nothing, so the first token has no score"),
        ("/score c => a b", "the context, 1 token"),
    ):
        figure = await do(line)
        assert figure.readings[0].opening == words
        assert words in as_text(figure.rows(200))
    assert (await do("/score opening=none a b")).readings[0].totals.nats == pytest.approx(math.log(0.6))


async def test_a_context_stands_before_the_text_with_the_space_between(do, reader):
    figure = await do("/score c => a b")
    request = reader.coordinator.asked[-1]
    assert (request.prompt, request.target, request.lane) == ("c", " a b", "exact")
    assert figure.readings[0].totals.nats == pytest.approx(nats(1, 2, after=3))
    await do("/score c =>a b")
    assert reader.coordinator.asked[-1].target == "a b"


async def test_a_translation_begins_without_that_space(do, reader):
    import msgspec

    for name, status in list(reader.coordinator.replicas.items()):
        kind = msgspec.structs.replace(status.capabilities, kind="seq2seq")
        reader.coordinator.replicas[name] = msgspec.structs.replace(status, capabilities=kind)
    await do("/score c => a b")
    assert reader.coordinator.asked[-1].target == "a b"


async def test_an_answer_is_scored_after_its_prompt_with_its_own_tokens(do, reader):
    await do("/use a", "b")
    answer = reader.exchanges[0]
    figure = await do("/compare a b", "/score #1")
    assert [r.model for r in figure.readings] == ["a", "b"]
    assert all(
        r.target_ids == tuple(s.token for s in answer.answer.steps) for r in reader.coordinator.asked[-2:]
    )
    assert reader.coordinator.asked[-1].prompt == "b"
    figure = await do("/use b", "/score #1")
    assert [r.model for r in figure.readings] == ["a", "b"]


async def test_an_answer_goes_as_text_to_a_model_of_another_vocabulary(do, reader):
    import msgspec

    await do("/use a", "b")
    for name in ("b/0", "b/1"):
        status = reader.coordinator.replicas[name]
        other = msgspec.structs.replace(status.capabilities, vocab_fingerprint="other")
        reader.coordinator.replicas[name] = msgspec.structs.replace(status, capabilities=other)
    await do("/compare a b", "/score #1")
    mine, other = reader.coordinator.asked[-2:]
    assert mine.target_ids and not mine.target and not mine.closing
    assert other.target == reader.exchanges[0].answer.text and not other.target_ids and other.closing


async def test_a_model_that_cannot_is_named_and_the_others_go_on(do, reader, screen):
    reader.coordinator.broken.add("a")
    figure = await do("/score a b")
    assert [r.model for r in figure.readings] == ["b"]
    (notice,) = [n for n in screen.shown if isinstance(n, Notice)]
    assert notice.text == "a is left out: it cannot do that"
    reader.coordinator.broken.add("b")
    await do("/score a b")
    assert screen.errors()


async def test_a_file_is_scored_line_by_line(do, reader, tmp_path):
    path = tmp_path / "texts"
    path.write_text("a b\n\nc\ta\nx\nb\n")
    figure = await do(f"/score @{path}")
    assert isinstance(figure, Corpus)
    assert [t.line for t in figure.texts] == [1, 3, 4, 5]
    wanted = nats(1, 2) + nats(1, after=3) + nats(2)
    assert figure.totals[0].nats == pytest.approx(wanted)
    assert figure.texts[2].totals == (None, None)
    assert as_json(figure)["totals"][1]["nats"] == pytest.approx(wanted)
    drawn = as_text(figure.rows(100))
    assert "1 failed" in drawn and "✗ line 4: a: no token for 'x'" in drawn


async def test_a_file_of_many_lines_never_crowds_the_queue(do, reader, tmp_path):
    path = tmp_path / "texts"
    path.write_text("a b c\n" * 600)
    figure = await do(f"/score @{path}")
    assert len(figure.texts) == 600
    assert reader.coordinator.most <= 32
    assert figure.totals[0].tokens == 1800


async def test_the_sum_of_score_is_target(do):
    options = await do("/target c => a b | b | c c")
    assert isinstance(options, Options)
    for option, text in zip(options.choices[0].options, ("a b", "b", "c c"), strict=True):
        scored = await do(f"/score c => {text}")
        assert scored.readings[0].totals.nats == option.nats


async def test_the_shares_are_a_softmax_over_whole_texts(do):
    choice = (await do("/target a => b | c | a")).choices[0]
    assert [o.share for o in choice.options] == pytest.approx([0.6 / 0.9, 0.2 / 0.9, 0.1 / 0.9])
    assert choice.best == 0
    # " b c" has probability .6 * .4 in four bytes, " c" .2 in two.
    choice = (await do("/target a => b c | c")).choices[0]
    means = [math.exp(math.log(0.24) / 4), math.exp(math.log(0.2) / 2)]
    assert [o.share_per_byte for o in choice.options] == pytest.approx([m / sum(means) for m in means])
    assert choice.best == choice.best_per_byte == 0


async def test_the_end_token_counts_where_it_is_asked_for(do):
    choice = (await do("/target closing=on a => b | c")).choices[0]
    assert choice.options[0].nats == pytest.approx(math.log(0.6 * 0.2))
    assert choice.options[1].nats == pytest.approx(math.log(0.2 * 0.4))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("/score", "which text?"),
        ("/score opening=up a", "opening cannot be 'up'"),
        ("/score a =>", "there is no text after =>"),
        ("/score @/nowhere/at/all", "/nowhere/at/all cannot be read: No such file or directory"),
        ("/score @/dev/zero", "/dev/zero is not a file"),
        ("/target a => b", "which options?"),
        ("/target a => b | ", "which options?"),
        ("/target a => b | b", "two of the options are the same"),
    ],
)
async def test_what_cannot_be_done_is_said(do, screen, line, text):
    await do(line)
    assert [(n.text, bool(n.hint)) for n in screen.errors()] == [(text, True)]


async def test_two_dashes_end_the_options(do, reader):
    await do("/score opening=bos -- opening=x")
    assert reader.coordinator.asked[-1].target == "opening=x"


async def test_a_command_in_the_background_says_how_far_it_is(reader, screen, tmp_path):
    path = tmp_path / "texts"
    path.write_text("a\n" * 300)
    screen.waits = False
    told = []
    reader.background.changed = lambda: told.append([w.words for w in reader.background.works])
    await reader.run(f"/score @{path}", screen)
    await reader.background.settle()
    assert told[0] == ["/score"]
    assert ["/score 599 of 600"] in told
    assert told[-1] == []
