#!/usr/bin/env bash
# A tour of the CNR API with curl: push, list, show, fetch, channels, delete. Each answer is checked.
#
#   Documentation/test.sh [ADDRESS]      ADDRESS, or $CNR_ADDRESS, is http://localhost:5000 unless given
#
# It pushes the packages foo/bar and toto/titi and deletes them again; where one of them is already there it stops
# before it has changed anything. It ends with status 1 at the first answer that is not as expected.
set -euo pipefail

server=${1:-${CNR_ADDRESS:-http://localhost:5000}}
packages=${server%/}/api/v1/packages

# Two gzipped tars, and the sha256 of each as a tar: what the API calls a package's digest.
kpm_blob=H4sIAP3mAFgAA+3OMQqEMBCF4ak9RU4gGaPxPClcVogKGou9/SpYrI2yhYjwf82DeVO8LvTtq5lS/gldlGvYhfflmlpX9jc3XtStV++KSsVqobUTYy/aszNPKYzGSOiT04O/s/6h3k2MQ3b3CgAAAAAAAAAAAAAAAADAv77X4+BWACgAAA==
kpm_digest=7da12a2f437eb6a327e0fc922c3d50c4a8259b8054ac358711d0de8a4fc178c0
helm_blob=H4sIANXqAFgAA+3OMQqDQBCF4alzij2BzLBxcgBPsoVgsUlA1yK3j4KFlWIhIvxf82DeFK/pUl+G6pfeWc6iE/fnnPaqdZ0LF4vz1euoUdTMzSToaYtWxqGkPgRJnxJt42+vv6muzfn7uHoFAAAAAAAAAAAAAAAAAOCoPyJ7ugAAKAAA
helm_digest=92ba810abfe250d43cea35bad65906a7e199cd50b6cfeead6c66d31844223885

answer=$(mktemp)
pushed=()
trap 'clean_up; rm -f "$answer"' EXIT

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    [ ! -s "$answer" ] || head -c 2000 "$answer" >&2
    exit 1
}

call() { # STATUS METHOD URL [curl's options ...]: the answer's body is in $answer
    local expected=$1 method=$2 url=$3 status
    shift 3
    printf '%s %s\n' "$method" "${url#"$packages"}"
    status=$(curl --silent --show-error --request "$method" --output "$answer" --write-out '%{http_code}' "$@" "$url") ||
        fail "no answer from $server"
    [ "$status" = "$expected" ] || fail "$method $url answered $status, not $expected"
}

says() { # TEXT ...: each stands in the answer, white space aside
    local text body
    body=$(tr -d ' \n' <"$answer")
    for text in "$@"; do
        case $body in
            *"$text"*) ;;
            *) fail "the answer lacks $text" ;;
        esac
    done
}

holds() { # BASE64 DIGEST: the answer is that gzip, byte for byte, and its tar has that digest
    base64 --decode <<<"$1" | cmp - "$answer" || fail "other bytes came back than were pushed"
    gunzip <"$answer" | sha256sum | grep --quiet "^$2 " || fail "the tar's digest is not $2"
}

push() { # PACKAGE RELEASE FORMAT BLOB
    call 200 POST "$packages/$1" --data "{\"release\": \"$2\", \"media_type\": \"$3\", \"blob\": \"$4\"}"
    says '"status":"ok"'
    pushed+=("$1/$2/$3")
}

clean_up() {
    local release
    for release in ${pushed[@]+"${pushed[@]}"}; do
        curl --silent --output /dev/null --request DELETE "$packages/$release" || true
    done
}

call 200 GET "${server%/}/version"
says '"cnr-api":'

# Nothing of somebody else's is overwritten or deleted.
for package in foo/bar toto/titi; do call 404 GET "$packages/$package"; done

# Push: one release in two formats, and two releases of another package.
push foo/bar 1.0.1 kpm "$kpm_blob"
push foo/bar 1.0.1 helm "$helm_blob"
push toto/titi 4.2.1 helm "$helm_blob"
push toto/titi 3.2.1 helm "$helm_blob"

# A release cannot be pushed again, not even with the same bytes.
call 409 POST "$packages/foo/bar" --data "{\"release\": \"1.0.1\", \"media_type\": \"kpm\", \"blob\": \"$kpm_blob\"}"
says '"code":"package-exists"'

# List: everything, one namespace, one format.
call 200 GET "$packages"
says '"name":"foo/bar"' '"name":"toto/titi"' '"releases":["4.2.1","3.2.1"]'
call 200 GET "$packages?namespace=toto"
says '"default":"4.2.1"'
call 200 GET "$packages?media_type=kpm"
says '"manifests":["kpm"]'
call 200 GET "$packages/search?q=oo/b"
says '"foo/bar"'

# Show: all releases, one release, one format of it; the newest, and the newest below 4.
call 200 GET "$packages/toto/titi"
says '"release":"3.2.1"' '"release":"4.2.1"'
call 200 GET "$packages/foo/bar/1.0.1"
says "$kpm_digest" "$helm_digest"
call 200 GET "$packages/foo/bar/1.0.1/kpm"
says "\"digest\":\"$kpm_digest\"" '"mediaType":"application/vnd.cnr.package.kpm.v1.tar+gzip"' '"package":"foo/bar"'
call 200 GET "$packages/toto/titi/default/helm"
says '"release":"4.2.1"'
call 200 GET "$packages/toto/titi/%3C4/helm"
says '"release":"3.2.1"'

# Fetch: by digest, and by release.
call 200 GET "$packages/foo/bar/blobs/sha256/$kpm_digest"
holds "$kpm_blob" "$kpm_digest"
call 200 GET "$packages/foo/bar/blobs/sha256/$helm_digest"
holds "$helm_blob" "$helm_digest"
call 200 GET "$packages/toto/titi/4.2.1/helm/pull"
holds "$helm_blob" "$helm_digest"

# Channels: a name for a release that may move.
call 200 POST "$packages/toto/titi/channels/stable/4.2.1"
call 200 POST "$packages/toto/titi/channels/stable/3.2.1"
says '"current":"3.2.1"' '"releases":["4.2.1","3.2.1"]'
call 200 GET "$packages/toto/titi/3.2.1/helm"
says '"channels":["stable"]'

# Delete: a release, and with the last one the package.
call 200 DELETE "$packages/toto/titi/3.2.1/helm"
says '"status":"deleted"'
call 404 GET "$packages/toto/titi/3.2.1/helm"
says '"error":'
call 200 GET "$packages/toto/titi/channels/stable"
says '"current":"4.2.1"'
call 200 DELETE "$packages/toto/titi/4.2.1/helm"
call 404 GET "$packages/toto/titi"
call 200 DELETE "$packages/foo/bar/1.0.1/kpm"
call 200 DELETE "$packages/foo/bar/1.0.1/helm"
call 404 GET "$packages/foo/bar"

printf 'All answers were as expected.\n'
