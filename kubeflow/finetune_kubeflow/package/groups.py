"""Which nodes of the DAG share a task, and with it a pod and a process. Plain decisions, without KFP."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from finetune.config.kubernetes import KubernetesConfig

# Components that train: it takes long, is often placed by itself, and runs beside the others of its kind.
TRAINERS = ("Trainer", "Tuner")


def groups_of(
    settings: KubernetesConfig, upstream: Mapping[str, Collection[str]], components: Mapping[str, str]
) -> list[tuple[str, ...]]:
    """Returns the nodes of each task, in an order in which the tasks can run.

    A node has a task of its own where it trains, where `kubernetes.components` says anything of it, and everywhere if
    light nodes are not to be grouped. All others have the same placement, that of `kubernetes.defaults`.

    Args:
        settings: Of the package.
        upstream: The nodes that each node waits for; every node comes behind those that it waits for.
        components: The class of each node, such as `Trainer`.
    """
    placed = settings.components
    alone = {node for node in upstream if node in placed or components[node] in TRAINERS}
    return groups(upstream, alone if settings.group_light_nodes else list(upstream))


def groups(upstream: Mapping[str, Collection[str]], alone: Collection[str]) -> list[tuple[str, ...]]:
    """Returns the nodes in groups, each node in the first one that can run as a whole.

    A group runs as a whole if none of its nodes waits for a node outside that waits for the group in turn. So no groups
    ever wait for each other.

    Args:
        upstream: The nodes that each node waits for; every node comes behind those that it waits for.
        alone: Nodes that share a group with none.
    """
    found: list[list[str]] = []
    needs: list[set[int]] = []  # the groups that each group waits for, directly or not
    place: dict[str, int] = {}
    for node, waits_for in upstream.items():
        direct = {place[other] for other in waits_for}
        needed = direct.union(*(needs[group] for group in direct))
        shared = [] if node in alone else [group for group in range(len(found)) if found[group][0] not in alone]
        # A group that the node joins waits for all that the node needs; none of that may wait for the group.
        joined = next((group for group in shared if all(group not in needs[other] for other in needed)), None)
        if joined is None:
            joined = len(found)
            found.append([])
            needs.append(set())
        found[joined].append(node)
        place[node] = joined
        added = needed - {joined}
        for group in range(len(found)):
            if group == joined or joined in needs[group]:
                needs[group] |= added
    return [tuple(found[group]) for group in _in_order(needs)]


def _in_order(needs: list[set[int]]) -> list[int]:
    """The groups with each behind those that it waits for; it waits for all that those wait for, and for more."""
    return sorted(range(len(needs)), key=lambda group: (len(needs[group]), group))
