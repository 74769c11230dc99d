"""The specification of a pod, wherever it occurs: in Pods, and in the templates of everything that makes pods.

`defaults` fills it in, `spec` checks it as a whole with the help of `containers`, `handlers`, `environment`, `volumes`,
`resources`, `scheduling` and `security`.
"""
