"""Counts and latencies of the pool, under the names vLLM gave them where it has one.

Plain numbers, so that a session that nobody scrapes pays almost nothing; ``repl.exporter`` hands them to the
official Prometheus client. Times are in seconds. Every metric is kept for each model.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from repl.messages import Failed, Finished, Lost, Started, Stopped
from repl.pool.ticket import Ticket

TOKEN_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
REQUEST_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
REGRET_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1.0)


class Histogram:
    """Counts by upper bound (inclusive), with sum and count, as Prometheus has them."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        """Not cumulative; the last one is above all bounds."""
        self.sum = 0.0

    @property
    def count(self) -> int:
        """Observations so far."""
        return sum(self.counts)

    def observe(self, value: float) -> None:
        """Add one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, int]]:
        """(upper bound, observations up to it), ``+Inf`` last."""
        total, rows = 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            total += count
            rows.append((bound, total))
        return rows

    def quantile(self, share: float) -> float | None:
        """An upper bound of the quantile: the bound of the bucket it falls in; None without observations."""
        if not self.count:
            return None
        wanted, seen = share * self.count, 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            seen += count
            if seen >= wanted:
                return bound
        return float("inf")


class ModelMetrics:
    """All figures of one model."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        """Ended requests by how: finished, stopped, failed, lost."""
        self.prompt_tokens = 0
        self.prefix_cache_hits = 0
        """Prompt tokens that needed no reading, since an earlier request had left their state."""
        self.generation_tokens = 0
        self.spec_decode_num_draft_tokens = 0
        """Guessed, for the model to confirm several in one pass."""
        self.spec_decode_num_accepted_tokens = 0
        self.replica_deaths = 0
        self.requeued = 0
        self.time_to_first_token = Histogram(REQUEST_BUCKETS)
        self.inter_token_latency = Histogram(TOKEN_BUCKETS)
        self.request_latency = Histogram(REQUEST_BUCKETS)
        self.queue_time = Histogram(REQUEST_BUCKETS)
        self.dispatch_regret = Histogram(REGRET_BUCKETS)
        """How long a request waited while a slot it could have used was free."""

    @property
    def prefix_cache_queries(self) -> int:
        """Prompt tokens that were looked for in what earlier requests left: all of them."""
        return self.prompt_tokens

    @property
    def cancelled(self) -> int:
        """Requests stopped before their end."""
        return self.outcomes["stopped"]

    def started(self, event: Started) -> None:
        """A replica took a request in."""
        self.prompt_tokens += len(event.prompt_ids)
        self.prefix_cache_hits += event.reused

    def stepped(self, gap: float | None) -> None:
        """A token came, ``gap`` seconds after the one before it."""
        self.generation_tokens += 1
        if gap is not None:
            self.inter_token_latency.observe(gap)

    def placed(self, ticket: Ticket, free_since: float) -> None:
        """A request was bound to a slot that has been free since then."""
        placed, since = ticket.timings.placed or 0.0, ticket.timings.waiting_since
        self.queue_time.observe(placed - since)
        self.dispatch_regret.observe(max(0.0, placed - max(since, free_since)))

    def ended(self, ticket: Ticket, end: Finished | Stopped | Failed | Lost) -> None:
        """A request got its terminal event."""
        self.outcomes[ticket.state] += 1
        timings = ticket.timings
        if timings.first_seconds is not None:
            self.time_to_first_token.observe(timings.first_seconds)
        if isinstance(end, Finished):
            self.spec_decode_num_draft_tokens += end.drafted
            self.spec_decode_num_accepted_tokens += end.accepted
        if isinstance(end, Finished) and timings.total_seconds is not None:
            self.request_latency.observe(timings.total_seconds)
