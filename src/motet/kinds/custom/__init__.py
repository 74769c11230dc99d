"""Custom resources: their definitions (CustomResourceDefinition), and the kinds that come of them.

`definition` is the kind of the definitions themselves, `build` makes a `Kind` of each version a definition serves; the
other modules say what may stand in a definition, in upstream's words.
"""
