"""Where desired state comes from: directories and files of manifests.

A source turns what lies on disk into ``Desired`` for each key, and is where a removal is doubted: an edit is
taken at its word, a disappearance only after the folder has been quiet and was read once more.
"""
