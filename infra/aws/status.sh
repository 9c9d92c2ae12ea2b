#!/usr/bin/env bash
# status.sh - every instance of a Portcullis cluster on AWS, and whether it is ready.
#
#   infra/status.sh aws --name NAME [--region R] [--quick] [--json]
#
#   --quick    ask AWS only, not the instances themselves
#   --json     for programs: name, region, settings, parts
#
# An instance is ready when it runs, AWS's own checks have nothing against it, and what first
# boot left there says, asked over Session Manager, that its daemon is ready.
#
# Exit: 0 all of it is ready; 3 something is not, or there is no such cluster; 1 AWS did not
# answer; 64 usage.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=infra/aws/lib.sh
. "$PCL_CHECKOUT/infra/aws/lib.sh"

name=
region=
quick=0
json=0
all_ready=1
declare -A ready=() words=()

# AWS's two checks of each instance: "checks ID INSTANCE SYSTEM" a line.
see_checks()
{
    see_ec2_ids describe-instance-status "InstanceStatuses[].['checks',InstanceId,
        InstanceStatus.Status,SystemStatus.Status]"
}

# By id: this call knows no tags.
see_ec2_ids()
{
    local key list=()
    for key in "${!have[@]}"; do
        [[ $key != instance/* ]] || list+=("${have[$key]}")
    done
    [[ ${#list[@]} -gt 0 ]] || return 0
    aws_call ec2 "$1" --output text --query "$2" --instance-ids "${list[@]}" \
        --include-all-instances
}

# What the instances say: "PART WORDS" of those that are not well, or nothing.
see_well()
{
    machines_well || true
}

parts_look()
{
    local part key state checks said
    [[ $quick -eq 1 ]] || said=$(< "$aws_work/see/well")
    for part in $(instance_parts); do
        key=instance/$part
        state=$(about_field "$key" 1)
        checks=${have[checks/${have[$key]-}]-}/$(about_field "checks/${have[$key]-}" 1)
        ready[$part]=false
        if [[ -z ${have[$key]-} ]]; then
            words[$part]='is not there; infra/up.sh aws makes it'
        elif [[ $state != running ]]; then
            words[$part]=$state
        elif [[ $checks == *impaired* ]]; then
            words[$part]="checks of AWS: $checks (instance/host)"
        elif [[ $quick -eq 0 ]] && grep -q "^\($part\|all\):" <<< "$said"; then
            words[$part]=$(grep "^\($part\|all\):" <<< "$said" | head -n 1)
            words[$part]=${words[$part]#*: }
        else
            ready[$part]=true
            words[$part]=ready
            [[ $quick -eq 0 ]] || words[$part]=running
        fi
        [[ ${ready[$part]} == true ]] || all_ready=0
    done
}

# What the nodes themselves say of it, where it has changed.
source_words()
{
    [[ $source_term -eq 0 ]] || printf ' of term %d' "$source_term"
    [[ $source_stage != decided ]] || printf ', which is to take over and has not yet'
}

part_public()
{
    about_field "eip/eip-$1" 1
}

text_print()
{
    local part key
    say "$aws_name in $aws_region, account $aws_account: $(cluster_setting nodes) nodes," \
        "$(cluster_setting flavor), source $(cluster_setting source node1)$(source_words)"
    printf '%-12s %-20s %-16s %-16s %-14s %-12s %s\n' PART INSTANCE ADDRESS PUBLIC ZONE TYPE STATE
    for part in $(instance_parts); do
        key=instance/$part
        printf '%-12s %-20s %-16s %-16s %-14s %-12s %s\n' "$part" "${have[$key]:--}" \
            "$(about_field "eni/eni-$part" 1)" "$(part_public "$part")" \
            "$(about_field "$key" 4)" "$(about_field "$key" 3)" "${words[$part]}"
    done
    say "packages: $(cluster_setting packages)"
    if [[ ${#aws_surplus[@]} -gt 0 ]]; then
        say "there twice, from runs that were cut off: ${aws_surplus[*]}"
    fi
}

json_member()
{
    printf '%s:%s' "$(json_text "$1")" "$(json_text "$2")"
}

json_print()
{
    local part key list=() settings=() up=false IFS=,
    [[ $all_ready -eq 0 ]] || up=true
    for key in "${!cluster_settings[@]}"; do
        settings+=("$(json_member "$key" "${cluster_settings[$key]}")")
    done
    while IFS= read -r part; do
        key=instance/$part
        list+=("{$(json_member part "$part"),$(json_member id "${have[$key]-}"),$(
            json_member address "$(about_field "eni/eni-$part" 1)"),$(
            json_member public "$(part_public "$part")"),$(
            json_member zone "$(about_field "$key" 4)"),$(
            json_member state "${words[$part]}"),\"ready\":${ready[$part]}}")
    done < <(instance_parts)
    printf '{%s,%s,"up":%s,"settings":{%s},"parts":[%s]}\n' "$(json_member name "$aws_name")" \
        "$(json_member region "$aws_region")" "$up" "${settings[*]}" "${list[*]}"
}

main()
{
    local second=(checks)
    aws_options "quick json" "" "$@"
    aws_env_read
    aws_begin "${name:-${PORTCULLIS_AWS_NAME-}}" "${region:-${PORTCULLIS_AWS_REGION-}}"
    aws_see settings instance eni eip
    if [[ -z ${have[memory/cluster]-} ]]; then
        printf 'there is no cluster %s in %s; infra/up.sh aws makes one\n' \
            "$aws_name" "$aws_region" >&2
        return 3
    fi
    memory_settings_read
    [[ $quick -eq 1 ]] || second+=(well)
    aws_see "${second[@]}"
    [[ $quick -eq 1 ]] || source_learn
    parts_look
    if [[ $json -eq 1 ]]; then
        json_print
    else
        text_print
    fi
    [[ $all_ready -eq 1 ]] || return 3
}

main "$@"
