"""Others' firewalls on this host: what they do with the pods' traffic, and how the way is opened.

    ruleset    every filter chain that is not ours, as the kernel has it
    legacy     those of iptables-legacy, which nftables does not show
    packets    what a chain does with a packet: accepted, dropped, or either
    flows      the pods' traffic as packets, and who drops which of it
    docker     DOCKER-USER, docker's place for others' rules
    firewalld  its zone ``trusted``
    hints      whose a chain is, and the command that opens it
    programs   running iptables and firewall-cmd

A packet must be accepted by every base chain at its hook; one drop ends it, whatever our own table says. So the way
is opened in the chain that drops, and only where its owner has a place for others: elsewhere it is named, with the
command that would open it. Nothing here keeps state; what was opened is found again in the kernel.
"""
