import pytest

from repl.session.errors import InputError
from repl.session.routing import Replica, check, is_command, route

MODELS = ["lm-late", "lm-early", "num2digits"]
REPLICAS = [
    Replica("lm-late/0", "lm-late", "cuda:0"),
    Replica("lm-late/1", "lm-late", "cuda:1"),
    Replica("lm-early/0", "lm-early", "cuda:1"),
    Replica("num2digits/0", "num2digits", "cpu:0"),
]


def routed(line, comparison=("lm-late", "lm-early")):
    found = route(line, comparison=comparison, models=MODELS, replicas=REPLICAS)
    return found.prompt, dict(found.targets)


@pytest.mark.parametrize(
    ("line", "prompt", "targets"),
    [
        ("two words", "two words", {"lm-late": None, "lm-early": None}),
        ("@num2digits two", "two", {"num2digits": None}),
        ("@num two", "two", {"num2digits": None}),
        ("@lm-late,num2digits two", "two", {"lm-late": None, "num2digits": None}),
        ("@lm-late/1 two", "two", {"lm-late": "lm-late/1"}),
        ("@gpu1 two", "two", {"lm-late": "cuda:1", "lm-early": "cuda:1"}),
        ("@cuda:0 two", "two", {"lm-late": "cuda:0"}),
        ("@cpu:0 two", "two", {"num2digits": "cpu:0"}),
        ("@num2digits\ntwo\nlines", "two\nlines", {"num2digits": None}),
        ("@num2digits  kept space ", " kept space ", {"num2digits": None}),
        ("@@decorator def f", "@decorator def f", {"lm-late": None, "lm-early": None}),
        ("//usr/bin", "/usr/bin", {"lm-late": None, "lm-early": None}),
        (" @lm-late raw", " @lm-late raw", {"lm-late": None, "lm-early": None}),
    ],
)
def test_routes(line, prompt, targets):
    assert routed(line) == (prompt, targets)


def test_device_prefers_the_chosen_models():
    assert routed("@gpu1 x", comparison=["lm-early"])[1] == {"lm-early": "cuda:1"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("@lm-lat3 x", "did you mean @lm-late"),
        ("@lm x", "lm-late or lm-early"),
        ("@gpu7 x", "cuda:0, cuda:1, cpu:0"),
        ("@property\ndef", "@@property"),
        ("@num2digits", "/use num2digits"),
        ("@num2digits   ", "/use num2digits"),
        ("@, x", "@@"),
        ("   ", "/help"),
        ("", "/help"),
        ("ok \udcff", "0xff at character 4"),
        ("ok \ud800", "U+D800"),
        ("x" * (1 << 20) + "x", "1,048,577 bytes long; the most is 1,048,576"),
    ],
)
def test_what_cannot_be_sent_says_why(line, words):
    with pytest.raises(InputError) as caught:
        routed(line)
    assert words in f"{caught.value.message} {caught.value.hint}"


def test_longest_line_is_allowed():
    check("x" * (1 << 20))


def test_commands_are_told_from_prompts():
    assert is_command("/help")
    assert not any(map(is_command, ("//help", " /help", "help", "@a /help")))
