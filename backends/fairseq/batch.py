"""Requests that are generated together, one step of fairseq's search at a time."""

from collections.abc import Callable, Sequence

from backends.base import BackendError
from backends.fairseq.generation import Generation, Hypotheses, Sentence
from backends.fairseq.load import Model
from backends.fairseq.member import Member
from backends.fairseq.nodes import Node
from backends.fairseq.probe import Probe
from backends.fairseq.relay import Relay
from repl.messages import Event, Failed


class Batch:
    """A running generation and those it is for. Who is complete, has failed or is cancelled leaves it."""

    def __init__(self, model: Model, probe: Probe, members: Sequence[Member]) -> None:
        self.members = sorted(members, key=lambda member: len(member.prompt.ids), reverse=True)
        self._model, self._probe = model, probe
        self._padded = len(self.members[0].prompt.ids)
        self._rows = sum(member.hypotheses for member in members)
        self._owners: list[tuple[Member, int]] = []
        """For each sentence whose it is, and which of its samples."""
        sentences: list[Sentence] = []
        self._first: dict[int, int] = {}
        """A member's first sentence, by the request's id."""
        for member in self.members:
            self._first[member.request.id] = len(sentences)
            self._owners += [(member, sample) for sample in range(member.plan.sentences)]
            sentences += member.sentences
        self._generation = Generation(model, probe, sentences, self)
        self._events: list[Event] = [event for member in self.members for event in member.started()]
        self._relay: Relay[list[Event]] = Relay(self._generate)
        self._emit: Callable[[list[Event]], None] | None = None

    def step(self) -> list[Event]:
        """What happens up to the end of the next step. Raises what fairseq raises, and is over then."""
        events = next(self._relay, None) or []
        if not self.members:
            self._relay.close()
        return events

    def untold(self) -> list[Event]:
        """What happened in the step that failed."""
        return self._take()

    def remove(self, request_id: int) -> bool:
        """Take a member out; False if it is none of them. The others do not notice."""
        member = next((m for m in self.members if m.request.id == request_id), None)
        if member is None:
            return False
        self._leave(member)
        if not self.members:
            self._relay.close()
        return True

    # -- what the generation tells, see ``generation.Listener`` --------------------------------------------

    def leads(self, sentence: int, node: Node) -> None:
        """Of several samples the first is shown."""
        member, sample = self._owners[sentence]
        if sample == 0:
            self._events += member.follow(node)

    def failed(self, sentence: int, error: BackendError) -> None:
        """The request fails; its other samples are not wanted any more."""
        member, _ = self._owners[sentence]
        self._leave(member)
        self._events.append(Failed(id=member.request.id, error=error.error))

    def ended(self, sentence: int, hypotheses: Hypotheses) -> None:
        """The request is complete with the last of its samples."""
        member, sample = self._owners[sentence]
        member.found[sample] = hypotheses
        if len(member.found) == member.plan.sentences:
            first = self._first[member.request.id]
            ends = self._generation.watched.ends[first : first + member.plan.sentences]
            self._events += member.finish(ends, self._rows, self._padded)
            self.members.remove(member)

    def stepped(self) -> None:
        """Pass the turn on; when it comes back, another generation may have had one."""
        assert self._emit is not None
        self._generation.pause()
        self._emit(self._take())
        self._generation.resume()

    def _take(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _leave(self, member: Member) -> None:
        first = self._first[member.request.id]
        self._generation.watched.drop(range(first, first + member.plan.sentences))
        self.members.remove(member)

    def _generate(self, emit: Callable[[list[Event]], None]) -> None:
        """Runs in the relay's thread."""
        self._emit = emit
        self._generation.run()
        emit(self._take())
