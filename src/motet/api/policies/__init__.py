"""Admission policies: what the cluster itself refuses or changes, as expressions say (see docs/design/admission.md).

`policies` reads them and their bindings, `params` finds parameters, `evaluating` is what expressions of one policy see of
one request, `mutating` makes changes of what they say, `admitting` has the two plugins.
"""
