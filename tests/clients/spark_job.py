"""A job for Spark on Kubernetes, run by test_spark in an interpreter that has pyspark.

    spark_job.py URL CA TOKEN-FILE NAMESPACE IMAGE DRIVER-ADDRESS

Prints `executors N` once they are there, waits for a line on standard input, then shuffles and prints `sum N`.
"""

import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession  # type: ignore[import-not-found]

url, ca, token, namespace, image, address = sys.argv[1:7]
EXECUTORS = 2
settings = {
    "spark.app.name": "motet",
    "spark.master": f"k8s://{url}",
    "spark.kubernetes.namespace": namespace,
    "spark.kubernetes.authenticate.caCertFile": ca,
    "spark.kubernetes.authenticate.oauthTokenFile": token,
    "spark.kubernetes.authenticate.executor.serviceAccountName": "spark",
    "spark.kubernetes.container.image": image,
    "spark.kubernetes.executor.request.cores": "100m",
    "spark.executor.instances": str(EXECUTORS),
    "spark.executor.cores": "1",
    "spark.executor.memory": "500m",
    "spark.driver.host": address,
    "spark.driver.bindAddress": address,
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "8",
}
builder = SparkSession.builder
for key, value in settings.items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
context = spark.sparkContext._jsc.sc()
deadline = time.monotonic() + 120
while context.getExecutorMemoryStatus().size() - 1 < EXECUTORS:
    if time.monotonic() > deadline:
        sys.exit("the executors did not come")
    time.sleep(0.2)
print("executors", EXECUTORS, flush=True)
sys.stdin.readline()
numbers = spark.range(0, 2_000_000, 1, 16).selectExpr("id % 10 AS digit", "id")
total = numbers.groupBy("digit").sum("id").selectExpr("sum(`sum(id)`) AS total").collect()[0]["total"]
print("sum", total, flush=True)
spark.stop()
Path(token).unlink(missing_ok=True)
