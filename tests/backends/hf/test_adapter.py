"""PEFT adapters: merged they answer as peft's own model does, and what does not fit is refused by name."""

import json

import pytest
import torch

peft = pytest.importorskip("peft")

from backends.base import BackendError
from backends.hf import HuggingFace
from tests.backends.hf.support import ask, reference

# peft asks transformers for what it will drop in its next major version.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

PROMPT = "the cat sat on"


@pytest.fixture(scope="module")
def adapted(checkpoint, network, tmp_path_factory):
    """An adapter with weights that matter, saved with the path of its base, and the network that has it."""
    import copy

    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, lora_alpha=32, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = peft.get_peft_model(copy.deepcopy(network("llama")), config)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.5)
    folder = tmp_path_factory.mktemp("adapter")
    model.save_pretrained(folder)
    said = json.loads((folder / "adapter_config.json").read_text())
    said["base_model_name_or_path"] = str(checkpoint("llama"))
    (folder / "adapter_config.json").write_text(json.dumps(said))
    return folder, model.eval()


@pytest.mark.parametrize("named", ["by its own folder", "beside its base"])
def test_an_adapter_answers_as_pefts_own_model(named, adapted, load, checkpoint, engine, tokenizer):
    folder, theirs = adapted
    if named == "by its own folder":
        assert HuggingFace.recognises(folder)
        mine = load(folder)
    else:
        mine = load(checkpoint("llama"), options={"adapter": str(folder)})
    ids = tokenizer(PROMPT)["input_ids"]
    heard = ask(mine, PROMPT, max_new=12)
    assert [heard.tokens] == reference(theirs, ids, max_new_tokens=12)
    base = engine("llama")
    assert heard.tokens != ask(base, PROMPT, max_new=12).tokens
    assert mine.capabilities.checkpoint_hash != base.capabilities.checkpoint_hash
    assert mine.capabilities.parameters == base.capabilities.parameters
    assert any(f"the adapter {folder.name} merged in" in note for note in mine.capabilities.notes)


def test_an_adapter_for_another_kind_is_refused(adapted, load, checkpoint):
    folder, _ = adapted
    with pytest.raises(BackendError, match="does not fit this base model") as refused:
        load(checkpoint("gpt2"), options={"adapter": str(folder)})
    assert str(folder) in refused.value.error.message


def test_an_adapter_that_is_not_there_is_refused(load, checkpoint, tmp_path):
    with pytest.raises(BackendError, match="there is no adapter in"):
        load(checkpoint("llama"), options={"adapter": str(tmp_path)})


@pytest.mark.parametrize("said", ["[", "{}", '{"base_model_name_or_path": 7}'])
def test_an_adapter_that_names_no_base_is_refused(said, load, tmp_path):
    (tmp_path / "adapter_config.json").write_text(said)
    with pytest.raises(BackendError, match="does not name its base model"):
        load(tmp_path)


def test_an_adapter_on_an_adapter_is_refused(load, tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path)}))
    with pytest.raises(BackendError, match="is an adapter itself"):
        load(tmp_path)
