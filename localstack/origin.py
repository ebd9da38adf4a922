"""One origin in front of the four functions, as a CDN would be: an agent knows one base URL."""

from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# Which function has a path, by the longest beginning that fits. What every function has, auth answers.
ROUTES = {
    "/": "auth",
    "/v1/heartbeat": "heartbeat",
    "/v1/leases": "lease",
    "/v1/admin": "admin",
}

# What belongs to one connection and isn't passed on (RFC 9110, section 7.6.1).
OF_A_CONNECTION = {"connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"}


def function_of(path: str) -> str:
    """Which function has this path."""
    whole = path.partition("?")[0]
    fits = (start for start in ROUTES if start == "/" or whole == start or whole.startswith(f"{start}/"))
    return ROUTES[max(fits, key=len)]


def serve(port: int, gateway: int, urls: dict[str, str]) -> ThreadingHTTPServer:
    """Listens on a port of this machine (0: any free one), and passes on to these function URLs. Their names lead
    nowhere without a network: they all are at the gateway's port, which tells them apart by the name."""
    hosts = {function: urlsplit(url).netloc for function, url in urls.items()}

    class Origin(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def pass_on(self):
            host = hosts.get(function_of(self.path))
            if host is None:
                return self.send_error(404)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            behind = HTTPConnection("127.0.0.1", gateway)
            behind.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            behind.putheader("Host", host)
            behind.putheader("Remote-Addr", self.client_address[0])
            for name, value in self.headers.items():
                if name.lower() not in OF_A_CONNECTION | {"host", "remote-addr"}:
                    behind.putheader(name, value)
            behind.endheaders(body)
            answer = behind.getresponse()
            content = answer.read()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in OF_A_CONNECTION | {"content-length"}:
                    self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
            behind.close()

        do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = pass_on

    return ThreadingHTTPServer(("127.0.0.1", port), Origin)
