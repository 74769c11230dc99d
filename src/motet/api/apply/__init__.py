"""Server-side apply: who owns which field, and what follows when two want the same one.

Pure functions over documents and their `metadata.managedFields`. Follows Kubernetes' "Server-Side Apply" and the FieldsV1
form of structured-merge-diff: `fields` names places, `merging` merges by them, `managers` keeps the books.
"""

from motet.api.apply.managers import apply, created, track

__all__ = ["apply", "created", "track"]
