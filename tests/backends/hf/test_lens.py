"""The logit lens against each family's own norm and head, taken by name here."""

import pytest

torch = pytest.importorskip("torch")

from repl.messages import Started
from tests.backends.hf.support import CAUSAL, RECURRENT, ask, request, run

TEXT = "the cat sat on the mat"
BY_HAND = {
    "gpt2": lambda net, h: net.lm_head(net.transformer.ln_f(h)),
    "llama": lambda net, h: net.lm_head(net.model.norm(h)),
    "qwen3": lambda net, h: net.lm_head(net.model.norm(h)),
    "gpt-neox": lambda net, h: net.lm_head(net.gpt_neox.final_layer_norm(h)),
    "opt": lambda net, h: net.lm_head(net.model.decoder.final_layer_norm(h)),
    "gemma2": lambda net, h: 30 * torch.tanh(net.lm_head(net.model.norm(h)) / 30),
    "mamba": lambda net, h: net.lm_head(net.backbone.norm_f(h)),
}


def lens(engine, prompt="", **fields):
    return run(engine, request(1, prompt, task="lens", **fields))[0]


def pass_over(network, ids):
    with torch.inference_mode():
        return network(input_ids=torch.tensor([list(ids)]), output_hidden_states=True, use_cache=False)


@pytest.mark.parametrize("kind", [*CAUSAL, *RECURRENT])
def test_the_last_layer_is_the_model_itself(kind, engine, network):
    reading = lens(engine(kind), TEXT).end.reading
    logits = pass_over(network(kind), reading.ids).logits[0].log_softmax(-1)
    last = reading.layers[-1]
    assert [cell.token for cell in last] == logits.argmax(-1).tolist()
    assert [cell.raw_lp for cell in last] == pytest.approx(logits.max(-1).values.tolist(), abs=1e-4)
    assert [cell.kl for cell in last] == pytest.approx([0] * len(last), abs=1e-6)


@pytest.mark.parametrize("kind", BY_HAND)
def test_earlier_layers_are_read_through_norm_and_head(kind, engine, network):
    reading = lens(engine(kind), TEXT).end.reading
    out = pass_over(network(kind), reading.ids)
    last = out.logits[0].log_softmax(-1)
    assert len(reading.layers) == len(out.hidden_states)
    for layer, state in zip(reading.layers[:-1], out.hidden_states, strict=False):
        with torch.inference_mode():
            lps = BY_HAND[kind](network(kind), state)[0].log_softmax(-1)
        assert [cell.token for cell in layer] == lps.argmax(-1).tolist()
        kl = (last.exp() * (last - lps)).sum(-1).tolist()
        assert [cell.kl for cell in layer] == pytest.approx(kl, abs=1e-4)
        ranks = [(row > row[token]).sum().item() for row, token in zip(lps, reading.ids[1:], strict=False)]
        assert [cell.rank for cell in layer] == [*ranks, None]


def test_it_reads_the_prompt_and_the_text_after_it(engine, tokenizer):
    whole = lens(engine("gpt2"), TEXT)
    parted = lens(engine("gpt2"), "the cat", target=" sat on the mat")
    assert parted.end.reading == whole.end.reading
    assert b"".join(whole.end.reading.pieces).decode() == TEXT
    alone = lens(engine("gpt2"), target="the cat")
    assert alone.end.reading.ids[0] == tokenizer.bos_token_id


def test_parts_of_bounded_size_change_nothing(engine, monkeypatch):
    whole = lens(engine("llama"), TEXT).end.reading
    monkeypatch.setattr("backends.hf.probes.lens._PART", 3 * 4 * 340)
    parted = lens(engine("llama"), TEXT).end.reading
    for a, b in zip(parted.layers, whole.layers, strict=True):
        assert [cell.rank for cell in a] == [cell.rank for cell in b]
        assert [cell.kl for cell in a] == pytest.approx([cell.kl for cell in b], abs=1e-5)


def test_streams_go_on_beside_it_and_it_can_be_stopped(engine):
    model = engine("llama")
    alone = ask(model, TEXT, max_new=12, min_new=12)
    beside, _ = run(model, request(1, TEXT, max_new=12, min_new=12), request(2, TEXT, task="lens"))
    assert beside.tokens == alone.tokens
    model.admit(request(3, TEXT, task="lens"))
    assert [type(event) for event in model.step()] == [Started]
    model.cancel(3)
    assert model.step() == []


def test_a_head_that_is_not_found_is_refused_by_name(engine, monkeypatch):
    monkeypatch.setattr("backends.hf.probes.lens._NORMS", ("somewhere",))
    error = lens(engine("gpt2"), TEXT).end.error
    assert error.kind == "unsupported" and "gpt2" in error.message and "norm" in error.message


def test_a_head_that_cannot_be_repeated_is_refused(engine, monkeypatch):
    """Its logits depend on more than the state."""
    head = engine("gpt2")._model.network.lm_head
    usual, calls = head.forward, []

    def moody(state):
        calls.append(state)
        return usual(state) * len(calls)

    monkeypatch.setattr(head, "forward", moody)
    error = lens(engine("gpt2"), TEXT).end.error
    assert error.kind == "unsupported" and "repeated" in error.message


def test_translation_models_have_none(engine):
    error = lens(engine("t5"), TEXT).end.error
    assert error.kind == "unsupported" and "lens" in error.message and "decoder-only" in error.hint
