from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from repl.probe.figure import as_json, as_text
from repl.probe.tree import Node, Tree


def node(number, parent=None, how="", **fields):
    return Node(
        **{
            "id": number,
            "model": "m",
            "prompt": "p",
            "text": f"t{number}",
            "parent": parent,
            "how": how,
            **fields,
        }
    )


def drawn(*nodes, width=80):
    return as_text(Tree(nodes=nodes).rows(width)).splitlines()


def test_a_conversation_stays_in_its_column_and_forks_are_indented():
    assert drawn(
        node(1),
        node(2, 1, "turn"),
        node(3, 2, "turn"),
        node(4, 2, "turn"),
        node(5, 4, "turn"),
        node(6),
    ) == [
        "#1 m > p → t1",
        "↓ #2 m > p → t2",
        "├─ #3 m > p → t3",
        "└─ #4 m > p → t4",
        "   ↓ #5 m > p → t5",
        "#6 m > p → t6",
    ]


def test_an_edge_shows_both_tokens_or_that_there_was_none():
    parent = node(1, pieces=(b" a", b" b"))
    branch = node(2, 1, "branch", position=1, pieces=(b" a", b" c"), edge=b" c d")
    longer = node(3, 1, "branch", position=2, pieces=(b" a", b" b", b"!"), model="n")
    orphan = node(9, 8, "branch", position=0, pieces=(b"x",))
    assert drawn(parent, branch, longer, orphan) == [
        "#1 m > p → t1",
        "├─ #2 branch @1 ·b → ·c·d …t2",
        "└─ #3 branch @2 ∎ → ! n …t3",
        "#9 branch of #8 @0 x m t9",
    ]


@given(
    st.lists(st.integers(0, 30), max_size=30),
    st.text(max_size=30),
    st.integers(40, 100),
)
def test_every_node_is_drawn_once_whatever_points_where(parents, text, width):
    nodes = [node(at, parent, "branch", text=text, prompt=text) for at, parent in enumerate(parents)]
    rows = Tree(nodes=tuple(nodes)).rows(width)
    numbers = [span.text.strip() for row in rows for span in row if span.style == "strong"]
    assert sorted(numbers) == sorted(f"#{n.id}" for n in nodes)
    assert all("\n" not in span.text for row in rows for span in row)
    texts = [row[-1].text for row in rows]
    assert all(cell_len(t) <= max(8, width) for t in texts)


def test_escapes_do_not_reach_the_terminal():
    evil = "\x1b[2J"
    lines = drawn(node(1, model=evil, prompt=evil, text=evil, pieces=(evil.encode(),)))
    assert evil not in "".join(lines)
    assert as_json(Tree(nodes=(node(1),)))["nodes"][0]["text"] == "t1"
