"""What the resolvers share that look for what was pushed."""

from __future__ import annotations

from tfx.dsl.components.common import resolver

from finetune.buckets import folder


class PushedStrategy(resolver.ResolverStrategy):
    """Resolves by what the folder of pushed versions says."""

    def __init__(self, push_directory: str):
        self._directory = folder(push_directory)
