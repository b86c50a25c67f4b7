"""Who may do what beside pulling and pushing, where a path has rules for it: asked before anything is written.

The route has asked already for the right that the deed needs everywhere. A rule keeps it for a higher role. Roles are
compared by the right that a role has and no lesser one, so that robot tokens, which have rights, are asked alike.
"""

from collections.abc import Iterable

from cnr.domain.access import Grant
from cnr.domain.account import RIGHT_OF, Role
from cnr.domain.errors import Forbidden, FormatRefused
from cnr.domain.names import Format, Repository, Tag
from cnr.domain.policy import DEFAULT, Deed, Policy
from cnr.domain.version import belongs_to_digest


def require(deed: Deed, policy: Policy, by: Grant, repository: Repository) -> None:
    """Raises Forbidden."""
    role = policy.role_for(deed)
    if role != DEFAULT.role_for(deed):
        _require(role, f"to {deed}", by, repository)


def require_channel(tag: Tag, policy: Policy, by: Grant, repository: Repository) -> None:
    """To make, move or delete a tag that is no release's: a channel, or what any client could take for one.

    A tag that belongs to a digest, as signatures have, is no channel: there the rule is that of a push.
    Raises Forbidden.
    """
    if belongs_to_digest(tag):
        require("push", policy, by, repository)
        return
    role = policy.role_to_move(tag)
    if role != "writer":
        _require(role, f"to move the channel {tag}", by, repository)


def require_formats(formats: Iterable[Format], policy: Policy, repository: Repository) -> None:
    """Raises FormatRefused for a package format that the repository does not take."""
    if policy.formats is None:
        return
    for format in formats:
        if format not in policy.formats:
            allowed = ", ".join(sorted(policy.formats)) or "none"
            raise FormatRefused(
                f"{repository} takes no packages of the format {format}: allowed here: {allowed}",
                package=repository,
                media_type=format,
            )


def _require(role: Role, what: str, by: Grant, repository: Repository) -> None:
    if not by.may(RIGHT_OF[role], repository):
        raise Forbidden(
            f"{what} in {repository} takes the role {role}, by the rules of this namespace",
            package=repository,
            scopes=[RIGHT_OF[role]],
        )
