import pytest

from motet.kinds.schema import model, table

POD = "io.k8s.api.core.v1.Pod"


def test_every_shipped_definition_can_be_read():
    shipped = table.shipped()
    fields = sum(len(shipped.get(name).fields) for name in shipped)
    assert fields > 3000


def test_a_definition_is_found_by_its_kind():
    assert table.find("apps/v1", "Deployment") is table.get("io.k8s.api.apps.v1.Deployment")
    assert table.find("v1", "Pod") is table.get(POD)
    assert table.find("example.com/v1", "Nothing") is None


def test_delete_options_belong_to_every_group():
    assert table.find("apps/v1", "DeleteOptions") is table.get(table.META + "DeleteOptions")


def test_an_unknown_name_is_a_lookup_error():
    with pytest.raises(table.UnknownDefinition, match="Nothing"):
        table.get("Nothing")


def test_containers_merge_by_name_and_their_ports_by_protocol_too():
    containers = table.get(POD).at("spec", "containers")
    assert containers is not None
    assert (containers.merge_key, containers.strategies, containers.list_keys) == ("name", ("merge",), ("name",))
    ports = table.get(POD).at("spec", "containers", "ports")
    assert ports is not None
    assert (ports.merge_key, ports.list_type, ports.list_keys) == (
        "containerPort",
        "map",
        ("containerPort", "protocol"),
    )


def test_list_keys_have_their_default():
    protocol = table.get(POD).at("spec", "containers", "ports", "protocol")
    assert protocol is not None
    assert protocol.default == "TCP"


def test_a_field_may_say_more_than_the_definition_it_refers_to():
    strategy = table.get("io.k8s.api.apps.v1.DeploymentSpec").at("strategy")
    assert strategy is not None
    assert strategy.strategies == ("retainKeys",)
    assert "rollingUpdate" in strategy.fields
    assert table.get("io.k8s.api.apps.v1.DeploymentStrategy").strategies == ()


def test_members_of_embedded_messages_have_the_whole_wire_path():
    volume = table.get("io.k8s.api.core.v1.Volume").fields
    assert volume["name"].wire == (1,)
    assert volume["secret"].wire == (2, 6)


def test_a_definition_may_contain_itself():
    props = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
    schema = table.get(props)
    properties = schema.fields["properties"].schema
    assert properties.values is schema


def test_own_kinds_register_in_the_compact_form():
    own = table.Table(
        """
        # a comment
        dev.example.v1.Song <example.dev/v1/Song>
          spec!:SongSpec=2
        dev.example.v1.SongSpec
          voices!:int32=1;min=1 mood:string=2;enum=glad|sad;default="glad"
          words:[]string=3;list=set
        """
    )
    song = own.get("dev.example.v1.Song")
    assert own.find("example.dev/v1", "Song") is song
    voices, mood, words = song.fields["spec"].schema.fields.values()
    assert voices.required
    assert voices.schema.rules == {"minimum": 1}
    assert (mood.schema.enum, mood.schema.default) == (("glad", "sad"), "glad")
    assert (words.schema.type, words.schema.list_type) == (model.LIST, "set")


def test_a_member_that_cannot_be_read_is_named():
    own = table.Table("dev.example.v1.Song mood:string;colour=red\n")
    with pytest.raises(ValueError, match=r"dev\.example\.v1\.Song: mood:string;colour=red"):
        _ = own.get("dev.example.v1.Song").fields


def test_a_removed_definition_is_gone_by_name_and_kind():
    own = table.Table("dev.example.v1.Song <example.dev/v1/Song> a:string\n")
    own.remove("dev.example.v1.Song")
    assert "dev.example.v1.Song" not in own
    assert own.find("example.dev/v1", "Song") is None
