"""The recorded exchanges, sent as they are, are answered as they were: so the fuzz begins at what works."""

import socket
from collections.abc import Iterator

import httpx
import pytest
from tests.fuzz.campaign import Caller, Campaign
from tests.fuzz.case import Case
from tests.fuzz.judge import faults
from tests.fuzz.message import Flow, Message, recorded
from tests.fuzz.sender import Outcome, send
from tests.fuzz.test_fuzz import basic
from tests.protocols.auth.world import World
from tests.protocols.cnr.server import Server
from tests.protocols.helm.client import Tenant, chart_file

FLOWS = {flow.name: flow for flow in recorded()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("exchanges"), entry="serve")
    yield server.start()
    server.kill()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World.start(tmp_path_factory.mktemp("world"), entry="serve")
    yield world
    world.server.kill()


def unchanged(flow: Flow) -> Case:
    return Case("unchanged", flow, (), tuple(range(len(flow.messages))))


def answered(campaign: Campaign, flow: Flow) -> list[str]:
    said: list[str] = []
    campaign.show = lambda text: said.append(text.rpartition("\n-> [")[2].partition("]")[0])
    assert campaign.play(unchanged(flow)) is None
    return said


@pytest.mark.parametrize("name", [name for name in FLOWS if not name.startswith("login")])
def test_what_clients_sent_is_answered_as_it_was(server: Server, name: str) -> None:
    with httpx.Client(base_url=server.url) as http:
        if name.endswith("repository"):
            assert Tenant(http, name).push(chart_file("web", "1.0.0")).status_code == 201
    flow = FLOWS[name]
    assert answered(Campaign(server.url, "", (name,)), flow) == [str(each.status) for each in flow.messages]


@pytest.mark.parametrize("name", [name for name in FLOWS if name.startswith("login")])
def test_log_ins_are_answered_as_they_were(world: World, name: str) -> None:
    flow = FLOWS[name]
    callers = (Caller("root", basic("root")),)
    said = answered(Campaign(world.server.url, "", ("team",), callers), flow)
    assert said == [str(each.status) for each in flow.messages]


def test_a_case_is_the_same_each_time() -> None:
    flows = tuple(FLOWS.values())
    for number in range(200):
        one, two = (Case.make("seed", number, flows) for _ in range(2))
        assert [each.raw() for _, each in one.messages()] == [each.raw() for _, each in two.messages()]
    first = [Case.make("seed", number, flows).messages() for number in range(50)]
    assert first != [Case.make("other", number, flows).messages() for number in range(50)]


BAD = {
    "5xx": Outcome([500], {"content-type": "application/json"}, b'{"error": "x"}'),
    "a second answer": Outcome([200, 502]),
    "no JSON": Outcome([404], {"content-type": "text/html", "content-security-policy": "x"}, b"<p>Not Found"),
    "no shape": Outcome([404], {"content-type": "application/json"}, b'{"detail": "Not Found"}'),
    "half a shape": Outcome([404], {"content-type": "application/json"}, b'{"errors": [{"code": "X"}]}'),
    "a trace": Outcome([400], {"content-type": "text/plain"}, b"Traceback (most recent call last)"),
    "a header of the request": Outcome([200], {"x-injected": "yes"}),
    "a page that may do all": Outcome([200], {"content-type": "text/html"}, b"<script>"),
    "a secret": Outcome([200], {}, b"it is for-no-other-eyes"),
    "nothing": Outcome(trouble="nothing for 30 s"),
}


@pytest.mark.parametrize("outcome", BAD.values(), ids=BAD.keys())
def test_what_is_bad_is_found(outcome: Outcome) -> None:
    message = Message("GET", "/", ())
    assert faults(message, outcome, hidden=(b"for-no-other-eyes",))
    assert not faults(message, Outcome([200], {"content-type": "application/json"}, b"{}"))


def test_a_server_that_says_nothing_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        outcome = send(address, b"GET / HTTP/1.1\r\n\r\n", method="GET", regular=True, hang_s=0.2)
    assert outcome.trouble == "nothing for 0.2 s"
