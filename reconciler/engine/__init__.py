"""Effects on this host: pods, containers, images, network, volumes, records. Knows no Kubernetes types.

``engine.engine.Engine`` is the door; nothing is imported here, so that looking at one part costs that part alone.
"""
