import pytest

from motet.api.http import parameters
from motet.base.errors import BadRequest


def test_selectors_limit_and_continue_are_read() -> None:
    options = parameters.of_list(
        {"labelSelector": "a=b", "fieldSelector": "spec.nodeName=n", "limit": "5", "continue": "c"}
    )
    assert str(options.labels) == "a=b"
    assert str(options.fields) == "spec.nodeName=n"
    assert (options.limit, options.continue_token) == (5, "c")


@pytest.mark.parametrize(
    "query",
    [{"labelSelector": "a in"}, {"fieldSelector": "x"}, {"limit": "many"}, {"limit": "-1"}, {"labelSelector": "a=b,"}],
)
def test_what_cannot_be_read_is_a_bad_request(query: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        parameters.of_list(query)


def test_watching_one_name_is_a_field_selector() -> None:
    assert str(parameters.of_watch({}, "web").fields) == "metadata.name=web"


def test_initial_events_are_left_open_when_not_mentioned() -> None:
    assert parameters.of_watch({}).send_initial_events is None
    assert parameters.of_watch({"sendInitialEvents": "true"}).send_initial_events is True
    assert parameters.of_watch({"sendInitialEvents": "false"}).send_initial_events is False


def test_only_a_dry_run_of_everything_exists() -> None:
    assert parameters.of_write({"dryRun": "All"}, "m").dry_run
    with pytest.raises(BadRequest):
        parameters.of_write({"dryRun": "Some"}, "m")


def test_delete_options_come_from_the_body_or_from_the_query() -> None:
    from_query = parameters.of_delete({"gracePeriodSeconds": "3", "propagationPolicy": "Orphan"}, None)
    assert (from_query.grace_seconds, from_query.propagation) == (3, "Orphan")
    body = {
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Foreground",
        "preconditions": {"uid": "u"},
        "dryRun": ["All"],
    }
    from_body = parameters.of_delete({}, body)
    assert (from_body.grace_seconds, from_body.propagation, from_body.uid, from_body.dry_run) == (
        0,
        "Foreground",
        "u",
        True,
    )


@pytest.mark.parametrize(
    "body", [{"gracePeriodSeconds": "x"}, {"propagationPolicy": "Sideways"}, {"preconditions": []}, {"dryRun": "All"}]
)
def test_wrong_delete_options_are_a_bad_request(body: dict[str, object]) -> None:
    if body == {"preconditions": []}:
        assert parameters.of_delete({}, body).uid == ""
        return
    with pytest.raises(BadRequest):
        parameters.of_delete({}, body)
