"""The loop: keys on a queue, one worker per key, one path to sync a pod.

``queue`` holds what is to be looked at, ``sync`` makes one pod match what is wanted of it, ``core`` runs both with
workers; ``watch`` and ``converge`` are its two lives: for ever, and until there is nothing left to do.
"""
