"""GET show and GET manifest by tag: one worker on another store against one worker on the filesystem, in one run.

    benchmarks/stores.py etcd                       an etcd of one member, started here
    benchmarks/stores.py redis://127.0.0.1:6379     one that runs already; packages are left in it

Bar: each >= 0.5 of the filesystem. Once with one package, and once with many in turn.
"""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import httpx
from corpus import chart, push
from servers import cnr, etcd
from wrk import warm_rate

BAR = 0.5
PACKAGES = 200
_MANY = """
local paths = {{ {paths} }}
local at = 0
request = function()
  at = at % #paths + 1
  return wrk.format("GET", paths[at])
end
"""


def main(storage: str) -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory() as text, ExitStack() as stack:
        folder = Path(text)
        own = stack.enter_context(etcd(folder)) if storage == "etcd" else storage
        rates = [measure(folder / name, place) for name, place in (("filesystem", "filesystem"), ("other", own))]
        rates.append(measure(folder / "filesystem", "filesystem"))
    print(f"{'':<26}{'filesystem':>12}{storage.partition(':')[0]:>12}{'again':>12}{'ratio':>8}")
    for name in rates[0]:
        first, other, again = (each[name] for each in rates)
        ratio = 2 * other / (first + again)
        verdict = "met" if ratio >= BAR else "MISSED"
        print(f"{name:<26}{first:>12,.0f}{other:>12,.0f}{again:>12,.0f}{ratio:>8.2f}  {verdict}")


def measure(folder: Path, storage: str) -> dict[str, float]:
    """Good answers a second of one worker."""
    folder.mkdir(exist_ok=True)
    with cnr(folder, workers=1, STORAGE=storage) as (address, _):
        names = [f"bench/p{number}" for number in range(PACKAGES)]
        with httpx.Client(base_url=address, timeout=60) as http:
            for name in names:
                push(http, name, "1.0.0", "helm", chart(name.partition("/")[2], "1.0.0", 500)[0])
        shows = [f"/api/v1/packages/{name}/1.0.0/helm" for name in names]
        manifests = [f"/v2/{name}/manifests/1.0.0" for name in names]
        return {
            "show, one package": warm_rate(address + shows[0]),
            f"show, {PACKAGES} packages": warm_rate(address, script=_script(folder, shows)),
            "manifest, one tag": warm_rate(address + manifests[0]),
            f"manifest, {PACKAGES} tags": warm_rate(address, script=_script(folder, manifests)),
        }


def _script(folder: Path, paths: list[str]) -> Path:
    script = folder / "many.lua"
    script.write_text(_MANY.format(paths=", ".join(f'"{path}"' for path in paths)))
    return script


if __name__ == "__main__":
    main(*sys.argv[1:])
