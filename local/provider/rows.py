"""A resource type as a row of a table: one operation that makes it, others that look it up and remove it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from botocore import xform_name
from botocore.exceptions import ClientError

from local.provider.model import Account, Made, Properties, ProviderError, Request
from local.provider.shapes import convert, member, place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ID = "$id"  # stands for the resource's id where a property could stand
TOKEN = "$token"  # stands for a token that is this resource's own  # noqa: S105 - a name, not a secret


@dataclass(frozen=True, kw_only=True)
class Call:
    """An operation and what it takes: Pulumi property to parameter, both by name."""

    operation: str
    takes: Mapping[str, str]
    constants: Mapping[str, Any] = field(default_factory=dict)
    when: str = ""  # the property without which there is nothing to call for

    def run(self, account: Account, row: Row, inputs: Mapping[str, Any], *, identity: str = "", token: str = "") -> Any:
        """Call the operation. Raises ClientError as AWS answers, ProviderError for what it cannot take."""
        client = account.client(row.service)
        shape = client.meta.service_model.operation_model(self.operation).input_shape
        known = {**inputs, ID: identity, TOKEN: token}
        parameters: dict[str, Any] = {}
        for name, value in self.constants.items():
            place(parameters, name, value)
        for source, target in self.takes.items():
            value = known.get(source)
            if value is None or (source in row.adapt and (value := row.adapt[source](value)) is None):
                continue
            path = f"{row.token} {source}"
            place(parameters, target, convert(value, member(shape, target), path, dict(row.renames)))
        return getattr(client, xform_name(self.operation))(**parameters)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A regular resource type. Every property has a place in a call, or a reason why it is only recorded.

    `id` and `outputs` are templates over the inputs, `response`, `id`, `account`, `region`, `partition` and `name`.
    """

    token: str
    service: str
    make: Call
    id: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    then: tuple[Call, ...] = ()
    look: Call | None = None
    change: tuple[Call, ...] | None = None  # None: made anew in place; empty: it can only be replaced
    remove: Call | None = None
    named: str = ""  # the property that gets a name where the program gives none
    adapt: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)
    recorded: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[Account, Request], None] | None = None  # refuses what moto would let pass
    settle: Callable[[Account, Made], None] | None = None  # what AWS or its provider does beside

    def create(self, account: Account, request: Request) -> Made:
        """Make the resource and whatever belongs to it."""
        request = self._named(request)
        self._refuse_unknown(request.inputs)
        if self.check:
            self.check(account, request)
        response = self.make.run(account, self, request.inputs, token=request.mark)
        made = self._made(account, request, response)
        self._run(self.then, account, made, request.inputs)
        if self.settle:
            self.settle(account, made)
        return made

    def read(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> Made | None:
        """The resource as it was made, or None where its operation does not find it any more."""
        if self.look is None:
            return made
        try:
            self.look.run(account, self, inputs, identity=made.id)
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return made

    def update(self, account: Account, made: Made, request: Request) -> Made:
        """Change what the row has operations for."""
        request = self._named(request, made.outputs)
        self._refuse_unknown(request.inputs)
        if self.change == ():
            raise ProviderError(f"{request.urn}: {self.token} cannot be changed in place here, only replaced")
        if self.change is None:
            self.make.run(account, self, request.inputs, token=request.mark)
        self._run((*(self.change or ()), *self.then), account, made, request.inputs)
        return made

    def delete(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> None:
        """Remove the resource; one that is gone already is no error."""
        if self.remove is None:
            return
        try:
            self.remove.run(account, self, inputs, identity=made.id)
        except ClientError as error:
            if not is_missing(error):
                raise

    def _run(self, calls: tuple[Call, ...], account: Account, made: Made, inputs: Properties) -> None:
        for call in calls:
            if not call.when or inputs.get(call.when) is not None:
                call.run(account, self, {**inputs, **made.outputs}, identity=made.id)

    def _named(self, request: Request, outputs: Mapping[str, Any] | None = None) -> Request:
        if not self.named or request.inputs.get(self.named):
            return request
        given = (outputs or {}).get(self.named)
        name = given or f"{request.name}-{request.mark}"  # as the bridge names what has no name
        return replace(request, inputs={**request.inputs, self.named: name})

    def _refuse_unknown(self, inputs: Mapping[str, Any]) -> None:
        calls = (self.make, *self.then, *(self.change or ()))
        known = {source for call in calls for source in call.takes} | set(self.recorded)
        if unknown := sorted(set(inputs) - known):
            raise ProviderError(f"{self.token}: the embedded AWS has no place for {', '.join(unknown)}")

    def _made(self, account: Account, request: Request, response: Any) -> Made:
        context = {
            **request.inputs,
            "response": response,
            "account": account.account,
            "region": account.region,
            "partition": account.partition,
            "name": request.inputs.get("name", request.name),
        }
        identity = self.id.format(**context)
        given = {self.named: request.inputs[self.named]} if self.named else {}
        outputs = {key: template.format(**{**context, "id": identity}) for key, template in self.outputs.items()}
        return Made(identity, {**given, **outputs})


def is_missing(error: ClientError) -> bool:
    """Whether AWS says that something is not there."""
    code = error.response["Error"]["Code"]
    return any(word in code for word in ("NotFound", "NoSuch", "DoesNotExist", "404"))
