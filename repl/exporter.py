"""Serves the pool's figures to Prometheus on ``--metrics-port``, through the official client.

The names are vLLM's where it has one. Only this module needs the ``metrics`` extra.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from repl.pool import ReplicaStatus
from repl.pool.metrics import Histogram, ModelMetrics

HISTOGRAMS = {
    "time_to_first_token_seconds": ("From submission to the first token.", "time_to_first_token"),
    "inter_token_latency_seconds": ("Between two tokens of an answer.", "inter_token_latency"),
    "e2e_request_latency_seconds": ("From submission to the end of a finished request.", "request_latency"),
    "request_queue_time_seconds": ("Waiting for a slot.", "queue_time"),
    "dispatch_regret_seconds": ("Waiting while a slot that could serve was free.", "dispatch_regret"),
}
COUNTERS = {
    "prompt_tokens": ("Prompt tokens read.", "prompt_tokens"),
    "prefix_cache_queries": ("Prompt tokens looked for in the cache.", "prefix_cache_queries"),
    "prefix_cache_hits": ("Prompt tokens found in the cache, not read again.", "prefix_cache_hits"),
    "generation_tokens": ("Tokens generated.", "generation_tokens"),
    "spec_decode_num_draft_tokens": (
        "Tokens guessed for the model to confirm.",
        "spec_decode_num_draft_tokens",
    ),
    "spec_decode_num_accepted_tokens": (
        "Guessed tokens that it confirmed.",
        "spec_decode_num_accepted_tokens",
    ),
    "replica_deaths": ("Replica processes that died.", "replica_deaths"),
    "requeued": ("Requests that went back to the queue because their replica died.", "requeued"),
    "cancelled": ("Requests stopped before their end.", "cancelled"),
}


class Pool(Protocol):
    """What is exported of a coordinator."""

    def metrics(self) -> dict[str, ModelMetrics]:
        """By model."""
        ...

    def status(self) -> list[ReplicaStatus]:
        """Of every replica."""
        ...

    def queued(self, model: str | None = None) -> int:
        """Waiting requests."""
        ...


class PoolCollector(Collector):
    """Reads the live figures at each scrape. Runs on the server's thread and only reads."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def collect(self) -> Iterable[Metric]:
        """All metric families."""
        models = self._pool.metrics()
        running = dict.fromkeys(models, 0)
        for status in self._pool.status():
            running[status.model] += status.running
        yield _gauge("num_requests_running", "Requests on a replica.", running)
        waiting = {name: self._pool.queued(name) for name in models}
        yield _gauge("num_requests_waiting", "Requests in the queue.", waiting)
        for name, (about, field) in COUNTERS.items():
            counter = CounterMetricFamily(name, about, labels=["model_name"])
            for model, metrics in models.items():
                counter.add_metric([model], getattr(metrics, field))
            yield counter
        outcomes = CounterMetricFamily("request_outcome", "Ended requests.", labels=["model_name", "outcome"])
        for model, metrics in models.items():
            for outcome in ("finished", "stopped", "failed", "lost"):
                outcomes.add_metric([model, outcome], metrics.outcomes[outcome])
        yield outcomes
        yield from self._histograms(models)

    def _histograms(self, models: dict[str, ModelMetrics]) -> Iterator[Metric]:
        for name, (about, field) in HISTOGRAMS.items():
            family = HistogramMetricFamily(name, about, labels=["model_name"])
            for model, metrics in models.items():
                histogram: Histogram = getattr(metrics, field)
                family.add_metric([model], buckets=histogram.cumulative(), sum_value=histogram.sum)
            yield family


def serve(pool: Pool, port: int) -> Callable[[], None]:
    """Answer scrapes on the loopback; returns what ends that. Raises ``OSError`` when the port is taken."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PoolCollector(pool))
    server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _gauge(name: str, about: str, values: dict[str, int]) -> Metric:
    gauge = GaugeMetricFamily(name, about, labels=["model_name"])
    for model, value in values.items():
        gauge.add_metric([model], value)
    return gauge
