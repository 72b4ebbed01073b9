"""Replicas on the CPU that hold one checkpoint share its weights: the file's pages are in memory once."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
if not Path("/proc/self/smaps").exists():
    pytest.skip("needs Linux's account of a process's memory", allow_module_level=True)

REPLICA = """
import sys
from backends.hf import HuggingFace
from repl.messages import ModelSpec

spec = ModelSpec(name="large", backend="hf", path=sys.argv[1], options={"cache_tokens": 100})
engine = HuggingFace.load(spec, "cpu", 1, lambda stage, fraction: None)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def large(tokenizer, tmp_path_factory):
    """50 MB, nearly all of it in layers, which the self-test at load reads."""
    folder = tmp_path_factory.mktemp("large")
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=8192,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        bos_token_id=1,
        eos_token_id=2,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def mapped(pid, file):
    """Bytes of a process's mappings of ``file``, by the names of ``/proc/PID/smaps``."""
    found = dict.fromkeys(("Rss", "Pss", "Private_Clean", "Private_Dirty"), 0)
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = line.endswith(str(file))
        name, _, rest = line.partition(":")
        if inside and name in found:
            found[name] += int(rest.split()[0]) * 1024
    return found


def test_two_replicas_hold_the_weights_once(large):
    file = large / "model.safetensors"
    size = file.stat().st_size
    command = [sys.executable, "-c", REPLICA, str(large)]
    replicas = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    try:
        assert [replica.stdout.readline() for replica in replicas] == [b"ready\n"] * 2
        held = [mapped(replica.pid, file) for replica in replicas]
    finally:
        for replica in replicas:
            replica.communicate()
    for one in held:
        assert one["Rss"] > 0.95 * size  # read by the self-test, straight from the file's pages
        assert one["Private_Clean"] + one["Private_Dirty"] < 0.05 * size
        assert one["Pss"] == pytest.approx(size / 2, rel=0.1)  # its share of what both use
