import pytest
from hypothesis import given
from hypothesis import strategies as st

from repl.probe.chain import Chain, Fault, Hop, Stage, check, fill, join, parse
from repl.probe.figure import as_json, as_text


@pytest.mark.parametrize(
    ("text", "stages", "prompt"),
    [
        ("a>b hello > you", [(("a",), "{}"), (("b",), "{}")], "hello > you"),
        ("a > b > c.2 x", [(("a",), "{}"), (("b",), "{}"), (("c.2",), "{}")], "x"),
        ('a>"Sum: {}">b', [(("a",), "{}"), (("b",), "Sum: {}")], ""),
        (r'"Q: {}\n">a>b x', [(("a",), "Q: {}\n"), (("b",), "{}")], "x"),
        ('(a, b,a)>"{a} or {b}">c "quoted"', [(("a", "b"), "{}"), (("c",), "{a} or {b}")], '"quoted"'),
        ('"{}">a (x)', [(("a",), "{}")], "(x)"),
    ],
)
def test_a_chain_is_read(text, stages, prompt):
    found, rest = parse(text)
    assert [(s.models, s.template) for s in found] == stages and rest == prompt


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "which models?"),
        ("a>", "a model's name is missing"),
        ("a>>b", "a model's name is missing"),
        ('a>"x {}"', "must be followed by > and a model"),
        ('a>"x {}">"y {}">b', "must be followed by > and a model"),
        ("(a,)>b", "a model's name is missing in"),
        ("(a>b", "a model's name is missing|which models"),
    ],
)
def test_a_chain_that_makes_no_sense_is_refused(text, said):
    with pytest.raises(Fault, match=said.replace("(", r"\(")):
        parse(text)


def test_templates_are_checked_against_what_goes_before():
    a = Stage(models=("a",))
    check((a, Stage(models=("b",), template="{a} {prompt} {}")))
    with pytest.raises(Fault, match=r"nothing before fills \{c\}"):
        check((a, Stage(models=("b",), template="{c}")))
    with pytest.raises(Fault, match=r"has no \{\}"):
        check((a, Stage(models=("b",), template="again")))


@given(st.text(), st.text(), st.text())
def test_what_is_filled_in_is_not_read_for_slots(output, prompt, other):
    outputs = {"a": other}
    assert fill("{}|{prompt}|{a}", output, prompt, outputs) == f"{output}|{prompt}|{other}"
    assert fill("{unknown} {'x'}", output, prompt, outputs) == "{unknown} {'x'}"


def test_several_outputs_are_labelled():
    assert join({"a": "x"}) == "x"
    assert join({"a": "x", "b": "y"}) == "a: x\n\nb: y"


def test_it_is_drawn_as_a_flow_without_escapes():
    hops = (
        Hop(stage=0, model="a", exchange=1, prompt="p", text="one\n\x1b[2J"),
        Hop(stage=0, model="b", exchange=2, prompt="p", text="", error="no"),
        Hop(stage=1, model="c", exchange=3, prompt="one", text="two"),
    )
    figure = Chain(prompt="p", hops=hops, text="two")
    assert figure.title == "(a,b) > c"
    assert as_text(figure.rows(60)).splitlines() == [
        "> p",
        "├─ a #1 one ␛[2J",
        "└─ b #2 ✗ no",
        "  └─ c #3 two",
    ]
    assert as_json(figure)["hops"][2]["prompt"] == "one"
