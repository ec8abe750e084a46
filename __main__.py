"""The compute node, from its configuration to its outputs."""

from __future__ import annotations

from pathlib import Path

import pulumi

from components import variants
from components.compute_gateway import ComputeGateway
from components.context import NodeContext
from components.function_environment import function_environment
from components.functions import FunctionBase
from components.log_pipeline import LogPipeline
from components.orchestrator import Orchestrator
from components.processors import Processors
from components.storage import Storage
from config import NodeConfig

root = Path(__file__).resolve().parent
config = NodeConfig.load(root)
variants.refuse_what_is_missing(config)
node = NodeContext.current(config, root)

encryption = variants.encryption(node)
network = variants.network(node)
storage = Storage("storage", node, network=network, encryption=encryption)
logs = LogPipeline("logs", node, encryption=encryption)
functions = FunctionBase(
    network=network, storage=storage, encryption=encryption, environment=function_environment(node, storage)
)
orchestrator = Orchestrator("orchestrator", node, network=network, storage=storage, logs=logs, functions=functions)
processors = Processors(
    "processors",
    node,
    network=network,
    storage=storage,
    encryption=encryption,
    logs=logs,
    complete_function_arn=orchestrator.functions["complete"].arn,
)
gateway = ComputeGateway("gateway", node, storage=storage, functions=functions)

pulumi.export("nodeName", config.name)
pulumi.export("mode", config.mode)
pulumi.export("gatewayUrl", gateway.url)
pulumi.export("resultsBucket", storage.results.name)
pulumi.export("logBucket", logs.archive.name)
pulumi.export("stateMachineArn", orchestrator.state_machine.arn)
pulumi.export("clusterArn", orchestrator.cluster.arn)
pulumi.export("runTable", storage.run_table.name)
pulumi.export("fileSystemId", storage.file_system.id)
pulumi.export("definitionSha256", orchestrator.definition_sha256)
pulumi.export("bundleSha256", node.bundle.sha256)
