"""What the command palette offers: commands, models, themes and a few views."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from repl.safe import visible_line

if TYPE_CHECKING:
    from repl.tui.app import ReplApp


Run = Callable[[], None]


class Offer(NamedTuple):
    """One line of the palette."""

    name: str
    help: str
    do: Callable[[], object]


class ReplProvider(Provider):
    """Reads the commands from the registry and the models from the configuration."""

    @property
    def _repl(self) -> "ReplApp":
        return cast("ReplApp", self.app)

    def offers(self) -> Iterator[Offer]:
        """Everything, in the order to show it."""
        app = self._repl
        for command in app.commands():
            line = f"/{command.name}"
            if command.usage and not command.usage.startswith("["):
                yield Offer(f"{line} {command.usage}", command.help, partial(app.prefill, line + " "))
            else:
                yield Offer(line, command.help, partial(app.submit_line, line))
        for name in app.config.models:
            shown = visible_line(name)
            yield Offer(
                f"Ask only {shown}",
                "the next lines go to this model",
                partial(app.submit_line, f"/use {name}"),
            )
        for theme in sorted(app.available_themes):
            yield Offer(f"Theme {theme}", "colours of the app", partial(app.submit_line, f"/theme {theme}"))
        yield Offer("Help", "commands and keys", app.action_help)
        yield Offer("Zoom", "one pane alone, and back", app.action_zoom)
        yield Offer("Tokens", "walk the tokens of the last answer, and branch there", app.action_tokens)
        yield Offer("Heat", "colour tokens by surprisal, rank, entropy, or not at all", app.action_heat)
        yield Offer("Link panes", "scroll all panes together, or each alone", app.action_link)

    async def discover(self) -> Hits:
        """All offers, before anything is typed."""
        for name, words, do in self.offers():
            yield DiscoveryHit(Content(name), cast("Run", do), text=name, help=_plain(words))

    async def search(self, query: str) -> Hits:
        """The offers that match."""
        matcher = self.matcher(query)
        for name, words, do in self.offers():
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), cast("Run", do), text=name, help=_plain(words))


def _plain(words: str) -> str:
    """``words`` as content: the palette reads markup in strings, and takes content as it is."""
    return cast("str", Content(words))
