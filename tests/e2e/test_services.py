"""Names and addresses: DNS inside pods, cluster addresses, node ports, affinity, who the client seems to be."""

import http.client

import pytest

from e2e.cluster import ADDRESS, Cluster, until
from e2e.space import WEB, Space, deployment, pause, pod, service, shell


@pytest.fixture
def web(space: Space) -> Space:
    """Deployment and service `web` with two replicas, and a pod `client`."""
    space.apply(deployment("web", 2, WEB), service("web"), pod("client", pause()))
    space.rolled_out("web")
    space.running("client")
    # The node hears of the pods a moment after the API has them.
    answers = lambda: {ask(space.cluster, space.address("web"), 80) for _ in range(30)}  # noqa: E731
    until(lambda: len(answers()) == 2, what="one pod gets everything")
    return space


def lookup(space: Space, name: str, kind: str = "a") -> str:
    done = space.cluster.run(
        "kubectl", "-n", space.namespace, "exec", "client", "--", "nslookup", f"-type={kind}", name, check=False
    )
    return done.stdout + done.stderr


def test_names_inside_pods(web: Space):
    namespace, address = web.namespace, web.address("web")
    peers = sorted(found["status"]["podIP"] for found in web.pods("app=web"))
    web.apply(
        service("headless", clusterIP="None") | {"spec": {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 8080}]}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "alias"}, "spec": {"type": "ExternalName", "externalName": "web." + namespace + ".svc.cluster.local"}},
    )  # fmt: skip
    domain = f"{namespace}.svc.cluster.local"
    assert until(lambda: address in lookup(web, f"web.{domain}."))
    assert web.exec("client", "wget", "-qO-", "http://web").startswith("v1 web-")
    assert web.exec("client", "wget", "-qO-", f"http://web.{namespace}").startswith("v1 web-")
    until(lambda: all(peer in lookup(web, f"headless.{domain}.") for peer in peers))
    assert f"_http._tcp.web.{domain}" in lookup(web, f"_http._tcp.web.{domain}.", "srv")
    assert "0 80 web" in " ".join(lookup(web, f"_http._tcp.web.{domain}.", "srv").split())
    reverse = ".".join(reversed(address.split("."))) + ".in-addr.arpa."
    assert f"web.{domain}" in lookup(web, reverse, "ptr")
    assert f"web.{domain}" in lookup(web, f"alias.{domain}.", "cname")
    assert web.exec("client", "wget", "-qO-", "http://alias").startswith("v1 web-")
    assert "NXDOMAIN" in lookup(web, f"nobody.{domain}.")
    assert f"search {namespace}.svc.cluster.local svc.cluster.local cluster.local" in web.exec(
        "client", "cat", "/etc/resolv.conf"
    )


def test_every_kind_of_address_answers(web: Space):
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    web.apply(
        service("ported") | {"spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": ports}},
        service("balanced") | {"spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{**ports[0], "port": 8090}]}},
        pod("host", WEB | {"ports": [{"containerPort": 8080, "hostPort": 8099}]}),
    )  # fmt: skip
    web.running("host")
    cluster, port = web.cluster, web.get("services", "ported")["spec"]["ports"][0]["nodePort"]
    reached = lambda host, port: until(lambda: ask(cluster, host, port))  # noqa: E731
    assert reached(web.address("web"), 80).startswith("v1 web-")
    assert reached(ADDRESS, port).startswith("v1 web-")
    assert reached("127.0.0.1", port).startswith("v1 web-")
    assert reached(ADDRESS, 8099).startswith("v1 host")
    ingress = web.wait("services", "balanced", lambda found: found["status"]["loadBalancer"]["ingress"])
    assert ingress["status"]["loadBalancer"]["ingress"][0]["ip"] == ADDRESS
    assert reached(ADDRESS, 8090).startswith("v1 web-")
    assert web.exec("client", "wget", "-qO-", f"http://{ADDRESS}:{port}").startswith("v1 web-")


def ask(cluster: Cluster, host: str, port: int) -> str:
    try:
        return cluster.http(host, port, timeout=2)
    except (OSError, http.client.HTTPException) as error:
        raise AssertionError(f"{host}:{port}: {error!r}") from error


def test_requests_spread_unless_they_shall_stick(web: Space):
    web.apply(service("sticky", sessionAffinity="ClientIP") | {"spec": {"selector": {"app": "web"}, "sessionAffinity": "ClientIP", "ports": [{"port": 80, "targetPort": 8080}]}})  # fmt: skip
    address = web.address("web")
    # The second pod may become known to the node a moment after the first.
    until(lambda: len({ask(web.cluster, address, 80) for _ in range(30)}) == 2, what="one pod gets everything")
    sticky = web.address("sticky")
    until(lambda: ask(web.cluster, sticky, 80))
    assert len({ask(web.cluster, sticky, 80) for _ in range(30)}) == 1


def test_the_pod_sees_who_asks(web: Space):
    client = web.get("pods", "client")["status"]["podIP"]
    web.exec("client", "wget", "-qO-", "http://web")
    logs = lambda: web.kubectl("logs", "-l", "app=web", "--tail=-1")  # noqa: E731
    until(lambda: client in logs(), what="the pod's address is hidden")


def test_a_pod_reaches_itself_through_its_service(space: Space):
    space.apply(pod("web", WEB), service("web"))
    space.running("web")
    until(lambda: space.list("discovery.k8s.io/v1/endpointslices")[0].get("endpoints"))
    fetch = ("timeout", "5", "wget", "-qO-", f"http://{space.address('web')}")
    # The node hears of the endpoint a moment after the API has it.
    until(lambda: space.exec("web", *fetch, container="web").startswith("v1 web"))


def test_a_service_without_pods_refuses_at_once(space: Space):
    space.apply(service("empty"))

    def refused() -> bool:
        try:
            space.cluster.http(space.address("empty"), 80, timeout=1)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False

    assert until(refused, 10, "no refusal")


def test_udp_goes_through_services_to_endpoints_written_by_hand(space: Space):
    ports = [{"name": "dns", "protocol": "UDP", "port": 53}]
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "udp-1", "labels": {"kubernetes.io/service-name": "udp"}},
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [space.cluster.settings.dns_address]}],
    }
    by_hand = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "udp"}, "spec": {"ports": ports}}
    space.apply(by_hand, slice_, pod("client", pause()))
    space.running("client")
    words = ("exec", "client", "--", "nslookup", "kubernetes.default.svc.cluster.local.", space.address("udp"))
    asked = lambda: space.cluster.run("kubectl", "-n", space.namespace, *words, check=False).stdout  # noqa: E731
    until(lambda: "10.43.0.1" in asked().partition("Name:")[2], 20, "no answer over UDP")


def test_pods_of_the_host_network_are_on_the_node(space: Space):
    space.apply(pod("host", shell("hostname; exec pause"), hostNetwork=True))
    found = space.running("host")
    assert found["status"]["podIP"] == ADDRESS
    assert "up0" in space.exec("host", "ip", "-o", "link")
