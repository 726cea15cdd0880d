"""One protocol, any conmon: the same cases run against ours and against each other one there is (see programs.py)."""
