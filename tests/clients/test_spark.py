"""Spark's own `--master k8s://`: executors are pods, a shuffle outlives the loss of one, and nothing is left. `make clients` runs this."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from clients.spark_image import IMAGE
from e2e.cluster import ADDRESS, until
from e2e.space import Space

PYTHON, ARCHIVE = os.environ.get("SPARK_PYTHON", ""), os.environ.get("SPARK_IMAGE", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="make clients installs Spark")
JOB = Path(__file__).with_name("spark_job.py")
EXECUTORS = "spark-role=executor"
SUM = sum(range(2_000_000))


@pytest.fixture(scope="module", autouse=True)
def image(cluster) -> None:  # type: ignore[no-untyped-def]
    cluster.motet("image", "import", ARCHIVE, timeout=180)


@contextmanager
def job(space: Space, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The driver, on the node itself, as an account that may do what a driver does."""
    space.kubectl("create", "serviceaccount", "spark")
    space.kubectl("create", "rolebinding", "spark", "--clusterrole=edit", f"--serviceaccount={space.namespace}:spark")
    (folder / "token").write_text(space.kubectl("create", "token", "spark").strip())
    ca = space.cluster.machine.pki / "ca.crt"
    words = [
        PYTHON,
        str(JOB),
        f"https://{ADDRESS}:6443",
        str(ca),
        str(folder / "token"),
        space.namespace,
        IMAGE,
        ADDRESS,
    ]
    log = (folder / "log").open("w")
    with (
        log,
        subprocess.Popen(
            space.cluster.command(*words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=space.cluster.environment({"PYSPARK_PYTHON": PYTHON}),
            cwd=folder,
        ) as driver,
    ):
        try:
            yield driver
        finally:
            driver.kill()


def line(driver: subprocess.Popen[str], folder: Path) -> str:
    stream: IO[str] | None = driver.stdout
    assert stream is not None
    found = stream.readline().strip()
    assert found, (folder / "log").read_text()[-3000:]
    return found


def go_on(driver: subprocess.Popen[str]) -> None:
    assert driver.stdin is not None
    driver.stdin.write("\n")
    driver.stdin.flush()


def test_executors_are_pods_that_share_the_work_and_go_when_it_is_done(space: Space, tmp_path: Path) -> None:
    with job(space, tmp_path) as driver:
        assert line(driver, tmp_path) == "executors 2"
        assert len(space.pods(EXECUTORS)) == 2
        go_on(driver)
        assert line(driver, tmp_path) == f"sum {SUM}"
        assert driver.wait(60) == 0
    until(lambda: not space.list("pods", EXECUTORS), what="executors are left")


def test_a_shuffle_outlives_the_loss_of_an_executor(space: Space, tmp_path: Path) -> None:
    with job(space, tmp_path) as driver:
        assert line(driver, tmp_path) == "executors 2"
        go_on(driver)
        space.kubectl("delete", "pod", space.pods(EXECUTORS)[0]["metadata"]["name"], "--grace-period=0", "--force")
        assert line(driver, tmp_path) == f"sum {SUM}"
