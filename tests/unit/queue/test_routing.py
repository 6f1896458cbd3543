"""What is sent again, where to, and what is not."""

from __future__ import annotations

from typing import Any, cast

import pytest
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - the client's name for it
    MasterDownError,
    MovedError,
    ReadOnlyError,
    ResponseError,
)

from facet.queue.routing import Router
from facet.queue.servers import Servers, UnreachedError
from facet.queue.topology import Address, Topology

pytestmark = pytest.mark.unit

A, B, C = Address("a", 1), Address("b", 2), Address("c", 3)
REFUSALS = [
    UnreachedError("refused"),
    ReadOnlyError("You can't write against a read only replica."),
    BusyLoadingError("Redis is loading the dataset in memory"),
    MasterDownError("Link with MASTER is down"),
    ResponseError("NOREPLICAS Not enough good replicas to write."),
    ResponseError("Error running script (call to f_1): @user_script:1: -READONLY You can't write"),
]
MAY_HAVE_RUN = [ConnectionError("closed by server"), OSError("reset"), TimeoutError()]


class ScriptedServers:
    """Answers each address from its own list; the last answer is repeated."""

    def __init__(self, answers: dict[Address, list[object]]) -> None:
        self._answers = answers
        self.sent: list[Address] = []
        self.asked: list[Address] = []
        self.renewed: list[Address] = []

    async def send(
        self, address: Address, *_: object, is_asking: bool, is_blocking: bool, replicas: int
    ) -> object:
        assert not is_blocking
        assert not replicas
        self.sent.append(address)
        if is_asking:
            self.asked.append(address)
        answers = self._answers[address]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def renew(self, address: Address) -> None:
        self.renewed.append(address)


def router_on(
    servers: ScriptedServers, *seeds: Address, follows_ask: bool = True
) -> tuple[Router, Topology]:
    topology = Topology(seeds)
    return Router(topology, cast("Servers", servers), follows_ask=follows_ask), topology


async def execute(router: Router) -> Any:
    return await router.execute(7, "GET", "key")


@pytest.mark.parametrize("refusal", REFUSALS, ids=repr)
async def test_next_address_is_asked_when_one_did_not_run_it(refusal: Exception) -> None:
    servers = ScriptedServers({A: [refusal], B: ["answer"]})
    router, _ = router_on(servers, A, B)
    assert await execute(router) == "answer"
    assert await execute(router) == "answer"
    assert servers.sent == [A, B, B]
    assert servers.renewed == [A]


@pytest.mark.parametrize("failure", MAY_HAVE_RUN, ids=repr)
async def test_nothing_is_sent_again_when_it_may_have_run(failure: Exception) -> None:
    servers = ScriptedServers({A: [failure], B: ["answer"]})
    router, _ = router_on(servers, A, B)
    with pytest.raises(type(failure)):
        await execute(router)
    assert servers.sent == [A]
    assert await execute(router) == "answer"
    assert servers.sent == [A, B]


async def test_each_address_is_tried_once_when_none_can_be_reached() -> None:
    servers = ScriptedServers({A: [UnreachedError()], B: [UnreachedError()]})
    router, _ = router_on(servers, A, B)
    with pytest.raises(UnreachedError):
        await execute(router)
    assert servers.sent == [A, B]


async def test_only_address_is_connected_anew_when_it_lost_its_role() -> None:
    servers = ScriptedServers({A: [ReadOnlyError(), "answer"]})
    router, _ = router_on(servers, A)
    assert await execute(router) == "answer"
    assert servers.renewed == [A]


async def test_tries_are_bounded_when_every_server_refuses() -> None:
    servers = ScriptedServers({A: [ReadOnlyError()], B: [ReadOnlyError()]})
    router, _ = router_on(servers, A, B)
    with pytest.raises(ReadOnlyError):
        await execute(router)
    assert len(servers.sent) <= 6


async def test_error_comes_back_and_the_server_stays_when_a_command_is_wrong() -> None:
    servers = ScriptedServers({A: [ResponseError("wrong number of arguments")], B: ["answer"]})
    router, topology = router_on(servers, A, B)
    with pytest.raises(ResponseError):
        await execute(router)
    assert topology.address_of(7) == A
    assert servers.renewed == []


async def test_owner_is_asked_first_when_a_redirection_told_it() -> None:
    servers = ScriptedServers({A: [MovedError("7 b:2")], B: ["answer"]})
    router, _ = router_on(servers, A)
    await execute(router)
    await execute(router)
    assert servers.sent == [A, B, B]


async def test_host_is_that_of_the_asked_node_when_a_redirection_names_none() -> None:
    servers = ScriptedServers({A: [MovedError("7 :9")], Address("a", 9): ["answer"]})
    router, _ = router_on(servers, A)
    assert await execute(router) == "answer"


async def test_tries_are_bounded_when_nodes_redirect_to_each_other() -> None:
    servers = ScriptedServers({A: [MovedError("7 b:2")], B: [MovedError("7 a:1")]})
    router, _ = router_on(servers, A)
    with pytest.raises(MovedError):
        await execute(router)
    assert len(servers.sent) <= 5


async def test_seeds_are_asked_when_the_owner_cannot_be_reached() -> None:
    moved = [MovedError("7 b:2"), MovedError("7 c:3")]
    servers = ScriptedServers({A: [*moved], B: [UnreachedError()], C: ["answer"]})
    router, _ = router_on(servers, A)
    assert await execute(router) == "answer"
    assert servers.sent == [A, B, A, C]


async def test_call_fails_when_the_seeds_still_name_the_dead_owner() -> None:
    servers = ScriptedServers({A: [MovedError("7 b:2")], B: [UnreachedError()]})
    router, _ = router_on(servers, A)
    with pytest.raises(MovedError):
        await execute(router)
    assert servers.sent == [A, B, A]


async def test_new_node_is_asked_for_this_call_alone_when_a_slot_is_moving() -> None:
    servers = ScriptedServers({A: [AskError("7 b:2"), "old"], B: ["new"]})
    router, _ = router_on(servers, A)
    assert await execute(router) == "new"
    assert servers.asked == [B]
    assert await execute(router) == "old"


async def test_new_node_is_not_asked_when_keys_do_not_stand_in_the_command() -> None:
    servers = ScriptedServers({A: [AskError("7 b:2")], B: ["new"]})
    router, _ = router_on(servers, A, follows_ask=False)
    with pytest.raises(AskError):
        await execute(router)
    assert servers.sent == [A]


async def test_another_seed_is_asked_next_when_the_cluster_is_down() -> None:
    servers = ScriptedServers({A: [ClusterDownError("The cluster is down")], B: ["answer"]})
    router, _ = router_on(servers, A, B)
    with pytest.raises(ClusterDownError):
        await execute(router)
    assert await execute(router) == "answer"
