"""Other people's programs that the API server asks: to convert custom resources, and to admit writes.

`services` finds where such a program listens, `client` asks it, `reviews` is the form of question and answer.
"""
