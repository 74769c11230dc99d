"""What a real kubectl puts on the wire decodes to what it says it would send."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from aiohttp import web

from motet.kinds.schema import protobuf, table, validate

KUBECTL = Path(sys.executable).parent / "kubectl"
TEAPOT = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 418, "message": "enough"}

COMMANDS = [
    "configmap settings --from-literal=a=b",
    "secret generic s --from-literal=k=v",
    "deployment web --image=nginx --replicas=0 --port=80",
    "service nodeport np --tcp=80:http --node-port=30080",
    "service clusterip svc --clusterip=None --tcp=80:8080",
    "job j --image=busybox -- echo hi",
    "cronjob cj --image=busybox --schedule=*/5 -- date",
    "clusterrolebinding crb --clusterrole=admin --group=g",
    "quota q --hard=cpu=1,memory=1G,pods=2",
    "poddisruptionbudget p --selector=app=x --min-available=50%",
    "priorityclass pc --value=1000 --global-default=false",
    "ingress ing --rule=foo.com/bar=svc1:8080,tls=cert",
]


async def run(*arguments):
    process = await asyncio.create_subprocess_exec(
        str(KUBECTL), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    return output


@pytest.fixture
async def recorder():
    """A server that takes down what is posted and then refuses."""
    bodies = []

    async def handle(request):
        if request.method == "POST":
            bodies.append((request.content_type, await request.read()))
        return web.json_response(TEAPOT, status=418)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}", bodies
    await runner.cleanup()


def without_blanks(value):
    """Without the empty values Go prints where nothing was set."""
    if isinstance(value, dict):
        cleaned = {name: without_blanks(item) for name, item in value.items()}
        return {name: item for name, item in cleaned.items() if item not in ({}, None, "", [], False)}
    return [without_blanks(item) for item in value] if isinstance(value, list) else value


@pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl is not installed in this environment")
@pytest.mark.parametrize("command", COMMANDS)
async def test_a_typed_create_decodes_to_its_dry_run(recorder, command):
    server, bodies = recorder
    words = ["create", *command.split(), "--kubeconfig=/dev/null", "--validate=false"]
    at = words.index("--") if "--" in words else len(words)
    printed, _ = await asyncio.gather(
        run(*words[:at], "--dry-run=client", "-o=json", *words[at:]),
        run(*words[:at], f"--server={server}", *words[at:]),
    )
    [(content_type, body)] = bodies
    assert content_type == "application/vnd.kubernetes.protobuf"
    document = protobuf.decode(body)
    assert without_blanks(document) == without_blanks(json.loads(printed))
    schema = table.find(document["apiVersion"], document["kind"])
    assert validate.check(schema.name, document) == []
    assert validate.unknown_fields(schema.name, document) == []
