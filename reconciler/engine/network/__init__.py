"""The pods' network on this host: a bridge, a link for each pod, published ports, the pod's /etc files.

    names     how links, tables and MACs are called, so that each is found from its name alone
    subnet    which addresses are free on this host
    netlink   opening rtnetlink here or in a pod's namespace, errors wrapped
    bridge    the bridge, its gateway address and the sysctls
    pod       a pod's link: attach, detach, list
    nft       libnftables
    portmap   the table of published ports
    ports     host ports held by sockets, and who else has them
    conntrack forgetting connections to a pod that is gone
    files     hosts, hostname, resolv.conf

The namespace itself is made by the OCI runtime for the infra container and dies with the pod's last process, its
link with it. Nothing here keeps state in the process; whoever changes the bridge or the table holds
``layout.network_lock``. Addresses are the caller's to choose (store), and come in as arguments.
"""
