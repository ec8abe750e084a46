"""The gateway: the node's HTTP API, a Lambda function behind a Function URL with IAM authorisation.

`app` wires routes, validation and errors; each other module is one part of the API, its domain apart from HTTP.
"""

from handlers.gateway.app import handler

__all__ = ["handler"]
