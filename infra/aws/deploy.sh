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
# In the switchover the source hands over by itself; who it is, the nodes are asked.
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
packages=
switchover=
wait=${PORTCULLIS_AWS_WAIT_S:-900}
dry_run=0
yes=0
prefix=
sum=
remembered= # the source, as the settings had it

options_check()
{
    [[ -z $packages || -z $switchover ]] \
        || usage_fail "--switchover and --packages are two things: one after the other"
    if [[ -n $packages ]]; then
        [[ -s $packages/SHA256SUMS ]] || usage_fail "--packages: $packages holds no SHA256SUMS"
        packages=$(cd "$packages" && pwd -P)
    fi
    [[ $switchover =~ ^(node[1-9])?$ ]] \
        || usage_fail "--switchover wants a node, not '$switchover'"
    [[ $wait =~ ^[1-9][0-9]*$ ]] || usage_fail "--wait wants a number of seconds"
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
    local part=$1 said='' deadline=$((SECONDS + wait))
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
    if ! said=$(on "$part" "$wait" "portcullis-boot update $prefix $sum \
        && portcullis-boot configure" 2>&1); then
        printf '%s\n' "$said" | tail -n 15 >&2
        fail "$part did not take them; what follows it was not touched"
    fi
    part_wait "$part"
}

# --- Switchover --------------------------------------------------------------------

# The source hands over by itself, and decides when (docs/rfc/2, section 4.11); it is told to, and
# nobody but the new one may take over.  So there is never a moment at which two could take writes,
# nor one after which the other half is missing because this script was killed.
switchover()
{
    local old=$1 new=$2 part deadline
    say "switchover: from $old to $new; writes wait meanwhile"
    part_wait "$new"
    for part in $(cluster_parts node); do
        [[ $part == "$old" || $part == "$new" ]] || leave_tell "$part" 1 || switchover_undo "$old"
    done
    leave_tell "$new" 0 || switchover_undo "$old"
    leave_tell "$old" 1 || switchover_undo "$old"
    deadline=$((SECONDS + wait))
    until source_learn && [[ $(source_part) == "$new" && $source_stage == open ]]; do
        [[ $SECONDS -lt $deadline ]] || switchover_undo "$old"
        sleep "${PORTCULLIS_AWS_POLL_S:-2}"
    done
    cluster_setting_put source "$new"
    nodes_follow "$new"
    for part in "$new" $(cluster_parts node); do
        part_wait "$part"
    done
}

# leave_tell PART 1|0: that it shall not be the source, or may.  The next configuration forgets it.
leave_tell()
{
    local said
    if ! said=$(on "$1" 60 "portcullis-node leave $2 \
        && systemctl reload portcullis-worker-agent" 2>&1); then
        printf '%s\n' "$said" | tail -n 5 >&2
        return 1
    fi
}

# What is decided meanwhile stays: the next run asks the nodes.
switchover_undo()
{
    local part
    for part in $(cluster_parts node); do
        leave_tell "$part" 0 || warn "$part could not be told that it may be the source"
    done
    fail "no switchover: $1 has not handed over; the log of its agent says why"
}

# Each node gets its configuration, and its agent runs; also those of an earlier run that was ended
# in between.  The source is the last one, so that it finds the others there.
nodes_follow()
{
    local new=$1 part nodes=()
    mapfile -t nodes < <(cluster_parts node)
    config_upload "${nodes[@]}"
    for part in "${nodes[@]}"; do
        [[ $part == "$new" ]] || node_configure "$part"
    done
    node_configure "$new"
}

node_configure()
{
    local said
    if ! said=$(on "$1" 180 "portcullis-boot configure \
        && systemctl enable --now portcullis-worker-agent" 2>&1); then
        printf '%s\n' "$said" | tail -n 5 >&2
        fail "$1 did not take its new configuration; the same command again goes on"
    fi
}

# --- What is done ------------------------------------------------------------------

packages_decide()
{
    local release
    release=$(cluster_setting release)
    [[ $release == ubuntu-* ]] || release=debian-$release
    packages=${packages:-$PCL_CHECKOUT/build/packages/$release}
    [[ -s $packages/SHA256SUMS ]] \
        || fail "no packages in $packages; infra/package.sh makes them"
    sum=$(sha256sum < "$packages/SHA256SUMS")
    sum=${sum%% *}
    prefix=packages/$release/${sum:0:12}
}

packages_upload()
{
    if [[ -z ${have[object/$prefix/SUM]-} ]]; then
        say "bucket: $prefix"
        packages_put "$packages" "$prefix" "$sum"
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
    remembered=$(source_part)
    source_learn
}

# For up.sh, and for nodes that are made anew.
source_remember()
{
    [[ $(source_part) == "$remembered" ]] || cluster_setting_put source "$(source_part)"
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
    if [[ -n $switchover ]]; then
        say "switchover to $switchover"
    else
        say "packages $prefix, from $packages"
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
    aws_options "dry-run yes" "packages switchover wait" "$@"
    options_check
    aws_env_read
    aws_begin "${name:-${PORTCULLIS_AWS_NAME-}}" "${region:-${PORTCULLIS_AWS_REGION-}}" lock
    look
    [[ -n $switchover ]] || packages_decide
    if [[ -n $switchover ]]; then
        [[ " $(cluster_parts node | tr '\n' ' ')" == *" $switchover "* ]] \
            || fail "$aws_name has no $switchover"
        if [[ $(source_part) == "$switchover" ]]; then
            say "$switchover is the source already"
            if [[ $dry_run -eq 0 ]]; then
                source_remember
                nodes_follow "$switchover"
            fi
            exit 0
        fi
    fi
    plan_print
    [[ $dry_run -eq 0 ]] || exit 0
    [[ $yes -eq 1 ]] || aws_confirm "Do it?"
    source_remember
    if [[ -n $switchover ]]; then
        # An earlier one may have ended half-way.
        nodes_follow "$(source_part)"
        switchover "$(source_part)" "$switchover"
    else
        deploy
    fi
    say "done; the source is $(source_part)"
}

main "$@"
