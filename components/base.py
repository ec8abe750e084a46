"""What every component of the node is made of: its type token, its place in the tree, its tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pulumi

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.context import NodeContext


class NodeComponent(pulumi.ComponentResource):
    """A component whose children carry the node's tags wherever AWS lets them."""

    KIND: ClassVar[str]

    def __init__(self, name: str, context: NodeContext, opts: pulumi.ResourceOptions | None = None) -> None:
        tagged = pulumi.ResourceOptions(transformations=[_tagging(context.tags)])
        super().__init__(self.KIND, name, None, pulumi.ResourceOptions.merge(tagged, opts))
        self.label = name
        self.context = context

    def _opts(
        self,
        *,
        depends_on: Sequence[pulumi.Resource] = (),
        protect: bool | None = None,
        retain_on_delete: bool | None = None,
    ) -> pulumi.ResourceOptions:
        """Options of a child. The component's own never pass on to it, save through the parent."""
        return pulumi.ResourceOptions(
            parent=self, depends_on=list(depends_on), protect=protect, retain_on_delete=retain_on_delete
        )


def _tagging(tags: Mapping[str, str]) -> pulumi.ResourceTransformation:
    """Add `tags` to each resource that can have any; default tags of a provider would miss explicit providers."""

    def add(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if not (args.type_.startswith("aws:") and hasattr(type(args.resource), "tags")):
            return None
        given = args.props.get("tags")
        merged = {**(given if isinstance(given, dict) else {}), **tags}
        return pulumi.ResourceTransformationResult({**args.props, "tags": merged}, args.opts)

    return add
