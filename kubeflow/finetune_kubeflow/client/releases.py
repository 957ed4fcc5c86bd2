"""What a release of Kubeflow Pipelines would silently drop of what is sent to it."""

from __future__ import annotations

import re

from finetune_kubeflow.package.read import Package

# One that does not say its release counts as the oldest.
OLDEST = (2, 5)
# The first that keep labels and annotations of pods, and that start the runs of a schedule as the account asked for.
KEEPS_METADATA, SCHEDULES_AS_ASKED = (2, 14), (2, 17)
# The first that take no account but their own default and those that their configuration lists.
LISTS_ACCOUNTS = (2, 17)
ALLOWED = "ALLOWEDSERVICEACCOUNTS"
# What such a schedule runs as otherwise.
OWN_ACCOUNT = "pipeline-runner"


def dropped_metadata(tag: str, package: Package) -> str:
    """Says which labels and annotations of pods a server would drop; empty where it keeps all.

    Args:
        tag: Its release, as it says; empty where it does not.
        package: What is to be sent.
    """
    if _release(tag) >= KEEPS_METADATA:
        return ""
    configs = package.executor_configs.values()
    kept = {key for one in configs for key in (*one.pod_metadata.labels, *one.pod_metadata.annotations)}
    if not kept:
        return ""
    return (
        f"kubernetes: pods have labels or annotations ({', '.join(sorted(kept)[:5])}), and {_who(tag)}; before "
        f"{_text(KEEPS_METADATA)} they are silently dropped, Kueue's queue among them. Upgrade the server, or leave "
        "them out"
    )


def other_account(tag: str, service_account: str) -> str:
    """Says that the runs of a schedule will have another account than asked for; empty where they have that one."""
    if _release(tag) >= SCHEDULES_AS_ASKED or service_account == OWN_ACCOUNT:
        return ""
    return (
        f"kubernetes.service_account: {_who(tag)}; before {_text(SCHEDULES_AS_ASKED)} the runs of a schedule have the "
        f"account {OWN_ACCOUNT!r}, not {service_account!r}: give it the same rights"
    )


def listed_account(tag: str, service_account: str) -> str:
    """Says where the account has to be listed for the server to take it; empty where it takes any, or its own."""
    if _release(tag) < LISTS_ACCOUNTS or service_account == OWN_ACCOUNT:
        return ""
    return (
        f"kubernetes.service_account: {_who(tag)}; it takes {service_account!r} only where {ALLOWED} of its deployment "
        f"ml-pipeline lists it, and refuses the run otherwise. It always takes {OWN_ACCOUNT!r}"
    )


def _release(tag: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+)\.(\d+)", tag)
    return tuple(map(int, found.groups())) if found else OLDEST


def _who(tag: str) -> str:
    return f"the server's release is {tag}" if tag else "the server does not say its release"


def _text(release: tuple[int, ...]) -> str:
    return ".".join(map(str, release))
