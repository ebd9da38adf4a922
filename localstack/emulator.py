"""An emulated AWS on this machine, without Docker: LocalStack, with functions that run as processes.

    emulator.py PORT [FOLDER]

FOLDER is for whatever it keeps; without one it keeps nothing. When it is ready it says so in one line of JSON on standard
output, `{"endpoint": …, "region": …, "logs": folder of the functions' logs}`. From then on it does what it reads on
standard input, a JSON object a line with `do`, and answers each by a line: what came of it, or `{"error": …}`.

    {"do": "make-key"}                                                       {"key_id": ARN}
    {"do": "kms", "call": "disable_key", "arguments": {"KeyId": …}}          {}
    {"do": "deploy", "name": N, "code": PATH, "environment": {…}}            {"url": …}
    {"do": "serve-origin", "port": P, "functions": {"heartbeat": URL, …}}    {"url": …}

A key that is made where there is a FOLDER is the same one every time. `code` is a zip that holds `bootstrap`, or a
folder that does. It ends at the end of its input, and on SIGTERM. Its log is standard error.
"""

import base64
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import uuid
from pathlib import Path

SERVICES = "cloudformation,iam,kms,lambda,logs,s3,secretsmanager,ssm,sts"
REGION = "us-east-1"
ROLE = "arn:aws:iam::000000000000:role/qubictether"


def settle(folder: Path, port: int):
    """Says how LocalStack is to be: it reads that when it is imported."""
    # What was set for another LocalStack, or for AWS itself, isn't meant for this one.
    for name in list(os.environ):
        if name.startswith(("AWS_", "LAMBDA_", "LOCALSTACK_")):
            del os.environ[name]
    os.environ |= {
        "SERVICES": SERVICES,
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "LAMBDA_RUNTIME_EXECUTOR": "process",
        # Functions keep their processes for as long as this runs.
        "LAMBDA_KEEPALIVE_MS": "86400000",
        "FILESYSTEM_ROOT": str(folder),
        "OVERRIDE_IN_DOCKER": "0",
        # Nothing of it asks anything of the network.
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DNS_ADDRESS": "0",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def keep_cache(folder: Path):
    """What LocalStack works out of AWS's interfaces takes seconds, and is the same every time: it is kept beside it."""
    cache = Path(sys.prefix) / "localstack-cache"
    cache.mkdir(exist_ok=True)
    link = folder / "var/lib/localstack/cache"
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(cache)


class Emulator:
    """Does what it is told, over AWS's own interfaces."""

    def __init__(self, port: int, kept: Path | None):
        import boto3

        self.port, self.kept = port, kept
        self.endpoint = f"http://127.0.0.1:{port}"
        client = lambda service: boto3.client(service, endpoint_url=self.endpoint, region_name=REGION)
        self.clients = {"kms": client("kms"), "lambda": client("lambda")}

    def make_key(self) -> dict:
        tags = self.kept_key() if self.kept else {}
        tags = [{"TagKey": name, "TagValue": value} for name, value in tags.items()]
        return {"key_id": self.clients["kms"].create_key(Tags=tags)["KeyMetadata"]["Arn"]}

    def kept_key(self) -> dict[str, str]:
        """LocalStack forgets its keys when it ends, but makes one as these tags say."""
        file = self.kept / "kms-key.json"
        if not file.exists():
            material = base64.b64encode(secrets.token_bytes(32)).decode()
            text = json.dumps({"_custom_id_": str(uuid.uuid4()), "_custom_key_material_": material})
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
                new.write(text)
        return json.loads(file.read_text())

    def kms(self, call: str, arguments: dict) -> dict:
        getattr(self.clients["kms"], call)(**arguments)
        return {}

    def deploy(self, name: str, code: str, environment: dict[str, str]) -> dict:
        if code.endswith(".zip"):
            where = {"ZipFile": Path(code).read_bytes()}
        else:
            # By this name LocalStack takes the folder itself for the unpacked zip.
            where = {"S3Bucket": "hot-reload", "S3Key": code}
        functions = self.clients["lambda"]
        functions.create_function(
            FunctionName=name,
            Runtime="provided.al2023",
            Handler="bootstrap",
            Role=ROLE,
            Code=where,
            Timeout=30,
            MemorySize=256,
            Environment={"Variables": environment},
        )
        functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        url = functions.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
        return {"url": url.rstrip("/")}

    def serve_origin(self, port: int, functions: dict[str, str]) -> dict:
        import origin

        server = origin.serve(port, self.port, functions)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return {"url": f"http://127.0.0.1:{server.server_port}"}

    def does(self, line: str) -> dict:
        try:
            arguments = json.loads(line)
            work = {
                "make-key": self.make_key,
                "kms": self.kms,
                "deploy": self.deploy,
                "serve-origin": self.serve_origin,
            }[arguments.pop("do")]
            return work(**arguments)
        except Exception as error:  # Whatever it is, the caller is to know it, and may go on.
            return {"error": f"{type(error).__name__}: {error}"}


def converse(ready: threading.Event, emulator: Emulator, output, end):
    """Does what is read until the end of the input, and then ends everything."""

    def say(answer: dict):
        print(json.dumps(answer), file=output, flush=True)

    import executor

    try:
        ready.wait()
        say({"endpoint": emulator.endpoint, "region": REGION, "logs": str(executor.logs())})
        for line in sys.stdin:
            say(emulator.does(line))
    finally:
        end()


def check_port(port: int):
    """LocalStack takes whoever listens there for itself."""
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            free.bind(("127.0.0.1", port))
        except OSError as error:
            sys.exit(f"emulator: port {port} of this machine can't be had: {error.strerror}")


def with_cookies(respond):
    """Lambda makes a Set-Cookie of each of a result's `cookies`. LocalStack leaves them out."""

    def respond_with_cookies(result):
        response = respond(result)
        try:
            answer = json.loads(result.payload)
        except ValueError:
            return response
        for cookie in answer.get("cookies", []) if isinstance(answer, dict) else []:
            response.headers.add("Set-Cookie", cookie)
        return response

    return respond_with_cookies


def main():
    port = int(sys.argv[1])
    kept = Path(sys.argv[2]).absolute() if len(sys.argv) > 2 else None
    check_port(port)
    folder = kept or Path(tempfile.mkdtemp(prefix="qubictether-aws-"))
    # LocalStack prints; what is said here is for a program.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    settle(folder, port)
    keep_cache(folder)

    from localstack.logging.setup import setup_logging_from_config
    from localstack.runtime import current
    from localstack.services.lambda_ import urlrouter
    from localstack.services.lambda_.invocation import runtime_executor
    from plux import PluginSpec

    import executor

    class OwnExecutor:
        """Finds the executor without its having to be installed as a package."""

        def find_plugins(self):
            plugin = executor.ProcessExecutorPlugin
            return [PluginSpec(plugin.namespace, plugin.name, plugin)]

    ending = threading.Lock()

    def end(*_):
        """Ends the functions' processes, and then this one at once: LocalStack's own end takes many seconds."""
        if not ending.acquire(blocking=False):
            return
        executor.end_all()
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    runtime_executor.EXECUTOR_PLUGIN_MANAGER.finder = OwnExecutor()
    urlrouter.lambda_result_to_response = with_cookies(urlrouter.lambda_result_to_response)
    setup_logging_from_config()
    runtime = current.initialize_runtime()
    # The system sends SIGHUP to a group with frozen processes whose parent has died.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    talk = (runtime.ready, Emulator(port, kept), output, end)
    threading.Thread(target=converse, args=talk, daemon=True).start()
    runtime.run()


if __name__ == "__main__":
    main()
