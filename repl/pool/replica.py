"""The coordinator's handle on one replica: its process and its state through all of its processes' lives.

The process is started again after it dies, each time after a longer pause, until it has died too often in a
row; then it stays down with its last words as the reason. A model that cannot be loaded is not tried again
until the user asks.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Sequence

from repl.messages import Capabilities, Error
from repl.pool.keeper import Keeper
from repl.pool.metrics import ModelMetrics
from repl.pool.plan import Limits, ReplicaPlan, ReplicaStatus, State
from repl.pool.process import Launcher, Process
from repl.pool.running import Running
from repl.pool.ticket import Ticket
from repl.pool.transport import FrameProtocol
from repl.pool.vitals import Vitals, obituary, seen_from_outside
from repl.pool.wire import Cancel, Changed, FromChild, Heartbeat, Load, LoadFailed, Loading, Ready, Shutdown

ABOUT_PROCESS = (Heartbeat, Loading, Ready, LoadFailed, Changed)


class Replica:
    """One planned replica through all of its processes."""

    def __init__(
        self, plan: ReplicaPlan, launch: Launcher, limits: Limits, keeper: Keeper, metrics: ModelMetrics
    ) -> None:
        self.plan = plan
        self.name = plan.name
        self.capabilities: Capabilities | None = None
        self.error: Error | None = None
        self.free_since = 0.0
        """When a slot last became free, in seconds of ``time.monotonic``."""
        self._metrics = metrics
        self._launch = launch
        self._limits = limits
        self._keeper = keeper
        self._state: State = "starting"
        self._process: Process | None = None
        self._running = Running(metrics, self.cancel)
        self._detail = ""
        self._loading: float | None = None
        self._deaths = 0
        self._restarts = 0
        self._draining = False
        self._ready_since = 0.0
        self._vitals = Vitals()
        self._verdict: Error | None = None
        """Why we are ending the process ourselves, when we are, or why it ended itself."""
        self._unloadable = False
        """It said so itself."""
        self._ended_early = ""
        """Why the process was gone before its start was complete."""
        self._served = False
        """It was ready once: what it needs is there, but for memory that others may have taken."""
        self._tasks: set[asyncio.Task[None]] = set()

    # -- what others see -----------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """``busy`` is ready with something running."""
        if self._draining and self._state == "ready":
            return "draining"
        return "busy" if self._state == "ready" and self._running else self._state

    @property
    def slots(self) -> int:
        """How many requests it can serve at once; 0 until it is ready."""
        return self._running.slots if self._state == "ready" else 0

    @property
    def free(self) -> int:
        """Slots that can take a request now."""
        return 0 if self._state != "ready" or self._draining else self._running.room

    @property
    def load(self) -> float:
        """Running requests per slot."""
        return len(self._running) / max(1, self._running.slots)

    @property
    def coming(self) -> bool:
        """Whether it serves or will without anyone's doing."""
        return self._state not in ("failed", "stopped") and not self._draining

    def status(self) -> ReplicaStatus:
        """A snapshot for the front ends."""
        return ReplicaStatus(
            name=self.name,
            model=self.plan.model.name,
            device=self.plan.device,
            state=self.state,
            slots=self.slots,
            running=len(self._running),
            tokens_per_second=self._vitals.rate if self._running else 0.0,
            memory=self._vitals.memory,
            detail=self._detail,
            loading=self._loading,
            error=self.error,
            restarts=self._restarts,
            pid=self._process.pid if self._process else None,
            capabilities=self.capabilities,
        )

    # -- requests ------------------------------------------------------------------------------------------

    def take(self, ticket: Ticket) -> None:
        """Send a request to the process; the caller has seen that a slot is free."""
        assert self._process is not None
        ticket.place(self.name)
        if not self._running:
            self._vitals.work_begins()
        self._running.add(ticket)
        self._process.connection.send(ticket.request)

    def cancel(self, ticket: Ticket) -> None:
        """Pass a stop on; the process answers with ``Stopped`` within one step."""
        if self._process is not None:
            self._process.connection.send(Cancel(id=ticket.request.id))

    # -- the process ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin a new process; returns at once."""
        self._spawn(self._start())

    async def _start(self) -> None:
        self._set("starting", "starting the process")
        self.capabilities, self.error, self._verdict, self._unloadable = None, None, None, False
        self._ended_early = ""
        self._vitals = Vitals(self._running.tokens)
        try:
            self._process = await self._launch(self.plan, lambda: FrameProtocol(self))
        except OSError as error:
            hint = "free memory or processes, then /restart " + self.name
            fault = Error(
                kind="crashed", message=f"cannot start a process for {self.name}: {error}", hint=hint
            )
            self._fail(fault)
            return
        plan = self.plan
        device = "cuda:0" if plan.device.startswith("cuda") else "cpu"
        order = Load(model=plan.model, device=device, threads=plan.threads, cores=plan.cores)
        self._process.connection.send(order)
        if self._ended_early:
            self.disconnected(self._ended_early)

    def received(self, messages: Sequence[FromChild]) -> None:
        """All that one engine step, or the load, produced.

        Slots that became free are given work first; the steps and ends are told after that, so that no slot
        waits for those who listen.
        """
        if self._state == "stopped":  # a last word from a process that is being closed
            return
        heard = self._vitals.heard = time.monotonic()
        ended = self._running.release(messages)
        freed = bool(ended)
        if freed:
            self.free_since = heard
            self._keeper.freed(self)
        for message in messages:
            if isinstance(message, ABOUT_PROCESS):
                self._told(message)
            elif self._running.deliver(message, ended, heard):
                freed = True
                self.free_since = heard
                self._keeper.freed(self)
        if freed:
            self._keeper.changed(self)
            if self._draining and not self._running:
                self._spawn(self.close())

    def _told(self, message: Heartbeat | Loading | Ready | LoadFailed | Changed) -> None:
        """What the process says of itself."""
        if isinstance(message, Heartbeat):
            self._vitals.beat(message)
        elif isinstance(message, Loading):
            self._loading = message.fraction
            self._set("loading", message.stage)
        elif isinstance(message, LoadFailed):
            self._unloadable = message.error.kind != "out_of_memory" or not self._served
            self._verdict = seen_from_outside(message.error, self.plan.device)
        elif isinstance(message, Changed):
            self.capabilities = message.capabilities
            self._keeper.changed(self)
        else:
            self._served = True
            self.capabilities = message.capabilities
            self._running.slots = message.capabilities.slots
            self._loading = None
            self._ready_since = self.free_since = self._vitals.heard
            self._set("ready", "")
            self._keeper.freed(self)
            self._keeper.changed(self)

    def tick(self, now: float) -> None:
        """Twice a second: the token rate, and whether the process hangs."""
        self._vitals.tick(now, self._running.tokens)
        if self._state == "ready":
            complaint = self._vitals.complaint(now, self._limits, bool(self._running))
            if complaint is not None:
                message = f"replica {self.name} {complaint} and was ended"
                self.end(Error(kind="hung", message=message, hint="/retry asks again"))
            self._running.end_disobeyed(now, self._limits.stop)
        if self._running:
            self._keeper.changed(self)

    def end(self, verdict: Error) -> None:
        """Kill the process for the given reason; ``disconnected`` does the rest."""
        self._verdict = verdict
        if self._process is not None:
            self._process.kill()

    def disconnected(self, reason: str) -> None:
        """The process is gone, or no longer makes sense."""
        if self._state == "stopped":
            return
        process, self._process = self._process, None
        if process is None:
            self._ended_early = reason
            return
        process.kill()
        self._metrics.replica_deaths += self._verdict is None or self._verdict.kind == "hung"
        served = self._state == "ready" and time.monotonic() - self._ready_since > self._limits.healthy
        self._deaths = 1 if served else self._deaths + 1
        tickets = self._running.give_up()
        self._set("restarting", reason)
        self._spawn(self._bury(process, tickets, reason))

    async def _bury(self, process: Process, tickets: list[Ticket], reason: str) -> None:
        """Find out why it died, settle what it was running, and start the next process."""
        retry = [t for t in tickets if not t.shown and not t.stopping and t.tries < self._limits.tries]
        if retry:
            self._keeper.orphaned(self, retry, Error(kind="crashed", message=reason))
        error = self._verdict or Error(
            kind="crashed", message=f"replica {self.name}: {reason}", hint="/retry asks again"
        )
        try:
            code = await process.wait(within=5.0)
            error = self._verdict or obituary(self.name, code, reason, process.last_words())
        finally:
            rest = [t for t in tickets if t not in retry]
            if rest:
                self._keeper.orphaned(self, rest, error)
        if self._state != "restarting":
            return
        if self._draining:
            await self.close()
            return
        if self._unloadable or self._deaths >= self._limits.deaths:
            self._fail(error)
            return
        self.error = error
        while code is None:  # a new one would not find the memory that this one has
            self._set("restarting", f"process {process.pid} ends slowly and still holds its device")
            code = await process.wait(within=1.0)
        pause = min(self._limits.backoff * 2 ** (self._deaths - 1), self._limits.backoff_most)
        self._set("restarting", f"in {pause:.1f} s: {error.message}")
        await asyncio.sleep(pause)
        if self._state == "restarting":
            self._restarts += 1
            await self._start()

    def _fail(self, error: Error) -> None:
        self.error = error
        self._loading = None
        self._set("failed", error.message)
        self._keeper.failed(self)

    # -- by hand -------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Finish what runs, take nothing new, then leave."""
        self._draining = True
        self._keeper.changed(self)
        if not self._running:
            self._spawn(self.close())

    async def restart(self) -> None:
        """End the process, if there is one, and start anew with a clean slate."""
        self._deaths = 0
        self._draining = False
        process = self._process
        if process is not None and self._state != "failed":
            fault = Error(
                kind="crashed", message=f"replica {self.name} was restarted by hand", hint="/retry asks again"
            )
            self.end(fault)
            return
        await self._cancel_tasks()
        self._restarts += 1
        await self._start()

    async def close(self) -> None:
        """Ask the process to leave, then make it."""
        self.capabilities, self._draining = None, False
        self._vitals = Vitals(self._running.tokens)
        self._set("stopped", "")
        await self._cancel_tasks()
        process, self._process = self._process, None
        self._running.give_up()
        if process is None:
            return
        process.connection.send(Shutdown())
        if await process.wait(within=self._limits.farewell) is None:
            process.kill()
            await process.wait()
        process.connection.abort()

    async def _cancel_tasks(self) -> None:
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _set(self, state: State, detail: str) -> None:
        self._state, self._detail = state, detail
        self._keeper.changed(self)
