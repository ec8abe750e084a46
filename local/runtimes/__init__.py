"""What runs in the embedded AWS: Lambda functions and ECS tasks, as processes of this machine."""

from local.runtimes.ecs_runtime import EcsRuntime
from local.runtimes.lambda_function import FunctionError
from local.runtimes.lambda_runtime import InvocationResult, LambdaRuntime
from local.sandbox.processes import isolation
from local.sandbox.spec import Isolation

__all__ = ["EcsRuntime", "FunctionError", "InvocationResult", "Isolation", "LambdaRuntime", "isolation"]
