"""The verbs of `motet rollout`, over a real kernel with its loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.controllers.test_app import apps, crashing_kubelet
from tests.controllers.test_daemonset import daemonsets
from tests.controllers.test_statefulset import statefulsets
from tests.controllers.test_workloads import deployments, replicasets
from tests.controllers.world import World, world

from motet.base.errors import MotetError
from motet.cli.progress import Quiet
from motet.cli.rollout import pause, restart, resume, revisions, targets, undo
from motet.cli.rollout.judge import Phase, Verdict
from motet.cli.rollout.revisions import Revision
from motet.cli.rollout.status import followed
from motet.cli.rollout.targets import APP, DAEMONSET, DEPLOYMENT, STATEFULSET, Target
from motet.kinds import app, deployment, node
from motet.store.document import Document

WEB = Target(APP, "web")
SITE = Target(DEPLOYMENT, "site")


def web(image: str, **spec: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "c", "image": image}]}}
    update = {"monitorSeconds": 0.2, **spec.pop("update", {})}
    return {"metadata": {"name": "web"}, "spec": {"template": template, "update": update, **spec}}


def site(image: str) -> dict[str, Any]:
    labels = {"app": "site"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    return {"metadata": {"name": "site"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}


async def change(it: World, image: str, target: Target = WEB) -> None:
    body = web(image) if target is WEB else site(image)
    patch = {"spec": {"template": body["spec"]["template"]}}
    patch["metadata"] = {"annotations": {"kubernetes.io/change-cause": f"to {image}"}} if image == "v3" else {}
    await it.client.patch(target.kind, target.name, patch, "default")


async def verdict(it: World, target: Target = WEB, timeout: float = 10.0) -> Verdict:
    found = await followed(it.client, [target], "default", Quiet(), it.clock, timeout=timeout)
    return found[target]


async def history(it: World, target: Target = WEB) -> list[Revision]:
    return await revisions.of(it.client, target, await document(it, target))


async def document(it: World, target: Target = WEB) -> Document:
    return await targets.find(it.client, target, "default")


def image_of(it: World, target: Target = WEB) -> str:
    found = it.get(target.kind, target.name)
    assert found is not None
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def test_targets_are_named_as_kubectl_does() -> None:
    words = ["web", "app/web", "deploy/site", "deployments.apps/site", "sts/db"]
    assert targets.parse(words) == [WEB, SITE, Target(STATEFULSET, "db")]


@pytest.mark.parametrize("word", ["pod/web", "deploy/", "a/b/c"])
def test_other_targets_are_refused(word: str) -> None:
    with pytest.raises(Exception, match="expected NAME or one of app/NAME, deployment/NAME"):
        targets.parse([word])


async def test_what_is_not_there_is_said_with_what_is(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await it.create(app.KIND, web("v1"))
        with pytest.raises(MotetError, match=r"no app 'wbe' in namespace default \(there are: web\)"):
            await targets.find(it.client, Target(APP, "wbe"), "default")


async def test_an_app_is_followed_gone_back_with_and_remembered(tmp_path: Path) -> None:
    async with world(tmp_path, apps, crashing_kubelet) as it:
        await it.create(app.KIND, web("v1", mode={"replicated": {"replicas": 2}}))
        assert await verdict(it) == Verdict(Phase.DONE, "is rolled out: 2 of 2 pods", 2, 2, 2)
        await change(it, "v2")
        assert (await verdict(it)).phase is Phase.DONE
        await change(it, "v3")
        assert (await verdict(it)).phase is Phase.DONE
        found = await history(it)
        assert [(each.number, each.images, revisions.summary(each)) for each in found] == [
            (1, ["v1"], ""),
            (2, ["v2"], "image v1 -> v2"),
            (3, ["v3"], "to v3"),
        ]
        assert await undo.undo(it.client, WEB, await document(it), 0) == "goes back to revision 2"
        assert (await verdict(it)).phase is Phase.DONE
        status = (await document(it)).decode()["status"]
        assert (image_of(it), status["update"]["state"]) == ("v2", "rollback_completed")
        assert [(each.number, each.images) for each in await history(it)] == [(1, ["v1"]), (3, ["v3"]), (4, ["v2"])]
        assert await undo.undo(it.client, WEB, await document(it), 4) == "is what revision 4 was already"
        assert await undo.undo(it.client, WEB, await document(it), 1) == "goes back to revision 1"
        with pytest.raises(MotetError, match="app/web has no revision 2; kept are: 1, 3, 4"):
            await undo.undo(it.client, WEB, await document(it), 2)


async def test_an_update_that_went_back_by_itself_is_told_from_one_that_was_asked_for(tmp_path: Path) -> None:
    async with world(tmp_path, apps, crashing_kubelet) as it:
        await it.create(app.KIND, web("v1", update={"failureAction": "rollback"}, restart={"delaySeconds": 0}))
        await verdict(it)
        await change(it, "bad")
        found = await verdict(it)
        assert found.phase is Phase.ROLLED_BACK
        assert "1 of 1 failed within 0.2 s of starting" in found.told


async def test_an_update_paused_by_its_failures_fails_and_can_go_on(tmp_path: Path) -> None:
    async with world(tmp_path, apps, crashing_kubelet) as it:
        await it.create(app.KIND, web("v1", restart={"delaySeconds": 0}))
        await verdict(it)
        await change(it, "bad")
        assert (await verdict(it)).told.startswith("update paused: 1 of 1 failed")
        assert await resume.resume(it.client, WEB, await document(it)) == "goes on"
        assert "motet.dev/resumed-at" in ((await document(it)).meta.annotations or {})


async def test_what_is_paused_moves_no_further_until_it_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path, apps, crashing_kubelet) as it:
        await it.create(app.KIND, web("v1"))
        await verdict(it)
        with pytest.raises(MotetError, match="app/web is not paused"):
            await resume.resume(it.client, WEB, await document(it))
        assert await pause.pause(it.client, WEB, await document(it)) == "is paused"
        await change(it, "v2")
        found = await verdict(it, timeout=0.3)
        assert (found.phase, found.told.partition(":")[0]) == (Phase.WAITING, "paused, as asked for")
        for verb in (pause.pause, restart.restart):
            with pytest.raises(MotetError, match="app/web is paused"):
                await verb(it.client, WEB, await document(it))
        with pytest.raises(MotetError, match="go on first: motet rollout resume app/web"):
            await undo.undo(it.client, WEB, await document(it), 0)
        await resume.resume(it.client, WEB, await document(it))
        assert (await verdict(it)).phase is Phase.DONE


async def test_a_restart_replaces_every_pod_and_runs_a_job_again(tmp_path: Path) -> None:
    async with world(tmp_path, apps, crashing_kubelet) as it:
        body = web("done", mode={"replicatedJob": {"totalCompletions": 2}})
        del body["spec"]["update"]
        await it.create(app.KIND, body)
        assert await verdict(it) == Verdict(Phase.DONE, "2 of 2 completed", 2, 0, 2)
        await restart.restart(it.client, WEB, await document(it))
        assert (await verdict(it)).phase is Phase.DONE
        assert (await document(it)).decode()["status"]["job"]["iteration"] == 2
        with pytest.raises(MotetError, match="is a job without a schedule"):
            await pause.pause(it.client, WEB, await document(it))


async def test_a_first_version_that_cannot_start_has_failed(tmp_path: Path) -> None:
    async with world(tmp_path, apps, crashing_kubelet) as it:
        await it.create(app.KIND, web("bad", restart={"condition": "none"}))
        found = await verdict(it)
        assert (found.phase, found.told) == (Phase.FAILED, "Error: ended with exit code 1")


async def test_deployments_have_the_same_verbs(tmp_path: Path) -> None:
    async with world(tmp_path, deployments, replicasets, crashing_kubelet) as it:
        await it.create(deployment.KIND, site("v1"))
        assert (await verdict(it, SITE)).told == "is rolled out: 1 of 1 pods"
        await change(it, "v2", SITE)
        assert (await verdict(it, SITE)).phase is Phase.DONE
        assert [(each.number, each.changes) for each in await history(it, SITE)] == [(1, []), (2, ["image v1 -> v2"])]
        assert await undo.undo(it.client, SITE, await document(it, SITE), 0) == "goes back to revision 1"
        assert (await verdict(it, SITE)).phase is Phase.DONE
        assert image_of(it, SITE) == "v1"
        await pause.pause(it.client, SITE, await document(it, SITE))
        await resume.resume(it.client, SITE, await document(it, SITE))
        await restart.restart(it.client, SITE, await document(it, SITE))
        assert (await verdict(it, SITE)).phase is Phase.DONE
        assert [each.number for each in await history(it, SITE)] == [2, 3, 4]


def test_changes_are_named_by_where_they_are() -> None:
    def spec(image: str, *variables: tuple[str, str], **others: Any) -> dict[str, Any]:
        env = [{"name": name, "value": value} for name, value in variables]
        return {"template": {"spec": {"containers": [{"name": "c", "image": image, "env": env}], **others}}}

    before = spec("a", ("X", "1"), ("Y", "2"), hostNetwork=True)
    after = spec("b", ("X", "3"), ("Z", "4"))
    said = ["+env.Z=4", "-env.Y", "-hostNetwork", "env.X 1 -> 3", "image a -> b"]
    assert sorted(revisions.changes(before, after)) == said


DB = Target(STATEFULSET, "db")
LOGS = Target(DAEMONSET, "logs")


def workload(name: str, image: str, **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template, **spec}}


@pytest.mark.parametrize("target", [DB, LOGS], ids=str)
async def test_stateful_sets_and_daemon_sets_too_but_for_pauses(target: Target, tmp_path: Path) -> None:
    async with world(tmp_path, statefulsets, daemonsets, crashing_kubelet) as it:
        await it.create(node.KIND, {"metadata": {"name": "n1"}})
        await it.create(target.kind, workload(target.name, "v1"))
        assert (await verdict(it, target)).phase is Phase.DONE
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "v2"}]}}}}
        await it.client.patch(target.kind, target.name, patch, "default")
        assert (await verdict(it, target)).phase is Phase.DONE
        assert [(each.number, each.changes) for each in await history(it, target)] == [(1, []), (2, ["image v1 -> v2"])]
        assert await undo.undo(it.client, target, await document(it, target), 0) == "goes back to revision 1"
        assert (await verdict(it, target)).phase is Phase.DONE
        assert image_of(it, target) == "v1"
        await restart.restart(it.client, target, await document(it, target))
        assert (await verdict(it, target)).phase is Phase.DONE
        with pytest.raises(MotetError, match="only Apps and Deployments can"):
            await pause.pause(it.client, target, await document(it, target))


async def test_what_is_not_rolled_out_by_itself_is_said(tmp_path: Path) -> None:
    async with world(tmp_path, statefulsets, crashing_kubelet) as it:
        await it.create(DB.kind, workload("db", "v1", updateStrategy={"type": "OnDelete"}))
        found = await verdict(it, DB)
        assert (found.phase, found.told) == (Phase.FAILED, "its updateStrategy is OnDelete, so nothing rolls out")


async def test_what_waits_for_others_and_what_runs_by_the_clock_is_said(tmp_path: Path) -> None:
    async with world(tmp_path, apps, crashing_kubelet) as it:
        await it.create(app.KIND, web("v1", dependsOn=[{"name": "db"}]))
        found = await verdict(it, timeout=0.5)
        assert (found.phase, found.told) == (Phase.WAITING, "waits: there is no App db yet")
        body = web("done", mode={"replicatedJob": {}}, schedule={"cron": "0 0 1 1 *"})
        del body["spec"]["update"]
        await it.create(app.KIND, {**body, "metadata": {"name": "job"}})
        found = await verdict(it, Target(APP, "job"))
        assert (found.phase, found.told[:13]) == (Phase.DONE, "runs first at")
        await pause.pause(it.client, Target(APP, "job"), await document(it, Target(APP, "job")))
