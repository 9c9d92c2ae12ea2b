#!/usr/bin/env bash
# deploy.sh - new packages and configuration for a cluster on AWS, one instance
# after the other, over Session Manager.
#
#   infra/deploy.sh aws --name NAME [options]
#
#   --name NAME          the cluster (or PORTCULLIS_AWS_NAME)
#   --region R           where it is (or PORTCULLIS_AWS_REGION, AWS_REGION)
#   --packages DIR       what infra/package.sh made (default: build/packages/RELEASE)
#   --switchover NODE    no packages: only makes NODE the source
#   --wait SECONDS       how long one instance may take (default 900)
#   --dry-run            say what would be done, and do nothing
#   --yes                do not ask
#
# The order is that of docs/operating.md, from the inside out: the replicas, one
# at a time; a switchover to the first of them; the node that was the source; the
# proxy, the broker, the gatekeepers, the client.  Each instance must be ready
# again before the next one is touched; at the first that is not, all ends, and
# what was not reached yet keeps what it has.  Run again, it goes on: an instance
# that has the packages is left alone.
#
# What clients notice: a request that an instance still has is finished before
# its daemon stops.  In the switchover, and while the proxy or the broker starts
# anew, requests are refused for some seconds, safe to repeat; sessions that are
# open on the source then end.  No write that was acknowledged is lost.
#
# Exit: 0 done, or nothing to do; 1 something failed, and it says what; 64 usage.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=infra/aws/lib.sh
. "$PCL_CHECKOUT/infra/aws/lib.sh"
# shellcheck source=infra/aws/config.sh
. "$PCL_CHECKOUT/infra/aws/config.sh"
# shellcheck disable=SC2154 # variables of lib.sh

name=
region=
packages_from=
switch_to=
wait_s=${PORTCULLIS_AWS_WAIT_S:-900}
dry_run=0
yes=0
prefix=
sum=

options_read()
{
    while [[ $# -gt 0 ]]; do
        case $1 in
            --name | --region | --packages | --switchover | --wait)
                [[ $# -ge 2 ]] || usage_fail "$1 wants a value"
                option_with_value "$1" "$2"
                shift
                ;;
            --dry-run) dry_run=1 ;;
            --yes) yes=1 ;;
            -h | --help)
                help_print "${BASH_SOURCE[0]}"
                exit 0
                ;;
            *) usage_fail "unknown option: $1" ;;
        esac
        shift
    done
    [[ -z $packages_from || -z $switch_to ]] \
        || usage_fail "--switchover and --packages are two things: one after the other"
}

option_with_value()
{
    case $1 in
        --name) name=$2 ;;
        --region) region=$2 ;;
        --packages)
            [[ -s $2/SHA256SUMS ]] || usage_fail "--packages: $2 holds no SHA256SUMS"
            packages_from=$(cd "$2" && pwd -P)
            ;;
        --switchover)
            [[ $2 =~ ^node[1-9]$ ]] || usage_fail "--switchover wants a node, not '$2'"
            switch_to=$2
            ;;
        --wait)
            [[ $2 =~ ^[1-9][0-9]*$ ]] || usage_fail "--wait wants a number of seconds"
            wait_s=$2
            ;;
    esac
}

# --- Instances -------------------------------------------------------------------

# on PART SECONDS COMMAND...: as root on its instance.
on()
{
    local part=$1
    shift
    [[ -n ${have[instance/$part]-} ]] || fail "$part has no instance; infra/up.sh aws makes it"
    ssm_run "${have[instance/$part]}" "$@"
}

part_wait()
{
    local part=$1 said='' deadline=$((SECONDS + wait_s))
    until said=$(on "$part" 60 portcullis-boot status 2>&1); do
        [[ $SECONDS -lt $deadline ]] || fail "$part is not ready: $said"
        sleep "${PORTCULLIS_AWS_POLL_S:-2}"
    done
    say "$part: ready"
}

# Has it these packages?  An instance that cannot say is asked to take them.
part_is_new()
{
    local said
    said=$(on "$1" 60 portcullis-boot version 2> /dev/null || true)
    [[ $said == *"$prefix $sum"* ]]
}

part_update()
{
    local part=$1 said
    say "$part: new packages"
    if ! said=$(on "$part" "$wait_s" "portcullis-boot update $prefix $sum \
        && portcullis-boot configure" 2>&1); then
        printf '%s\n' "$said" | tail -n 15 >&2
        fail "$part did not take them; what follows it was not touched"
    fi
    part_wait "$part"
}

# --- Switchover --------------------------------------------------------------------

# last_line TEXT: a command prints its answer last.
last_line()
{
    printf '%s\n' "$1" | sed '/^[[:space:]]*$/d' | tail -n 1
}

# The agents are stopped first: an agent makes of its database what its configuration says; that of
# the old source does not even start with its machine before it has the new one.  Until the new
# source is asked to take writes, everything can be taken back by starting them.
switchover()
{
    local old=$1 new=$2 said position part
    local agent=portcullis-worker-agent
    say "switchover: from $old to $new; writes are refused until it is done, safe to repeat"
    part_wait "$new"
    if ! said=$(on "$old" 120 "systemctl disable --now $agent \
        && portcullis-node demote" 2>&1); then
        switchover_undo "$old" "$new" "$old takes writes still" "$said"
    fi
    position=$(last_line "$said")
    [[ $position =~ ^[0-9A-Fa-f:,-]+$ ]] \
        || switchover_undo "$old" "$new" "$old has not said where it stands" "$said"
    if ! said=$(on "$new" 180 "systemctl stop $agent && portcullis-node promote $position 90" 2>&1)
    then
        switchover_undo "$old" "$new" "$new has not come to $position" "$said"
    fi
    # From here on it only goes forward: this is what the next run would go on from, too.
    cluster_setting_put source "$new"
    nodes_follow "$new"
    part_wait "$new"
    for part in $(cluster_parts node); do
        [[ $part == "$new" ]] || part_wait "$part"
    done
}

switchover_undo()
{
    local old=$1 new=$2 why=$3 said=$4
    printf '%s\n' "$said" | tail -n 5 >&2
    say "switchover: taken back"
    on "$old" 60 systemctl enable --now portcullis-worker-agent > /dev/null \
        || warn "the agent of $old could not be started: nobody takes writes"
    on "$new" 60 systemctl start portcullis-worker-agent > /dev/null \
        || warn "the agent of $new could not be started"
    fail "no switchover: $why"
}

# Each node gets its configuration, and its agent runs; also those of an earlier run that was ended
# in between.  The source is the last one: nobody may think that he is it when it takes writes.
nodes_follow()
{
    local new=$1 part nodes=()
    mapfile -t nodes < <(cluster_parts node)
    config_upload "${nodes[@]}"
    for part in "${nodes[@]}"; do
        [[ $part == "$new" ]] || node_configure "$part" "portcullis-node follow"
    done
    node_configure "$new" true
}

node_configure()
{
    local part=$1 before=$2 said
    if ! said=$(on "$part" 180 "$before && portcullis-boot configure \
        && systemctl enable --now portcullis-worker-agent" 2>&1); then
        printf '%s\n' "$said" | tail -n 5 >&2
        fail "$part did not take its new configuration; the same command again goes on"
    fi
}

# --- What is done ------------------------------------------------------------------

packages_decide()
{
    local release
    release=$(cluster_setting release)
    [[ $release == ubuntu-* ]] || release=debian-$release
    packages_from=${packages_from:-$PCL_CHECKOUT/build/packages/$release}
    [[ -s $packages_from/SHA256SUMS ]] \
        || fail "no packages in $packages_from; infra/package.sh makes them"
    sum=$(sha256sum < "$packages_from/SHA256SUMS")
    sum=${sum%% *}
    prefix=packages/$release/${sum:0:12}
}

packages_upload()
{
    if [[ -z ${have[object/$prefix/SUM]-} ]]; then
        say "bucket: $prefix"
        aws_call s3 cp --recursive --only-show-errors --exclude SUM "$packages_from" \
            "s3://$aws_bucket/$prefix/"
        printf '%s\n' "$sum" > "$aws_work/SUM"
        aws_call s3 cp --only-show-errors "$aws_work/SUM" "s3://$aws_bucket/$prefix/SUM"
    fi
    # Instances that are made later get the same.
    if [[ $(cluster_setting packages) != "$prefix" ]]; then
        cluster_settings[packages]=$prefix
        cluster_setting_put packages_sum "$sum"
    fi
}

look()
{
    aws_see memory eni eip bucket instance
    memory_settings_read
    [[ -n ${have[memory/cluster]-} ]] || fail "there is no cluster $aws_name in $aws_region"
}

# The parts in their order: replicas, the source, then outwards.
parts_ordered()
{
    local part source
    source=$(source_part)
    for part in $(cluster_parts node); do
        [[ $part == "$source" ]] || printf '%s\n' "$part"
    done
    printf '%s\n' "$source"
    instance_parts | grep -v '^node'
}

plan_print()
{
    say "cluster $aws_name in $aws_region: the source is $(source_part)"
    if [[ -n $switch_to ]]; then
        say "switchover to $switch_to"
    else
        say "packages $prefix, from $packages_from"
        say "to $(parts_ordered | tr '\n' ' ')in this order"
        [[ $(cluster_setting nodes) -lt 2 ]] \
            || say "before the source: a switchover to a replica that has them"
        [[ $(cluster_setting nodes) -ge 2 ]] \
            || say "one node: no writes, nor reads, while it starts anew"
    fi
}

deploy()
{
    local part source replica='' old parts
    packages_upload
    mapfile -t parts < <(instance_parts)
    config_upload "${parts[@]}"
    source=$(source_part)
    # An earlier switchover may have ended half-way.
    nodes_follow "$source"
    old=$source
    for part in $(parts_ordered); do
        if part_is_new "$part"; then
            say "$part: has them"
            part_wait "$part"
            [[ $part == "$old" || $part != node* ]] || replica=${replica:-$part}
            continue
        fi
        if [[ $part == "$old" && -n $replica ]]; then
            switchover "$old" "$replica"
        fi
        part_update "$part"
        [[ $part == "$old" || $part != node* ]] || replica=${replica:-$part}
    done
}

main()
{
    options_read "$@"
    aws_env_read
    aws_begin "${name:-${PORTCULLIS_AWS_NAME-}}" "${region:-${PORTCULLIS_AWS_REGION-}}" lock
    look
    [[ -n $switch_to ]] || packages_decide
    if [[ -n $switch_to ]]; then
        [[ " $(cluster_parts node | tr '\n' ' ')" == *" $switch_to "* ]] \
            || fail "$aws_name has no $switch_to"
        if [[ $(source_part) == "$switch_to" ]]; then
            say "$switch_to is the source already"
            [[ $dry_run -eq 1 ]] || nodes_follow "$switch_to"
            exit 0
        fi
    fi
    plan_print
    [[ $dry_run -eq 0 ]] || exit 0
    [[ $yes -eq 1 ]] || aws_confirm "Do it?"
    if [[ -n $switch_to ]]; then
        # An earlier one may have ended half-way.
        nodes_follow "$(source_part)"
        switchover "$(source_part)" "$switch_to"
    else
        deploy
    fi
    say "done; the source is $(source_part)"
}

main "$@"
