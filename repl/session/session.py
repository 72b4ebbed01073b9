"""One sitting of one user: which models answer, with what settings, and everything asked so far.

A front end creates it inside a running event loop, gives it typed lines (``run``), listens to what happens to
the answers, and closes it. It is not thread-safe.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from repl.messages import Capabilities, Event
from repl.params import Params, Value, check
from repl.pool import Coordinator, ReplicaStatus
from repl.probe.figure import Figure
from repl.session import commands, resuming, routing
from repl.session.background import Background
from repl.session.broadcast import Broadcast
from repl.session.compose import Prompt, compose
from repl.session.conversation import Conversations
from repl.session.decoding import Decoding, decoding, fresh_seed, refusal
from repl.session.errors import InputError
from repl.session.exchange import Exchange, Origin
from repl.session.frontend import FrontEnd, Listener, Notice
from repl.session.inquiry import Inquiry, check_repeatable, like, make, settings_of
from repl.session.record.store import Store
from repl.session.underway import Underway

if TYPE_CHECKING:
    from repl.config import Config
    from repl.session.commands.probing.stepping import Stepping


class Session:
    """The core that front ends share."""

    def __init__(
        self, config: "Config", coordinator: Coordinator, store: Store, *, user: str = "user"
    ) -> None:
        self.config = config
        self.coordinator = coordinator
        self.store = store
        self.user = user
        self.models = config.models
        self.comparison: list[str] = list(config.compare)
        """The models a plain line goes to, in the order of their panes."""
        self.settings: dict[str, Value] = {}
        """What ``/set`` changed; over the models' own defaults."""
        self.pins: dict[str, str] = {}
        """Model to the replica or device that is to answer it, from ``/pin``."""
        self.system = ""
        self.template: bool | None = None
        """Apply chat templates; None leaves that to each model's configuration."""
        self.conversations = Conversations()
        self.figures: list[Figure] = []
        """What commands have shown, for ``/export``."""
        self.themes: Sequence[str] = ()
        """Names of the front end's themes, for completion."""
        self.heat: Literal["off", "bits", "rank", "entropy"] = "off"
        """What colours the tokens of answers in the panes of the app."""
        self.editing: list[Exchange] = []
        """Their places are taken by the next line."""
        self.background = Background()
        """Commands that go on while more is typed."""
        self.stepping: Stepping | None = None
        """The answer that ``/step`` is writing by hand."""
        self.step_turn = asyncio.Lock()
        """Its lines are carried out one after another, however fast they are typed."""
        self.unfollow: Callable[[], None] | None = None
        """Ends showing after each line where its answers part; None while that is not shown."""
        self._tell = Broadcast()
        self._underway = Underway(coordinator, store, self._tell, user=user, on_loss=config.on_loss)
        self._closed = False
        self._saved = resuming.state(self)
        store.warn_with(self._tell.notice)

    @property
    def exchanges(self) -> list[Exchange]:
        """In the order they were asked, those of a resumed session first."""
        return self._underway.exchanges

    # -- asking --------------------------------------------------------------------------------------------

    async def run(self, line: str, ui: FrontEnd) -> None:
        """Do what a typed line says, a command or a prompt; what cannot be done is shown, not raised."""
        try:
            routing.check(line)
            self.store.add_line(line)
            if routing.is_command(line):
                await commands.run(self, ui, line)
            else:
                self.ask(line)
        except InputError as error:
            ui.show(Notice("error", error.message, error.hint))
        self._save()

    def ask(self, line: str) -> list[Exchange]:
        """Send a prompt to the chosen models, or to those it names; returns at once.

        Raises ``InputError`` for a line that is empty, too long, not UTF-8 or for nobody. What goes wrong
        after that ends the exchange: it does not raise.
        """
        route = routing.route(
            line, comparison=self.comparison, models=list(self.models), replicas=self.replicas()
        )
        if not route.targets:
            raise InputError("no model is chosen", "/use NAME or /compare NAME NAME chooses")
        for exchange in self.editing:
            if exchange.model in route.targets:
                self.conversations.rewind(exchange)
        self.editing = []
        prompt = self._prompt(route.prompt, fresh_seed())
        return self._send(prompt, route.targets, alone=len(route.targets) == 1)

    def retry(self, exchanges: Sequence[Exchange], *, seed: int | None = None) -> list[Exchange]:
        """Ask again what ``exchanges`` asked, in their place in the conversation, with the settings of now.

        Without ``seed`` each keeps the seed it had, unless ``/set seed`` fixes one now. Those that still
        run are stopped. What a command made from another answer is made from it again. Raises
        ``InputError`` for what is no answer, and if one of the models is not configured here.
        """
        for exchange in exchanges:
            check_repeatable(exchange, self.models)
        self.editing = []
        again: list[Exchange] = []
        for exchange in exchanges:
            if exchange.ticket is not None:
                exchange.ticket.cancel()
            wanted = next(s for s in (seed, exchange.seed, fresh_seed()) if s is not None)
            prompt = self._prompt(exchange.prompt, wanted, redraw=seed is not None)
            line = again[0].line if again else None
            if exchange.origin is not None or not exchange.shown:
                again.append(self._remake(exchange, wanted, line, redraw=seed is not None))
                continue
            self.conversations.rewind(exchange)
            again += self._send(prompt, {exchange.model: exchange.pin}, line=line, alone=len(exchanges) == 1)
        return again

    def stop(self, model: str | None = None) -> int:
        """Stop what runs and waits, of one model or of all, then the commands too; returns how many."""
        commands = self.background.stop() if model is None else 0
        return self._underway.stop(model) + commands

    async def recall(self, number: int) -> Exchange:
        """The exchange called ``#number``, of this session or an earlier one; raises ``InputError``."""
        for exchange in reversed(self.exchanges):
            if exchange.id == number:
                return exchange
        recorded = await self.store.exchange(number)
        if recorded is None:
            raise InputError(f"there is no answer #{number}", "/history lists them")
        return recorded

    def last_line(self) -> list[Exchange]:
        """The exchanges of the line asked last; empty before the first."""
        return [x for x in self.exchanges if x.line == self.exchanges[-1].line] if self.exchanges else []

    # -- probing -------------------------------------------------------------------------------------------

    def prepare(self, inquiry: Inquiry, line: int | None = None) -> Exchange:
        """The exchange an inquiry becomes, as part of ``line`` or of one of its own; not yet submitted."""
        number = self.store.next_id()
        exchange = make(
            inquiry,
            number=number,
            line=number if line is None else line,
            model=self.models[inquiry.model],
            settings=settings_of(self, inquiry),
        )
        if exchange.shown:
            self._underway.show(exchange)
        return exchange

    async def perform(self, exchange: Exchange) -> None:
        """Submit it and wait for its end; being cancelled stops it."""
        await self._underway.perform(exchange)

    def adopt(self, inquiry: Inquiry, events: Sequence[Event], source: Exchange) -> Exchange:
        """Take in an answer whose events are known: a person put it together from what ``source`` brought."""
        exchange = self.prepare(inquiry)
        exchange.replica = source.replica
        for event in events:
            self._underway.feed(exchange, event)
        return exchange

    def host(self, exchange: Exchange) -> None:
        """Show an answer that a command makes of several models'; ``feed`` brings what happens to it."""
        self._underway.show(exchange)

    def feed(self, exchange: Exchange, event: Event) -> None:
        """The next event of a hosted answer."""
        self._underway.feed(exchange, event)

    def slots(self, model: str) -> int:
        """How many requests the replicas of ``model`` can serve at once, as far as they have loaded."""
        return sum(status.slots for status in self.status() if status.model == model)

    # -- settings ------------------------------------------------------------------------------------------

    def set(self, name: str, value: Value) -> None:
        """Fix a parameter for the lines to come; raises ``ParamError``."""
        self.settings[name] = check(name, value)

    def decoding(self, model: str) -> Decoding:
        """What the next line would ask of ``model``."""
        return decoding(self.models[model], self.settings)

    def effective(self, model: str) -> Params:
        """Every parameter as the next line would send it to ``model``; a seed to be drawn is None."""
        return self.decoding(model).params

    def capabilities(self, model: str) -> Capabilities | None:
        """What ``model`` can do; None while none of its replicas has loaded."""
        return self._underway.capabilities(model)

    def replicas(self) -> list[routing.Replica]:
        """What ``@`` can address."""
        return [routing.Replica(s.name, s.model, s.device) for s in self.status()]

    def status(self) -> list[ReplicaStatus]:
        """Every replica."""
        return self.coordinator.status()

    # -- listening and the record --------------------------------------------------------------------------

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell ``listener`` of everything from now on; returns what ends that."""
        return self._tell.add(listener)

    async def resume(self, which: str = "last") -> bool:
        """Take up a recorded session: its exchanges, settings and models. False if there is none.

        ``which`` is a session's id or ``last``; an unknown id raises ``InputError``.
        """
        saved = await self.store.resume(None if which == "last" else which)
        if saved is None:
            if which != "last":
                known = ", ".join(await self.store.sessions())
                hint = f"the latest are {known}" if known else "nothing has been recorded yet"
                raise InputError(f"there is no session '{which}' in the record", hint)
            return False
        resuming.take_up(self, saved)
        self._saved = resuming.state(self)
        if missing := sorted({x.model for x in saved.exchanges} - set(self.models)):
            names = ", ".join(missing)
            self._tell.notice(
                Notice("warning", f"not configured any more: {names}", "their answers are kept")
            )
        return True

    async def close(self) -> None:
        """Stop what runs, and see everything into the record. Nothing can be asked after that."""
        if self._closed:
            return
        self._closed = True
        self.background.stop()
        await self.background.settle()
        await self._underway.close()
        self._save()
        await self.store.close()

    # -- inside --------------------------------------------------------------------------------------------

    def _prompt(self, text: str, seed: int, *, redraw: bool = False) -> Prompt:
        return Prompt(text=text, system=self.system, template=self.template, seed=seed, redraw=redraw)

    def _remake(self, exchange: Exchange, seed: int, line: int | None, *, redraw: bool) -> Exchange:
        """Ask what a command asked, with the settings of now, beside any conversation."""
        params = {"seed": seed} if redraw or self.effective(exchange.model).seed is None else {}
        origin = exchange.origin or Origin(exchange.id, how="retry")
        inquiry = replace(like(exchange), params=params, exactly=False, origin=origin, shown=True)
        made = self.prepare(replace(inquiry, pin=exchange.pin), line)
        self._underway.submit(made)
        return made

    def _send(
        self, prompt: Prompt, targets: Mapping[str, str | None], *, line: int | None = None, alone: bool
    ) -> list[Exchange]:
        """Make one exchange for each target, tell of all of them, then submit each."""
        made: list[tuple[Exchange, Decoding]] = []
        for model, pin in targets.items():
            number = self.store.next_id()
            line = number if line is None else line
            settings = self.decoding(model)
            exchange = compose(
                prompt,
                number=number,
                line=line,
                model=self.models[model],
                pin=pin or self.pins.get(model),
                decoding=settings,
                conversation=self.conversations.of(model),
                capabilities=self.capabilities(model),
            )
            made.append((exchange, settings))
        for exchange, _ in made:
            self.conversations.advance(exchange)
            self._underway.show(exchange)
        for exchange, settings in made:
            if settings.ignored and alone:
                fault = refusal(self.models[exchange.model], self.settings, settings.ignored)
                self._underway.fail(exchange, fault)
            else:
                self._underway.submit(exchange)
        return [exchange for exchange, _ in made]

    def _save(self) -> None:
        state = resuming.state(self)
        if state != self._saved:
            self._saved = state
            self.store.save(state)
