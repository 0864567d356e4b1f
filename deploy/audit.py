"""Read what pip-audit found (`make audit`), and fail if a package has a known weakness or was not looked up.

python audit.py AUDIT.JSON

pip-audit ends well if its server knew no package at all, and writes nothing if the server does not answer. A build of a
package for one kind of hardware (`2.13.0+cpu`) and the project itself are known to no server and only named.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

OF_THIS_MACHINE = re.compile(r"editable|\([^)\s]*\+[^)\s]*\)")


def weaknesses(found: Mapping[str, Any]) -> Iterator[str]:
    for package in found["dependencies"]:
        for each in package.get("vulns", ()):
            fixed = ", ".join(each["fix_versions"]) or "no release"
            yield f"{package['name']} {package['version']}: {each['id']}, mended in {fixed}"


def skipped(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [package for package in found["dependencies"] if "skip_reason" in package]


def main(file: str) -> int:
    written = Path(file)
    if not written.exists() or not written.stat().st_size:
        print("NOT AUDITED: the advisory server gave no answer")
        return 1
    found = json.loads(written.read_text(encoding="utf-8"))
    known = list(weaknesses(found))
    unknown = [each["name"] for each in skipped(found) if not OF_THIS_MACHINE.search(each["skip_reason"])]
    local = [each["name"] for each in skipped(found) if each["name"] not in unknown]
    print(*known, sep="\n")
    if local:
        print(f"Not audited, because they are of this machine: {', '.join(local)}")
    if unknown:
        print(f"Not audited, because the advisory server does not know them: {', '.join(unknown)}")
    count = len(found["dependencies"])
    print(f"{count} packages, {len(known)} known weaknesses, {len(unknown)} not audited")
    if count == len(unknown) + len(local):
        print("NOT AUDITED: the advisory server knows none of the packages")
        return 1
    return 1 if known or unknown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
