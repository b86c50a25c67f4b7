"""`cnr copy`: packages and images from one registry to another."""

import click

from cnr.cli.failures import INCOMPLETE, OK
from cnr.cli.options import Settings, credentials, credentials_for, registry_options
from cnr.cli.output import emit, note, printable
from cnr.cli.progress import progress
from cnr.client.copy_report import CopyReport, Item
from cnr.client.copying import Copying, End, Protocol
from cnr.client.credentials import Credentials
from cnr.client.image_reference import ImageReference, parse_image
from cnr.client.oci_copy import Options

_JOBS_LIMIT = 32
_PROTOCOLS = click.Choice(["oci", "cnr"])


@click.command("copy")
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option("--all", "everything", is_flag=True, help="Copy the whole repository: all tags, releases and channels.")
@click.option("-r", "--referrers", is_flag=True, help="Copy signatures and whatever else refers to a manifest, too.")
@click.option("--platform", metavar="OS/ARCH", help="Copy of an index only the manifest for this platform.")
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(1, _JOBS_LIMIT),
    default=4,
    show_default=True,
    help="Layers to transfer at once.",
)
@click.option("--from", "source_protocol", type=_PROTOCOLS, help="What to speak with the source; else it is asked.")
@click.option("--to", "target_protocol", type=_PROTOCOLS, help="What to speak with the target; else it is asked.")
@registry_options
def command(
    settings: Settings,
    source: str,
    target: str,
    everything: bool,
    referrers: bool,
    platform: str | None,
    jobs: int,
    source_protocol: Protocol | None,
    target_protocol: Protocol | None,
) -> int:
    """Copy SRC to DST, both HOST[:PORT]/repository[:tag|@release|@digest].

    Layers that are there already are not sent again, every digest is checked, and the tag is set last: a copy that was
    interrupted goes on where it was when it is started again. DST without a tag takes that of SRC. OCI registries and
    servers of the CNR API may be mixed; a package that passes between them keeps its content.

    The exit code is 8 if --all had to leave something out: the report says what and why.
    """
    left, right = parse_image(source), parse_image(target)
    if everything and (left.selector or right.selector or platform):
        raise click.UsageError("--all copies whole repositories: give no tag, digest or platform with it")
    ends = (
        _end(settings, left, _source_credentials(left, right), source_protocol),
        _end(settings, right, credentials_for(right.registry, right.repository), target_protocol),
    )
    with progress(f"copy {left.repository}") as shown:
        options = Options(jobs=jobs, referrers=referrers, platform=platform, progress=shown)
        with Copying(*ends, options) as copying:
            told = _tell if settings.output == "text" else _say_nothing
            (copying.everything if everything else copying.one)(told)
    for text in copying.report.notes:
        note(text)
    answer = _answer(copying, left, right)
    emit(settings.output, answer, lambda: _summary(copying.report))
    return INCOMPLETE if copying.report.failed else OK


def _end(settings: Settings, reference: ImageReference, who: Credentials, protocol: Protocol | None) -> End:
    return End(reference, settings.connection(reference.registry, who), who, protocol)


def _source_credentials(source: ImageReference, target: ImageReference) -> Credentials:
    """CNR_SOURCE_*; those of the target only where both are one registry, so that no stranger gets them."""
    if not credentials("CNR_SOURCE") and source.registry == target.registry:
        return credentials_for(source.registry, source.repository)
    return credentials_for(source.registry, source.repository, prefix="CNR_SOURCE")


def _tell(item: Item) -> None:
    words = {"copied": "copied", "there": "already there", "failed": "failed"}
    # click writes past the bars of a terminal, and through them.
    print(printable(f"{item.reference}: {words[item.status]}: {item.reason or item.digest}"), flush=True)


def _say_nothing(item: Item) -> None:
    return None


def _answer(copying: Copying, source: ImageReference, target: ImageReference) -> dict[str, object]:
    return {
        "source": str(source),
        "target": str(target),
        "from": copying.protocols[0],
        "to": copying.protocols[1],
        "items": [item.as_json() for item in copying.report.items],
        **copying.report.counts,
    }


def _summary(report: CopyReport) -> str:
    items = [sum(item.status == status for item in report.items) for status in ("copied", "there", "failed")]
    counts = report.counts
    return (
        f"{items[0]:,} copied, {items[1]:,} already there, {items[2]:,} failed;"
        f" layers: {counts['blobs']:,} sent ({counts['bytes']:,} bytes), {counts['mounted']:,} mounted,"
        f" {counts['blobs_there']:,} already there"
    )
