"""Functions of the embedded Lambda, one program for all of them, and the fixtures of the tests on them."""

from __future__ import annotations

import json
import threading
import uuid

from embedded_account import TIMEOUT, archive

# The event says what the function does.
PROGRAM = """
import json, logging, os, signal, sys, time
started = time.time()
calls = 0
def handler(event, context):
    global calls
    calls += 1
    do = event.get("do")
    if do == "eval": return eval(event["expression"])
    if do == "raise": raise ValueError(event["message"])
    if do == "exit": os._exit(event["code"])
    if do == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if do == "sleep": time.sleep(event["seconds"])
    if do == "fill": bytearray(event["bytes"])
    if do == "print": print(event["text"])
    if do == "log": logging.getLogger().warning(event["text"])
    return event
"""


class Outcomes:
    """What becomes of asynchronous invocations, by function."""

    def __init__(self):
        self._found = {}
        self._arrived = threading.Condition()

    def take(self, configuration, record):
        """Take one, as the runtime reports it."""
        with self._arrived:
            self._found[configuration["FunctionName"]] = (configuration, record)
            self._arrived.notify_all()

    def wait(self, name):
        """The one of a function, when it comes."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: name in self._found, TIMEOUT)
            return self._found.pop(name)


class Functions:
    """A runtime on an account, and short ways to make and invoke functions."""

    def __init__(self, account, runtime):
        self.account, self.runtime = account, runtime
        self.client = account.client("lambda")

    def create(self, program=PROGRAM, **settings):
        """A function with this program; its name."""
        name = f"function-{uuid.uuid4().hex[:8]}"
        code = {"Code": {"ZipFile": archive({"program.py": program})}, "Handler": "program.handler"}
        defaults = {"Runtime": "python3.12", "Role": self.account.role, "Timeout": 10, "MemorySize": 256} | code
        self.client.create_function(FunctionName=name, **(defaults | settings))
        return name

    def invoke(self, name, event=None, **request):
        """Invoke; the answer with its payload decoded."""
        payload = {} if event is None else {"Payload": json.dumps(event)}
        answer = self.client.invoke(FunctionName=name, **payload, **request)
        text = answer["Payload"].read()
        return answer | {"Payload": json.loads(text) if text else None}

    def value(self, name, expression):
        """What an expression is inside a function."""
        answer = self.invoke(name, {"do": "eval", "expression": expression})
        assert "FunctionError" not in answer, answer
        return answer["Payload"]

    def log(self, name, group=None):
        """All messages of a function, stream by stream."""
        logs = self.account.client("logs")
        group = group or f"/aws/lambda/{name}"
        streams = [item["logStreamName"] for item in logs.describe_log_streams(logGroupName=group)["logStreams"]]
        return {stream: self.account.messages(group, stream) for stream in streams}
