"""DynamoDB: tables, and the items that the program keeps in them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from local.provider.model import Account, Made, ProviderError, Request
from local.provider.rows import ID, Call, Row

if TYPE_CHECKING:
    from collections.abc import Mapping


class Table:
    """A DynamoDB table: the schema is told otherwise in Pulumi than in the API."""

    token = "aws:dynamodb/table:Table"  # noqa: S105 - a type token
    _row = Row(
        token=token,
        service="dynamodb",
        make=Call(
            operation="CreateTable",
            takes={
                "name": "TableName",
                "billingMode": "BillingMode",
                "attributes": "AttributeDefinitions",
                "keySchema": "KeySchema",
                "indexes": "GlobalSecondaryIndexes",
                "serverSideEncryption": "SSESpecification",
                "deletionProtectionEnabled": "DeletionProtectionEnabled",
                "tags": "Tags",
            },
        ),
        then=(
            Call(operation="UpdateTimeToLive", takes={ID: "TableName", "ttl": "TimeToLiveSpecification"}, when="ttl"),
            Call(
                operation="UpdateContinuousBackups",
                takes={ID: "TableName", "pointInTimeRecovery": "PointInTimeRecoverySpecification"},
                when="pointInTimeRecovery",
            ),
        ),
        look=Call(operation="DescribeTable", takes={ID: "TableName"}),
        change=(
            Call(
                operation="UpdateTable",
                takes={ID: "TableName", "deletionProtectionEnabled": "DeletionProtectionEnabled"},
                when="deletionProtectionEnabled",
            ),
        ),
        remove=Call(operation="DeleteTable", takes={ID: "TableName"}),
        named="name",
        id="{name}",
        outputs={"arn": "{response[TableDescription][TableArn]}"},
        renames={
            f"{token} attributes.name": "AttributeName",
            f"{token} attributes.type": "AttributeType",
            f"{token} serverSideEncryption.kmsKeyArn": "KMSMasterKeyId",
            f"{token} pointInTimeRecovery.enabled": "PointInTimeRecoveryEnabled",
        },
    )

    def create(self, account: Account, request: Request) -> Made:
        """Make the table and switch on what it has beside."""
        return self._row.create(account, _with_schema(request))

    def read(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> Made | None:
        """Look the table up."""
        return self._row.read(account, made, inputs)

    def update(self, account: Account, made: Made, request: Request) -> Made:
        """Change what is no part of the schema."""
        return self._row.update(account, made, _with_schema(request))

    def delete(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> None:
        """Remove the table."""
        self._row.delete(account, made, inputs)


def _with_schema(request: Request) -> Request:
    inputs = dict(request.inputs)
    schema = _schema(inputs.pop("hashKey"), inputs.pop("rangeKey", None))
    indexes = [
        {
            "indexName": index["name"],
            "keySchema": _schema(index["hashKey"], index.get("rangeKey")),
            "projection": {
                "projectionType": index["projectionType"],
                **({"nonKeyAttributes": index["nonKeyAttributes"]} if index.get("nonKeyAttributes") else {}),
            },
        }
        for index in inputs.pop("globalSecondaryIndexes", ())
    ]
    extra = {"keySchema": schema, **({"indexes": indexes} if indexes else {})}
    return replace(request, inputs={**inputs, **extra})


def _schema(hash_key: str, range_key: str | None) -> list[dict[str, str]]:
    keys = [{"attributeName": hash_key, "keyType": "HASH"}]
    return [*keys, {"attributeName": range_key, "keyType": "RANGE"}] if range_key else keys


class TableItem:
    """An item that the program owns. Like the AWS provider's, it never overwrites one that is there."""

    token = "aws:dynamodb/tableItem:TableItem"  # noqa: S105 - a type token
    _properties = frozenset({"tableName", "hashKey", "rangeKey", "item"})

    def create(self, account: Account, request: Request) -> Made:
        """Put the item. Raises ClientError where one with its key exists."""
        if unknown := sorted(set(request.inputs) - self._properties):
            raise ProviderError(f"{self.token}: the embedded AWS has no place for {', '.join(unknown)}")
        item, key = _item(request.inputs)
        account.client("dynamodb").put_item(
            TableName=request.inputs["tableName"],
            Item=item,
            ConditionExpression="attribute_not_exists(#key)",
            ExpressionAttributeNames={"#key": request.inputs["hashKey"]},
        )
        parts = "|".join(next(iter(value.values())) for value in key.values())
        return Made(f"{request.inputs['tableName']}|{parts}")

    def read(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> Made | None:
        """Look the item up by its key."""
        _, key = _item(inputs)
        found = account.client("dynamodb").get_item(TableName=inputs["tableName"], Key=key)
        return made if "Item" in found else None

    def update(self, account: Account, made: Made, request: Request) -> Made:
        """Put the item in place of the one before."""
        item, _ = _item(request.inputs)
        account.client("dynamodb").put_item(TableName=request.inputs["tableName"], Item=item)
        return made

    def delete(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Delete the item."""
        _, key = _item(inputs)
        account.client("dynamodb").delete_item(TableName=inputs["tableName"], Key=key)


def _item(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    item = json.loads(inputs["item"])
    names = [inputs["hashKey"], *([inputs["rangeKey"]] if inputs.get("rangeKey") else [])]
    return item, {name: item[name] for name in names}


KINDS = (Table(), TableItem())
