"""Real Kubernetes for the tests, made on this machine and taken away again.

``control_plane``   etcd, API server and controller manager: about three seconds, no node
``single_node``     those and one node in a network namespace, where there is no Docker
``kind``            two nodes with fake GPUs, made by kind: what users have

``binaries`` compiles the programs, ``engine`` starts a Docker daemon where none runs, ``node_image`` and
``image`` build the images of the nodes and of SLO-Guard itself. ``python -m tests.clusters`` is the command line.

Everything here needs the standard library only, since ``tests/run`` uses it before anything is installed.
"""
