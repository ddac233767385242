"""How stockstream is run: on one machine (`deploy.local`), in containers, on Kubernetes.

Nothing imports this package but tests.
"""
