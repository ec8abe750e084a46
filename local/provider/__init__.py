"""The program's resource types as boto3 calls on the embedded account.

What stands here knows nothing of how Pulumi asks: `mocks` asks in this process, and an engine can ask by gRPC.
"""
