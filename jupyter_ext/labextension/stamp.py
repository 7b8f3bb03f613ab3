"""What the package.json of the built bundle says of it: the hash of its sources, so that without node it can be seen
whether it is theirs; and, in place of the exact versions it was built with, those of JupyterLab that it runs with.

python stamp.py write   after a build; `npm run build` does it
python stamp.py check   ends with status 1 where sources have changed since
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
BUNDLE = HERE.parent / "rustray_jupyter" / "labextension" / "package.json"
KEY = "sources"
"""Of the bundle's package.json."""


def sources() -> str:
    """The hash of all that the bundle is built from."""
    files = [HERE / name for name in ("package.json", "rspack.config.js", "tsconfig.json")]
    for folder in ("src", "style"):
        files += (path for path in (HERE / folder).rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(HERE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def main(action: str) -> str | None:
    """What is wrong, None if nothing is."""
    built = json.loads(BUNDLE.read_text())
    if action == "write":
        built["jupyterlab"][KEY] = sources()
        shared = built["jupyterlab"]["sharedPackages"]
        built["dependencies"] = {name: package["requiredVersion"] for name, package in shared.items()}
        BUNDLE.write_text(json.dumps(built, indent=2) + "\n")
    elif action != "check":
        return __doc__
    elif built["jupyterlab"].get(KEY) != sources():
        return f"The bundle {BUNDLE.parent.name} is not that of these sources: run 'npm run build' in {HERE.name}."
    return None


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
