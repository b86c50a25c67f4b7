"""`cnr pull`: a package's files, or its archive, checked before anything is kept."""

from pathlib import Path

import click

from cnr.cli.options import Settings, reference_with, shared_options, version_option
from cnr.cli.output import emit, printable
from cnr.cli.progress import progress
from cnr.client.fetch import check_free, download, keep_archive, keep_tree, locate, staging


@click.command("pull")
@click.argument("reference", metavar="HOST/NAMESPACE/NAME[:CHANNEL|@RELEASE|@sha256:DIGEST]")
@version_option
@click.option(
    "--dest",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    help="Where to put it; made if it is not there.",
)
@click.option("--tarball", is_flag=True, help="Keep the archive instead of extracting it.")
@click.option("-f", "--force", is_flag=True, help="Replace the folder if it exists.")
@shared_options
def command(settings: Settings, reference: str, release: str | None, dest: Path, tarball: bool, force: bool) -> None:
    """Download a package into DIR/<namespace>_<name>_<release>, or as that with .tar.gz.

    Size and digest are checked first; a download that fails leaves nothing behind.
    """
    wanted = reference_with(reference, release)
    with settings.connect(wanted.registry, wanted.package) as client:
        content = locate(client, wanted, settings.format)
        path = dest / (content.file_stem + (".tar.gz" if tarball else ""))
        check_free(path, force=force or tarball)
        dest.mkdir(parents=True, exist_ok=True)
        with staging(dest) as stage:
            archive = stage / "archive"
            with progress(f"pull {content.package}") as shown:
                download(client, content, archive, shown)
            if tarball:
                keep_archive(archive, path)
            else:
                keep_tree(archive, stage, path, force=force)
    answer = {
        "pull": str(content.package),
        "media_type": content.format,
        "version": content.release,
        "digest": content.digest,
        "path": str(path),
    }
    emit(settings.output, answer, lambda: printable(str(path)))
