"""Volumes that a controller claims for each replica, for a candidate that has no such controller. Pure.

A claim that many pods may write, or read, at once is shared with production's first replica: that is what its owner
chose the mode for, and a model of a hundred gigabytes is not fetched for each trial. Of others a candidate gets one of
its own, by the same claim template: what a new replica would begin with. Kubernetes makes it with the pod and removes
it with the pod (a generic ephemeral volume).
"""

from collections.abc import Sequence
from typing import Final

from sloguard.cluster.objects import Object, listing, section, texts
from sloguard.cluster.workloads.workload import CandidateTemplate
from sloguard.domain.text import readable

_SHARED: Final = ("ReadWriteMany", "ReadOnlyMany")


def with_claims(template: Object, claims: Sequence[Object], first_pod: str) -> CandidateTemplate:
    """The pod template with volumes in the place of claims; a claim goes before a volume of the same name."""
    if not claims:
        return CandidateTemplate(template)
    names = {claim["metadata"]["name"] for claim in claims}
    kept = [volume for volume in listing(template, "spec", "volumes") if volume["name"] not in names]
    volumes = kept + [_volume(claim, first_pod) for claim in claims]
    shared = [claim["metadata"]["name"] for claim in claims if _is_shared(claim)]
    own = [claim["metadata"]["name"] for claim in claims if not _is_shared(claim)]
    told = [
        f"share the claims of production's {first_pod} for {', '.join(shared)}" if shared else "",
        f"begin with volumes of their own for {', '.join(own)}, as a new replica would: what production keeps there, "
        "such as a model, is fetched at each start (mind spec.trial.startupTimeoutSeconds); a claim with access mode "
        "ReadWriteMany would be shared instead"
        if own
        else "",
    ]
    spec = section(template, "spec") | {"volumes": volumes}
    return CandidateTemplate(template | {"spec": spec}, readable(f"candidates {' and '.join(filter(None, told))}"))


def _is_shared(claim: Object) -> bool:
    return any(mode in _SHARED for mode in texts(claim, "spec", "accessModes"))


def _volume(claim: Object, first_pod: str) -> Object:
    name = claim["metadata"]["name"]
    if _is_shared(claim):
        return {"name": name, "persistentVolumeClaim": {"claimName": f"{name}-{first_pod}"}}
    metadata = {key: claim["metadata"][key] for key in ("labels", "annotations") if claim["metadata"].get(key)}
    made: Object = {"spec": claim["spec"]} | ({"metadata": metadata} if metadata else {})
    return {"name": name, "ephemeral": {"volumeClaimTemplate": made}}
