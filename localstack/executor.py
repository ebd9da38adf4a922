"""Runs Lambda functions of the custom runtimes as processes of this machine: LocalStack's own executor wants Docker.

A function's `bootstrap` runs with the environment that Lambda gives it, asks for events at a runtime interface of its
own (the one that AWS describes under "Using the Lambda runtime API"), and is frozen while it has none, as in Lambda:
whatever it leaves running in the background stands still, and its connections may die unseen.
"""

import json
import os
import queue
import signal
import subprocess
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from localstack import config
from localstack.services.lambda_.invocation.executor_endpoint import StatusErrorException
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

# Lambda's own bound for the time until a function asks for its first event, seconds.
INIT_PATIENCE = 10

# How long a function may take to end when it is told to, seconds.
END_PATIENCE = 2

# As much of the log as Lambda gives back with an answer, bytes.
LOG_TAIL = 4096


# Every process that was started and not told to end.
RUNNING: set["Process"] = set()


def end_all():
    """Ends every function's process."""
    # Side by side: each may take its time.
    ends = [threading.Thread(target=process.end) for process in list(RUNNING)]
    for end in ends:
        end.start()
    for end in ends:
        end.join()


def logs() -> Path:
    """Where each process's output goes, a file an execution environment."""
    folder = Path(config.dirs.tmp) / "functions"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def failure(kind: str, message: str) -> bytes:
    """What Lambda answers in place of a function that gave no answer."""
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


class Process:
    """One process of a function, from its start to its end."""

    def __init__(self, executor: "ProcessExecutor", env: dict[str, str]):
        self.events = queue.Queue()
        self.answers: dict[str, Future] = {}
        # Set when the process asks for its first event, says that it can't start, or has ended.
        self.settled = threading.Event()
        self.init_error: bytes | None = None
        self.frozen = threading.Lock()
        self.timeout = executor.function_version.config.timeout
        self.interface = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self.interface.daemon_threads = True
        threading.Thread(target=self.interface.serve_forever, daemon=True).start()
        env = env | {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.interface.server_port}"}
        self.child = subprocess.Popen(
            ["./bootstrap"],
            cwd=executor.code,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=executor.log,
            stderr=subprocess.STDOUT,
        )
        RUNNING.add(self)
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self):
        self.child.wait()
        self.settled.set()
        for answer in list(self.answers.values()):
            if not answer.done():
                answer.set_result((True, failure("Runtime.ExitError", f"bootstrap ended: {self.child.returncode}")))

    def is_running(self) -> bool:
        return self.child.poll() is None

    def freeze(self):
        """Holds the process where it is, unless there is an event for it."""
        with self.frozen:
            if self.events.empty() and not self.answers and self.is_running():
                self.child.send_signal(signal.SIGSTOP)

    def answer(self, event: dict) -> tuple[bool, bytes]:
        """Gives the process an event; returns whether it failed, and what it said."""
        answer = self.answers[event["invoke-id"]] = Future()
        with self.frozen:
            self.events.put(event)
            if self.is_running():
                self.child.send_signal(signal.SIGCONT)
            elif not answer.done():
                answer.set_result((True, failure("Runtime.ExitError", "bootstrap has ended")))
        try:
            return answer.result(timeout=self.timeout)
        except Late:
            self.child.kill()
            return True, failure("Sandbox.Timedout", f"Task timed out after {self.timeout} seconds")
        finally:
            self.answers.pop(event["invoke-id"], None)

    def end(self):
        """Tells the process to end, and sees to it that it does."""
        RUNNING.discard(self)
        self.events.put(None)
        if self.is_running():
            self.child.terminate()
            # What is frozen hears of it now.
            self.child.send_signal(signal.SIGCONT)
            try:
                self.child.wait(END_PATIENCE)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.interface.shutdown()
        self.interface.server_close()


def handler_of(process: Process) -> type[BaseHTTPRequestHandler]:
    """The runtime interface of one process."""

    class RuntimeInterface(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            if not self.path.endswith("/runtime/invocation/next"):
                return self.reply(404)
            process.settled.set()
            process.freeze()
            event = process.events.get()
            if event is None:
                return self.reply(410)
            deadline = int((time.time() + process.timeout) * 1000)
            self.reply(
                200,
                event["payload"].encode(),
                {
                    "Content-Type": "application/json",
                    "Lambda-Runtime-Aws-Request-Id": event["invoke-id"],
                    "Lambda-Runtime-Deadline-Ms": str(deadline),
                    "Lambda-Runtime-Invoked-Function-Arn": event["invoked-function-arn"],
                    "Lambda-Runtime-Trace-Id": event["trace-id"],
                },
            )

        def do_POST(self):
            body = self.body()
            match self.path.strip("/").split("/")[-3:]:
                case ["invocation", request, ("response" | "error") as kind]:
                    # It has no event from here on, and is frozen when it asks for the next.
                    answer = process.answers.pop(request, None)
                    if answer is None or answer.done():
                        return self.reply(400)
                    answer.set_result((kind == "error", body))
                case [_, "init", "error"]:
                    process.init_error = body
                    process.settled.set()
                case _:
                    return self.reply(404)
            self.reply(202, b'{"status":"OK"}')

        def body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            # Trailers, up to the empty line.
            while self.rfile.readline().strip():
                pass
            return body

        def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None):
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return RuntimeInterface


class ProcessExecutor(RuntimeExecutor):
    """An execution environment of LocalStack's: one process at a time, started anew when it has ended."""

    def __init__(self, id, function_version):
        super().__init__(id, function_version)
        self.code = Path(function_version.config.code.get_unzipped_code_location())
        self.log = open(logs() / f"{function_version.id.function_name}-{id}.log", "ab")
        self.env: dict[str, str] = {}
        self.process: Process | None = None

    def start(self, env_vars):
        # Nothing of this process's own environment: Lambda gives a function these and no others.
        self.env = {name: str(value) for name, value in env_vars.items() if value is not None}
        self.env |= {"LAMBDA_TASK_ROOT": str(self.code), "PATH": os.defpath, "LANG": "en_US.UTF-8"}
        self._launch()

    def _launch(self):
        process = self.process = Process(self, self.env)
        if not process.settled.wait(INIT_PATIENCE):
            process.child.kill()
            message = f"init took longer than {INIT_PATIENCE} seconds"
            raise StatusErrorException(message, failure("Sandbox.Timedout", message))
        if process.init_error or not process.is_running():
            error = process.init_error or failure("Runtime.ExitError", f"bootstrap ended: {process.child.wait()}")
            raise StatusErrorException(f"bootstrap didn't start: {self.get_logs()}", error)

    def stop(self):
        if self.process:
            self.process.end()
        self.log.close()

    def invoke(self, payload):
        if not self.process.is_running():
            self.process.end()
            self._launch()
        begin = self.log_size()
        failed, answer = self.process.answer(payload)
        return InvocationResult(payload["invoke-id"], answer, failed, self.tail(begin))

    def log_size(self) -> int:
        return os.fstat(self.log.fileno()).st_size

    def tail(self, begin: int) -> str:
        with open(self.log.name, "rb") as log:
            log.seek(max(begin, self.log_size() - LOG_TAIL))
            return log.read().decode("utf-8", "replace")

    def get_logs(self):
        return self.tail(0)

    def get_address(self):
        return "127.0.0.1"

    def get_endpoint_from_executor(self):
        return "127.0.0.1"

    def get_runtime_endpoint(self):
        # Of LocalStack's own init, which isn't used.
        return ""

    @classmethod
    def prepare_version(cls, function_version):
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version):
        pass


class ProcessExecutorPlugin(RuntimeExecutorPlugin):
    """By which LocalStack finds it: LAMBDA_RUNTIME_EXECUTOR=process."""

    name = "process"

    def load(self, *args, **kwargs):
        return ProcessExecutor
