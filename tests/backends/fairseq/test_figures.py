"""What is told of each token, and what fairseq itself lacks, against direct computation."""

from tests.backends.fairseq.support import (
    FIRST,
    Library,
    Told,
    assert_same,
    events,
    load,
    request,
    together,
    write_model,
)

# isort: split
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from backends.fairseq.engine import FairseqEngine
from repl.messages import Failed


def full_pass(library: Library, prompt: str, answer: list[int]) -> torch.Tensor:
    """log_softmax of the logits before each token of ``answer``, by one pass over the whole of it."""
    (network,) = library.networks
    dictionary = library.task.source_dictionary
    if hasattr(network, "encoder"):
        source = dictionary.encode_line(prompt, add_if_not_exist=False).long()[None]
        before = torch.tensor([[2, *answer[:-1]]])
        logits = network(source, torch.tensor([source.shape[1]]), before)[0]
    else:
        ids = dictionary.encode_line(prompt, add_if_not_exist=False, append_eos=False).tolist()
        logits = network(torch.tensor([[2, *ids, *answer[:-1]]]))[0][:, len(ids) :]
    return torch.log_softmax(logits[0].detach().float(), -1)


@pytest.mark.parametrize("kind", ["seq2seq", "causal"])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"beam": 4},
        {"temperature": 0.7, "seed": 3, "top_p": 0.8},
        {"beam": 2, "temperature": 2.0, "unkpen": 1},
    ],
    ids=str,
)
def test_figures_are_those_of_a_full_forward_pass(
    kind: str,
    params: dict[str, Any],
    engine: FairseqEngine,
    library: Library,
    causal: FairseqEngine,
    causal_library: Library,
) -> None:
    if kind == "causal":
        engine, library = causal, causal_library
    told = Told(engine, request(FIRST, logprobs=4, max_new=8, **params))
    raw = full_pass(library, FIRST, told.tokens)
    for step, row in zip(told.steps, raw, strict=True):
        assert step.raw_lp == pytest.approx(float(row[step.token]), abs=1e-4)
        assert step.rank == int((row > row[step.token]).sum())
        assert step.entropy == pytest.approx(float(-(row.exp() * row).sum()), abs=1e-3)
        values, ids = row.topk(4)
        assert [token for token, _, _ in step.top] == ids.tolist()
        assert [lp for _, lp, _ in step.top] == pytest.approx(values.tolist(), abs=1e-4)
        assert [piece for _, _, piece in step.top] == [engine._model.codec.pieces[i] for i in ids.tolist()]


def test_what_was_drawn_from_is_renormalised_after_the_cut(engine: FairseqEngine, library: Library) -> None:
    told = Told(engine, request(FIRST, temperature=0.9, top_k=3, seed=4))
    raw = full_pass(library, FIRST, told.tokens) / 0.9
    raw[:, 1] = raw[0, 2] = -torch.inf  # padding, and an end at once, are never drawn
    for step, row in zip(told.steps, raw, strict=True):
        kept = row.topk(3).values
        assert step.proc_lp == pytest.approx(float(row[step.token] - kept.logsumexp(0)), abs=1e-4)


# -- what fairseq lacks ------------------------------------------------------------------------------------


def by_hand(library: Library, prompt: str, size: int, length: int) -> list[int]:
    """Greedy decoding without cache that never completes an n-gram twice."""
    answer: list[int] = []
    while len(answer) < length:
        row = full_pass(library, prompt, [*answer, 0])[-1]
        row[1] = -torch.inf
        if not answer:
            row[2] = -torch.inf
        seen = {tuple(answer[i : i + size]) for i in range(len(answer) - size + 1)}
        for token in range(len(row)):
            if tuple([*answer, token][-size:]) in seen:
                row[token] = -torch.inf
        answer.append(int(row.argmax()))
        if answer[-1] == 2:
            break
    return answer


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_n_gram_comes_twice(engine: FairseqEngine, library: Library, size: int) -> None:
    free = Told(engine, request(FIRST)).tokens
    told = Told(engine, request(FIRST, no_repeat_ngram=size))
    assert told.tokens == by_hand(library, FIRST, size, 12) != free
    for beam in Told(engine, request(FIRST, no_repeat_ngram=size, beam=4, n=4)).finished.hypotheses:
        grams = [beam.tokens[i : i + size] for i in range(len(beam.tokens) - size + 1)]
        assert len(grams) == len(set(grams))


def test_a_language_models_prompt_counts_as_said(causal: FairseqEngine) -> None:
    told = Told(causal, request("w1 w2 w3 w4", no_repeat_ngram=1, max_new=6))
    assert not set(told.tokens) & set(told.started.prompt_ids)


def test_forbidding_everything_is_an_error(tmp_path: Path) -> None:
    engine = load(write_model(tmp_path, symbols=["a", "b"]))
    *_, last = events(engine, request("a", no_repeat_ngram=1, min_new=10))
    assert isinstance(last, Failed)
    assert last.error.kind == "bad_parameter" and last.error.hint.startswith(
        "lower no_repeat_ngram or min_new"
    )


@pytest.mark.parametrize(
    "params", [{}, {"beam": 4, "n": 4}, {"temperature": 1.0, "seed": 1, "n": 2}], ids=str
)
def test_a_stop_string_ends_every_hypothesis_that_has_it(
    engine: FairseqEngine, params: dict[str, Any]
) -> None:
    free = Told(engine, request(FIRST, **params)).finished.hypotheses[0].text
    stop = " ".join(free.split()[2:4])
    told = Told(engine, request(FIRST, stop=(stop, "never"), **params))
    for hypothesis in told.finished.hypotheses:
        assert stop not in hypothesis.text
        ids = [token for token in hypothesis.tokens if token != 2]
        assert stop not in engine._model.codec.text(ids[:-1])
    if not params:
        assert told.finished.reason == "stop"
        assert told.finished.text == free[: free.index(stop)] == told.text
        assert told.finished.hypotheses[0].raw_text == free[: free.index(stop) + len(stop)]


def test_a_forced_beginning_is_marked_and_scored(engine: FairseqEngine, library: Library) -> None:
    for beam in (1, 4):
        told = Told(engine, request(FIRST, prefix="w5 w6", beam=beam, n=beam))
        assert_same(told, library.generate(FIRST, prefix="w5 w6", beam=beam, max_len_b=12)[0])
        assert told.text.startswith("w5 w6 ")
        assert [step.forced for step in told.steps] == [True, True] + [False] * (len(told.steps) - 2)


def test_a_broken_off_answer_goes_on_where_it_was(engine: FairseqEngine) -> None:
    for params in ({}, {"temperature": 1.2, "seed": 8}):
        asked = request(FIRST, **params)
        whole = Told(engine, asked)
        again = Told(engine, msgspec.structs.replace(asked, resume=tuple(whole.tokens[:4])))
        assert again.tokens == whole.tokens
        assert again.finished.text == whole.finished.text


@pytest.mark.parametrize("prompt", ["w1 </s> w2", "</s>", "w1 </s> </s> w2 w5", "w1 </s>"])
@pytest.mark.parametrize("beam", [1, 3])
def test_an_end_token_in_a_prompt_does_not_end_the_answer(
    causal: FairseqEngine, causal_library: Library, prompt: str, beam: int
) -> None:
    told = Told(causal, request(prompt, beam=beam, n=beam, max_new=6, logprobs=1))
    assert list(told.started.prompt_ids) == [
        causal_library.task.source_dictionary.index(word) for word in prompt.split()
    ]
    raw = full_pass(causal_library, prompt, told.tokens)
    assert [step.raw_lp for step in told.steps] == pytest.approx(
        [float(row[step.token]) for step, row in zip(told.steps, raw, strict=True)], abs=1e-4
    )
    whole = [*told.started.prompt_ids, *told.finished.hypotheses[0].tokens]
    (network,) = causal_library.networks
    logits = network(torch.tensor([[2, *whole[:-1]]]))[0][0]
    scores = logits.detach().log_softmax(-1).gather(1, torch.tensor(whole)[:, None])
    assert told.finished.hypotheses[0].score == pytest.approx(float(scores.mean()), abs=1e-4)
    together_with = together(
        causal, [request(p, number=i, max_new=6, beam=beam) for i, p in enumerate((prompt, FIRST))]
    )
    assert Told.of(together_with[0]).tokens == told.tokens


def test_padding_in_a_prompt_is_refused(causal: FairseqEngine, engine: FairseqEngine) -> None:
    for model in (causal, engine):
        *_, last = events(model, request("w1 <pad> w2"))
        assert isinstance(last, Failed) and "<pad>" in last.error.message


def biased(library: Library, prompt: str, change: Any, length: int = 12) -> list[int]:
    """Greedy decoding without cache; ``change`` alters the logits after an answer."""
    answer: list[int] = []
    while len(answer) < length:
        row = full_pass(library, prompt, [*answer, 0])[-1]
        row[1] = -torch.inf
        if not answer:
            row[2] = -torch.inf
        change(answer, row)
        answer.append(int(row.argmax()))
        if answer[-1] == 2:
            break
    return answer


def test_words_are_banned_and_biased(engine: FairseqEngine, library: Library) -> None:
    free = Told(engine, request(FIRST)).tokens
    words = [engine._model.codec.raw([token]) for token in free]

    def ban(answer: list[int], row: torch.Tensor) -> None:
        row[free[0]] = -torch.inf
        if answer[-1:] == [free[2]]:
            row[free[3]] = -torch.inf
        row[9] += 4

    params = {"ban": (words[0], f"{words[2]} {words[3]}"), "logit_bias": ("w5=3", "#9=1")}
    told = Told(engine, request(FIRST, **params))
    assert told.tokens == biased(library, FIRST, ban) != free
    for beam in Told(engine, request(FIRST, beam=4, n=4, **params)).finished.hypotheses:
        assert free[0] not in beam.tokens


def test_what_is_written_is_penalised(engine: FairseqEngine, library: Library) -> None:
    def penalise(answer: list[int], row: torch.Tensor) -> None:
        for token in set(answer):
            row[token] -= 0.7 + 0.4 * answer.count(token)

    told = Told(engine, request(FIRST, presence_penalty=0.7, frequency_penalty=0.4))
    assert told.tokens == biased(library, FIRST, penalise) != Told(engine, request(FIRST)).tokens
    # Drawn from logits that temperature has divided, the penalties are divided too.
    hot = request(FIRST, presence_penalty=0.7, temperature=2.0, seed=3)
    step = Told(engine, hot).steps[3]
    answer = Told(engine, hot).tokens
    row = full_pass(library, FIRST, answer)[3] / 2
    row[1] = -torch.inf
    for token in set(answer[:3]):
        row[token] -= 0.35
    assert step.proc_lp == pytest.approx(float(row.log_softmax(-1)[answer[3]]), abs=1e-4)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"ban": ("Paris",)}, "ban: 'Paris' is not in the dictionary"),
        ({"logit_bias": ("#99=1",)}, "logit_bias: there is no token #99; this model has 24"),
        ({"ban": ("</s>",)}, "would never end"),
    ],
)
def test_words_it_has_not_are_named(engine: FairseqEngine, params: dict[str, Any], said: str) -> None:
    *_, last = events(engine, request(FIRST, **params))
    assert isinstance(last, Failed)
    assert last.error.kind == "bad_parameter" and said in last.error.message and last.error.hint
