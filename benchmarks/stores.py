"""GET show and GET manifest by tag: one worker on another store against one worker on the filesystem, in one run.

    benchmarks/stores.py etcd                       an etcd of one member, started here
    benchmarks/stores.py redis://127.0.0.1:6379     one that runs already; packages are left in it

Bar: each >= 0.5 of the filesystem. Once with one package, and once with many in turn.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import httpx
from corpus import chart, push
from servers import cnr, etcd
from wrk import rate

BAR = 0.5
PACKAGES = 200
ROUNDS = 7
SECONDS = 2
FILES = "filesystem"
Load = tuple[str, Path | None]
"""A URL, and the script of wrk that asks for many."""
_MANY = """
local paths = {{ {paths} }}
local at = 0
request = function()
  at = at % #paths + 1
  return wrk.format("GET", paths[at])
end
"""


def main(storage: str) -> None:
    """Measure and print a table: medians over rounds, in each of which both have a turn right after one another."""
    with tempfile.TemporaryDirectory() as text, ExitStack() as stack:
        folder = Path(text)
        own = stack.enter_context(etcd(folder)) if storage == "etcd" else storage
        loads = [stack.enter_context(serving(folder / name, place)) for name, place in ((FILES, FILES), ("other", own))]
        print(f"{'':<26}{FILES:>12}{storage.partition(':')[0]:>12}{'ratio':>8}{'of rounds':>16}")
        for name in loads[0]:
            report(name, [(measured(loads[0][name]), measured(loads[1][name])) for _ in range(ROUNDS)])


def report(name: str, rounds: list[tuple[float, float]]) -> None:
    """One line."""
    ratios = sorted(other / files for files, other in rounds)
    files, other = (median(rates) for rates in zip(*rounds, strict=True))
    verdict = "met" if median(ratios) >= BAR else "MISSED"
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    print(f"{name:<26}{files:>12,.0f}{other:>12,.0f}{median(ratios):>8.2f}{spread:>16}  {verdict}", flush=True)


def measured(load: Load) -> float:
    """Good answers a second of one worker."""
    url, script = load
    rate(url, seconds=1, script=script)
    return rate(url, seconds=SECONDS, script=script)


@contextmanager
def serving(folder: Path, storage: str) -> Iterator[dict[str, Load]]:
    """What to ask of one worker on a store with packages in it."""
    folder.mkdir(exist_ok=True)
    with cnr(folder, workers=1, STORAGE=storage) as (address, _):
        names = [f"bench/p{number}" for number in range(PACKAGES)]
        with httpx.Client(base_url=address, timeout=60) as http:
            for name in names:
                push(http, name, "1.0.0", "helm", chart(name.partition("/")[2], "1.0.0", 500)[0])
        shows = [f"/api/v1/packages/{name}/1.0.0/helm" for name in names]
        manifests = [f"/v2/{name}/manifests/1.0.0" for name in names]
        yield {
            "show, one package": (address + shows[0], None),
            f"show, {PACKAGES} packages": (address, _script(folder / "shows.lua", shows)),
            "manifest, one tag": (address + manifests[0], None),
            f"manifest, {PACKAGES} tags": (address, _script(folder / "manifests.lua", manifests)),
        }


def _script(script: Path, paths: list[str]) -> Path:
    script.write_text(_MANY.format(paths=", ".join(f'"{path}"' for path in paths)))
    return script


if __name__ == "__main__":
    main(*sys.argv[1:])
