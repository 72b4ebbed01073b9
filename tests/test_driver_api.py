"""CUDA's driver library, played by a small one that is compiled here."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import require_tool

DRIVER = """
#include <stdlib.h>
#include <string.h>
int cuInit(unsigned flags) { return getenv("BROKEN") ? 803 : 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int index) { *device = 10 + index; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
    strncpy(name, device == 10 ? "Orin" : "Other", size); return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)device << 32; return 0; }
"""
ASK = "from repl import driver_api; print([tuple(card) for card in driver_api.cards()])"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.c").write_text(DRIVER)
    command = [require_tool("cc"), "-shared", "-fPIC", "-o", "libcuda.so.1", "driver.c"]
    subprocess.run(command, cwd=folder, check=True)
    return folder


def asked(folder: Path, **env: str) -> str:
    command = [sys.executable, "-c", ASK]
    env = {"LD_LIBRARY_PATH": str(folder), **env}
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip()


def test_the_cards_are_told(driver: Path) -> None:
    assert asked(driver) == str([("Orin", 10 << 32), ("Other", 11 << 32)])


def test_a_driver_that_does_not_fit_the_kernel_has_none(driver: Path) -> None:
    assert asked(driver, BROKEN="1") == "[]"


def test_without_a_driver_there_are_none(tmp_path: Path) -> None:
    assert asked(tmp_path) == "[]"
