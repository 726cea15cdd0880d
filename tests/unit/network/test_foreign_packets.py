"""What a foreign chain does with pods' traffic: dropped for certain or not, by rules in libnftables' form."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from reconciler.engine.network.foreign import flows, hints, legacy, packets, ruleset
from reconciler.engine.network.foreign.flows import PodNetwork
from reconciler.engine.network.foreign.packets import Packet
from reconciler.engine.network.foreign.ruleset import Ruleset

PODS = ip_network("10.101.0.0/20")
IN = Packet("ip", "eth0", "rc-abcd", None, PODS, "tcp", 80, dnat=True)
OUT = Packet("ip", "rc-abcd", "eth0", PODS, None, "tcp")
NET = PodNetwork("rc-abcd", PODS, "10.101.0.1", (("tcp", 80), ("udp", 53)))


@pytest.mark.parametrize(("port", "ports"), [(53, [53, 53]), (1053, [1053, 1053]), (0, [])])
def test_names_are_asked_for_where_the_server_is(port: int, ports: list[int]) -> None:
    """``input`` comes after port 53 was led elsewhere."""
    network = PodNetwork("rc-abcd", PODS, "10.101.0.1", names_port=port)
    steps = [step for flow in flows.flows(network, "eth0") for step in flow.steps]
    assert [packet.port for hook, packet in steps if hook == "input"] == ports


def rules(*many: list[Any], policy: str = "drop", **others: list[list[Any]]) -> Ruleset:
    """A base chain ``forward`` with these rules; ``others`` are chains by name."""
    objects: list[dict[str, Any]] = [
        {"chain": {"family": "inet", "table": "t", "name": "forward", "type": "filter", "hook": "forward"}}
    ]
    objects[0]["chain"]["policy"] = policy
    objects += [{"chain": {"family": "inet", "table": "t", "name": name}} for name in others]
    for chain, expressions in (("forward", many), *others.items()):
        objects += [
            {"rule": {"family": "inet", "table": "t", "chain": chain, "handle": n, "expr": expr}}
            for n, expr in enumerate(expressions, 1)
        ]
    return ruleset.parse(objects)


def match(left: dict[str, Any], right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


IIF, OIF = {"meta": {"key": "iifname"}}, {"meta": {"key": "oifname"}}
STATE, STATUS = {"ct": {"key": "state"}}, {"ct": {"key": "status"}}
ACCEPT, DROP = {"accept": None}, {"drop": None}
DPORT = {"payload": {"protocol": "tcp", "field": "dport"}}
SOURCE = {"payload": {"protocol": "ip", "field": "saddr"}}
UNKNOWN = {"xt": {"type": "match", "name": "recent"}}


@pytest.mark.parametrize(
    ("made", "packet", "is_dropped"),
    [
        pytest.param(rules(), IN, True, id="a policy drop ends all"),
        pytest.param(rules(policy="accept"), IN, False, id="a policy accept lets all by"),
        pytest.param(rules([match(OIF, "rc-abcd"), ACCEPT]), IN, False, id="accepted by its interface"),
        pytest.param(rules([match(OIF, "rc-*"), ACCEPT]), IN, False, id="accepted by a wildcard"),
        pytest.param(rules([match(OIF, "docker0"), ACCEPT]), IN, True, id="accepted for another interface"),
        pytest.param(rules([match(OIF, "docker0", "!="), ACCEPT]), IN, False, id="accepted for all but another"),
        pytest.param(rules([match(STATE, ["established", "related"], "in"), ACCEPT]), IN, True, id="only answers"),
        pytest.param(rules([match(STATUS, "dnat", "in"), ACCEPT]), IN, False, id="what was translated may pass"),
        pytest.param(rules([match(STATUS, "dnat", "in"), ACCEPT]), OUT, True, id="what was not translated may not"),
        pytest.param(rules([match(DPORT, {"set": [22, {"range": [80, 90]}]}), ACCEPT]), IN, False, id="a set of ports"),
        pytest.param(rules([match(DPORT, 443), ACCEPT]), IN, True, id="another port"),
        pytest.param(
            rules([match(SOURCE, {"prefix": {"addr": "10.0.0.0", "len": 8}}), ACCEPT]), OUT, False, id="all of our pods"
        ),
        pytest.param(
            rules([match(SOURCE, {"prefix": {"addr": "10.101.0.0", "len": 24}}), ACCEPT]), OUT, False, id="some pods"
        ),
        pytest.param(rules([match(SOURCE, "192.0.2.1"), DROP], policy="accept"), IN, False, id="one client is banned"),
        pytest.param(rules([UNKNOWN, ACCEPT]), IN, False, id="an unknown match may accept"),
        pytest.param(rules([UNKNOWN, DROP], [ACCEPT]), IN, False, id="an unknown match may drop"),
        pytest.param(rules([{"limit": {"rate": 3}}, ACCEPT]), IN, False, id="a limit lets some by"),
        pytest.param(rules([{"counter": {}}, {"log": None}]), IN, True, id="counting and logging decide nothing"),
        pytest.param(rules([{"reject": {}}], policy="accept"), IN, True, id="a reject of all"),
        pytest.param(rules([{"jump": {"target": "user"}}], user=[[ACCEPT]]), IN, False, id="accepted in a chain below"),
        pytest.param(
            rules([{"jump": {"target": "user"}}], [ACCEPT], user=[[{"return": None}, DROP]]), IN, False,
            id="a chain below returns",
        ),
        pytest.param(
            rules([{"goto": {"target": "user"}}], [ACCEPT], user=[[match(OIF, "other"), ACCEPT]]), IN, True,
            id="a goto does not come back",
        ),
        pytest.param(
            rules([{"vmap": {"key": STATE, "data": {"set": [["established", ACCEPT], ["new", DROP]]}}}], [ACCEPT]),
            IN, True, id="a verdict map drops what is new",
        ),
        pytest.param(
            rules([{"vmap": {"key": STATE, "data": {"set": [["established", ACCEPT]]}}}], [ACCEPT]),
            IN, False, id="a verdict map has nothing for it",
        ),
        pytest.param(
            rules([{"xt": {"type": "target", "name": "REJECT"}}], policy="accept"), IN, True, id="iptables' REJECT"
        ),
        pytest.param(rules([{"xt": {"type": "target", "name": "LOG"}}, ACCEPT]), IN, False, id="iptables' LOG"),
        pytest.param(rules([match({"meta": {"key": "nfproto"}}, "ipv6"), ACCEPT]), IN, True, id="the other family"),
    ],
)  # fmt: skip
def test_a_packet_meets_a_chain(made: Ruleset, packet: Packet, is_dropped: bool) -> None:
    (chain,) = made.base_chains("forward", "ip")
    assert (packets.dropped(made, chain, packet) is not None) is is_dropped


def test_the_drop_is_named_by_rule_or_policy() -> None:
    made = rules([match(OIF, "rc-abcd"), DROP], policy="accept")
    (chain,) = made.base_chains("forward", "ip")
    found = packets.dropped(made, chain, IN)
    assert found is not None and found.rule is not None and found.rule.handle == 1
    (chain,) = rules().base_chains("forward", "ip")
    assert packets.dropped(rules(), chain, IN) == packets.Drop(chain)


def test_blockers_tell_what_each_chain_keeps() -> None:
    made = rules([match(OIF, "rc-abcd"), match(DPORT, 80), ACCEPT], [match(STATE, "established", "in"), ACCEPT])
    (blocker,) = flows.blockers(made, [NET])
    assert blocker.by == "policy drop"
    assert blocker.what[0] == "others from published ports (53/udp)"
    assert "pods from the outside" in blocker.what
    assert hints.owner(made, blocker) == ""
    command = hints.command("", blocker)
    assert command.startswith("nft insert rule inet t forward iifname rc-abcd accept && ")


def test_a_network_without_a_way_out_misses_none() -> None:
    (blocker,) = flows.blockers(rules(), [PodNetwork("rc-abcd", PODS, "10.101.0.1", (), internal=True)])
    assert "pods from the outside" not in blocker.what


SAVED = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [3:180]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD ! -o eth0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i docker+ -p tcp -m multiport --dports 80,443:450 -m comment --comment "a b -j ACCEPT" -j ACCEPT
-A DOCKER-USER {}
COMMIT
"""


@pytest.mark.parametrize(
    ("rule", "is_dropped"),
    [
        ("-j RETURN", True),
        ("-o rc-abcd -j ACCEPT", False),
        ("! -o rc-abcd -j ACCEPT", True),
        ("-o rc+ -p tcp -m tcp --dport 80 -j ACCEPT", False),
        ("-p udp -j ACCEPT", True),
        ("-d 10.0.0.0/8 -m conntrack --ctstate DNAT -j ACCEPT", False),
        ("-m conntrack --ctstate NEW -j LOG --log-prefix x", True),
        ("-m recent --update --seconds 3 -j ACCEPT", False),
        ("-m mark ! --mark 0x1 -j ACCEPT", False),
    ],
)
def test_the_saved_form_of_iptables_legacy(rule: str, is_dropped: bool) -> None:
    made = Ruleset()
    legacy.parse(SAVED.format(rule), "ip", made)
    (chain,) = made.base_chains("forward", "ip")
    assert str(chain) == "iptables-legacy table filter, chain FORWARD"
    assert (packets.dropped(made, chain, IN) is not None) is is_dropped


def test_what_iptables_nft_wrote_is_known_by_its_listing() -> None:
    made = rules([{"xt": {"type": "match", "name": "conntrack"}}, ACCEPT])
    (chain,) = made.base_chains("forward", "ip")
    assert packets.dropped(made, chain, IN) is None, "unknown as yet"
    listing = "\t\tct state related,established  counter packets 0 bytes 0 accept # handle 1\n"
    ruleset.translate(made, "inet", "t", listing)
    assert packets.dropped(made, chain, IN) is not None
    assert ruleset.text_of(chain, chain.rules[0]) == "ct state related,established  packets 0 bytes 0 accept"
    made = rules([{"xt": {"type": "match", "name": "conntrack"}}, ACCEPT])
    (chain,) = made.base_chains("forward", "ip")
    ruleset.translate(made, "inet", "t", "\t\tct state new ct original proto-dst 80 accept # handle 1\n")
    assert packets.dropped(made, chain, IN) is None, "more is asked than is known"


def test_our_own_tables_are_no_others() -> None:
    shown = {"family": "inet", "table": "reconciler_abcd", "name": "guard", "hook": "forward", "policy": "drop"}
    assert ruleset.parse([{"chain": {**shown, "type": "filter"}}]).chains == {}
