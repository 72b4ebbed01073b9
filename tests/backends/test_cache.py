"""A checkpoint is converted once, whole or not at all, and never before it was read as data."""

import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from backends import cache
from backends.base import BackendError


def quiet(stage: str, fraction: float | None) -> None:
    pass


def convert(model: Path) -> None:
    model.mkdir()
    (model / "model.bin").write_bytes(b"weights")
    (model / "config.json").write_text("{}")


def made(base: Path) -> tuple[Path, list[str]]:
    """The folder, and the stages that were told of."""
    stages: list[str] = []
    return cache.folder(base, "key", convert, lambda stage, _: stages.append(stage)), stages


def one_of_two(base: str, counter: str) -> None:
    def slow(model: Path) -> None:
        with Path(counter).open("ab") as file:
            file.write(b"x")
        convert(model)

    cache.folder(Path(base), "key", slow, quiet)


class TestFolder:
    def test_it_is_made_once_and_then_found(self, tmp_path: Path):
        folder, stages = made(tmp_path)
        assert (folder / "model.bin").read_bytes() == b"weights"
        assert stages == ["converting"]
        assert made(tmp_path) == (folder, [])

    @pytest.mark.parametrize("harm", ["shorter", "other", "gone", "no record", "more"])
    def test_a_damaged_one_is_made_anew(self, tmp_path: Path, harm: str):
        folder, _ = made(tmp_path)
        model = folder / "model.bin"
        match harm:
            case "shorter":
                model.write_bytes(b"weigh")
            case "other":
                model.write_bytes(b"WEIGHTS")
            case "gone":
                model.unlink()
            case "no record":
                (folder / "made.json").unlink()
            case "more":
                (folder / "vocabulary.json").write_text("[]")
        folder, stages = made(tmp_path)
        assert stages == ["converting"]
        assert sorted(file.name for file in folder.iterdir()) == ["config.json", "made.json", "model.bin"]
        assert model.read_bytes() == b"weights"

    def test_a_conversion_that_fails_leaves_nothing(self, tmp_path: Path):
        def fails(model: Path) -> None:
            convert(model)
            raise ValueError("no such layer")

        with pytest.raises(ValueError, match="no such layer"):
            cache.folder(tmp_path, "key", fails, quiet)
        assert [path.name for path in tmp_path.iterdir()] == [".key.lock"]
        assert made(tmp_path)[1] == ["converting"]

    def test_it_has_no_name_before_it_is_whole(self, tmp_path: Path):
        def watched(model: Path) -> None:
            convert(model)
            assert not (tmp_path / "key").exists()

        assert cache.folder(tmp_path, "key", watched, quiet).is_dir()

    def test_what_a_killed_process_left_is_cleared_away(self, tmp_path: Path):
        left = tmp_path / ".key.abc.part"
        (left / "model").mkdir(parents=True)
        made(tmp_path)
        assert not left.exists()

    def test_what_was_used_longest_ago_makes_room(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(cache, "MOST", 2 * (len(b"weights") + len("{}")))
        for age, name in enumerate(["new", "old", "older"]):
            folder = cache.folder(tmp_path, name, convert, quiet)
            os.utime(folder / "made.json", ns=(0, 10**18 - age))
        assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["new", "older"]
        cache.folder(tmp_path, "older", convert, quiet)  # used again
        cache.folder(tmp_path, "last", convert, quiet)
        assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["last", "older"]

    def test_two_processes_make_one(self, tmp_path: Path):
        context = multiprocessing.get_context("spawn")
        counter = tmp_path / "count"
        base = tmp_path / "cache"
        both = [context.Process(target=one_of_two, args=(str(base), str(counter))) for _ in range(2)]
        for process in both:
            process.start()
        for process in both:
            process.join(60)
        assert [process.exitcode for process in both] == [0, 0]
        assert counter.read_bytes() == b"x"

    def test_who_waits_is_told_so(self, tmp_path: Path):
        begun, go, told = threading.Event(), threading.Event(), threading.Event()

        def slow(model: Path) -> None:
            begun.set()
            assert go.wait(60)
            convert(model)

        first = threading.Thread(target=cache.folder, args=(tmp_path, "key", slow, quiet))
        first.start()
        assert begun.wait(60)
        stages: list[str] = []

        def progress(stage: str, fraction: float | None) -> None:
            stages.append(stage)
            told.set()

        second = threading.Thread(target=cache.folder, args=(tmp_path, "key", convert, progress))
        second.start()
        assert told.wait(60)
        go.set()
        first.join(60)
        second.join(60)
        assert stages == ["waiting for another process that converts it"]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_cannot_be_written_is_an_error_that_says_so(self, tmp_path: Path):
        tmp_path.chmod(0o500)
        with pytest.raises(BackendError, match="cannot be kept in"):
            made(tmp_path / "cache")

    def test_a_file_in_the_place_of_the_folder_is_one_too(self, tmp_path: Path):
        (tmp_path / "cache").write_text("")
        with pytest.raises(BackendError, match="cannot be kept in") as caught:
            made(tmp_path / "cache")
        assert "XDG_CACHE_HOME" in caught.value.error.hint


class TestKey:
    def test_another_file_or_another_way_is_another_key(self, tmp_path: Path):
        file = tmp_path / "model.pt"
        file.write_bytes(b"one")
        first = cache.key([file], "float32", "4.8.5")
        assert cache.key([file], "float32", "4.8.5") == first
        assert cache.key([file], "int8", "4.8.5") != first
        assert cache.key([file], "float32", "4.9.0") != first
        file.write_bytes(b"two")
        assert cache.key([file], "float32", "4.8.5") != first
