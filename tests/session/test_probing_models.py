"""The commands that look into a text, on real models, against libraries that know nothing of this one."""

import asyncio
import math

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minicons import scorer

from repl.config import load_config
from repl.messages import Step
from repl.opening import open_session
from repl.options import Options
from repl.probe.figure import Figure
from tests.session.support import Screen

TEXT = "The with statement is used to wrap a block.\nA file object is returned."
CONTEXT, NEXT = "The with statement is used", "to wrap a block"
PAIRS = [
    ("The keys are here.", "The keys is here."),
    ("It returns a list of strings.", "It returns an list of strings."),
    ("The value is None.", "The value are None."),
]
LINES = {
    "choose-lm": "/use lm",
    "score": f"/score {TEXT}",
    "none": f"/score opening=none {TEXT}",
    "context": f"/score {CONTEXT} => {NEXT}",
    "target": f"/target {CONTEXT} => {NEXT} | for a loop | as",
    "pair": f"/minpair {PAIRS[0][0]} | {PAIRS[0][1]}",
    "tok": "/tok caf\u00e9 \u65e5\u672c \U0001f469\u200d\U0001f4bb x",
    "lens": f"/lens {TEXT}",
    "choose-both": "/compare lm digits",
    "both": "two hundred and five",
    "cross": "/cross",
    "choose-digits": "/use digits",
    "ask": "two hundred and five",
    "nbest": "/nbest 4",
    "align": "/align",
    "choose-masked": "/use masked",
    "pll": "/cloze pll the cat sat on a mat",
    "cloze": "/cloze the [MASK] sat on a mat",
    "choose-labels": "/compare mood topic",
    "classify": "/classify the cat sat",
}


def small(folder, name, **more):
    """A tiny BERT with random weights, drawn from a fixed seed."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "a", "mat", "hat"]
    (folder / name).mkdir()
    (folder / name / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(vocab=str(folder / name / "vocab.txt")).save_pretrained(folder / name)
    torch.manual_seed(len(more.get("id2label", ())))
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=40, **more,
    )  # fmt: skip
    head = "SequenceClassification" if more else "MaskedLM"
    network = getattr(transformers, f"BertFor{head}")(config)
    for weight in network.parameters():
        if weight.dim() > 1:
            weight.data.normal_(0, 0.3)
    network.save_pretrained(folder / name)
    return folder / name


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    small(folder, "masked")
    small(folder, "mood", id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1})
    small(
        folder,
        "topic",
        id2label={0: "cats", 1: "hats", 2: "mats"},
        label2id={"cats": 0, "hats": 1, "mats": 2},
    )
    (folder / "pairs.tsv").write_text("".join(f"{good}\t{bad}\n" for good, bad in PAIRS))
    (folder / "models.yaml").write_text(
        "models:\n"
        "  lm: {path: 'demo:lm-early', defaults: {max_new: 12}}\n"
        "  digits: {backend: fairseq, path: 'demo:num2digits', defaults: {beam: 4, max_new: 12}}\n"
        "  masked: {path: masked}\n  mood: {path: mood}\n  topic: {path: topic}\n"
    )
    return folder


@pytest.fixture(scope="module")
def shown(folder):
    """What each line showed last, and the exchanges of all."""

    async def sit():
        screen, found, exchanges = Screen(), {}, {}
        async with open_session(load_config(folder / "models.yaml"), Options(no_record=True)) as session:
            for name, line in {**LINES, "file": f"/minpair @{folder}/pairs.tsv"}.items():
                if name == "file":
                    await session.run("/use lm", screen)
                screen.shown.clear()
                await session.run(line, screen)
                for exchange in session.exchanges:
                    if exchange.ticket is not None:
                        await exchange.ticket.wait()
                assert not screen.errors(), (name, screen.errors())
                figures = [output for output in screen.shown if isinstance(output, Figure)]
                found[name] = figures[-1] if figures else None
                exchanges[name] = list(session.exchanges)
        return found, exchanges

    return asyncio.run(asyncio.wait_for(sit(), 240))


@pytest.fixture(scope="module")
def checkpoint():
    from repl.demo import model_path

    return str(model_path("lm-early"))


@pytest.fixture(scope="module")
def network(checkpoint):
    return transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return transformers.AutoTokenizer.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def theirs(network, tokenizer):
    return scorer.IncrementalLMScorer(network, "cpu", tokenizer=tokenizer)


def loss(network, ids):
    """The library's own mean loss over all tokens but the first."""
    with torch.inference_mode():
        batch = torch.tensor([ids])
        return network(input_ids=batch, labels=batch).loss.item()


def test_the_perplexity_is_the_librarys_loss(shown, network, tokenizer):
    (reading,) = shown[0]["score"].readings
    ids = [token.id for token in reading.tokens]
    begin = tokenizer.bos_token_id
    expected = loss(network, [begin, *ids])
    assert reading.totals.perplexity == pytest.approx(math.exp(expected), rel=1e-4)
    assert reading.totals.bytes == len(TEXT.encode())
    assert reading.totals.bits_per_byte == pytest.approx(
        expected * len(ids) / math.log(2) / len(TEXT.encode()), rel=1e-4
    )


def test_without_an_opening_the_first_token_has_no_score(shown, network):
    (reading,) = shown[0]["none"].readings
    ids = [token.id for token in reading.tokens]
    assert reading.tokens[0].nats is None
    assert reading.totals.nats == pytest.approx(-loss(network, ids) * (len(ids) - 1), rel=1e-4)


def test_the_sum_of_score_is_target(shown):
    (choice,) = shown[0]["target"].choices
    (reading,) = shown[0]["context"].readings
    assert choice.options[0].nats == reading.totals.nats
    assert math.fsum(option.share for option in choice.options) == pytest.approx(1)


def test_a_minimal_pair_is_minicons_difference(shown, theirs):
    def logprob(text):
        return theirs.sequence_score([text], reduction=lambda x: x.sum().item())[0]

    (pair,) = shown[0]["pair"].pairs
    assert pair.difference == pytest.approx(logprob(PAIRS[0][0]) - logprob(PAIRS[0][1]), abs=1e-3)
    (judgement,) = shown[0]["file"].judgements
    expected = [logprob(good) - logprob(bad) for good, bad in PAIRS]
    assert [judged.nats for judged in judgement.judged] == pytest.approx(expected, abs=1e-3)
    assert judgement.accuracy.right == sum(difference > 0 for difference in expected)


def test_tokens_decode_and_their_bytes_are_the_texts(shown, tokenizer):
    (found,) = shown[0]["tok"].models
    assert list(found.ids) == tokenizer(found.text, add_special_tokens=False)["input_ids"]
    assert b"".join(found.pieces) == found.text.encode()
    assert found.round_trip and found.aligned


def test_the_last_row_of_the_lens_is_the_logits(shown, network):
    lens = shown[0]["lens"]
    with torch.inference_mode():
        lps = network(input_ids=torch.tensor([lens.ids])).logits[0].log_softmax(-1)
    last = lens.layers[-1]
    assert [cell.token for cell in last] == lps.argmax(-1).tolist()
    assert [cell.raw_lp for cell in last] == pytest.approx(lps.max(-1).values.tolist(), abs=1e-4)
    assert all(cell.kl == pytest.approx(0, abs=1e-6) for cell in last)
    ranks = [int((lps[at] > lps[at, lens.ids[at + 1]]).sum()) for at in range(len(lens.ids) - 1)]
    assert [cell.rank for cell in last] == [*ranks, None]


def test_the_diagonal_of_cross_is_each_models_own(shown):
    cross = shown[0]["cross"]
    answers = {x.model: x for x in shown[1]["both"] if x.prompt == "two hundred and five"}
    for at, model in enumerate(cross.models):
        (column,) = [n for n, answer in enumerate(cross.answers) if answer.model == model]
        own = math.fsum(step.raw_lp for step in answers[model].answer.steps)
        assert cross.cells[at][column].nats == pytest.approx(own, abs=1e-4)
        assert all(cell.bits_per_byte > 0 for cell in cross.cells[at])


def test_the_sum_of_p_over_the_length_is_fairseqs_h(shown):
    found = shown[0]["nbest"]
    assert len(found.candidates) == 4
    for candidate in found.candidates:
        assert candidate.search_mean == pytest.approx(candidate.native, abs=1e-4)
        assert candidate.raw_nats == pytest.approx(candidate.search_nats, abs=1e-3)
    assert found.candidates[0].text == "2 0 5"


def test_attention_sums_to_one_and_digits_look_at_their_words(shown):
    found = shown[0]["align"]
    assert all(math.fsum(row) == pytest.approx(1, abs=1e-3) for row in found.weights)
    pairs = {(found.source[s].strip(), found.target[t].strip()) for s, t in found.alignment}
    assert (b"two", b"2") in pairs and (b"five", b"5") in pairs


def test_pseudo_log_likelihood_is_minicons(shown, folder):
    masked = scorer.MaskedLMScorer(str(folder / "masked"), "cpu")
    masked.tokenizer.batch_encode_plus = masked.tokenizer.__call__  # its name until transformers 5
    expected = masked.sequence_score(["the cat sat on a mat"], reduction=lambda x: x.sum().item())[0]
    (reading,) = shown[0]["pll"].readings
    assert reading.totals.nats == pytest.approx(expected, abs=1e-3)


def test_gaps_and_labels_are_the_networks_own(shown, folder):
    def logits(name, kind, text):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder / name)
        network = getattr(transformers, f"BertFor{kind}").from_pretrained(folder / name).eval()
        with torch.inference_mode():
            return network(**tokenizer(text, return_tensors="pt")).logits[0]

    found = logits("masked", "MaskedLM", "the [MASK] sat on a mat")
    lps, ids = found[2].log_softmax(-1).sort(descending=True)
    (gaps,) = shown[0]["cloze"].models
    assert [option[0] for option in gaps.filled.gaps[0]] == ids[:5].tolist()
    assert [option[1] for option in gaps.filled.gaps[0]] == pytest.approx(lps[:5].tolist(), abs=1e-4)
    for labels in shown[0]["classify"].models:
        found = logits(labels.model, "SequenceClassification", "the cat sat")
        assert sorted(nats for _, nats in labels.labels) == pytest.approx(
            sorted(found.log_softmax(-1).tolist()), abs=1e-4
        )


def test_everything_can_be_drawn_narrow_and_wide(shown):
    for name, figure in shown[0].items():
        for width in (24, 80, 200):
            rows = figure.rows(width) if figure is not None else ()
            assert all("\x1b" not in span.text and "\n" not in span.text for row in rows for span in row), (
                name
            )


def test_steps_of_answers_carry_what_is_shown(shown):
    answer = next(x for x in shown[1]["ask"] if x.model == "digits")
    assert all(isinstance(step, Step) and step.raw_lp is not None for step in answer.answer.steps)
