"""What a Job does next, as a plain function; and the laws that hold whatever happens when."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controllers import builders
from tests.controllers.tiny_job import TinyJob

from motet.controllers.job import pod_of
from motet.controllers.jobs import NewPod
from motet.controllers.jobview import FAILURES, FINALIZER, INDEX


def indexed(completions: int = 3, parallelism: int = 3, **spec: Any) -> TinyJob:
    return TinyJob(completionMode="Indexed", completions=completions, parallelism=parallelism, **spec)


def indexes(job: TinyJob) -> list[str]:
    return sorted(pod["metadata"]["annotations"][INDEX] for pod in job.active())


def end_index(job: TinyJob, index: int, phase: str, code: int = 1) -> None:
    running = job.running()
    (found,) = [n for n, pod in enumerate(running) if pod["metadata"]["annotations"][INDEX] == str(index)]
    job.end(found, phase, code)


def test_it_makes_as_many_pods_as_may_run_at_a_time() -> None:
    job = TinyJob(completions=5, parallelism=2)
    job.settle()
    assert len(job.active()) == job.status.active == 2
    assert job.status.start_time is not None
    job.end(0)
    job.settle()
    assert (len(job.active()), job.status.succeeded) == (2, 1)


def test_it_makes_no_more_than_are_missing() -> None:
    job = TinyJob(completions=2, parallelism=5)
    job.settle()
    assert len(job.active()) == 2


def test_it_is_complete_when_enough_have_succeeded() -> None:
    job = TinyJob(completions=3, parallelism=2)
    job.run()
    assert [each.type for each in job.status.conditions] == ["SuccessCriteriaMet", "Complete"]
    assert job.reason() == "CompletionsReached"
    assert (job.status.succeeded, job.status.active, job.status.completion_time is not None) == (3, 0, True)
    assert job.told == ["Completed"]


def test_a_queue_of_work_is_done_when_one_has_succeeded_and_the_others_have_ended() -> None:
    job = TinyJob(parallelism=3)
    job.settle()
    job.end(0)
    job.settle()
    assert (len(job.active()), job.finished()) == (2, "")
    job.end(0)
    job.end(0, "Failed")
    job.settle()
    assert (job.finished(), job.status.succeeded, job.status.failed) == ("Complete", 2, 1)


def test_a_failed_pod_is_replaced_after_ten_seconds_then_twenty() -> None:
    job = TinyJob()
    for delay in (10, 20, 40):
        job.settle()
        assert len(job.active()) == 1
        job.end(0, "Failed")
        job.settle()
        assert (job.active(), job.plan().look_again) == ([], delay)
        job.pass_time(delay)
    assert job.status.failed == 3


def test_too_many_failures_end_it_and_what_still_runs() -> None:
    job = TinyJob(completions=3, parallelism=3, backoffLimit=0)
    job.settle()
    job.end(0, "Failed")
    job.decide()
    assert [each.type for each in job.status.conditions] == ["FailureTarget"]
    assert job.finished() == ""
    job.settle()
    assert (job.finished(), job.reason(), job.status.failed) == ("Failed", "BackoffLimitExceeded", 3)


def test_restarts_in_place_count_too() -> None:
    job = TinyJob(backoffLimit=2)
    job.body["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    job.settle()
    job.running()[0]["status"]["containerStatuses"] = [{"name": "c", "restartCount": 2}]
    job.settle()
    assert job.reason() == "BackoffLimitExceeded"


def test_it_may_not_be_active_for_longer_than_its_deadline() -> None:
    job = TinyJob(activeDeadlineSeconds=30)
    job.settle()
    assert job.plan().look_again == 30
    job.pass_time(31)
    job.settle()
    assert (job.finished(), job.reason()) == ("Failed", "DeadlineExceeded")


def test_a_suspended_job_has_no_pods_and_loses_none_to_failure() -> None:
    job = TinyJob(completions=2, parallelism=2, activeDeadlineSeconds=30)
    job.settle()
    job.body["spec"]["suspend"] = True
    job.settle()
    assert (job.active(), job.status.failed) == ([], 0)
    assert job.status.condition("Suspended") is not None
    job.pass_time(100)
    job.body["spec"]["suspend"] = False
    job.settle()
    assert len(job.active()) == 2
    assert job.status.condition("Suspended") is None
    assert job.told == ["Suspended", "Resumed"]


def test_a_job_that_begins_suspended_has_not_started() -> None:
    job = TinyJob(suspend=True)
    job.settle()
    assert job.status.start_time is None


def test_less_parallelism_withdraws_pods_without_counting_them() -> None:
    job = TinyJob(completions=6, parallelism=4)
    job.settle()
    job.body["spec"]["parallelism"] = 1
    job.settle()
    assert (len(job.active()), job.status.failed) == (1, 0)


def test_a_pod_somebody_deletes_counts_as_failed_at_once_unless_only_ended_ones_do() -> None:
    at_once, patient = TinyJob(), TinyJob(podReplacementPolicy="Failed")
    for job in (at_once, patient):
        job.settle()
        job.delete(0)
        while job.decide():
            pass
    assert (at_once.status.failed, patient.status.failed) == (1, 0)
    assert (at_once.status.terminating, patient.status.terminating) == (1, 1)
    at_once.pass_time(10)
    patient.pass_time(10)
    assert (len(at_once.plan().create), len(patient.plan().create)) == (1, 0)


def test_every_index_gets_its_pod_and_is_done_once() -> None:
    job = indexed(5, 2)
    job.settle()
    assert indexes(job) == ["0", "1"]
    end_index(job, 1, "Succeeded")
    job.settle()
    assert (indexes(job), job.status.completed_indexes) == (["0", "2"], "1")
    job.run()
    assert (job.finished(), job.status.completed_indexes, job.status.succeeded) == ("Complete", "0-4", 5)


def test_two_pods_of_one_index_and_an_index_out_of_range_go() -> None:
    job = indexed(2, 2)
    job.settle()
    job._create(NewPod(0))
    job._create(NewPod(7))
    job.settle()
    assert indexes(job) == ["0", "1"]


def test_an_index_has_failed_when_its_own_limit_is_exceeded() -> None:
    job = indexed(2, 2, backoffLimitPerIndex=1, backoffLimit=2**31 - 1)
    job.settle()
    end_index(job, 1, "Failed")
    job.settle()
    assert (indexes(job), job.plan().look_again) == (["0"], 10)
    job.pass_time(10)
    job.settle()
    assert indexes(job) == ["0", "1"]
    (second,) = [pod for pod in job.active() if pod["metadata"]["annotations"][INDEX] == "1"]
    assert second["metadata"]["annotations"][FAILURES] == "1"
    end_index(job, 1, "Failed")
    job.settle()
    assert (job.status.failed_indexes, job.status.failed, job.finished()) == ("1", 2, "")
    end_index(job, 0, "Succeeded")
    job.settle()
    assert (job.finished(), job.reason(), job.status.completed_indexes) == ("Failed", "FailedIndexes", "0")


def test_an_index_that_waits_does_not_hold_the_others_back() -> None:
    job = indexed(3, 1, backoffLimitPerIndex=3, backoffLimit=2**31 - 1)
    job.settle()
    end_index(job, 0, "Failed")
    job.settle()
    assert indexes(job) == ["1"]


def test_too_many_failed_indexes_end_it() -> None:
    job = indexed(4, 4, backoffLimitPerIndex=0, maxFailedIndexes=1, backoffLimit=2**31 - 1)
    job.settle()
    end_index(job, 0, "Failed")
    job.settle()
    end_index(job, 1, "Failed")
    job.settle()
    assert (job.finished(), job.reason(), job.status.failed_indexes) == ("Failed", "MaxFailedIndexesExceeded", "0,1")


def failure_policy(action: str, **rule: Any) -> dict[str, Any]:
    found = rule or {"onExitCodes": {"operator": "In", "values": [42]}}
    return {"podFailurePolicy": {"rules": [{"action": action, **found}]}, "podReplacementPolicy": "Failed"}


def test_a_policy_fails_the_job_at_a_word() -> None:
    job = TinyJob(**failure_policy("FailJob"))
    job.settle()
    name = job.running()[0]["metadata"]["name"]
    job.end(0, "Failed", 42)
    job.settle()
    (failed,) = [each for each in job.status.conditions if each.type == "Failed"]
    assert failed.reason == "PodFailurePolicy"
    expected = f"Container c for pod default/{name} failed with exit code 42 matching FailJob rule at index 0"
    assert failed.message == expected


def test_a_policy_ignores_disruptions() -> None:
    job = TinyJob(backoffLimit=0, **failure_policy("Ignore", onPodConditions=[{"type": "DisruptionTarget"}]))
    job.settle()
    pod = job.running()[0]
    job.end(0, "Failed")
    pod["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]
    job.settle()
    assert (job.status.failed, job.finished()) == (0, "")
    job.pass_time(10)
    job.run()
    assert job.finished() == "Complete"


def test_a_policy_gives_an_index_up() -> None:
    job = indexed(2, 2, backoffLimitPerIndex=5, backoffLimit=2**31 - 1, **failure_policy("FailIndex"))
    job.settle()
    end_index(job, 0, "Failed", 42)
    job.settle()
    assert job.status.failed_indexes == "0"


def test_a_success_policy_ends_the_others() -> None:
    rules = [{"succeededIndexes": "0-1", "succeededCount": 1}]
    job = indexed(3, 3, successPolicy={"rules": rules})
    job.settle()
    end_index(job, 2, "Succeeded")
    job.settle()
    assert job.finished() == ""
    end_index(job, 1, "Succeeded")
    job.settle()
    assert (job.finished(), job.reason(), job.active()) == ("Complete", "SuccessPolicy", [])
    assert job.status.conditions[-1].message == "Matched rules at index 0"


def test_a_job_on_its_way_out_lets_its_pods_go() -> None:
    job = TinyJob(completions=2, parallelism=2)
    job.settle()
    job.body["metadata"]["deletionTimestamp"] = builders.ago(0)
    job.settle()
    assert all(FINALIZER not in pod["metadata"]["finalizers"] for pod in job.pods.values())
    assert job.plan().create == ()


def test_the_pod_of_an_index_knows_it() -> None:
    body = TinyJob().body
    made = pod_of(builders.document("batch/jobs", body), NewPod(3, failures=2, ignored=1))
    assert made["metadata"]["labels"][INDEX] == made["metadata"]["annotations"][INDEX] == "3"
    assert made["metadata"]["annotations"][FAILURES] == "2"
    assert made["metadata"]["name"].startswith("work-3-")
    assert made["spec"]["hostname"] == "work-3"
    (variable,) = made["spec"]["containers"][0]["env"]
    assert variable["name"] == "JOB_COMPLETION_INDEX"
    assert FINALIZER in made["metadata"]["finalizers"]


kinds = st.one_of(
    st.builds(lambda n, p, b: TinyJob(completions=n, parallelism=p, backoffLimit=b), *[st.integers(1, 4)] * 3),
    st.builds(lambda n, p, b: indexed(n, p, backoffLimit=b), *[st.integers(1, 4)] * 3),
    st.builds(lambda n, p, b: indexed(n, p, backoffLimit=2**31 - 1, backoffLimitPerIndex=b), *[st.integers(1, 3)] * 3),
    st.builds(lambda p: TinyJob(parallelism=p), st.integers(1, 3)),
    st.builds(lambda n: TinyJob(completions=n, parallelism=n, podReplacementPolicy="Failed"), st.integers(1, 3)),
)
moves = st.lists(
    st.tuples(st.sampled_from(["decide", "decide", "cut", "succeed", "fail", "delete", "time"]), st.integers(0, 4)),
    max_size=40,
)


def move(job: TinyJob, what: str, number: int) -> None:
    match what:
        case "decide":
            job.decide()
        case "cut":
            job.decide(number)
        case "succeed":
            job.end(number)
        case "fail":
            job.end(number, "Failed")
        case "delete":
            job.delete(number)
        case "time":
            job.pass_time(20 * number)


@settings(max_examples=200, deadline=None)
@given(job=kinds, todo=moves)
def test_law_never_more_pods_than_may_run_and_no_more_successes_than_are_wanted(
    job: TinyJob, todo: list[tuple[str, int]]
) -> None:
    spec = job.body["spec"]
    for what, number in todo:
        move(job, what, number)
        assert len(job.active()) <= spec["parallelism"]
        if spec.get("completions") is not None:
            assert job.status.succeeded <= spec["completions"]
            assert len(job.active()) + job.status.succeeded <= spec["completions"]


@settings(max_examples=200, deadline=None)
@given(job=kinds, todo=moves)
def test_law_every_end_is_counted_once_whatever_crashes(job: TinyJob, todo: list[tuple[str, int]]) -> None:
    for what, number in todo:
        if what != "delete":
            move(job, what, number)
    job.settle()
    if job.finished() == "Failed":
        return  # what was still running then counts as failed too
    succeeded = [uid for uid, end in job.ends.items() if end == "Succeeded"]
    failed = [uid for uid, end in job.ends.items() if end == "Failed"]
    held = [pod for pod in job.pods.values() if FINALIZER in pod["metadata"]["finalizers"]]
    waiting = sum(pod["status"]["phase"] == "Failed" for pod in held)  # those that speak for an index that failed
    assert (job.status.succeeded, job.status.failed) == (len(succeeded), len(failed) - waiting)


@settings(max_examples=150, deadline=None)
@given(job=kinds, todo=moves, phase=st.sampled_from(["Succeeded", "Succeeded", "Failed"]))
def test_law_it_always_ends_and_then_rests_and_holds_no_pod(
    job: TinyJob, todo: list[tuple[str, int]], phase: str
) -> None:
    for what, number in todo:
        move(job, what, number)
    job.run("Succeeded" if job.body["spec"].get("completions") is None else phase)
    plan = job.plan()
    assert not plan.acts()
    assert plan.status == job.status
    assert all(FINALIZER not in pod["metadata"]["finalizers"] for pod in job.pods.values())
    assert job.status.active == 0
