"""GPUs by a fake NVML, the CPU by fake cores, and the plan made of them."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pynvml
import pytest

from repl import cores, devices, driver_api, nvml
from repl.config import Config, ConfigError, ModelConfig
from repl.config.models import Replicas
from repl.pool.plan import ReplicaStatus
from tests.nvml import GB, Install


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Gives the process these logical CPUs, pairs of hyper-threads or not, and a limit of time."""

    def install(cpus: set[int], siblings: dict[int, str] | None = None, limit: str = "max 100000") -> None:
        (tmp_path / "cpu.max").write_text(limit)
        for number, text in (siblings or {}).items():
            folder = tmp_path / f"cpu{number}/topology"
            folder.mkdir(parents=True)
            (folder / "thread_siblings_list").write_text(text)
        monkeypatch.setattr("os.sched_getaffinity", lambda _: cpus)
        monkeypatch.setattr(cores, "_CGROUP", tmp_path)
        monkeypatch.setattr(cores, "_CPUS", tmp_path)

    return install


def config(**replicas: Replicas) -> Config:
    models = {
        name: ModelConfig(name=name, backend="echo", path="", replicas=wanted, origin=f"my.yaml:{i}")
        for i, (name, wanted) in enumerate(replicas.items(), 1)
    }
    return Config(name="test", models=models, compare=tuple(models))


def spread(size: int, replicas: Replicas, backend: str = "hf") -> Config:
    model = ModelConfig(
        name="a", backend=backend, path="", replicas=replicas, gpus_per_replica=size, origin="my.yaml:1"
    )
    return Config(name="test", models={"a": model}, compare=("a",))


class TestGpus:
    def test_without_a_driver_there_are_none(self, gpus: Install) -> None:
        assert devices.gpus() == [] and devices.readings() == {}

    def test_each_card_is_described(self, gpus: Install) -> None:
        gpus("GPU-a", "GPU-b")
        assert [(d.id, d.name, d.total_memory, d.free_memory) for d in devices.gpus()] == [
            ("cuda:0", "Card GPU-a", 10 * GB, 9 * GB),
            ("cuda:1", "Card GPU-b", 20 * GB, 19 * GB),
        ]

    @pytest.mark.parametrize(
        ("visible", "seen"),
        [
            ("", []),
            ("-1", []),
            ("2,0", ["GPU-cc", "GPU-ab"]),
            ("1", ["GPU-aa"]),
            ("GPU-cc,GPU-ab", ["GPU-cc", "GPU-ab"]),
            ("GPU-c", ["GPU-cc"]),
            ("GPU-a", []),  # the beginning of two
            ("1,7,2", ["GPU-aa"]),  # what follows an unknown one is not seen
            ("1,1", []),
            (" 1 , 2 ", ["GPU-aa", "GPU-cc"]),
            ("1,GPU-aa", []),
            ("MIG-1", ["MIG-1"]),
            ("MIG-2", []),
            ("none", []),
        ],
    )
    def test_cuda_visible_devices_is_read_as_cuda_does(
        self, visible: str, seen: list[str], gpus: Install, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gpus("GPU-ab", "GPU-aa", "GPU-cc")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert [d.name.removeprefix("Card ") for d in devices.gpus()] == seen

    def test_readings_are_by_device(self, gpus: Install) -> None:
        gpus("GPU-a", "GPU-b")
        reading = devices.readings()["cuda:1"]
        assert (reading.utilisation, reading.memory_used, reading.memory_total) == (0.5, GB, 20 * GB)

    def test_a_card_that_is_lost_is_left_out(self, gpus: Install) -> None:
        gpus("GPU-a", "GPU-b").silent.add("GPU-a")
        assert list(devices.readings()) == ["cuda:1"]

    def test_a_partition_has_memory_but_no_load(self, gpus: Install, monkeypatch: pytest.MonkeyPatch) -> None:
        gpus("GPU-a")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1")
        reading = devices.readings()["cuda:0"]
        assert (reading.utilisation, reading.memory_total) == (0, GB)

    def test_of_a_card_in_mig_mode_each_partition_is_a_device(self, gpus: Install) -> None:
        gpus("GPU-a", "GPU-b").partitions = {"GPU-a": ["MIG-x", "", "MIG-y"]}
        assert [(d.id, d.name, d.total_memory, d.partition) for d in devices.gpus()] == [
            ("cuda:0", "Card MIG-x", GB, True),
            ("cuda:1", "Card MIG-y", GB, True),
            ("cuda:2", "Card GPU-b", 20 * GB, False),
        ]
        assert nvml.words() == ["MIG-x", "MIG-y", "GPU-b"]

    def test_a_card_in_mig_mode_may_be_named_whole(
        self, gpus: Install, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gpus("GPU-a", "GPU-b").partitions = {"GPU-b": ["MIG-x"]}
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        assert nvml.words() == ["MIG-x"]

    def test_a_card_in_mig_mode_without_partitions_cannot_be_used(self, gpus: Install) -> None:
        gpus("GPU-a", "GPU-b").partitions = {"GPU-a": []}
        assert [d.name for d in devices.gpus()] == ["Card GPU-b"]

    def test_a_card_that_this_process_may_not_touch_is_not_counted(self, gpus: Install) -> None:
        gpus("GPU-a", "GPU-b", "GPU-c").closed = {"GPU-a"}
        assert [(d.id, d.name) for d in devices.gpus()] == [
            ("cuda:0", "Card GPU-b"), ("cuda:1", "Card GPU-c")
        ]  # fmt: skip

    def test_a_card_lost_later_takes_no_other_along(self, gpus: Install) -> None:
        gpus("GPU-a", "GPU-b").silent.add("GPU-a")
        assert [(d.id, d.name) for d in devices.gpus()] == [("cuda:1", "Card GPU-b")]

    def test_a_gpu_without_memory_of_its_own_has_the_machines(self, gpus: Install) -> None:
        gpus("GPU-a").shared.add("GPU-a")
        (gpu,) = devices.gpus()
        assert gpu.total_memory == devices.readings()["cuda:0"].memory_total == psutil.virtual_memory().total

    def test_without_nvml_the_driver_is_asked(self, gpus: Install, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(driver_api, "cards", lambda: (driver_api.Card("Orin", GB),))
        assert devices.gpus() == [devices.Device(id="cuda:0", name="Orin", total_memory=GB, free_memory=None)]
        assert devices.readings() == {}
        assert placed(config(a="auto")) == [("a/0", "cuda:0")]

    def test_a_driver_that_goes_away_is_looked_for_again(
        self, gpus: Install, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake = gpus("GPU-a")

        def gone() -> int:
            raise fake.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)

        with monkeypatch.context() as patch:
            patch.setattr(pynvml, "nvmlDeviceGetCount", gone)
            assert devices.readings() == {} and devices.gpus() == []
            assert devices.readings() == {}
        assert list(devices.readings()) == ["cuda:0"]

    def test_a_driver_that_fails_says_why(self, gpus: Install) -> None:
        assert nvml.fault() == ""
        gpus(fault=pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
        assert devices.gpus() == []
        assert nvml.fault() == "RM has detected an NVML/RM version mismatch."


def placed(config: Config) -> list[tuple[str, str]]:
    return [(plan.name, plan.device) for plan in devices.plan(config)]


class TestPlan:
    def test_auto_is_one_on_each_visible_gpu(self, gpus: Install, monkeypatch: pytest.MonkeyPatch) -> None:
        gpus("GPU-a", "GPU-b", "GPU-c")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
        assert placed(config(a="auto", b="auto")) == [
            ("a/0", "cuda:0"), ("a/1", "cuda:1"), ("b/0", "cuda:0"), ("b/1", "cuda:1")
        ]  # fmt: skip

    def test_auto_is_one_on_the_cpu_without_a_gpu(self, gpus: Install) -> None:
        assert placed(config(a="auto", b="auto")) == [("a/0", "cpu:0"), ("b/0", "cpu:1")]

    def test_a_number_is_dealt_out(self, gpus: Install) -> None:
        assert placed(config(a=2)) == [("a/0", "cpu:0"), ("a/1", "cpu:1")]
        gpus("GPU-a", "GPU-b")
        assert placed(config(a=3)) == [("a/0", "cuda:0"), ("a/1", "cuda:1"), ("a/2", "cuda:0")]

    def test_named_devices_are_taken_as_they_stand(self, gpus: Install) -> None:
        gpus("GPU-a", "GPU-b")
        assert placed(config(a=("cuda:1", "cpu", "cuda:1"), b=("cpu",))) == [
            ("a/0", "cuda:1"), ("a/1", "cpu:0"), ("a/2", "cuda:1"), ("b/0", "cpu:1")
        ]  # fmt: skip

    def test_replicas_on_one_gpu_part_its_memory(self, gpus: Install) -> None:
        gpus("GPU-a", "GPU-b")
        shares = {plan.name: plan.model.share for plan in devices.plan(config(a="auto", b=("cuda:1", "cpu")))}
        assert shares == {"a/0": 1, "a/1": 1 / 2, "b/0": 1 / 2, "b/1": 1}
        both = spread(2, "auto").models | config(b=1).models
        plans = devices.plan(Config(name="test", models=both, compare=()))
        assert [plan.model.share for plan in plans] == [1 / 2, 1 / 2]
        running = [ReplicaStatus(name="a/0", model="a", device="cuda:0+cuda:1", state="ready")]
        assert devices.place(both["b"], "cuda:1", running).model.share == 1 / 2

    def test_a_missing_device_is_named(self, gpus: Install, monkeypatch: pytest.MonkeyPatch) -> None:
        gpus("GPU-a", "GPU-b")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        expected = (
            "my.yaml:1: model 'a' is to run on cuda:1, which is not there: "
            "visible GPUs: cuda:0; CUDA_VISIBLE_DEVICES limits them"
        )
        with pytest.raises(ConfigError, match=expected):
            devices.plan(config(a=("cuda:1",)))

    def test_groups_of_gpus(self, gpus: Install) -> None:
        gpus("GPU-a", "GPU-b", "GPU-c", "GPU-d", "GPU-e")
        assert placed(spread(2, "auto")) == [("a/0", "cuda:0+cuda:1"), ("a/1", "cuda:2+cuda:3")]
        assert placed(spread(2, 3)) == [
            ("a/0", "cuda:0+cuda:1"), ("a/1", "cuda:2+cuda:3"), ("a/2", "cuda:0+cuda:1")
        ]  # fmt: skip
        named = ("cuda:4", "cuda:0", "cuda:1", "cuda:2")
        assert placed(spread(2, named)) == [("a/0", "cuda:4+cuda:0"), ("a/1", "cuda:1+cuda:2")]
        assert placed(spread(5, "auto")) == [("a/0", "cuda:0+cuda:1+cuda:2+cuda:3+cuda:4")]
        assert devices.plan(spread(2, 1))[0].model.gpus == 2

    @pytest.mark.parametrize("wanted", ["auto", 1, ("cuda:0",), ("cuda:0", "cuda:0"), ("cuda:0", "cpu")])
    def test_groups_that_cannot_be_made_are_refused(self, gpus: Install, wanted: Replicas) -> None:
        gpus("GPU-a")
        with pytest.raises(ConfigError, match=r"my\.yaml:1: model 'a' wants 2 GPUs for each replica"):
            devices.plan(spread(2, wanted))

    def test_a_group_on_the_cpu_shares_the_cores_of_one(self, gpus: Install) -> None:
        assert placed(spread(2, "auto")) == [("a/0", "cpu:0")]

    def test_a_group_is_not_added_to_one_gpu(self, gpus: Install) -> None:
        gpus("GPU-a", "GPU-b")
        with pytest.raises(ConfigError, match="takes 2 GPUs and cannot be added to one"):
            devices.place(spread(2, "auto").models["a"], "cuda:0", ())

    def test_partitions_are_not_grouped(self, gpus: Install) -> None:
        gpus("GPU-a").partitions = {"GPU-a": ["MIG-x", "MIG-y"]}
        with pytest.raises(ConfigError, match=r"parts of a GPU \(MIG\) cannot share a replica"):
            devices.plan(spread(2, "auto"))

    def test_an_added_replica_has_the_threads_that_a_gpu_is_fed_with(
        self, gpus: Install, cpu: Callable[..., None]
    ) -> None:
        gpus("GPU-a", "GPU-b")
        cpu(set(range(8)))
        running = [ReplicaStatus(name="a/0", model="a", device="cuda:0", state="ready")]
        plan = devices.place(config(a="auto").models["a"], "cuda:1", running)
        assert (plan.name, plan.device, plan.threads) == ("a/1", "cuda:1", 4)

    def test_a_backend_for_one_device_refuses(self, gpus: Install) -> None:
        gpus("GPU-a", "GPU-b")
        with pytest.raises(ConfigError, match="backend echo runs a replica on one device"):
            devices.plan(spread(2, "auto", backend="echo"))

    def test_the_model_goes_along(self, gpus: Install) -> None:
        plan = devices.plan(config(a="auto"))[0]
        assert plan.model.name == "a" and plan.model.backend == "echo"


class TestShares:
    def shares(self, count: int) -> list[tuple[int, tuple[int, ...]]]:
        return [(share.threads, share.cores) for share in cores.shares(count)]

    def test_one_replica_has_everything_and_stays_nowhere(self, cpu: Callable[..., None]) -> None:
        cpu({0, 1, 2, 3})
        assert self.shares(1) == [(4, ())]

    def test_cores_are_divided_while_there_are_enough(self, cpu: Callable[..., None]) -> None:
        cpu({0, 1, 2, 5, 7})
        assert self.shares(2) == [(2, (0, 1)), (3, (2, 5, 7))]
        assert self.shares(5) == [(1, (0,)), (1, (1,)), (1, (2,)), (1, (5,)), (1, (7,))]

    def test_more_replicas_than_cores_have_one_thread_each(self, cpu: Callable[..., None]) -> None:
        cpu({0, 1})
        assert self.shares(3) == [(1, ()), (1, ()), (1, ())]

    def test_hyper_threads_stay_together_and_count_once(self, cpu: Callable[..., None]) -> None:
        cpu({0, 1, 2, 3}, {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"})
        assert self.shares(2) == [(1, (0, 2)), (1, (1, 3))]
        assert self.shares(3) == [(1, ())] * 3
        assert self.shares(1) == [(2, ())]

    def test_a_quota_limits_threads_and_pins_nothing(self, cpu: Callable[..., None]) -> None:
        cpu(set(range(64)), limit="450000 100000")
        assert self.shares(2) == [(2, ()), (2, ())]
        assert self.shares(1) == [(4, ())]

    def test_less_than_one_cpu_is_one_thread(self, cpu: Callable[..., None]) -> None:
        cpu({0, 1}, limit="50000 100000")
        assert self.shares(1) == [(1, ())]

    @pytest.mark.parametrize(
        ("limit", "expected"), [("max 100000", None), ("150000 100000", 1.5), ("broken", None)]
    )
    def test_quota_of_a_cgroup(self, limit: str, expected: float | None, cpu: Callable[..., None]) -> None:
        cpu({0}, limit=limit)
        assert cores.quota() == expected

    def test_quota_of_an_old_cgroup(self, cpu: Callable[..., None], tmp_path: Path) -> None:
        cpu({0}, limit="")
        (tmp_path / "cpu").mkdir()
        (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000")
        (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1")
        assert cores.quota() is None
        (tmp_path / "cpu/cpu.cfs_quota_us").write_text("250000")
        assert cores.quota() == 2.5

    def test_replicas_on_gpus_leave_the_cores_to_those_on_the_cpu(
        self, gpus: Install, cpu: Callable[..., None]
    ) -> None:
        gpus("GPU-a")
        cpu({0, 1, 2, 3})
        plans = devices.plan(config(a=("cuda:0", "cpu", "cpu")))
        assert [(p.device, p.cores) for p in plans] == [("cuda:0", ()), ("cpu:0", (0, 1)), ("cpu:1", (2, 3))]
