"""Throw-away virtual machines for scripts/test-vm: a bare Debian in qemu, and what is done in it.

Standard library only: nothing needs to be installed on the host but qemu and mmdebstrap.
"""
