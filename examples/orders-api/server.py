"""Orders API: the small REST service that the examples protect. openapi.yaml describes it. Data lives in memory.

It has no security of its own: it believes the header `x-user-id`, which jwt-auth sets from a verified token, and it
names its software in every answer, as many services do. Both are safe only behind the proxy.

    server.py --port 8080 --records-port 8082

The second port answers GET /records with the requests that arrived, headers included, so that the demo can show what
passed the filters. Standard library only; stops on SIGTERM.
"""

import argparse
import json
import signal
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PASSWORDS = {"alice": "wonderland", "bob": "builder"}
MAX_BODY = 10 * 1024 * 1024


class Store:
    """The orders, and the record of requests; one lock for both."""

    def __init__(self):
        self.lock = threading.Lock()
        self.orders = {}
        self.next_id = 1
        self.records = deque(maxlen=1000)

    def add(self, owner, fields):
        with self.lock:
            order = {"id": self.next_id, "owner": owner, "status": "open", **fields}
            self.orders[self.next_id] = order
            self.next_id += 1
            return order

    def of(self, owner):
        with self.lock:
            return [order for order in self.orders.values() if order["owner"] == owner]

    def find(self, owner, order_id):
        return next((order for order in self.of(owner) if str(order["id"]) == order_id), None)

    def remove(self, order):
        with self.lock:
            self.orders.pop(order["id"], None)

    def record(self, request):
        with self.lock:
            self.records.append(request)

    def take_records(self):
        """All records since the last call, oldest first."""
        with self.lock:
            records = list(self.records)
            self.records.clear()
            return records


class JsonHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one packet: two of them wait for each other (delayed acknowledgement)
    timeout = 300  # seconds an idle connection stays open

    def answer(self, status, value=None):
        body = b"" if value is None else json.dumps(value).encode() + b"\n"
        self.send_response(status)
        if body:
            self.send_header("content-type", "application/json")
        if status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Orders(JsonHandler):
    server_version = "OrdersAPI/1.0"
    store = Store()

    def end_headers(self):
        self.send_header("x-powered-by", "python")
        super().end_headers()

    def handle_request(self):
        body = self.read_body()
        self.store.record({
            "method": self.command,
            "target": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "body_bytes": len(body),
        })
        url = urlsplit(self.path)
        owner = self.headers.get("x-user-id", "nobody")
        match self.command, url.path.strip("/").split("/"):
            case "GET", ["health"]:
                self.answer(200, {"status": "up"})
            case "POST", ["login"]:
                login = json.loads(body)
                known = PASSWORDS.get(login["username"]) == login["password"]
                self.answer(200 if known else 401, {"login": "welcome" if known else "wrong name or password"})
            case "GET", ["orders"]:
                query = parse_qs(url.query)
                wanted = query.get("status", ["open"])[0]
                found = [order for order in self.store.of(owner) if order["status"] == wanted]
                self.answer(200, found[:int(query.get("limit", ["100"])[0])])
            case "POST", ["orders"]:
                self.answer(201, self.store.add(owner, json.loads(body)))
            case "GET" | "DELETE", ["orders", order_id]:
                order = self.store.find(owner, order_id)
                if order is None:
                    self.answer(404, {"error": "no such order"})
                elif self.command == "GET":
                    self.answer(200, order)
                else:
                    self.store.remove(order)
                    self.answer(204)
            case _:
                self.answer(404, {"error": "no such resource"})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request

    def read_body(self):
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(min(int(self.headers.get("content-length", 0)), MAX_BODY))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body


class Records(JsonHandler):
    def do_GET(self):
        if self.path == "/records":
            self.answer(200, Orders.store.take_records())
        else:
            self.answer(404, {"error": "try /records"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--records-port", type=int, default=8082)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: exit(0))
    for owner, item in [("alice", "teapot"), ("alice", "rabbit"), ("bob", "hammer")]:
        Orders.store.add(owner, {"item": item, "quantity": 1})
    records = ThreadingHTTPServer((arguments.host, arguments.records_port), Records)
    threading.Thread(target=records.serve_forever, daemon=True).start()
    ThreadingHTTPServer((arguments.host, arguments.port), Orders).serve_forever()


if __name__ == "__main__":
    main()
