"""JSON Schemas (2020-12) of every kind we accept: editors and ``validate`` use the same files.

The directory stands at the top of the tree for people; ``reconciler/schemas`` is a symbolic link to it, so that a
checkout, an editable install and a wheel all find it as the package ``reconciler.schemas``.
"""
