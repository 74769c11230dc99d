"""A noisy client: lists pods over many connections at a time, as fast as it is let, and heeds no Retry-After.

    python benchmarks/drivers/noise.py DIRECTORY PORT CONNECTIONS

Prints a line when all connections stand, and at SIGTERM how many requests were served and how many refused (429).
"""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from collections import Counter

import uvloop

_REQUEST = b"GET /api/v1/namespaces/default/pods?limit=50 HTTP/1.1\r\nHost: x\r\n\r\n"


async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: Counter[bytes]) -> None:
    while True:
        writer.write(_REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        answers[head.split(b" ")[1]] += 1


async def crowd(directory: str, port: int, connections: int) -> None:
    context = ssl.create_default_context(cafile=f"{directory}/ca.crt")
    context.load_cert_chain(f"{directory}/admin.crt", f"{directory}/admin.key")
    opened = [await asyncio.open_connection("127.0.0.1", port, ssl=context, limit=1 << 26) for _ in range(connections)]
    print("ready", flush=True)
    answers: Counter[bytes] = Counter()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tasks = [asyncio.create_task(one(reader, writer, answers)) for reader, writer in opened]
    await stop.wait()
    for task in tasks:
        task.cancel()
    print(answers[b"200"], answers[b"429"], flush=True)


if __name__ == "__main__":
    uvloop.run(crowd(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
