"""EventBridge's default bus with Lambda targets and schedules, and the destinations of asynchronous invocations.

moto matches events against rules and knows no Lambda target; a rule that only has a schedule matches every event there,
and a disabled one still sends. Not imitated: retries and dead letters of a delivery, cron expressions, archives.
"""

from __future__ import annotations

import fnmatch
import json
import logging
import re
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError
from moto.events.exceptions import ValidationException
from moto.events.models import EventsBackend, Rule, events_backends

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.emulator import Emulator

LOG = logging.getLogger(__name__)
RATE = re.compile(r"rate\((?P<count>[1-9]\d*) (?P<unit>minute|hour|day)(?P<plural>s?)\)")
MINUTES = {"minute": 1, "hour": 60, "day": 1440}
PLACEHOLDER = re.compile(r"<([\w.-]+)>")
RULE_CHANGES = ("put_rule", "enable_rule", "disable_rule", "delete_rule")


class EventBridge:
    """Delivers what happens in the account to the functions that rules and destinations name.

    `minute` is the length of a schedule's minute in seconds.
    """

    def __init__(self, emulator: Emulator, minute: float = 60.0) -> None:
        self._emulator, self._minute = emulator, minute
        self._stopped = False
        self._changed = threading.Condition()
        self._due: dict[str, tuple[str, float]] = {}  # of a rule: its expression and when it is due
        self._scheduler = threading.Thread(target=self._run_schedules, name="schedules", daemon=True)

    def install(self) -> None:
        """Take over moto's deliveries, and begin to keep schedules."""
        patches = self._emulator.patches
        patches.replace(Rule, "send_to_targets", lambda rule, event, *_, **__: self._send(rule, event))
        for name in RULE_CHANGES:
            patches.replace(EventsBackend, name, self._noticing(name, getattr(EventsBackend, name)))
        self._scheduler.start()

    def stop(self) -> None:
        """Send nothing any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._scheduler.ident:
            self._scheduler.join()

    def emit(self, source: str, detail_type: str, resources: list[str], detail: dict[str, Any]) -> None:
        """Put an AWS service's own event on the default bus."""
        self.publish(self._event(source, detail_type, resources, detail))

    def publish(self, event: dict[str, Any]) -> None:
        """Put a whole event on the default bus."""
        for rule in list(self._rules().values()):
            self._send(rule, event)

    def on_async_result(self, configuration: dict[str, Any], record: dict[str, Any]) -> None:
        """Send the record of an asynchronous invocation to the function's destination for such an outcome."""
        outcome = "OnSuccess" if record["requestContext"]["condition"] == "Success" else "OnFailure"
        destinations = (configuration.get("EventInvokeConfig") or {}).get("DestinationConfig") or {}
        if arn := (destinations.get(outcome) or {}).get("Destination"):
            self._invoke(arn, json.dumps(record))

    def _event(self, source: str, detail_type: str, resources: list[str], detail: dict[str, Any]) -> dict[str, Any]:
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": detail_type,
            "source": source,
            "account": self._emulator.account,
            "time": _iso(time.time()),
            "region": self._emulator.region,
            "resources": resources,
            "detail": detail,
        }

    def _rules(self) -> dict[str, Rule]:
        rules: dict[str, Rule] = (
            events_backends[self._emulator.account][self._emulator.region].event_buses["default"].rules
        )
        return rules

    def _send(self, rule: Rule, event: dict[str, Any]) -> None:
        pattern = rule.event_pattern.get_pattern()
        if rule.state == "DISABLED" or not pattern or not rule.event_pattern.matches_event(cast("Any", event)):
            return
        sent = {**event, "time": _iso(event["time"])} if not isinstance(event["time"], str) else event
        sent.pop("ingestion-time", None)  # moto's addition
        self._send_to_targets(rule, sent)

    def _send_to_targets(self, rule: Rule, event: dict[str, Any]) -> None:
        for target in list(rule.targets):
            if self._may_invoke(target["Arn"], rule.arn):
                self._invoke(target["Arn"], _target_input(target, event, rule.arn))

    def _may_invoke(self, function_arn: str, rule_arn: str) -> bool:
        """Whether the function's own policy lets this rule in; without it, EventBridge drops the event too."""
        try:
            policy = self._emulator.client("lambda").get_policy(FunctionName=function_arn)["Policy"]
        except ClientError:
            policy = '{"Statement": []}'
        admitted = any(_admits(statement, rule_arn) for statement in json.loads(policy)["Statement"])
        if not admitted:
            LOG.warning("%s may not invoke %s: its policy does not say so", rule_arn, function_arn)
        return admitted

    def _invoke(self, arn: str, payload: str) -> None:
        if ":lambda:" not in arn or self._stopped:
            LOG.error("%s: the embedded AWS sends events to Lambda functions only", arn)
            return
        try:
            self._emulator.client("lambda").invoke(FunctionName=arn, InvocationType="Event", Payload=payload.encode())
        except ClientError as error:
            # As on AWS, what cannot be delivered shows in a metric only. Nobody waits for it here.
            LOG.warning("%s cannot be invoked: %s", arn, error)

    def _noticing(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def change(backend: EventsBackend, *args: Any, **kwargs: Any) -> Any:
            if name == "put_rule":
                _check_schedule(kwargs.get("scheduled_expression"))
            answer = original(backend, *args, **kwargs)
            with self._changed:
                self._changed.notify()
            return answer

        return change

    def _run_schedules(self) -> None:
        while True:
            with self._changed:
                self._read_schedules()
                wake = min((due for _, due in self._due.values()), default=None)
                self._changed.wait(None if wake is None else max(0.0, wake - time.monotonic()))
                if self._stopped:
                    return
                self._read_schedules()
                ripe = [name for name, (_, due) in self._due.items() if due <= time.monotonic()]
            for name in ripe:
                self._fire(name)

    def _read_schedules(self) -> None:
        """A rule is due a period after it was made, and again after each period."""
        rules = {
            name: rule.scheduled_expression
            for name, rule in self._rules().items()
            if rule.scheduled_expression and rule.state != "DISABLED"
        }
        for name, expression in rules.items():
            if self._due.get(name, ("", 0.0))[0] != expression:
                self._due[name] = (expression, time.monotonic() + self._period(expression))
        for name in set(self._due) - set(rules):
            del self._due[name]

    def _fire(self, name: str) -> None:
        expression, due = self._due[name]
        self._due[name] = (expression, due + self._period(expression))
        if rule := self._rules().get(name):
            self._send_to_targets(rule, self._event("aws.events", "Scheduled Event", [rule.arn], {}))

    def _period(self, expression: str) -> float:
        match = RATE.fullmatch(expression)
        return int(match["count"]) * MINUTES[match["unit"]] * self._minute if match else float("inf")


def _check_schedule(expression: str | None) -> None:
    if not expression:
        return
    match = RATE.fullmatch(expression)
    if match is None and expression.startswith("cron("):
        raise ValidationException(f"{expression}: the embedded AWS knows schedules of the form rate(5 minutes) only")
    if match is None or (match["count"] == "1") == bool(match["plural"]):
        raise ValidationException("Parameter ScheduleExpression is not valid.")


def _admits(statement: dict[str, Any], rule_arn: str) -> bool:
    condition = statement.get("Condition", {}).get("ArnLike", {})
    source = condition.get("AWS:SourceArn", "*")
    return (
        statement.get("Effect") == "Allow"
        and statement.get("Principal") == {"Service": "events.amazonaws.com"}
        and statement.get("Action") in {"lambda:InvokeFunction", "lambda:*"}
        and fnmatch.fnmatchcase(rule_arn, source)
    )


def _target_input(target: dict[str, Any], event: dict[str, Any], rule_arn: str) -> str:
    """What a target gets: the event, a part of it, a constant or a template that it fills."""
    if "Input" in target:
        return str(target["Input"])
    if "InputPath" in target:
        return json.dumps(_at(event, target["InputPath"]))
    if transformer := target.get("InputTransformer"):
        return _filled(transformer, event, rule_arn)
    return json.dumps(event)


def _filled(transformer: dict[str, Any], event: dict[str, Any], rule_arn: str) -> str:
    values = {name: _at(event, path) for name, path in (transformer.get("InputPathsMap") or {}).items()}
    values |= {
        "aws.events.rule-arn": rule_arn,
        "aws.events.rule-name": rule_arn.rpartition("/")[2],
        "aws.events.event": event,
        "aws.events.event.json": event,
        "aws.events.event.ingestion-time": event["time"],
    }
    template = transformer["InputTemplate"]

    def value(match: re.Match[str]) -> str:
        found = values.get(match[1])
        # Within a text, a text stands without quotes of its own; anywhere else it is a JSON value.
        quoted = template[: match.start()].replace('\\"', "").count('"') % 2 == 1
        text = json.dumps(found)
        return text[1:-1] if quoted and isinstance(found, str) else text

    return PLACEHOLDER.sub(value, template)


def _at(event: dict[str, Any], path: str) -> Any:
    """The value at a path such as `$.detail.state`, None where there is none."""
    value: Any = event
    for part in path.removeprefix("$").removeprefix(".").split("."):
        if part:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(float(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
