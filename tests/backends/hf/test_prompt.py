"""What the model is fed: templates, histories, truncation, and the errors in words."""

import pytest

pytest.importorskip("torch")

from repl.messages import Message
from tests.backends.hf import support
from tests.backends.hf.support import TEMPLATE, ask, build

HISTORY = (
    Message("system", "be brief"),
    Message("user", "the cat"),
    Message("assistant", "sat on the mat"),
)


@pytest.fixture(scope="module")
def chat(tmp_path_factory, load):
    """An engine with a chat template; its tokenizer puts ``<s>`` before raw text."""
    from tokenizers import processors

    folder = tmp_path_factory.mktemp("chat")
    tokenizer = support.byte_level()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    tokenizer.chat_template = "{{ bos_token }}" + TEMPLATE
    build("llama", len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load(folder)


def test_chat_template_with_history_and_one_beginning_token(chat):
    assert chat.capabilities.chat
    started = ask(chat, "that hat", history=HISTORY).started
    assert started.prompt_text == (
        "<s><|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nthe cat<|im_end|>\n"
        "<|im_start|>assistant\nsat on the mat<|im_end|>\n<|im_start|>user\nthat hat<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert started.prompt_ids.count(1) == 1 and started.prompt_ids[0] == 1


def test_without_template_the_raw_line_is_sent(chat):
    started = ask(chat, "that hat", history=HISTORY, template=False).started
    assert started.prompt_text == "that hat" and started.prompt_ids.count(1) == 1


def test_an_empty_prompt_begins_with_the_beginning_token(chat, engine):
    assert ask(chat, "", template=False).started.prompt_ids == (1,)
    assert ask(engine("gpt2"), "").started.prompt_ids == (1,)


def test_an_empty_prompt_to_a_model_without_one_is_an_error(tmp_path, tokenizer, load):
    bare = support.byte_level()
    bare.bos_token = None
    build("gpt2", len(tokenizer)).save_pretrained(tmp_path)
    bare.save_pretrained(tmp_path)
    error = ask(load(tmp_path), "").end.error
    assert error.kind == "empty_prompt" and "'tiny'" in error.message


def test_a_template_that_refuses_is_told_in_its_own_words(chat):
    error = ask(chat, "x", history=(Message("system", "refuse"),)).end.error
    assert error.kind == "unsupported" and "no such system prompt" in error.message


def test_prompt_template_of_the_configuration(load, checkpoint):
    engine = load(checkpoint("gpt2"), prompt_template="Q: {prompt}\nA:")
    assert ask(engine, "the {cat}").started.prompt_text == "Q: the {cat}\nA:"


def test_a_prompt_too_long_says_how_long_and_what_to_do(engine):
    heard = ask(engine("gpt2"), "早" * 100)
    error = heard.end.error
    assert error.kind == "prompt_too_long" and heard.started is None
    assert "300 tokens" in error.message and "128 at most" in error.message
    assert "/set truncate left" in error.hint


@pytest.mark.parametrize(("side", "kept"), [("left", "z"), ("right", "a")])
def test_truncation_keeps_the_chosen_side_and_room_for_the_answer(side, kept, chat):
    heard = ask(chat, "a" * 200 + "z" * 200, template=False, truncate=side, max_new=28)
    ids = heard.started.prompt_ids
    assert len(ids) == 101 and ids[0] == 1
    assert heard.started.truncated == 401 - 101
    assert set(heard.started.prompt_text.removeprefix("<s>")) == {kept}
    assert heard.end.reason in ("length", "eos") and len(heard.tokens) <= 28


def test_a_prompt_that_fits_is_left_alone(engine):
    heard = ask(engine("gpt2"), "a" * 120, truncate="left", max_new=50)
    assert heard.started.truncated == 0 and len(heard.tokens) == 9
    assert heard.end.reason == "length"
    assert heard.started.notes == ("max_new is 9 here: the model has 128 positions",)


def test_the_longest_prompt_still_gets_one_token(engine, network):
    heard = ask(engine("gpt2"), "a" * 128)
    assert len(heard.tokens) == 1
    assert [heard.tokens] == support.reference(
        network("gpt2"), list(heard.started.prompt_ids), max_new_tokens=1
    )


def test_a_conversation_loses_its_oldest_turns_first(chat):
    turns = [HISTORY[0]]
    for i in range(4):
        turns += [Message("user", f"{i}" * 20), Message("assistant", "x" * 20)]
    started = ask(chat, "last", history=tuple(turns), truncate="left", max_new=10).started
    assert "system\nbe brief" in started.prompt_text and "last" in started.prompt_text
    assert "0000" not in started.prompt_text and "3333" in started.prompt_text
    assert started.truncated > 0 and any("oldest turns" in note for note in started.notes)


def test_the_encoder_has_a_limit_of_its_own(engine):
    assert engine("bart").capabilities.max_prompt == 64 and engine("t5").capabilities.max_prompt is None
    assert ask(engine("bart"), "z" * 70).end.error.kind == "prompt_too_long"
    cut = ask(engine("bart"), "z" * 70, truncate="right")
    assert len(cut.started.prompt_ids) == 64 and cut.end.reason in ("length", "eos")
    assert ask(engine("t5"), "z" * 300).end.reason in ("length", "eos")
    long = ask(engine("bart"), "the cat", max_new=500, min_new=500)
    assert len(long.tokens) == 64


def test_a_prefix_is_tokenised_as_it_stands_in_the_text(engine, tokenizer):
    heard = ask(engine("gpt2"), "the c", prefix="at sat", max_new=8)
    assert heard.text.startswith("at sat") and heard.end.text.startswith("at sat")
    assert any(step.forced for step in heard.steps) and not heard.steps[-1].forced
    seq2seq = ask(engine("t5"), "the cat", prefix="that", max_new=8)
    assert seq2seq.end.text.startswith("that")


def test_a_prefix_longer_than_the_answer_may_be_is_an_error(engine):
    error = ask(engine("gpt2"), prefix="the cat sat on the mat", max_new=3).end.error
    assert error.kind == "prompt_too_long" and "3 at most" in error.message


def test_a_tokenizer_of_another_model_is_found_out(tmp_path, tokenizer, load):
    build("gpt2", 300).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    error = ask(load(tmp_path), "writes answer token").end.error
    assert error.kind == "not_a_checkpoint" and "300 embeddings" in error.message
