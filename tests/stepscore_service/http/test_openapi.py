"""schemathesis sends what the OpenAPI document of a live service allows, and what it just does not allow: no 5xx.

`python -m benchmarks.proof.openapi` is the same with many more requests.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx

METHODS = {"get", "post", "put", "delete"}
EXAMPLES = 5


def test_no_request_that_the_document_describes_is_answered_with_a_5xx(
    url: str, http: httpx.Client, tmp_path: Path
) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    operations = sum(len(METHODS & set(each)) for each in paths.values())
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json"]
    command += ["--checks", "not_a_server_error", "--max-examples", str(EXAMPLES), "--seed", "1", "--no-color"]
    command += ["--header", "X-Request-Timeout-Ms: 60000"]  # a deadline of 1 ms is answered with 504, as it should be
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert re.search(rf"Tested: {operations}\b", done.stdout), done.stdout[-2000:]
    assert int(re.search(r"(\d+) generated, \1 passed", done.stdout)[1]) > 10 * operations  # type: ignore[index]
