"""Charts as folders and as archives, and the keys that sign them."""

from pathlib import Path

from tests.protocols.cnr.packages import gz, tar

TEMPLATE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {text: {{ .Values.text }}}\n"


def chart_folder(parent: Path, name: str, version: str, *, more: str = "", text: str = "hello") -> Path:
    """A chart's folder below `parent`. `more` goes into Chart.yaml, `text` is its one value."""
    folder = parent / name
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    (folder / "Chart.yaml").write_text(
        f"apiVersion: v2\nname: {name}\nversion: {version}\ndescription: Says {text}\n{more}"
    )
    (folder / "values.yaml").write_text(f"text: {text}\n")
    (folder / "templates" / "map.yaml").write_text(TEMPLATE)
    (folder / "README.md").write_text(f"# {name}\n")
    return folder


def chart_file(parent: Path, name: str, version: str, *, text: str = "hello", top: str | None = None) -> Path:
    """A chart's .tgz below `parent`, the same bytes each time. `top` is the folder in the tar ("": its root)."""
    prefix = f"{name}/" if top is None else top
    files = {
        "Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: {version}\ndescription: Says {text}\n",
        "values.yaml": f"text: {text}\n",
        "templates/map.yaml": TEMPLATE,
    }
    parent.mkdir(parents=True, exist_ok=True)
    target = parent / f"{name}-{version}.tgz"
    target.write_bytes(gz(tar({f"{prefix}{path}": data.encode() for path, data in files.items()})))
    return target
