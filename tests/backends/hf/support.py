"""Tiny random models of many kinds, and a driver that checks the engine's protocol while it runs."""

import json
import shutil
import threading
from collections import defaultdict
from dataclasses import dataclass, field

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from backends.base import BackendError
from repl.messages import Failed, Finished, Request, Rewound, Started, Step
from repl.params import Params

TEXT = [
    "the cat sat on the mat with the hat and that was that",
    "a model reads a prompt and writes an answer, token by token",
    "zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich",
    "早上好，世界。 Привет, мир! 👋🏽 naïve café",
]
REPETITIVE = "the cat sat on the mat and " * 4
SETTINGS = {
    "greedy": {},
    "sampled": {"temperature": 0.6, "seed": 3},
    "narrowed": {"temperature": 1.0, "seed": 4, "top_k": 5, "top_p": 0.9, "min_p": 0.01},
    "penalties": {"repetition_penalty": 1.05, "presence_penalty": 0.2, "frequency_penalty": 0.1},
    "ngrams": {"no_repeat_ngram": 6},
    "bounds": {"min_new": 20, "max_new": 25},
    "alternatives": {"logprobs": 3, "temperature": 0.4, "seed": 5},
    "prefix": {"prefix": "the cat sat on"},
    "banned": {"ban": ("#76",), "logit_bias": ("#300=2.5",)},
}
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'system' and m['content'] == 'refuse' %}"
    "{{ raise_exception('no such system prompt') }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_level(size=340):
    """As GPT-2, Llama 3 and Qwen have it."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tok.train_from_iterator(TEXT * 20, trainer)
    return wrap(tok)


def byte_fallback():
    """As Llama 2 and Gemma have it: SentencePiece with ``▁`` and bytes for what it does not know."""
    tok = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tok.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)],
        show_progress=False,
    )
    tok.train_from_iterator(TEXT[:2] * 20, trainer)
    # Bytes are ordinary entries of the vocabulary, not special tokens.
    data = json.loads(tok.to_str())
    data["added_tokens"] = [entry for entry in data["added_tokens"] if entry["content"] in SPECIAL]
    return wrap(Tokenizer.from_str(json.dumps(data)))


def metaspace():
    """As T5 has it: a unigram model with ``▁`` before each word."""
    tok = Tokenizer(models.Unigram())
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    tok.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    tok.train_from_iterator(TEXT * 20, trainer)
    return wrap(tok)


def wordpiece():
    """As BERT has it."""
    tok = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    tok.train_from_iterator(TEXT * 20, trainer)
    return wrap(tok)


def suffix():
    """As GPT-1 and FSMT have it: byte pairs with a mark at the end of words."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.decoder = decoders.BPEDecoder(suffix="</w>")
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, end_of_word_suffix="</w>", show_progress=False
    )
    tok.train_from_iterator(TEXT * 20, trainer)
    return wrap(tok)


def wrap(tok, **kwargs):
    """The fast tokenizer transformers would load."""
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tok,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        **kwargs,
    )


def _decoder(name, **config):
    base = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
    }
    return (f"{name}Config", f"{name}ForCausalLM", base | config)


def _gpt(prefix, model, **config):
    return (f"{prefix}Config", model, config)


MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
CAUSAL = {
    "gpt2": _gpt("GPT2", "GPT2LMHeadModel", n_embd=32, n_layer=2, n_head=4, n_positions=128),
    "opt": _gpt(
        "OPT",
        "OPTForCausalLM",
        hidden_size=32,
        num_hidden_layers=2,
        ffn_dim=64,
        num_attention_heads=4,
        max_position_embeddings=128,
        word_embed_proj_dim=32,
    ),
    "gpt-neox": _gpt(
        "GPTNeoX",
        "GPTNeoXForCausalLM",
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=64,
        num_attention_heads=4,
        max_position_embeddings=128,
    ),
    "bloom": _gpt("Bloom", "BloomForCausalLM", hidden_size=32, n_layer=2, n_head=4),
    "llama": _decoder("Llama"),
    "qwen3": _decoder("Qwen3", head_dim=8),
    "mistral-window": _decoder("Mistral", sliding_window=9, head_dim=8),
    "gemma2": _decoder("Gemma2", sliding_window=9, head_dim=8),
    "phi3": _decoder("Phi3"),
    "qwen3-moe": _decoder("Qwen3Moe", head_dim=8, **MOE),
    "deepseek-mla": _decoder(
        "DeepseekV3",
        num_key_value_heads=4,
        n_routed_experts=4,
        n_group=1,
        topk_group=1,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
        first_k_dense_replace=1,
    ),
}
RECURRENT = {
    "mamba": _gpt("Mamba", "MambaForCausalLM", hidden_size=32, num_hidden_layers=2),
    "mamba2": _gpt(
        "Mamba2",
        "Mamba2ForCausalLM",
        hidden_size=32,
        num_hidden_layers=2,
        num_heads=8,
        head_dim=8,
        n_groups=1,
        state_size=8,
    ),
    "qwen3-next": _decoder(
        "Qwen3Next",
        head_dim=8,
        shared_expert_intermediate_size=32,
        linear_num_value_heads=4,
        linear_num_key_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        layer_types=["linear_attention", "full_attention"],
        **MOE,
    ),
}
SEQ2SEQ = {
    "t5": _gpt(
        "T5",
        "T5ForConditionalGeneration",
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
    ),
    "marian": _gpt(
        "Marian",
        "MarianMTModel",
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=64,
        decoder_start_token_id=0,
        forced_eos_token_id=2,
    ),
    "bart": _gpt(
        "Bart",
        "BartForConditionalGeneration",
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=64,
        decoder_start_token_id=2,
        forced_bos_token_id=1,
        forced_eos_token_id=2,
    ),
}
KINDS = CAUSAL | RECURRENT | SEQ2SEQ


def build(kind, vocab, seed=0):
    """A random model whose answers vary: weights are drawn wide enough for the context to matter."""
    config, model, settings = KINDS[kind]
    torch.manual_seed(seed)
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    network = getattr(transformers, model)(
        getattr(transformers, config)(vocab_size=vocab, **tokens, **settings)
    )
    for name in ("forced_bos_token_id", "forced_eos_token_id"):
        setattr(network.generation_config, name, settings.get(name))
    for weight in network.parameters():
        if weight.dim() >= 2:
            weight.data.normal_(0, 0.2)
    return network.eval()


@dataclass
class Heard:
    """The events of one request."""

    started: Started | None = None
    steps: list[Step] = field(default_factory=list)
    rewinds: int = 0
    end: Finished | Failed | None = None

    @property
    def tokens(self):
        return [step.token for step in self.steps]

    @property
    def text(self):
        return "".join(step.text for step in self.steps)

    def hear(self, event):
        assert self.end is None, f"{event} after the end"
        match event:
            case Started():
                assert self.started is None and not self.steps
                self.started = event
            case Step():
                assert event.index == len(self.steps)
                self.steps.append(event)
            case Rewound():
                assert event.keep < len(self.steps)
                del self.steps[event.keep :]
                self.rewinds += 1
            case Finished():
                assert self.started is not None and event.text.startswith(self.text)
                self.end = event
            case Failed():
                self.end = event


def request(number, prompt="the cat", **settings):
    """A request; names of parameters among the settings go into ``params``."""
    params = {name: settings.pop(name) for name in list(settings) if name in Params.__struct_fields__}
    return Request(
        id=number, model="tiny", prompt=prompt, params=Params(**{"max_new": 12} | params), **settings
    )


def run(engine, *requests, gap=0):
    """Admit the requests, one every ``gap`` steps, and step until all have ended: what was heard of each."""
    heard = defaultdict(Heard)
    waiting = list(requests)
    steps = 0
    while waiting or any(heard[r.id].end is None for r in requests):
        while waiting and (not gap or steps % gap == 0):
            engine.admit(waiting.pop(0))
            if gap:
                break
        for event in engine.step():
            heard[event.id].hear(event)
        steps += 1
        assert steps < 2000, "the engine does not come to an end"
    assert not engine.step()
    return [heard[r.id] for r in requests]


def ask(engine, prompt="the cat", **settings):
    """One request, alone."""
    return run(engine, request(1, prompt, **settings))[0]


def prepared(engine):
    """The engine, once all that it does in the background is done."""
    woken = threading.Event()
    engine.attend(woken.set)
    while engine.preparing:
        assert woken.wait(300), "nothing gets on in the background"
        woken.clear()
        assert not engine.step()
    return engine


def changed(folder, to):
    """A checkpoint of the same make with other matrices."""
    shutil.copytree(folder, to)
    network = transformers.AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for weight in filter(lambda weight: weight.dim() > 1, network.parameters()):
            weight.add_(torch.randn(weight.shape, generator=torch.manual_seed(5)) * 0.02)
    network.save_pretrained(to)
    return to


def reference(network, ids, **settings):
    """New tokens of ``generate`` for the ids, up to and with the end token, one list for each sequence."""
    options = {"max_new_tokens": 12, "do_sample": False, "num_beams": 1, "pad_token_id": 0} | settings
    inputs = torch.tensor([ids])
    out = network.generate(inputs, attention_mask=torch.ones_like(inputs), **options)
    before = 1 if network.config.is_encoder_decoder else len(ids)
    rows = out[:, before:].tolist()
    return [row[: row.index(2) + 1] if 2 in row else row for row in rows]


def alike(found, wanted):
    """The same answer, and log-probabilities but for rounding."""
    assert found.tokens == wanted.tokens
    assert found.end.text == wanted.end.text and found.end.reason == wanted.end.reason
    for a, b in zip(found.steps, wanted.steps, strict=True):
        assert (a.text, a.forced, a.rank) == (b.text, b.forced, b.rank)
        assert [token for token, *_ in a.top] == [token for token, *_ in b.top]
        for name in ("raw_lp", "proc_lp", "entropy"):
            assert getattr(a, name) == pytest.approx(getattr(b, name), abs=1e-4)


def refused(load, folder, **spec):
    """Why this checkpoint is not loaded."""
    with pytest.raises(BackendError) as caught:
        load(folder, **spec)
    error = caught.value.error
    assert "'tiny'" in error.message
    return error


def length_dependent(kind):
    """A configuration whose positions depend on the length of a text: ``dynamic`` or ``longrope``."""
    config = transformers.LlamaConfig(hidden_size=32, num_attention_heads=4)
    config.rope_parameters = {"rope_type": kind, "rope_theta": 1e4, "factor": 2.0}
    return config
