"""The options that run, create and pod create have in common, in one place: what they are called (``groups``), how they
are read and shown (``command``), and what pods and containers come of them (``assemble``)."""
