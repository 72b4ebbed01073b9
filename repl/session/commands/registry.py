"""The list of commands: finding, carrying out and completing them, and ``/help``."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from repl.session import routing
from repl.session.commands import answers, models, pool, probing, records, screen, settings
from repl.session.commands.base import Command, Completion, Offer
from repl.session.errors import InputError
from repl.session.frontend import FrontEnd, Table, Text
from repl.session.keeping import Keeping
from repl.spelling import nearest

if TYPE_CHECKING:
    from repl.session.session import Session

LINES = (
    "@name text goes to one model, @a,b text to two, @name/0 text to one replica, @gpu1 text to a device",
    "//text and @@text begin a prompt with / or @; a line that begins with a space is sent as it is",
)


async def _help(session: "Session", ui: FrontEnd, argument: str) -> None:
    if argument:
        command = find(argument)
        lines = [f"/{command.name} {command.usage}".rstrip(), command.help]
        if command.aliases:
            lines.append("also " + ", ".join("/" + alias for alias in command.aliases))
        if command.details:
            lines += ["", command.details]
        ui.show(Text(f"/{command.name}", "\n".join(lines)))
        return
    rows = tuple((f"/{command.name} {command.usage}".rstrip(), command.help) for command in COMMANDS)
    ui.show(Table("commands", ("command", "what it does"), rows, LINES))


def _help_offers(session: "Session", before: Sequence[str], begun: str) -> Iterable[Offer]:
    return () if before else ((command.name, command.help) for command in COMMANDS)


COMMANDS: tuple[Command, ...] = (
    Command(
        name="help",
        usage="[command]",
        help="list the commands, or explain one",
        aliases=("?", "h"),
        handler=_help,
        offers=_help_offers,
    ),
    *models.COMMANDS,
    *settings.COMMANDS,
    *answers.COMMANDS,
    *probing.COMMANDS,
    *pool.COMMANDS,
    *records.COMMANDS,
    *screen.COMMANDS,
)
_BY_NAME = {word: command for command in COMMANDS for word in (command.name, *command.aliases)}


def find(word: str) -> Command:
    """The command of this name or alias; raises ``InputError`` with the nearest."""
    name = word.removeprefix("/").lower()
    command = _BY_NAME.get(name)
    if command is None:
        near = nearest(name, _BY_NAME)
        guess = f"did you mean /{near}?" if near else "/help lists the commands"
        raise InputError(f"there is no command /{name}", f"{guess} (//{name} ... sends it as text)")
    return command


async def run(session: "Session", ui: FrontEnd, line: str) -> None:
    """Carry out a typed command; raises ``InputError``. A slow one goes on after this returns, if it may."""
    name, argument = [*line[1:].split(maxsplit=1), "", ""][:2]
    command = find(name)
    ui = Keeping(ui, session.figures)
    work = command.handler(session, ui, argument.strip())
    if command.slow and not ui.waits:
        session.background.start(work, f"/{command.name}", ui)
    else:
        await work


def complete(session: "Session", line: str) -> list[Completion]:
    """What can stand at the end of ``line``, which is being typed: commands, arguments, ``@`` addresses."""
    if line.startswith("@") and not line.startswith("@@") and " " not in line:
        start = max(line.rfind(","), 0) + 1
        return _fitting(routing.addresses(list(session.models), session.replicas()).items(), line, start, " ")
    if not routing.is_command(line):
        return []
    word, space, argument = line.partition(" ")
    if not space:
        return _fitting(((c.name, c.help) for c in COMMANDS), line, 1, " ")
    command = _BY_NAME.get(word[1:].lower())
    if command is None:
        return []
    start = len(line) - len(argument) + argument.rfind(" ") + 1
    *before, begun = argument.split(" ")
    return _fitting(command.offers(session, before, begun), line, start, "")


def _fitting(offers: Iterable[Offer], line: str, start: int, after: str) -> list[Completion]:
    begun = line[start:].lower()
    return [Completion(text + after, help, start) for text, help in offers if text.lower().startswith(begun)]
