"""The values of podman's options, compiled to pieces of ``model.PodSpec``. Pure: what they need of the world (our own
environment, the directory we are in, a free port) is handed in.

The grammar is podman's, as its documentation has it today (docs/source/markdown/options); where an answer differs,
``podman`` says how, and what cannot be taken is refused in one line that says what to do instead.
"""
