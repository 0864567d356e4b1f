"""Random bytes, and requests with random damage, at the raw HTTP door: no 5xx, no death, no waiting for ever.

python -m benchmarks.proof.fuzz_door --seconds 60
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import time
from collections import Counter
from urllib.parse import urlsplit

import httpx

from benchmarks.proof.server import Service, header, served_models

GOOD = {"problem": "What is 3 + 4?", "steps": ["3 + 4 = 7"]}
PARTS = (b"\r\n", b"\r\n\r\n", b":", b" ", b"\0", b"Content-Length: 5", b"Transfer-Encoding: chunked")
MORE_PARTS = (
    b"Expect: 100-continue",
    b"HTTP/1.0",
    b"Connection: upgrade",
    b"ffffffffffffffff\r\n",
    b"-1",
    b"%00%ff",
    b"\xff\xfe",
    b"{" * 100,
)
CHECK_EVERY = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(header("Raw HTTP door", "benchmarks.proof.fuzz_door"))
    limits = {"head_seconds": "0.3", "body_seconds": "0.3", "idle_seconds": "1"}
    with served_models("tiny") as model, Service(models=model, dtype="float32", **limits) as service:
        seen = fuzz(service, options)
    print("\n| answer | times |\n|---|---|")
    for name, count in sorted(seen.items()):
        print(f"| {name} | {count} |")
    raise SystemExit(any(name.startswith("5") for name in seen))


def fuzz(service: Service, options: argparse.Namespace) -> Counter[str]:
    seen, chance = Counter[str](), random.Random(options.seed)
    until, sent = time.monotonic() + options.seconds, 0
    while time.monotonic() < until:
        seen[answer_to(service.url, damage_request(chance))] += 1
        sent += 1
        if sent % CHECK_EVERY == 0:
            httpx.get(f"{service.url}/health/live").raise_for_status()
            httpx.post(f"{service.url}/score", json=GOOD).raise_for_status()
    assert service.process.poll() is None, "the service died"
    return seen


def damage_request(chance: random.Random) -> bytes:
    """A good request with a few cuts, copies and insertions; at times nothing but random bytes."""
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(1, 5000))
    body = json.dumps(GOOD).encode()
    path = chance.choice(("/score", "/rerank", "/metrics", "/v1/models/tiny/reload", "/nowhere"))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    data = bytearray(head.encode() + body)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                del data[at : at + chance.randrange(1, 20)]
            case 1:
                data[at:at] = chance.choice(PARTS + MORE_PARTS)
            case 2:
                data[at] = chance.randrange(256)
            case 3:
                data[at:at] = data[chance.randrange(len(data)) :][:200]
        if not data:
            return b"\r\n"
    return bytes(data)


def answer_to(url: str, data: bytes) -> str:
    """The status of the first answer; or how the connection ended. An answer that does not end is an error."""
    where = urlsplit(url)
    assert where.hostname
    assert where.port
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        try:
            connection.sendall(data)
            first = connection.recv(1 << 12)
        except (ConnectionResetError, BrokenPipeError):
            return "reset"
    return first.split(b" ")[1].decode() if first.startswith(b"HTTP/1.1 ") else "closed" if not first else "no HTTP"


if __name__ == "__main__":
    main()
