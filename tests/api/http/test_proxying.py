import pytest

from motet.api.http import proxying
from motet.api.http.agents import Answer
from motet.api.http.proxying import Backend, ServiceView, SliceView, Wanted
from motet.base.errors import BadRequest, Unavailable

PREFIX = "/api/v1/namespaces/a/pods/web:80/proxy"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web", Wanted("http", "web", "")),
        ("web:80", Wanted("http", "web", "80")),
        ("https:web:", Wanted("https", "web", "")),
        ("https:web:tls", Wanted("https", "web", "tls")),
        (":web:80", Wanted("http", "web", "80")),
    ],
)
def test_a_name_says_scheme_and_port(text: str, expected: Wanted) -> None:
    assert proxying.wanted("pod", text) == expected


@pytest.mark.parametrize("text", ["", ":80", "ftp:web:21", "a:b:c:d"])
def test_a_name_that_means_nobody_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="invalid pod request"):
        proxying.wanted("pod", text)


SERVICE = ServiceView(spec=proxying._ServiceSpec((proxying.ServicePort(80, "web"), proxying.ServicePort(443, "tls"))))


def sliced(*endpoints: proxying._Endpoint) -> SliceView:
    return SliceView(endpoints, (proxying._SlicePort("web", 8080), proxying._SlicePort("tls", 8443)))


def endpoint(address: str, *, ready: bool | None = True) -> proxying._Endpoint:
    return proxying._Endpoint((address,), proxying._Conditions(ready), proxying._Reference("Pod", f"pod-{address}"))


def test_a_service_port_is_meant_by_number_or_by_name() -> None:
    slices = [sliced(endpoint("10.0.0.1"))]
    for port in ("443", "tls"):
        found = proxying.backends(SERVICE, slices, Wanted("https", "web", port))
        assert found == [Backend("10.0.0.1", 8443, "pod-10.0.0.1")]


def test_endpoints_that_are_not_ready_are_left_out() -> None:
    slices = [sliced(endpoint("10.0.0.1", ready=False), endpoint("10.0.0.2"))]
    found = proxying.backends(SERVICE, slices, Wanted("http", "web", "web"))
    assert [backend.address for backend in found] == ["10.0.0.2"]


@pytest.mark.parametrize(
    ("port", "words"), [("81", "no service port 81 found"), ("web", "no endpoints available"), ("x", "no endpoints")]
)
def test_a_service_without_endpoints_says_so(port: str, words: str) -> None:
    with pytest.raises(Unavailable, match=words):
        proxying.backends(SERVICE, [sliced()], Wanted("http", "web", port))


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "0.0.0.0", "224.0.0.1", "example.com"])
def test_the_managers_own_addresses_cannot_be_proxied_to(address: str) -> None:
    assert not proxying.proxyable(address)


def test_headers_about_the_client_and_us_do_not_travel() -> None:
    given = [
        ("Authorization", "Bearer x"), ("Connection", "x-private, close"), ("X-Private", "1"), ("Impersonate-User", "u"),
        ("Accept", "*/*"), ("X-Forwarded-For", "1.2.3.4"),
    ]  # fmt: skip
    sent = dict(proxying.request_fields(given, client="5.6.7.8", path=f"{PREFIX}/x", host="api", body="3"))
    assert sent == {
        "Accept": "*/*", "X-Forwarded-For": "1.2.3.4, 5.6.7.8", "X-Forwarded-Host": "api", "X-Forwarded-Proto": "https",
        "X-Forwarded-Uri": f"{PREFIX}/x", "Connection": "close", "Content-Length": "3",
    }  # fmt: skip


def test_a_header_given_twice_arrives_twice() -> None:
    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = Answer(200, {}, None, head)  # type: ignore[arg-type]
    assert proxying.answer_fields(answer) == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("/x?y=1#z", f"{PREFIX}/x?y=1#z"),
        ("http://web:80/x", f"{PREFIX}/x"),
        ("http://elsewhere/x", "http://elsewhere/x"),
        ("x", "x"),
        (f"{PREFIX}/x", f"{PREFIX}/x"),
        ("//[", "//["),
    ],
)
def test_only_links_to_the_server_itself_are_mended(link: str, expected: str) -> None:
    assert proxying.mended(link, PREFIX, "web:80") == expected


def test_a_page_keeps_everything_but_its_links() -> None:
    page = """<!DOCTYPE html><a title="/x" href="/x">/x</a><img src='/y'><form action=/z><!-- <a href="/c"> -->
<script src="/s">if (a < b) document.write('<a href="/t">')</script> 1 < 2"""
    assert proxying.mended_page(page, "/P", "web") == page.replace('href="/x"', 'href="/P/x"').replace(
        "'/y'", "'/P/y'"
    ).replace("=/z", "=/P/z").replace('"/s"', '"/P/s"')
