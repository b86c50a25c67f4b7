"""What the document says of the routes for those who administer."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from cnr.api import cnr_admin_bodies as bodies
from cnr.api.cnr_admin import OFF
from cnr.api.cnr_admin_people import A
from cnr.api.openapi_parts import BAD_LIMIT, JSON, LIMIT, LINK, READ, TEXT, WRITE, Operation, Query, json_answer
from cnr.domain import errors, people, robots
from cnr.domain.errors import CnrError
from cnr.domain.rulebook import RuleChanges, Rules

TAG: Final = "administration"
_VERSION: Final = "6f1c2b0de4a94e0d8f7a5b3c2d1e0f99"
_AT: Final = "2026-11-26T01:02:03.456789"
_ETAG: Final = MappingProxyType({"ETag": "The version, for If-Match."})
_IF_MATCH: Final = Query(
    "If-Match", "Change it only if it is of this version still: an ETag, or `*`.", TEXT, place="header"
)
_AFTER: Final = Query("after", "Where the page before ended: what its Link header says.", TEXT)
_PAGE: Final = (LIMIT, _AFTER)

_FORBIDDEN: Final = errors.Forbidden("alice may not administer this")
_OFF: Final = errors.Forbidden(OFF)
_NO: Final = (_FORBIDDEN, _OFF)
_NO_USER: Final = errors.AccountNotFound("there is no user alice")
_NO_GROUP: Final = errors.AccountNotFound("there is no group dev")
_NO_TOKEN: Final = errors.AccountNotFound("there is no such token")
_TAKEN: Final = errors.NameTaken("there is a user alice already")
_GROUP_TAKEN: Final = errors.NameTaken("there is a group dev already")
_LAST: Final = errors.LastAdministrator("this is the last administrator: make another one first")
_FULL: Final = errors.RecordFull("one user or group has no more roles than this: give a role in a namespace instead")
_CHANGED: Final = errors.ChangedMeanwhile("this was changed meanwhile: look at it again", version=_VERSION)
_BAD_BODY: Final = errors.InvalidUsage(
    "the body must be a JSON object as the API describes it: Object contains unknown field `owner`"
)
_BAD_PATH: Final = errors.InvalidName("the repository component 'Shop' has upper-case letters: use 'shop'")

_USER: Final = {
    "name": "alice",
    "admin": False,
    "created_at": _AT,
    "groups": ["dev"],
    "roles": {"shop": "writer"},
    "version": _VERSION,
}
_GROUP: Final = {"name": "dev", "created_at": _AT, "roles": {"shop": "writer"}, "version": _VERSION}
_ROLE: Final = {"kind": "user", "name": "alice", "path": "shop", "role": "writer"}
_SCOPES: Final = {"shop/*": ["pull", "push"]}
_TOKEN: Final = {
    "id": "0123456789abcdef",
    "name": "ci",
    "scopes": _SCOPES,
    "created_at": _AT,
    "created_by": "alice",
    "owner": "alice",
    "expires_at": "2027-02-24T01:02:03.456789",
    "last_used": None,
    "version": _VERSION,
}
_MADE: Final = {
    "id": "0123456789abcdef",
    "name": "ci",
    "token": "cnr_0123456789abcdef_" + "x" * 43,
    "scopes": _SCOPES,
    "expires_at": "2027-02-24T01:02:03.456789",
}
_RULES: Final = {
    "path": "shop",
    "immutability": "releases",
    "force": True,
    "untagged_after": None,
    "visibility": "private",
    "push_role": "writer",
    "force_role": "maintainer",
    "yank_role": "writer",
    "delete_role": "maintainer",
    "channels": {"stable": "maintainer"},
    "formats": None,
    "max_tags": None,
    "max_bytes": 21474836480,
    "used_tags": 12,
    "used_bytes": 48311,
    "set": {"force_role": "maintainer", "channels": {"stable": "maintainer"}},
    "version": _VERSION,
}

_SHOWN_USER = json_answer("The user.", people.User, _USER, _ETAG)
_SHOWN_GROUP = json_answer("The group.", people.Group, _GROUP, _ETAG)
_GIVEN = json_answer("The role.", people.RoleAt, _ROLE)
_SHOWN_RULES = json_answer("The rules.", Rules, _RULES, _ETAG)


def _gone(name: str) -> Any:
    return json_answer("It is gone.", people.Gone, {"name": name, "status": "deleted"})


def _body(kind: Any, example: Any) -> Mapping[str, tuple[Any, Any]]:
    return {JSON: (kind, example)}


def _list(name: str, summary: str, answer: Any, description: str = "") -> Operation:
    return Operation(TAG, name, summary, answer, description, (BAD_LIMIT, *_NO, *READ), _PAGE)


def _change(
    name: str,
    summary: str,
    answer: Any,
    *found: CnrError,
    description: str = "",
    body: Mapping[str, tuple[Any, Any]] | None = None,
    conditional: bool = True,
) -> Operation:
    bad = (_BAD_BODY,) if body is not None else ()
    changed = (_CHANGED,) if conditional else ()
    query = (_IF_MATCH,) if conditional else ()
    return Operation(TAG, name, summary, answer, description, (*bad, *_NO, *found, *changed, *WRITE), query, body)


def _roles(kind: str, missing: CnrError) -> Mapping[tuple[str, str], Operation]:
    path = A + "/" + kind + "s/{" + kind + "}/roles/{path}"
    return {
        ("PUT", path): _change(
            f"give_role_to_{kind}",
            f"Give a {kind} a role",
            _GIVEN,
            missing,
            _FULL,
            _BAD_PATH,
            description="In the place of the one there. Whoever has the role `admin` at the path may, too.",
            body=_body(bodies.Given, {"role": "writer"}),
        ),
        ("DELETE", path): _change(
            f"take_role_from_{kind}", f"Take a role from a {kind}", _gone("alice"), missing, _BAD_PATH
        ),
    }


ADMIN: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", A + "/me"): Operation(
        TAG,
        "show_me",
        "Show who asks",
        json_answer(
            "Name, groups, roles; of a robot token its scopes.",
            people.Self,
            {"name": "alice", "kind": "user", "admin": False, "groups": [], "roles": {"shop": "writer"}, "scopes": {}},
        ),
        errors=(*_NO, *READ),
    ),
    ("PUT", A + "/me/password"): _change(
        "change_own_password",
        "Change one's own password",
        _SHOWN_USER,
        errors.Forbidden("the old password is wrong"),
        description="Sessions that began with the old one end at once.",
        body=_body(bodies.OwnPassword, {"old": "correct horse battery", "new": "battery horse correct"}),
        conditional=False,
    ),
    ("GET", A + "/users"): _list("list_users", "List users", json_answer("By name.", list[people.User], [_USER], LINK)),
    ("POST", A + "/users"): _change(
        "add_user",
        "Make a user",
        _SHOWN_USER,
        _TAKEN,
        body=_body(bodies.NewUser, {"name": "alice", "password": "correct horse battery"}),
        conditional=False,
    ),
    ("GET", A + "/users/{user}"): Operation(
        TAG, "show_user", "Show a user", _SHOWN_USER, errors=(*_NO, _NO_USER, *READ)
    ),
    ("PATCH", A + "/users/{user}"): _change(
        "change_user",
        "Change a user",
        _SHOWN_USER,
        _NO_USER,
        _LAST,
        description="His password, whether he is an administrator, or both in one step.",
        body=_body(bodies.UserChanges, {"admin": True}),
    ),
    ("DELETE", A + "/users/{user}"): _change(
        "remove_user",
        "Remove a user",
        _gone("alice"),
        _NO_USER,
        _LAST,
        description="With his roles; the robot tokens that depend on him are worth nothing at once.",
    ),
    **_roles("user", _NO_USER),
    ("GET", A + "/groups"): _list(
        "list_groups", "List groups", json_answer("By name.", list[people.Group], [_GROUP], LINK)
    ),
    ("POST", A + "/groups"): _change(
        "add_group",
        "Make a group",
        _SHOWN_GROUP,
        _GROUP_TAKEN,
        body=_body(bodies.NewGroup, {"name": "dev"}),
        conditional=False,
    ),
    ("GET", A + "/groups/{group}"): Operation(
        TAG,
        "show_group",
        "Show a group and its members",
        json_answer("The group.", people.Members, {**_GROUP, "members": ["alice"]}, _ETAG),
        errors=(*_NO, _NO_GROUP, *READ),
    ),
    ("DELETE", A + "/groups/{group}"): _change(
        "remove_group", "Remove a group", _gone("dev"), _NO_GROUP, description="Its members lose its roles at once."
    ),
    ("PUT", A + "/groups/{group}/members/{user}"): _change(
        "join_group",
        "Put a user into a group",
        _SHOWN_USER,
        _NO_USER,
        _NO_GROUP,
        description="The version is the user's: that is what changes.",
    ),
    ("DELETE", A + "/groups/{group}/members/{user}"): _change(
        "leave_group", "Take a user out of a group", _SHOWN_USER, _NO_USER
    ),
    **_roles("group", _NO_GROUP),
    ("GET", A + "/roles"): Operation(
        TAG,
        "list_roles",
        "List all roles",
        json_answer("By path.", list[people.RoleAt], [_ROLE]),
        errors=(*_NO, *READ),
    ),
    ("GET", A + "/roles/{path}"): Operation(
        TAG,
        "list_roles_at",
        "List who has a role at a path",
        json_answer("By path.", list[people.RoleAt], [_ROLE]),
        "Or below it. For whoever has the role `admin` there.",
        (_BAD_PATH, *_NO, *READ),
    ),
    ("GET", A + "/tokens"): _list(
        "list_tokens",
        "List robot tokens",
        json_answer("By id.", list[robots.Robot], [_TOKEN], LINK),
        "One's own; those that reach nothing but what one administers; for an administrator all.",
    ),
    ("POST", A + "/tokens"): _change(
        "make_token",
        "Make a robot token",
        json_answer("The token, which is shown this once.", robots.NewRobot, _MADE),
        errors.Forbidden("alice has not himself, at shop/*: delete"),
        description="It never may do what its maker may not, at any time, and is refused when he is removed.",
        body=_body(bodies.NewToken, {"name": "ci", "scopes": _SCOPES, "days": 90}),
        conditional=False,
    ),
    ("GET", A + "/tokens/{token}"): Operation(
        TAG,
        "show_token",
        "Show a robot token",
        json_answer("The token, without its secret.", robots.Robot, _TOKEN, _ETAG),
        errors=(*_NO, _NO_TOKEN, *READ),
    ),
    ("DELETE", A + "/tokens/{token}"): _change(
        "remove_token", "End a robot token", _gone("0123456789abcdef"), _NO_TOKEN
    ),
    ("POST", A + "/signing-keys"): _change(
        "rotate_keys",
        "Sign bearer tokens with a new key",
        json_answer("It is made.", robots.Rotated, {"status": "rotated"}),
        body=_body(bodies.Rotation, {"drop_others": False}),
        conditional=False,
    ),
    ("GET", A + "/policies/{path}"): Operation(
        TAG,
        "show_policy",
        "Show the rules of a path",
        _SHOWN_RULES,
        "What holds there, and in `set` what was set for exactly this path.",
        (_BAD_PATH, *_NO, *READ),
    ),
    ("PATCH", A + "/policies/{path}"): _change(
        "change_policy",
        "Set rules of a path",
        _SHOWN_RULES,
        _BAD_PATH,
        description="Rules that are left out stay; null takes one back.",
        body=_body(RuleChanges, {"visibility": "public", "channels": {"stable": "maintainer"}}),
    ),
}
