"""What can go wrong, named for what is wrong. No HTTP in here: each adapter maps these classes.

CnrError
├── BadInput               the caller sent something that can never work
│   ├── InvalidUsage         a field is missing or has the wrong type; a body cannot be read
│   ├── InvalidName          a namespace, name, format or channel outside the grammar
│   ├── InvalidRelease       a release that is not strict SemVer
│   ├── InvalidQuery         a release query that cannot be parsed
│   ├── InvalidDigest        a digest that is malformed, or that the bytes do not have
│   ├── InvalidArchive       not base64, not gzip, not a tar
│   ├── InvalidManifest      an OCI manifest that cannot be read, or is not what its type says
│   │   └── ReferenceMissing   it names blobs or manifests that the repository does not have
│   ├── InvalidSize          an upload's lengths contradict one another
│   ├── TooManyTags          more tags in one request than are taken
│   ├── AmbiguousFormat      format "-" where the release has none or several
│   └── TooLarge             beyond a documented limit
├── Missing
│   ├── PackageNotFound      no such package; or format, blob or exact release in it
│   ├── RepositoryNotFound   nothing was ever pushed there
│   ├── ManifestNotFound     no such tag or manifest in the repository
│   ├── BlobUnknown          no such blob in the repository
│   ├── UploadNotFound       no such upload: never begun, finished, given up, or of another repository
│   ├── ReleaseNotFound      a valid query that matches nothing
│   ├── ChannelNotFound
│   └── AccountNotFound      no such user, group or robot token
├── Conflict               what is stored forbids it
│   ├── ReleaseExists        this release already has this format
│   ├── ProvenanceExists     the chart has a provenance file already
│   ├── ReleaseRetired       it was deleted, and comes back as it was or not at all
│   ├── NameTaken            the tag is in use for another kind of thing
│   ├── OutOfOrder           a piece of an upload that does not begin where the last one ended
│   ├── BlobInUse            a manifest needs the blob
│   ├── ChangedMeanwhile     it is not any more what the caller saw
│   ├── LastAdministrator    nobody would administer the registry any more
│   └── RecordFull           one more entry would pass a record's size limit
├── ReadOnly               nothing may be changed on this server, by anybody
├── Denied                 the caller may not
│   ├── Unauthorized         wrong credentials
│   │   ├── LoginRequired      none, where some are needed
│   │   ├── TokenRefused       a bearer token that is expired, revoked, or none of ours
│   │   └── InsufficientScope  a bearer token that was made for something else
│   ├── FormatRefused        a format that the repository does not take
│   ├── Immutable            a release's tag may not move to other content
│   ├── QuotaExceeded        a namespace has as much as it may have
│   └── Forbidden            known, but without the right
├── TooMany                at this time: come again in `retry_after_s` seconds
│   ├── TooManyRequests      more of an address or a caller than the rate allows
│   ├── TooManyFailures      wrong passwords: the next try has to wait
│   └── TooManyUploads       more open uploads than are kept
└── StoreTrouble           not the caller's fault
    ├── StoreUnavailable     the store cannot be reached; nothing was changed
    ├── OutcomeUnknown       the answer to a write was lost; safe to repeat
    ├── StoreFull            no space left; reads go on
    └── DataCorrupt          stored bytes do not hash to their name
"""

from typing import Any

from cnr.domain.audit import Who


class CnrError(Exception):
    """Base of all that the registry raises. `details` goes to clients: no secrets, only JSON values.

    `who` is the caller, where that is known: for the audit log.
    """

    who: Who | None = None

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = details


class BadInput(CnrError):
    """The request can never succeed as it is."""


class InvalidUsage(BadInput):
    """A field is missing or ill-typed, or the body is unreadable."""


class InvalidName(BadInput):
    """A name is outside its grammar; the message says which rule it breaks."""


class InvalidRelease(BadInput):
    """A release is not strict SemVer 2.0.0. Details: `version`."""


class InvalidQuery(BadInput):
    """A release query cannot be parsed. Details: `release`."""


class InvalidDigest(BadInput):
    """A digest is malformed, or does not belong to the bytes sent with it."""


class InvalidArchive(BadInput):
    """The blob is not base64, not gzip, or not a tar."""


class InvalidManifest(BadInput):
    """An OCI manifest that cannot be read, or whose bytes say another type than its sender."""


class ReferenceMissing(InvalidManifest):
    """A manifest names what its repository does not have. Details: `missing`, a list of digests."""


class InvalidSize(BadInput):
    """The lengths that a piece of an upload declares contradict one another."""


class TooManyTags(BadInput):
    """More tags in one request than are taken. Details: `limit`."""


class AmbiguousFormat(BadInput):
    """Format "-" needs exactly one format. Details: `package`, `release`, `media_types`."""


class TooLarge(BadInput):
    """Beyond a documented limit. Details: `limit` (bytes or a count), `what`."""


class Missing(CnrError):
    """Something that was named is not there."""


class PackageNotFound(Missing):
    """No such package, format, blob or exact release. Details: `package`, `release`, `media_type`."""


class RepositoryNotFound(Missing):
    """Nothing is in this repository. Details: `name`."""


class ManifestNotFound(Missing):
    """The repository has no such tag or manifest. Details: `name`, `reference`."""


class BlobUnknown(Missing):
    """The repository has no such blob. Details: `digest`."""


class UploadNotFound(Missing):
    """The repository has no such open upload."""


class ReleaseNotFound(Missing):
    """A valid query matches no release. Details: `package`, and `release_query` or `release`."""


class ChannelNotFound(Missing):
    """Details: `channel`, `package`, `release`."""


class AccountNotFound(Missing):
    """No such user, group or robot token."""


class Conflict(CnrError):
    """What is stored already forbids the change."""


class ReleaseExists(Conflict):
    """The release has this format, and force was not given. Details: `package`, `release`, `media_type`."""


class ProvenanceExists(Conflict):
    """The chart has a provenance file, and force was not given or does not help. Details: `package`, `release`."""


class ReleaseRetired(Conflict):
    """A deleted release may only come back with the content it had. Details: `package`, `release`, `media_type`."""


class NameTaken(Conflict):
    """A tag of this name exists and is of another kind."""


class OutOfOrder(Conflict):
    """A piece of an upload does not begin where the last one ended. Nothing was changed. Details: `offset` in bytes."""


class BlobInUse(Conflict):
    """A manifest or a release of the repository needs the blob. Details: `digest`."""


class RecordFull(Conflict):
    """One more entry would make a record larger than a store must accept."""


class ChangedMeanwhile(Conflict):
    """What was to be changed is not any more what the caller saw. Details: `version`, what it is now."""


class LastAdministrator(Conflict):
    """Without this user nobody would administer the registry."""


class ReadOnly(CnrError):
    """The server is read-only."""


class Denied(CnrError):
    """The caller may not do this."""


class Unauthorized(Denied):
    """The credentials are wrong."""


class LoginRequired(Unauthorized):
    """Nobody in particular may not do this. The same for what is private and what is not there."""


class TokenRefused(Unauthorized):
    """A bearer token is expired, revoked, or was not made by this registry."""


class InsufficientScope(Unauthorized):
    """A bearer token was not made for this; another one may be. The same for what is private and what is not there."""


class Immutable(Denied):
    """A release's tag may not move to other content. Details: `tag`."""


class QuotaExceeded(Denied):
    """More tags or bytes than a namespace may have. Details: `path`, `what`, `limit`, `used`."""


class Forbidden(Denied):
    """The caller lacks the right. Details: `package`, `scopes`."""


class TooMany(CnrError):
    """Too much at this time. Details: `retry_after_s`, whole seconds after which it is worth trying again."""


class TooManyRequests(TooMany):
    """More requests than the rate of this address or caller allows."""


class TooManyFailures(TooMany):
    """After so many wrong passwords the next one is not even looked at for a while."""


class TooManyUploads(TooMany):
    """A repository, or the registry, has as many open uploads as it may have. Details: `limit`."""


class FormatRefused(Denied):
    """The repository takes no packages of this format. Details: `package`, `media_type`."""


class StoreTrouble(CnrError):
    """The store failed; not the caller's fault."""


class StoreUnavailable(StoreTrouble):
    """The store cannot be reached. Nothing was changed."""


class OutcomeUnknown(StoreTrouble):
    """The answer to a write was lost: it may or may not have happened. Repeating it is safe."""


class StoreFull(StoreTrouble):
    """No space left. Nothing was changed; reads go on."""


class DataCorrupt(StoreTrouble):
    """Stored bytes do not hash to the digest that names them."""
