"""Classifiers and masked models, against their networks and an independent library."""

import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minicons import scorer
from tokenizers import processors

from backends.base import BackendError, BatchingEngine
from backends.hf import HuggingFace
from repl.messages import ModelSpec, Started, Step
from tests.backends.hf import support
from tests.backends.hf.support import ask, request, run

TEXT = "the hat sat on a prompt, token by token"
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 66,
}
RARE = "the tokenwise hatting of thator"
"""Words of several pieces."""
LABELS = {0: "bad", 1: "fair", 2: "good"}
KINDS = {
    "bert": ("Bert", support.wordpiece, {"pad_token_id": 0}),
    "roberta": ("Roberta", support.byte_level, {"pad_token_id": 0}),
    "electra": ("Electra", support.wordpiece, {"pad_token_id": 0, "embedding_size": 32}),
}


def framed(tokenizer):
    """With ``<s> ... </s>`` round every text, and a mask token."""
    tokenizer.add_special_tokens({"mask_token": "[MASK]", "cls_token": "<s>", "sep_token": "</s>"})
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return tokenizer


def save(folder, name, tokenizer, config):
    torch.manual_seed(0)
    network = getattr(transformers, name)(config)
    for weight in network.parameters():
        if weight.dim() >= 2:
            weight.data.normal_(0, 0.2)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def load(folder, **spec):
    model = ModelSpec(name="tiny", backend="hf", path=str(folder), **spec)
    return HuggingFace.load(model, "cpu", 1, lambda stage, fraction: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``folder(kind, head)`` is a saved checkpoint."""
    folders = {}

    def of(kind, head, **more):
        key = (kind, head, json.dumps(more, default=str))
        if key not in folders:
            family, tokenizer, settings = KINDS[kind]
            tokenizer = framed(tokenizer())
            config = getattr(transformers, f"{family}Config")(
                vocab_size=len(tokenizer), **SIZES, **settings, **more
            )
            folders[key] = save(tmp_path_factory.mktemp(kind), f"{family}For{head}", tokenizer, config)
        return folders[key]

    return of


@pytest.fixture(scope="module")
def engines(folder):
    loaded = {}

    def of(kind, head, **more):
        key = (kind, head, json.dumps(more, default=str))
        if key not in loaded:
            loaded[key] = load(folder(kind, head, **more))
        return loaded[key]

    return of


def masked(engines, kind="bert"):
    return engines(kind, "MaskedLM")


def classifier(engines, kind="bert"):
    return engines(kind, "SequenceClassification", id2label=LABELS)


def one(engine, prompt="", **fields):
    return run(engine, request(1, prompt, **fields))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_and_their_probabilities_are_the_networks(kind, engines, folder):
    model = classifier(engines, kind)
    assert isinstance(model, BatchingEngine) and model.capabilities.kind == "classifier"
    assert model.capabilities.tasks == ("classify", "tokenize")
    heard = one(model, TEXT, task="classify")
    path = folder(kind, "SequenceClassification", id2label=LABELS)
    network = transformers.AutoModelForSequenceClassification.from_pretrained(path).eval()
    with torch.inference_mode():
        expected = network(torch.tensor([heard.started.prompt_ids])).logits[0].log_softmax(-1)
    found = dict(heard.end.reading.labels)
    assert [found[label] for label in LABELS.values()] == pytest.approx(expected.tolist(), abs=1e-4)
    assert heard.end.text == heard.end.reading.labels[0][0] == LABELS[expected.argmax().item()]
    assert sum(map(math.exp, found.values())) == pytest.approx(1) and heard.end.reading.exclusive
    assert not heard.steps and heard.end.reason == "done"
    assert len(heard.started.prompt_pieces) == len(heard.started.prompt_ids)


def test_labels_that_do_not_exclude_each_other(engines, folder):
    settings = {"id2label": LABELS, "problem_type": "multi_label_classification"}
    heard = one(engines("bert", "SequenceClassification", **settings), TEXT, task="classify")
    network = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder("bert", "SequenceClassification", **settings)
    ).eval()
    with torch.inference_mode():
        expected = network(torch.tensor([heard.started.prompt_ids])).logits[0].sigmoid().log()
    assert not heard.end.reading.exclusive
    found = dict(heard.end.reading.labels)
    assert [found[label] for label in LABELS.values()] == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize("settings", [{"num_labels": 1}, {"problem_type": "regression"}])
def test_a_regression_is_refused_in_words(settings, folder):
    with pytest.raises(BackendError) as caught:
        load(folder("bert", "SequenceClassification", **settings))
    assert caught.value.error.kind == "unsupported" and "regression" in caught.value.error.message


@pytest.mark.parametrize("pad", [0, None])
def test_a_decoder_that_classifies(pad, tmp_path, tokenizer):
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=4, n_positions=64, num_labels=3
    )
    config.pad_token_id = pad
    model = load(save(tmp_path, "GPT2ForSequenceClassification", tokenizer, config))
    assert bool(model.capabilities.notes) == (pad is None)
    texts = ("the cat", TEXT, "that was that")
    heard = run(model, *(request(i, text, task="classify") for i, text in enumerate(texts)))
    network = transformers.GPT2ForSequenceClassification.from_pretrained(tmp_path).eval()
    for each in heard:
        with torch.inference_mode():
            expected = network(torch.tensor([each.started.prompt_ids])).logits[0].log_softmax(-1)
        assert sorted(lp for _, lp in each.end.reading.labels) == pytest.approx(
            sorted(expected.tolist()), abs=1e-4
        )


@pytest.mark.parametrize("kind", KINDS)
def test_gaps_are_filled_with_what_the_network_finds_likely(kind, engines, folder):
    model = masked(engines, kind)
    assert model.capabilities.kind == "masked"
    heard = one(model, "the [MASK] sat on <mask> mat", task="fill", logprobs=3)
    reading = heard.end.reading
    network = transformers.AutoModelForMaskedLM.from_pretrained(folder(kind, "MaskedLM")).eval()
    ids = torch.tensor([heard.started.prompt_ids])
    mask = model._model.codec.tokenizer.mask_token_id
    with torch.inference_mode():
        lps = network(ids).logits[0][ids[0] == mask].log_softmax(-1)
    assert len(reading.gaps) == 2
    for gap, row in zip(reading.gaps, lps, strict=True):
        best = row.topk(3)
        assert [token for token, _, _ in gap] == best.indices.tolist()
        assert [lp for _, lp, _ in gap] == pytest.approx(best.values.tolist(), abs=1e-4)
    assert len(reading.texts) == 3 and heard.end.text == reading.texts[0]
    assert "[MASK]" not in reading.texts[0] and "sat on" in reading.texts[0]
    assert len(one(model, "a [MASK]", task="fill").end.reading.gaps[0]) == 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", ["original", "within_word_l2r"])
def test_pseudo_likelihoods_agree_with_minicons(kind, metric, engines, folder):
    path = folder(kind, "MaskedLM")
    theirs = scorer.MaskedLMScorer(str(path), "cpu")
    theirs.tokenizer.batch_encode_plus = theirs.tokenizer.__call__  # its name until transformers 5
    model = masked(engines, kind)
    if metric == "within_word_l2r":
        model = load(path, options={"within_word": True})
    heard = one(model, target=TEXT, task="score", logprobs=2, distributions=True)
    expected = theirs.sequence_score([TEXT], reduction=lambda x: x.sum().item(), PLL_metric=metric)
    assert sum(step.raw_lp for step in heard.steps) == pytest.approx(expected[0], abs=1e-3)
    assert all(step.forced and len(step.top) == 2 for step in heard.steps)
    assert heard.text == heard.end.text
    for step in heard.steps:
        row = np.frombuffer(step.distribution, dtype="<f4")
        assert row[step.token] == pytest.approx(step.raw_lp, abs=1e-5)
        assert step.rank == (row > row[step.token]).sum()


def test_within_word_differs_where_words_have_pieces(folder):
    path = folder("bert", "MaskedLM")
    plain, strict = (
        one(load(path, options={"within_word": on}), target=RARE, task="score") for on in (False, True)
    )
    assert plain.tokens == strict.tokens
    pieces = [step.piece for step in plain.steps]
    inner = [i for i in range(len(pieces) - 1) if not pieces[i + 1].startswith(b" ")]
    differ = [
        i for i, (a, b) in enumerate(zip(plain.steps, strict.steps, strict=True)) if a.raw_lp != b.raw_lp
    ]
    assert differ and set(differ) <= set(inner)


def test_a_text_after_another_is_scored_alone(engines):
    model = masked(engines)
    whole = one(model, target="the cat sat on the mat", task="score")
    parted = one(model, "the cat", target=" sat on the mat", task="score")
    assert [s.token for s in parted.steps] == whole.tokens[-len(parted.steps) :]
    assert [s.raw_lp for s in parted.steps] == pytest.approx(
        [s.raw_lp for s in whole.steps][-len(parted.steps) :], abs=1e-4
    )
    again = one(model, target_ids=tuple(whole.tokens), task="score")
    assert [s.raw_lp for s in again.steps] == [s.raw_lp for s in whole.steps]


def test_numbers_on_the_exact_lane_do_not_depend_on_what_runs_beside(engines):
    model = masked(engines)
    alone = one(model, target=TEXT, task="score", lane="exact")
    assert alone.end.batch == 1
    busy = [request(i, "", target="the cat " * i, task="score") for i in range(2, 9)]
    mine, *others = run(model, request(1, "", target=TEXT, task="score", lane="exact"), *busy)
    assert mine.steps == alone.steps
    assert all(other.end.reason == "done" for other in others)
    assert max(other.end.batch for other in others) > 1


def test_it_can_be_stopped_between_two_rows(engines):
    model = masked(engines)
    model.admit(request(1, "", target=TEXT, task="score", lane="exact"))
    model.admit(request(2, "", target="the cat", task="score"))
    assert {type(event) for event in model.step() if event.id == 1} == {Started, Step}
    model.cancel(1)
    heard = []
    while events := model.step():
        heard += [event for event in events if isinstance(event, Step)]
    assert [event.id for event in heard] == [2] * len(heard) and heard


def test_what_they_cannot_do_says_what_they_can(engines):
    for model, word in ((masked(engines), "/cloze"), (classifier(engines), "/classify")):
        error = ask(model, TEXT).end.error
        assert error.kind == "unsupported" and "generate" in error.message and word in error.hint


def test_faults_name_themselves_and_neighbours_go_on(engines):
    model = masked(engines)
    gapless, long, strange, empty, good = run(
        model,
        request(1, "no gap", task="fill"),
        request(2, "z" * 300 + " [MASK]", task="fill"),
        request(3, "", target_ids=(5, 99_999), task="score"),
        request(4, "", task="score"),
        request(5, "the [MASK]", task="fill"),
    )
    assert gapless.end.error.kind == "bad_parameter" and "[MASK]" in gapless.end.error.hint
    assert strange.end.error.kind == "bad_parameter" and "99999" in strange.end.error.message
    assert empty.end.error.kind == "empty_prompt"
    assert good.end.reading.texts
    assert long.end.reason == "done" or long.end.error.kind == "prompt_too_long"


def test_texts_too_long_are_refused_or_cut(engines):
    model = masked(engines, "roberta")
    assert model.capabilities.max_prompt == 65
    words = "早" * 40 + "[MASK]"
    assert one(model, words, task="fill").end.error.kind == "prompt_too_long"
    cut = one(model, words, task="fill", truncate="left")
    assert len(cut.started.prompt_ids) == 65 and cut.started.truncated == 123 - 65
    assert len(cut.end.reading.gaps) == 1
    assert one(model, words, task="fill", truncate="right").end.error.kind == "prompt_too_long"


def test_they_tokenize(engines):
    reading = one(masked(engines), TEXT, task="tokenize").end.reading
    assert b"".join(reading.pieces).decode().replace(" ,", ",").strip() == TEXT
    assert not any(reading.unknown)


def test_out_of_memory_reads_rows_one_by_one(engines, monkeypatch):
    model = masked(engines)
    alone = one(model, target=TEXT, task="score", lane="exact")
    network = model._model.network
    usual = network.forward

    def small(input_ids, **kwargs):
        if len(input_ids) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return usual(input_ids=input_ids, **kwargs)

    monkeypatch.setattr(network, "forward", small)
    heard = one(model, target=TEXT, task="score")
    assert heard.steps == alone.steps
