"""Which command opens the way where we do not: for people to run, who know what their firewall is for."""

from __future__ import annotations

from reconciler.engine.network.foreign import docker, firewalld
from reconciler.engine.network.foreign.flows import Blocker
from reconciler.engine.network.foreign.ruleset import Ruleset

UFW_CHAIN = {"ip": "ufw-before-forward", "ip6": "ufw6-before-forward"}


def owner(ruleset: Ruleset, blocker: Blocker) -> str:
    """docker, firewalld, ufw, or "" for an administrator's own rules. Docker's place comes before ufw's chains."""
    chains = {chain for family, table, chain in ruleset.chains if (family, table) == (blocker.family, blocker.table)}
    if docker.CHAIN in chains and blocker.name == "FORWARD":
        return "docker"
    if UFW_CHAIN.get(blocker.family) in chains:
        return "ufw"
    return "firewalld" if blocker.table == firewalld.TABLE else ""


def present(ruleset: Ruleset) -> tuple[str, ...]:
    """Who is there, by the chains that are only theirs."""
    found = []
    if any(chain.startswith("DOCKER") or table.startswith("docker-") for _, table, chain in ruleset.chains):
        found.append("docker")
    if any(ruleset.has(family, chain) for family, chain in UFW_CHAIN.items()):
        found.append("ufw")
    if firewalld.is_there(ruleset):
        found.append("firewalld")
    if any(chain.legacy for chain in ruleset.chains.values()):
        found.append("iptables-legacy")
    return tuple(found)


def command(who: str, blocker: Blocker) -> str:
    """What lets ``blocker.what`` through, for its first bridge."""
    bridge, is_input = blocker.bridges[0], blocker.hook == "input"
    if who == "ufw":
        ways = [f"ufw allow in on {bridge}"]
        ways = ways if is_input else [f"ufw route allow in on {bridge}", f"ufw route allow out on {bridge}"]
    elif who == "firewalld":
        ways = [f"firewall-cmd --zone={firewalld.ZONE} --change-interface={bridge}"]
    elif blocker.name in ("FORWARD", "INPUT"):
        program = {"ip": "iptables", "ip6": "ip6tables"}[blocker.family] + ("-legacy" if blocker.legacy else "")
        ways = [f"{program} -I {blocker.name} -{way} {bridge} -j ACCEPT" for way in ("i", "o")]
    else:
        where = f"{blocker.family} {blocker.table} {blocker.name}"
        ways = [f"nft insert rule {where} {way}ifname {bridge} accept" for way in ("i", "o")]
    return " && ".join(ways[:1] if is_input else ways)
