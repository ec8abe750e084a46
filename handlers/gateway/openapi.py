"""The API's description, of OpenAPI 3.1, with what the resolver cannot know of itself: signatures and errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler import LambdaFunctionUrlResolver

ERROR = {
    "type": "object",
    "required": ["error", "message", "details"],
    "properties": {
        "error": {"type": "string", "examples": ["bad_request"]},
        "message": {"type": "string"},
        "details": {"type": "array", "items": {"type": "string"}, "description": "One mistake each, with its place"},
    },
}
SIGNATURE = {
    "type": "apiKey",
    "in": "header",
    "name": "Authorization",
    "x-amazon-apigateway-authtype": "awsSigv4",
    "description": "AWS Signature Version 4 for the service `lambda`",
}
TOKENS = [
    {"name": f"x-{kind}-token", "in": "header", "required": False, "schema": {"type": "string"},
     "description": f"The user's {kind} token; it comes to the run's processors and nowhere else"}
    for kind in ("session", "refresh")
]  # fmt: skip


def document(app: LambdaFunctionUrlResolver) -> dict[str, Any]:
    """The whole description."""
    text = app.get_openapi_json_schema(title="Compute node", version="1.0.0", description="Runs workflows.")
    schema: dict[str, Any] = json.loads(text)
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {})["Error"] = ERROR
    components["securitySchemes"] = {"sigv4": SIGNATURE}
    schema["security"] = [{"sigv4": []}]
    failure = {
        "description": "What was wrong",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for operations in schema["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"] |= {"400": failure, "403": failure, "404": failure, "409": failure, "503": failure}
    schema["paths"]["/runs"]["post"].setdefault("parameters", []).extend(TOKENS)
    return schema
