#!/usr/bin/env bash
# Lives through scenarios in a real Google Cloud project: docs/live.md says what that costs and needs.
# Runs only where STACKWRIGHT_LIVE_PROJECT names the project; STACKWRIGHT names the program (default: the debug build).
set -euo pipefail

if [[ -z "${STACKWRIGHT_LIVE_PROJECT:-}" ]]; then
    echo "skipped: STACKWRIGHT_LIVE_PROJECT names no project"
    exit 0
fi

root=$(cd "$(dirname "$0")/../.." && pwd)
program=${STACKWRIGHT:-$root/target/debug/stackwright}
export GOOGLE_CLOUD_PROJECT=$STACKWRIGHT_LIVE_PROJECT
work=
name=

# Whatever happens, what was made goes; and if that does not work, somebody has to be told what is left.
clean() {
    local code=$?
    if [[ -n "$work" && -f "$work/stack.toml" && ! -f "$work/gone" ]]; then
        if ! (cd "$work" && "$program" destroy stack.toml --auto-approve); then
            echo "NOT DESTROYED: cd $work && $program destroy stack.toml --auto-approve"
            echo "or, from labels alone: $program reap --project $STACKWRIGHT_LIVE_PROJECT"
            code=1
        fi
    fi
    exit "$code"
}
trap clean EXIT

live() {
    local scenario=$1 file
    for file in "$root/tests/live/scenarios/$scenario.toml" "$root/stacks/$scenario.toml"; do
        [[ -f "$file" ]] && break
    done
    [[ -f "$file" ]] || { echo "there is no scenario $scenario"; exit 2; }
    name="live-$(od -An -N3 -tx1 /dev/urandom | tr -d ' \n')"
    work=$(mktemp -d)
    # A name of its own, so that runs side by side do not meet; and a life of three hours at most.
    sed -e "s/^name = .*/name = \"$name\"/" -e 's/^ttl = .*/ttl = "3h"/' "$file" > "$work/stack.toml"
    grep -q '^ttl = ' "$work/stack.toml" || { echo "$scenario has no ttl under [limits]"; exit 2; }
    (
        cd "$work"
        "$program" plan stack.toml
        "$program" apply stack.toml --auto-approve
        "$program" plan stack.toml --detailed-exitcode
        # One edit in place; the second plan must be empty again.
        sed -i 's/nodes = 2/nodes = 3/' stack.toml
        "$program" apply stack.toml --auto-approve
        "$program" plan stack.toml --detailed-exitcode
        "$program" destroy stack.toml --auto-approve
        touch gone
    )
    local kind left
    for kind in instances disks forwarding-rules target-pools firewall-rules; do
        left=$(gcloud compute "$kind" list --project "$STACKWRIGHT_LIVE_PROJECT" --format='value(name)' --filter="name~$name")
        [[ -z "$left" ]] || { echo "left behind, $kind: $left"; exit 1; }
    done
    left=$(gcloud container clusters list --project "$STACKWRIGHT_LIVE_PROJECT" --format='value(name)' --filter="name=$name")
    [[ -z "$left" ]] || { echo "left behind, cluster: $left"; exit 1; }
    echo "$scenario: lived and is gone"
}

for scenario in "${@:-small}"; do
    live "$scenario"
done
