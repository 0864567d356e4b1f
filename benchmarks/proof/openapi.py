"""schemathesis over the service's own OpenAPI document: no request may be answered with a 5xx.

    python -m benchmarks.proof.openapi --examples 50

Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.proof.server import Service, header, served_models


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=50, help="requests of each route")
    parser.add_argument("--seconds", type=float, default=600.0, help="the run ends after this time at the latest")
    options = parser.parse_args()
    print(header("OpenAPI", "benchmarks.proof.openapi"), flush=True)
    tool = str(Path(sys.executable).with_name("schemathesis"))
    with (
        tempfile.TemporaryDirectory() as folder,
        served_models("tiny") as model,
        Service(models=model, dtype="float32") as service,
    ):
        command = [tool, "run", f"{service.url}/openapi.json", "--checks", "not_a_server_error"]
        command += ["--max-examples", str(options.examples), "--seed", "1", "--no-color"]
        command += ["--header", "X-Request-Timeout-Ms: 60000"]  # a deadline of 1 ms is answered with 504, as it should
        done = subprocess.run(command, check=False, timeout=options.seconds, cwd=folder)
    raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
