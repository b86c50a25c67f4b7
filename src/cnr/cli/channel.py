"""`cnr channel`: what channels a package has, and which releases stand in them."""

import click
import msgspec

from cnr.cli.options import Settings, reference_with, shared_options, version_option
from cnr.cli.output import emit, printable, table
from cnr.client.cnr import CnrClient
from cnr.client.messages import Channel
from cnr.client.reference import AtChannel, AtRelease, Reference
from cnr.domain.errors import InvalidName
from cnr.domain.version import parse_channel


@click.command("channel")
@click.argument("reference", metavar="HOST/NAMESPACE/NAME[@RELEASE]")
@version_option
@click.option("-c", "--channel", metavar="CHANNEL", help="The channel; :CHANNEL behind the name does the same.")
@click.option("--set-release", "verb", flag_value="set", help="Make the release the channel's current one.")
@click.option("--remove-release", "verb", flag_value="remove", help="Take the release out of the channel.")
@click.option("--delete", "verb", flag_value="delete", help="Delete the channel; its releases stay.")
@shared_options
def command(settings: Settings, reference: str, release: str | None, channel: str | None, verb: str | None) -> None:
    """Show a package's channels, or change one.

    A channel that does not exist is created by --set-release, and goes with its last release.
    """
    wanted, name = _channel(reference_with(reference, release), channel)
    with settings.connect(wanted.registry, wanted.package) as client:
        if verb is None:
            _show(settings, client, wanted, name)
        else:
            _change(settings, client, wanted, name, verb)


def _channel(wanted: Reference, option: str | None) -> tuple[Reference, str | None]:
    if option is not None:
        try:
            parse_channel(option)
        except InvalidName as exc:
            raise click.UsageError(f"--channel: {exc.message}") from None
    if not isinstance(wanted.selector, AtChannel):
        return wanted, option
    if option not in (None, wanted.selector.channel):
        raise click.UsageError("give the channel once: behind the name or with --channel")
    return wanted, wanted.selector.channel


def _show(settings: Settings, client: CnrClient, wanted: Reference, name: str | None) -> None:
    channels = client.channels(wanted.package) if name is None else [client.channel(wanted.package, name)]
    emit(settings.output, msgspec.to_builtins(channels), lambda: _table(channels))


def _change(settings: Settings, client: CnrClient, wanted: Reference, name: str | None, verb: str) -> None:
    if name is None:
        raise click.UsageError("say which channel with --channel")
    if verb == "delete":
        gone = client.delete_channel(wanted.package, name)
        emit(settings.output, gone, lambda: f"channel {name} of {wanted.package} deleted")
        return
    release = _release(wanted)
    if verb == "remove":
        removed = client.remove_from_channel(wanted.package, name, release)
        emit(settings.output, removed, lambda: f"{release} removed from channel {name} of {wanted.package}")
    else:
        channel = client.add_to_channel(wanted.package, name, release)
        text = f"channel {name} of {wanted.package} is now at {channel.current}"
        emit(settings.output, msgspec.to_builtins(channel), lambda: printable(text))


def _release(wanted: Reference) -> str:
    if not isinstance(wanted.selector, AtRelease):
        raise click.UsageError("say which release: @RELEASE behind the name, or --version")
    return wanted.selector.query


def _table(channels: list[Channel]) -> str:
    rows = [(channel.name, channel.current or "", ", ".join(channel.releases)) for channel in channels]
    return table(("CHANNEL", "CURRENT", "RELEASES"), rows)
