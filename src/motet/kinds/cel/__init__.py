"""The Common Expression Language: rules of custom resources, match conditions and policies of admission.

The language itself is Google's C++ implementation (the optional extra `cel`); `library` has what Kubernetes adds to it,
`engine` compiles and evaluates, `rewriting` gives the engine the macros it lacks, `checking` tells it the types of a
schema so that a mistake in a rule is found when it is written, and `values` turns documents into what it calculates with.
"""
