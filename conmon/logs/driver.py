"""What the monitor asks of a log, whatever it is."""

from __future__ import annotations


class Driver:
    """One log. No method raises: a log that fails says so once and loses lines; the container goes on."""

    def write(self, stream: bytes, data: bytes) -> None:
        """Take what one read of ``stream`` (stdout or stderr) gave."""
        raise NotImplementedError

    def reopen(self) -> None:
        """Begin anew, if that means something here."""

    def end(self) -> None:
        """There is no more output: nothing is held back any longer."""

    def sync(self) -> None:
        """Bring it to the disk."""

    def close(self) -> None:
        """Let go of what it holds."""
