"""Pulumi's data sources (`aws.get_…`): questions to the account rather than resources."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from local.provider.model import Account, Properties, ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _caller(account: Account, _: Mapping[str, Any]) -> Properties:
    identity = account.client("sts").get_caller_identity()
    return {
        "accountId": identity["Account"],
        "arn": identity["Arn"],
        "userId": identity["UserId"],
        "id": account.account,
    }


def _region(account: Account, args: Mapping[str, Any]) -> Properties:
    name = args.get("region") or args.get("name") or account.region
    return {"region": name, "name": name, "description": name, "endpoint": f"ec2.{name}.amazonaws.com", "id": name}


def _partition(account: Account, _: Mapping[str, Any]) -> Properties:
    return {
        "partition": account.partition,
        "dnsSuffix": "amazonaws.com",
        "reverseDnsPrefix": "com.amazonaws",
        "id": account.partition,
    }


def _zones(account: Account, args: Mapping[str, Any]) -> Properties:
    filters = _filters(args)
    zones = account.client("ec2").describe_availability_zones(Filters=filters)["AvailabilityZones"]
    return {
        "names": [zone["ZoneName"] for zone in zones],
        "zoneIds": [zone["ZoneId"] for zone in zones],
        "groupNames": [account.region],
        "id": account.region,
    }


def _route_tables(account: Account, args: Mapping[str, Any]) -> Properties:
    filters = [*_filters(args), *_filter("vpc-id", args.get("vpcId")), *_tag_filters(args)]
    tables = account.client("ec2").describe_route_tables(Filters=filters)["RouteTables"]
    return {"ids": sorted(table["RouteTableId"] for table in tables), "id": account.region}


def _subnets(account: Account, args: Mapping[str, Any]) -> Properties:
    filters = [*_filters(args), *_tag_filters(args)]
    subnets = account.client("ec2").describe_subnets(Filters=filters)["Subnets"]
    return {"ids": sorted(subnet["SubnetId"] for subnet in subnets), "id": account.region}


def _vpc(account: Account, args: Mapping[str, Any]) -> Properties:
    default = [] if args.get("default") is None else [{"Name": "is-default", "Values": [str(args["default"]).lower()]}]
    filters = [*_filters(args), *default, *_filter("vpc-id", args.get("id")), *_tag_filters(args)]
    found = account.client("ec2").describe_vpcs(Filters=filters)["Vpcs"]
    if len(found) != 1:
        raise ProviderError(f"aws:ec2/getVpc:getVpc: {len(found)} VPCs match {json.dumps(dict(args))}, not one")
    vpc = found[0]
    arn = account.arn("ec2", f"vpc/{vpc['VpcId']}")
    return {"id": vpc["VpcId"], "arn": arn, "cidrBlock": vpc["CidrBlock"], "default": vpc["IsDefault"]}


def _prefix_list(account: Account, args: Mapping[str, Any]) -> Properties:
    filters = [*_filters(args), *_filter("prefix-list-name", args.get("name"))]
    ids = {"PrefixListIds": [args["id"]]} if args.get("id") else {}
    lists = account.client("ec2").describe_managed_prefix_lists(Filters=filters, **ids)["PrefixLists"]
    if len(lists) != 1:
        raise ProviderError(f"aws:ec2/getManagedPrefixList: {len(lists)} lists match {json.dumps(dict(args))}, not one")
    found = lists[0]
    return {"id": found["PrefixListId"], "name": found["PrefixListName"], "arn": found["PrefixListArn"]}


def _policy_document(_: Account, args: Mapping[str, Any]) -> Properties:
    statements = [*_sources(args), *(_statement(given) for given in args.get("statements") or [])]
    document = json.dumps({"Version": args.get("version", "2012-10-17"), "Statement": statements})
    return {"json": document, "minifiedJson": document, "id": "policy"}


def _sources(args: Mapping[str, Any]) -> list[Properties]:
    return [entry for source in args.get("sourcePolicyDocuments") or [] for entry in json.loads(source)["Statement"]]


def _statement(given: Mapping[str, Any]) -> Properties:
    statement: Properties = {"Effect": given.get("effect", "Allow")}
    names = {
        "sid": "Sid",
        "actions": "Action",
        "notActions": "NotAction",
        "resources": "Resource",
        "notResources": "NotResource",
    }
    statement |= {target: given[key] for key, target in names.items() if given.get(key)}
    for key in ("principals", "notPrincipals"):
        if entries := given.get(key):
            everyone = any(entry["type"] == "*" for entry in entries)
            principals = "*" if everyone else {entry["type"]: entry["identifiers"] for entry in entries}
            statement[key[0].upper() + key[1:-1]] = principals
    for condition in given.get("conditions") or []:
        tests = statement.setdefault("Condition", {}).setdefault(condition["test"], {})
        tests[condition["variable"]] = condition["values"]
    return statement


def _filters(args: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"Name": entry["name"], "Values": entry["values"]} for entry in args.get("filters") or []]


def _filter(name: str, value: str | None) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": [value]}] if value else []


def _tag_filters(args: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"Name": f"tag:{key}", "Values": [value]} for key, value in (args.get("tags") or {}).items()]


def _no_default_tags(_: Account, __: Mapping[str, Any]) -> Properties:
    return {"tags": {}, "id": "default-tags"}


INVOKES: dict[str, Callable[[Account, Mapping[str, Any]], Properties]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": _caller,
    "aws:index/getRegion:getRegion": _region,
    "aws:index/getPartition:getPartition": _partition,
    "aws:index/getAvailabilityZones:getAvailabilityZones": _zones,
    "aws:index/getDefaultTags:getDefaultTags": _no_default_tags,
    "aws:ec2/getRouteTables:getRouteTables": _route_tables,
    "aws:ec2/getSubnets:getSubnets": _subnets,
    "aws:ec2/getVpc:getVpc": _vpc,
    "aws:ec2/getManagedPrefixList:getManagedPrefixList": _prefix_list,
    "aws:iam/getPolicyDocument:getPolicyDocument": _policy_document,
}


def default_vpc(account: Account) -> Properties:
    """What awsx.ec2.DefaultVpc answers: the account's default VPC and its subnets, all public."""
    vpc = _vpc(account, {"default": True})["id"]
    subnets = account.client("ec2").describe_subnets(Filters=_filter("vpc-id", vpc))["Subnets"]
    public = [subnet["SubnetId"] for subnet in subnets if subnet["MapPublicIpOnLaunch"]]
    private = [subnet["SubnetId"] for subnet in subnets if not subnet["MapPublicIpOnLaunch"]]
    return {"vpcId": vpc, "publicSubnetIds": public, "privateSubnetIds": private}
