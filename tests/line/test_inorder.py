"""Which answer is shown when, and what becomes of the text that is printed already."""

from datetime import UTC, datetime

from repl.line import encode, events
from repl.line.answers import Answers
from repl.line.inorder import InOrder
from repl.line.words import Style
from repl.messages import Error as Fault
from repl.messages import Event, Failed, Finished, ModelSpec, Request, Rewound, Started, Step
from repl.params import Params
from repl.session.exchange import Exchange, Identity, Origin
from repl.session.frontend import Notice


def exchange(number: int, **params: object) -> Exchange:
    spec = ModelSpec(name=f"m{number}", backend="echo", path="")
    request = Request(model=spec.name, prompt="p", params=Params(**params))
    return Exchange(
        id=number,
        line=1,
        identity=Identity(spec=spec),
        prompt="p",
        request=request,
        requested={},
        created=datetime.now(UTC),
        conversation="c",
    )


def step(index: int, text: str) -> Step:
    return Step(id=0, index=index, token=index, piece=text.encode(), text=text)


class Log:
    """A view that writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begin(self, exchange: Exchange) -> None:
        self.lines.append(f"begin {exchange.id}")

    def event(self, exchange: Exchange, event: Event) -> None:
        self.lines.append(f"{exchange.id} {type(event).__name__}")

    def end(self, exchange: Exchange) -> None:
        self.lines.append(f"end {exchange.id}")

    def notice(self, notice: Notice) -> None:
        self.lines.append(notice.text)


def tell(order: InOrder, exchange: Exchange, *events: Event) -> None:
    """As the session does it."""
    for event in events:
        exchange.answer.feed(event)
        order.event(exchange, event)
        if exchange.done:
            order.ended(exchange)


DONE = Finished(id=0, reason="eos", text="x")


def test_the_order_of_asking_is_kept_and_later_answers_wait() -> None:
    log = Log()
    order = InOrder(log, strict=True)
    first, second = exchange(1), exchange(2)
    order.started(first)
    order.started(second)
    tell(order, second, step(0, "x"), DONE)
    assert log.lines == ["begin 1"]
    assert len(order) == 2
    tell(order, first, step(0, "x"), DONE)
    assert log.lines[1:] == ["1 Step", "1 Finished", "end 1", "begin 2", "2 Step", "2 Finished", "end 2"]
    assert len(order) == 0


def test_an_answer_that_has_no_replica_yet_holds_up_nobody() -> None:
    log = Log()
    order = InOrder(log, strict=False)
    first, second = exchange(1), exchange(2)
    order.started(first)
    order.started(second)
    tell(order, second, step(0, "x"))
    assert log.lines == ["begin 2", "2 Step"]
    tell(order, first, step(0, "x"))
    tell(order, second, DONE)
    assert log.lines[2:] == ["2 Finished", "end 2", "begin 1", "1 Step"]


class Paper:
    """A screen as a list of lines and the one that grows."""

    def __init__(self) -> None:
        self.printed = ""
        self.growing = ""

    def print(self, lines: str) -> None:
        self.printed += lines

    def grow(self, line: str) -> None:
        self.growing = line

    def flush(self) -> None:
        pass


def answers() -> tuple[Paper, InOrder]:
    paper = Paper()
    view = Answers(paper, Style(colour=False), named=False)
    view.latest = 1
    return paper, InOrder(view, strict=False)


def test_whole_lines_are_printed_and_the_rest_grows() -> None:
    paper, order = answers()
    asked = exchange(1)
    order.started(asked)
    tell(order, asked, step(0, "a\nb"), step(1, "c\n"), step(2, "d"))
    assert (paper.printed, paper.growing) == ("a\nbc\n", "d")
    tell(order, asked, Finished(id=0, reason="eos", text="a\nbc\nd"))
    assert paper.printed.startswith("a\nbc\nd\n(3 tok")
    assert paper.growing == ""


def test_a_beam_grows_until_it_is_done() -> None:
    paper, order = answers()
    asked = exchange(1, beam=4)
    order.started(asked)
    tell(order, asked, step(0, "a\nb"), Rewound(id=0, keep=0), step(0, "z\ny"))
    assert (paper.printed, paper.growing) == ("", "y")
    tell(order, asked, Finished(id=0, reason="eos", text="z\ny"))
    assert paper.printed.startswith("z\ny\n(1 tok")


def test_an_answer_that_was_taken_back_after_all_is_printed_anew() -> None:
    paper, order = answers()
    asked = exchange(1)
    order.started(asked)
    tell(order, asked, step(0, "a\n"), Finished(id=0, reason="eos", text="b\nc"))
    assert paper.printed.startswith("a\n↺ rewritten:\nb\nc\n(")


def test_an_answer_begun_anew_elsewhere_is_not_doubled() -> None:
    paper, order = answers()
    asked = exchange(1)
    began = Started(id=0, prompt_ids=(), prompt_text="")
    order.started(asked)
    tell(order, asked, began, step(0, "a"), began, step(0, "a"), step(1, "b"))
    assert (paper.printed, paper.growing) == ("", "ab")


def test_a_failure_keeps_what_there_was_and_says_why() -> None:
    paper, order = answers()
    asked = exchange(1)
    order.started(asked)
    error = Fault(kind="crashed", message="it \x1b died", hint="/retry", detail="line 1\nline 2")
    tell(order, asked, step(0, "half"), Failed(id=0, error=error))
    assert paper.printed.startswith(
        "half\n✗ m1 failed: it ␛ died\n  /retry\n  | line 1\n  | line 2\n(1 tok · #1)\n"
    )


def test_what_a_command_made_says_of_what() -> None:
    paper, order = answers()
    asked = exchange(1)
    asked.origin = Origin(7, 3, "branch")
    order.started(asked)
    tell(order, asked, step(0, "a"), Finished(id=0, reason="eos", text="a"))
    assert paper.printed.startswith("m1 · branch of #7 @3:\na\n(1 tok")
    assert encode.asked(asked, 1).origin == events.Origin(7, 3, "branch")
    assert encode.asked(exchange(2), 1).origin is None
