"""The HTTP edge: who is asking, what for, in which form; then the registry's answer, rendered.

`server.ApiServer` puts it together. A request goes through `routes` (path and method to a target), `authenticate`,
`authorize`, one of the handlers (`objects`, `watch`, `streams`, `discovery`, `reviews`, `health`) and `answers`.
"""
