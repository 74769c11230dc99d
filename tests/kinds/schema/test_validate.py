import copy

import pytest

from motet.base.errors import BadRequest
from motet.kinds.schema import validate

POD = "io.k8s.api.core.v1.Pod"
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"


def pod(**spec):
    containers = [{"name": "web", "image": "nginx", "ports": [{"containerPort": 80}]}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"containers": containers, **spec},
    }


def deployment(**spec):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def messages(name, document):
    return [error.message() for error in validate.check(name, document)]


def refusal(name, document):
    with pytest.raises(BadRequest) as caught:
        validate.check(name, document)
    return caught.value.message


def test_a_good_document_has_no_complaints():
    assert validate.check(POD, pod()) == []
    assert validate.unknown_fields(POD, pod()) == []


def test_all_missing_required_fields_are_listed_with_their_paths():
    document = pod(containers=[{"image": "a"}, {"name": "b", "ports": [{}]}])
    assert messages(POD, document) == [
        "spec.containers[0].name: Required value",
        "spec.containers[1].ports[0].containerPort: Required value",
    ]


def test_a_wrong_type_is_a_bad_request_in_the_decoders_words():
    assert refusal(DEPLOYMENT, deployment(replicas="three")) == (
        'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct '
        "field DeploymentSpec.spec.replicas of type int32"
    )


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"containers": [{"name": 7}]}, "number into Go struct field Container.spec.containers.name of type string"),
        ({"containers": {}}, "object into Go struct field PodSpec.spec.containers of type []v1.Container"),
        ({"nodeSelector": {"a": True}}, "bool into Go struct field PodSpec.spec.nodeSelector of type string"),
        (
            {"securityContext": []},
            "array into Go struct field PodSpec.spec.securityContext of type v1.PodSecurityContext",
        ),
        ({"priority": 2**31}, "number 2147483648 into Go struct field PodSpec.spec.priority of type int32"),
    ],
)
def test_the_go_type_and_path_are_named(spec, words):
    assert refusal(POD, pod(**spec)).endswith(f"json: cannot unmarshal {words}")


def test_a_bad_quantity_is_a_bad_request():
    document = pod(overhead={"cpu": "lots"})
    assert "quantities must match the regular expression" in refusal(POD, document)


def test_a_quantity_may_be_a_number():
    assert validate.check(POD, pod(overhead={"cpu": 2, "memory": 1.5})) == []


def test_a_bad_time_is_a_bad_request():
    document = pod()
    document["metadata"]["creationTimestamp"] = "yesterday"
    assert 'parsing time "yesterday"' in refusal(POD, document)


@pytest.mark.parametrize(("data", "offset"), [("a$==", 1), ("YWJjZ", 4)])
def test_bad_base64_is_a_bad_request_naming_the_byte(data, offset):
    document = {"apiVersion": "v1", "kind": "Secret", "data": {"key": data}}
    assert refusal("io.k8s.api.core.v1.Secret", document).endswith(f"illegal base64 data at input byte {offset}")


def test_a_port_may_be_a_number_or_a_name_but_nothing_else():
    def probed(port):
        return pod(containers=[{"name": "web", "livenessProbe": {"httpGet": {"port": port}}}])

    assert validate.check(POD, probed(80)) == []
    assert validate.check(POD, probed("http")) == []
    assert refusal(POD, probed(True)).endswith("json: cannot unmarshal bool into Go value of type int32")


def test_unknown_fields_are_listed_by_path_and_are_no_field_errors():
    document = pod(conteiners=[])
    document["spec"]["containers"][0]["imagee"] = "x"
    assert validate.unknown_fields(POD, document) == ["spec.containers[0].imagee", "spec.conteiners"]
    assert validate.check(POD, document) == []


def test_strict_validation_names_every_unknown_field():
    error = validate.unknown_field_error(POD, pod(), ["spec.a", "spec.b"])
    assert error.message == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: '
        'unknown field "spec.a", unknown field "spec.b"'
    )


def test_pruning_drops_unknown_fields_and_keeps_the_input():
    document = pod(extra={"a": 1})
    document["spec"]["containers"][0]["extra"] = 1
    before = copy.deepcopy(document)
    assert validate.prune(POD, document) == pod()
    assert document == before


def test_pruning_a_clean_document_returns_it():
    document = pod()
    assert validate.prune(POD, document) is document


def test_labels_and_managed_fields_are_never_pruned():
    document = pod()
    document["metadata"]["managedFields"] = [{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:x": {}}}}]
    assert validate.prune(POD, document) is document


def test_optional_nulls_are_dropped():
    document = pod(nodeName=None)
    document["metadata"]["creationTimestamp"] = None
    assert validate.drop_nulls(POD, document) == pod()


def test_a_required_null_becomes_the_zero_value():
    assert validate.drop_nulls(POD, pod(containers=None))["spec"] == {"containers": []}


def test_a_null_label_is_an_empty_one():
    document = pod()
    document["metadata"]["labels"] = {"app": None}
    assert validate.drop_nulls(POD, document)["metadata"]["labels"] == {"app": ""}


def test_normalizing_prints_quantities_and_times_as_upstream_does():
    document = pod(overhead={"cpu": 0.5, "memory": "1024Mi"})
    document["metadata"]["creationTimestamp"] = "2026-01-01T02:00:00+02:00"
    normal = validate.normalize(POD, document)
    assert normal["spec"]["overhead"] == {"cpu": "500m", "memory": "1Gi"}
    assert normal["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"


def test_normalizing_twice_changes_nothing_more():
    once = validate.normalize(POD, pod(overhead={"cpu": 0.5}, nodeName=None))
    assert validate.normalize(POD, once) is once
