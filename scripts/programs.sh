# Sourced by run-tests, after scripts/venv.sh: `use_programs` gets the real clients and servers that tests call, and puts
# them on PATH. What cannot be had is left out, and its tests say so (with CI=true they fail).
#
# Debian's packages are installed only with CI=true and as root: on a person's machine that is the person's business.
# What go and npm build is kept under the cache folder, in a folder named after its version.

PROGRAMS=${XDG_CACHE_HOME:-$HOME/.cache}/cnr-server/programs

debian_programs() { # COMMAND PACKAGE
    cat <<'END'
curl curl
openssl openssl
skopeo skopeo
podman podman
docker-registry docker-registry
gpg gpg
gpg-agent gpg-agent
redis-server redis-server
etcd etcd-server
npm npm
dbus-run-session dbus-daemon
gnome-keyring-daemon gnome-keyring
nginx nginx-light
END
}

go_programs() { # COMMAND MODULE, what the module's command is called
    cat <<'END'
conformance github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111 conformance
helm318 helm.sh/helm/v3/cmd/helm@v3.18.6 helm
helm3 helm.sh/helm/v3/cmd/helm@v3.22.0 helm
helm4 helm.sh/helm/v4/cmd/helm@v4.3.1 helm
oras oras.land/oras/cmd/oras@v1.3.6 oras
helm-cm-push github.com/chartmuseum/helm-push/cmd/helm-cm-push@v0.10.4 helm-cm-push
registry github.com/distribution/distribution/v3/cmd/registry@v3.1.1 registry
crane github.com/google/go-containerregistry/cmd/crane@v0.22.1 crane
cosign github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3 cosign
versitygw github.com/versity/versitygw/cmd/versitygw@v1.8.0 versitygw
END
}

npm_programs() { # COMMAND PACKAGE
    cat <<'END'
azurite-blob azurite@3.37.0
END
}

use_programs() {
    install_debian
    if command -v go >/dev/null; then build_go; fi
    if command -v npm >/dev/null; then install_npm; fi
}

install_debian() {
    local command package missing=()
    [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ] || return 0
    while read -r command package; do
        command -v "$command" >/dev/null || missing+=("$package")
    done < <(debian_programs)
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing ${missing[*]}, which the tests use."
    apt-get update --quiet >&2
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends "${missing[@]}" >&2
}

build_go() {
    local command module built folder
    while read -r command module built; do
        folder=$PROGRAMS/$command-${module##*@}
        if [ ! -x "$folder/$command" ]; then
            say "Building $module."
            mkdir -p "$folder"
            if GOBIN=$folder go install "$module" >&2 </dev/null; then
                [ "$built" = "$command" ] || mv "$folder/$built" "$folder/$command"
            else
                build_downloaded "$module" "$folder/$command" >&2 </dev/null || continue
            fi
        fi
        PATH=$PATH:$folder
    done < <(go_programs)
    export PATH
}

build_downloaded() { # PACKAGE@VERSION FILE: for a proxy that has this version and no list of versions, which `go install` asks for
    local package=${1%@*} version=${1##*@} module=${1%@*} source copy
    until source=$(go mod download -json "$module@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p') && [ -n "$source" ]; do
        [ "$module" != "${module%/*}" ] || return 1
        module=${module%/*}
    done
    copy=$(mktemp -d)
    cp -r "$source/." "$copy" && chmod -R u+w "$copy"
    (cd "$copy" && go build -mod=mod -o "$2" ".${package#"$module"}")
    rm -rf "$copy"
    [ -x "$2" ]
}

install_npm() {
    local command package folder
    while read -r command package; do
        folder=$PROGRAMS/${package/@/-}
        if [ ! -x "$folder/node_modules/.bin/$command" ]; then
            say "Installing $package."
            npm install --prefix "$folder" --no-audit --no-fund --ignore-scripts --loglevel error "$package" \
                >&2 </dev/null || continue
        fi
        PATH=$PATH:$folder/node_modules/.bin
    done < <(npm_programs)
    export PATH
}
