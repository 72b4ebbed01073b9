"""Attention over the source, against the network's own."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.backends.hf.support import SEQ2SEQ, ask, request, run

SOURCE = "the cat sat on the mat"
SILENT = tuple(map(int, transformers.__version__.split(".")[:2])) < (5, 20)
tells = pytest.mark.skipif(SILENT, reason="T5 tells its cross-attention from transformers 5.20 on")
TELLING = [pytest.param(kind, marks=tells) if kind == "t5" else kind for kind in SEQ2SEQ]


def expected(network, start, source, tokens):
    """By transformers alone, in its eager implementation."""
    usual = network.config._attn_implementation
    network.set_attn_implementation("eager")
    with torch.inference_mode():
        out = network(
            input_ids=torch.tensor([list(source)]),
            decoder_input_ids=torch.tensor([[start, *tokens[:-1]]]),
            output_attentions=True,
        )
    network.set_attn_implementation(usual)
    return out.cross_attentions[-1][0].mean(0)


@pytest.mark.parametrize("kind", TELLING)
@pytest.mark.parametrize("settings", [{}, {"beam": 3, "n": 2}, {"n": 2, "temperature": 1.0, "seed": 1}])
def test_each_hypothesis_tells_what_it_attended_to(kind, settings, engine, network):
    heard = ask(engine(kind), SOURCE, attention=True, max_new=6, **settings)
    plain = ask(engine(kind), SOURCE, max_new=6, **settings)
    assert heard.tokens == plain.tokens and not plain.started.prompt_pieces
    assert len(heard.end.hypotheses) == settings.get("n", 1)
    assert heard.end.hypotheses[0].tokens == tuple(heard.tokens)
    assert heard.end.hypotheses[0].text == heard.end.text
    source = heard.started.prompt_ids
    assert len(heard.started.prompt_pieces) == len(source)
    start = network(kind).config.decoder_start_token_id
    for found in heard.end.hypotheses:
        wanted = expected(network(kind), start, source, found.tokens)
        assert torch.tensor(found.attention) == pytest.approx(wanted, abs=1e-5)
        assert [sum(row) for row in found.attention] == pytest.approx([1] * len(found.tokens), abs=1e-4)


@tells
def test_a_scored_translation_tells_it_too(engine, network):
    heard = run(engine("t5"), request(1, SOURCE, task="score", target="that was", attention=True))[0]
    (found,) = heard.end.hypotheses
    wanted = expected(network("t5"), 0, heard.started.prompt_ids, heard.tokens)
    assert torch.tensor(found.attention) == pytest.approx(wanted, abs=1e-5)


def test_a_model_without_a_source_refuses_and_its_neighbours_go_on(engine):
    alone = ask(engine("llama"), SOURCE)
    refused, beside = run(engine("llama"), request(1, SOURCE, attention=True), request(2, SOURCE))
    assert refused.end.error.kind == "unsupported" and "decoder-only" in refused.end.error.message
    assert beside.tokens == alone.tokens


def test_a_network_that_tells_nothing_is_named(engine, network, monkeypatch):
    loaded = network("bart")
    forward = type(loaded).forward

    def silent(self, *args, **settings):
        out = forward(self, *args, **settings)
        out["cross_attentions"] = ()
        return out

    monkeypatch.setattr(type(loaded), "forward", silent)
    failed = ask(engine("bart"), SOURCE, attention=True, max_new=3)
    assert failed.end.error.kind == "unsupported" and "does not tell" in failed.end.error.message


def test_a_failure_costs_the_asker_alone(engine, monkeypatch):
    def starved(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    alone = ask(engine("t5"), SOURCE)
    monkeypatch.setattr("backends.hf.probes.attention.attention", starved)
    asker, beside = run(engine("t5"), request(1, SOURCE, attention=True), request(2, SOURCE))
    assert asker.end.error.kind == "out_of_memory" and beside.tokens == alone.tokens


def test_an_answer_without_tokens_has_no_rows(engine):
    model = engine("bart")
    model.admit(request(1, SOURCE, attention=True))
    model.step()
    model.cancel(1)
    assert model.step() == [] and not model._attentive._asked
