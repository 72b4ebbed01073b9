import pytest

from backends import fingerprint
from repl.arguments import UsageError
from repl.batch.source import Item
from repl.interactive import flags
from repl.interactive.job import configuration, taken_apart
from repl.interactive.parser import NOT_SUPPORTED
from repl.streams import Line

DATA = ["data", "--path", "a.pt:b.pt"]


def test_defaults_are_fairseqs() -> None:
    wanted = flags.read(DATA)
    assert (wanted.data, wanted.path, wanted.input) == ("data", "a.pt:b.pt", "-")
    assert wanted.settings["beam"] == 5 and wanted.settings["max_new"] == 200
    assert wanted.settings["n"] == 1 and wanted.settings["min_new"] == 1
    assert wanted.options == {"bpe": "none", "tokenizer": "none", "remove_bpe": "none"}
    assert wanted.style.marks and wanted.style.symbols and not wanted.style.alignment


def test_each_search_flag_has_its_parameter() -> None:
    words = "--beam 4 --nbest 3 --lenpen 0.5 --unkpen 2 --max-len-b 30 --min-len 2 --no-repeat-ngram-size 3"
    assert flags.read([*DATA, *words.split(), "--temperature", "0.7"]).settings == {
        "beam": 4,
        "n": 3,
        "length_penalty": 0.5,
        "unkpen": 2.0,
        "max_new": 30,
        "min_new": 2,
        "no_repeat_ngram": 3,
        "temperature": 0.7,
    }


def test_sampling_draws_nbest_answers() -> None:
    words = "--sampling --sampling-topk 9 --sampling-topp 0.8 --beam 7 --nbest 2 --temperature 1.5 --seed 3"
    wanted = flags.read([*DATA, *words.split()])
    drawn = {name: wanted.settings[name] for name in ("beam", "n", "top_k", "top_p", "temperature")}
    assert drawn == {"beam": 1, "n": 2, "top_k": 9, "top_p": 0.8, "temperature": 1.5}
    assert wanted.seed == 3
    assert "--beam has no effect" in wanted.notes[0]


def test_text_flags_reach_the_model() -> None:
    words = "--remove-bpe -s de -t en --bpe subword_nmt --bpe-codes codes --tokenizer moses"
    wanted = flags.read([*DATA, *words.split()])
    assert wanted.options == {
        "bpe": "subword_nmt",
        "bpe_codes": "codes",
        "tokenizer": "moses",
        "remove_bpe": "@@ ",
        "source_lang": "de",
        "target_lang": "en",
    }
    assert not wanted.style.marks
    assert flags.read([*DATA, "--post-process", "sentencepiece"]).options["remove_bpe"] == "sentencepiece"


@pytest.mark.parametrize("name", NOT_SUPPORTED)
def test_what_is_not_supported_is_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=f"--{name}: fairseq-interactive has this"):
        flags.read([*DATA, f"--{name}", "1"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--score-reference", "--prefix-size", "2"], "--score-reference excludes"),
        (["--model-overrides", "{'a': open('b')}"], "--model-overrides"),
        (["--model-overrides", "[1]"], "--model-overrides"),
        (["--model-overrides", "{'a': 1j}"], "--model-overrides: this cannot be sent"),
        (["--model-overrides", f"{{'a': {10**30}}}"], "--model-overrides: this cannot be sent"),
        (["--num-gpus", "999999999999"], "--num-gpus: 999999999999 is not allowed: it must be at most 1024"),
        (["--num-gpus", "-1"], "--num-gpus: -1 is not allowed"),
        (["--user-dir", "nowhere"], "nowhere is not a folder"),
        (["--user-dir", "~nobody-at-all"], "--user-dir: ~nobody-at-all cannot be read"),
        (["--constraints", "loose"], "unordered"),
        (["--task", "speech_to_text"], "translation"),
        (["--print-alignment", "medium"], "hard"),
        (["--beam", "1", "--temperature", "2"], "--sampling"),
        (["--beam", "0"], "beam = 0 is not allowed"),
        (["--nbets", "2"], "--nbest"),
    ],
)
def test_a_value_that_cannot_be_honoured_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        flags.read([*DATA, *words])


def test_what_has_no_effect_is_let_through() -> None:
    words = ["--buffer-size", "64", "--max-tokens", "4000", "--skip-invalid-size-inputs-valid-test"]
    assert flags.read([*DATA, *words]).settings == flags.read(DATA).settings


def test_the_rarer_searches_have_their_parameters() -> None:
    words = "--diverse-beam-groups 5 --diverse-beam-strength 0.3 --max-len-a 1.2 --match-source-len"
    more = ["--unnormalized", "--truncate-source", "--replace-unk"]
    settings = flags.read([*DATA, *words.split(), *more]).settings
    assert settings["diverse_groups"] == 5 and settings["diverse_strength"] == 0.3
    assert settings["max_new_ratio"] == 1.2 and settings["length_penalty"] == 0
    assert settings["match_source_len"] == settings["replace_unk"] == "on"
    assert settings["truncate"] == "right"
    assert flags.read([*DATA, "--diversity-rate", "0.4"]).settings["diversity_rate"] == 0.4
    for order in ([], ["unordered"]):
        wanted = flags.read([*DATA, "--constraints", *order])
        assert wanted.constraints
        assert wanted.settings["constraint_order"] == (order or ["ordered"])[0]
    unchanged = "--diversity-rate -1 --diverse-beam-groups -1 --max-len-a 0"
    assert flags.read([*DATA, *unchanged.split()]).settings == flags.read(DATA).settings


def test_flags_of_the_model_are_its_options(tmp_path) -> None:
    words = "--lm-path lm.pt --lm-weight 0.3 --retain-dropout --retain-dropout-modules A,B"
    wanted = flags.read(
        [*DATA, *words.split(), "--replace-unk", "words.txt", "--model-overrides", "{'dropout': 0.5}"]
    )
    assert (
        wanted.options.items()
        >= {
            "lm_path": "lm.pt",
            "lm_weight": 0.3,
            "retain_dropout": True,
            "align_dict": "words.txt",
        }.items()
    )
    assert wanted.options["retain_dropout_modules"] == ["A", "B"]
    assert wanted.options["model_overrides"] == {"dropout": 0.5}
    (tmp_path / "__init__.py").write_text("code")
    wanted = flags.read([*DATA, "--user-dir", str(tmp_path)])
    assert wanted.options["user_dir"] == str(tmp_path)
    assert wanted.trust == (fingerprint.code(tmp_path),)


@pytest.mark.parametrize(
    ("words", "line", "expected"),
    [
        (["--prefix-size", "2"], "one two three\tthe source", ("the source", "one two", (), "")),
        (["--prefix-size", "2"], "the source", ("the source", "", (), "")),
        ([], "a\tb", ("a\tb", "", (), "")),
        (["--constraints"], "the source\tred house\t\tcar", ("the source", "", ("red house", "car"), "")),
        (["--constraints"], "the source", ("the source", "", (), "")),
        (["--constraints", "--prefix-size", "1"], "p\tsource\tcar", ("source", "p", ("car",), "")),
        (["--score-reference"], "source\tthe reference", ("source", "", (), "the reference")),
    ],
)
def test_a_line_is_taken_apart(words: list[str], line: str, expected: tuple[object, ...]) -> None:
    item = Item(index=0, prompt=line, raw=Line(1, b"", 0, 0))
    taken = taken_apart(item, flags.read([*DATA, *words]))
    assert (taken.prompt, taken.prefix, taken.params.get("constraints", ()), taken.target) == expected


def test_a_line_without_a_reference_is_an_error_of_that_line() -> None:
    wanted = flags.read([*DATA, "--score-reference"])
    for line in ("source", "source\t "):
        taken = taken_apart(Item(index=0, prompt=line, raw=Line(1, b"", 0, 0)), wanted)
        assert taken.error is not None and "no reference" in taken.error.message and taken.error.hint


def test_the_model_is_configured_as_told(tmp_path) -> None:
    (tmp_path / "a.pt").touch()
    wanted = flags.read([str(tmp_path), "--path", str(tmp_path / "a.pt"), "--cpu", "--batch-size", "7"])
    model = configuration(wanted).models["model"]
    assert (model.backend, model.slots, model.replicas) == ("fairseq", 7, ("cpu",))
    assert model.data == str(tmp_path) and model.options["bpe"] == "none"
