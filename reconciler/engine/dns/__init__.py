"""Names: what a pod is called, what it asks whom, and the name server that knows the pods (aardvark-dns).

    names      host names, and the names by which a pod is found; pure
    resolver   resolv.conf by dnsPolicy and dnsConfig; pure
    table      the server's configuration, a file for each network
    server     the process: found, started, told to read again, ended
    redirect   port 53 led to another port, where somebody else has it

Nothing here knows records or pods' lives: ``engine/podfiles.py`` and ``engine/nameserver.py`` put it together.
"""
