"""The operator: the only package that talks to Kubernetes."""
