"""Images: from a registry or an archive to layers that a container's root is stacked from.

``images.Images`` is the door; behind it: ``reference`` and ``shortnames`` (names), ``transfer`` (skopeo),
``archive``, ``unpack`` and ``layerfilter`` (layers), ``index`` and ``disk`` (what is here), ``pulls`` (in the
background), ``stores`` (what podman and docker have), ``keyring`` (whose password), ``removal``. ``view``, ``users``
and ``details`` look into an image that is here, ``save`` lets it out.
"""
