#!/usr/bin/env bash
# down.sh - deletes a Portcullis cluster on AWS, with its data, and leaves nothing of it.
#
#   infra/down.sh aws --name NAME [--region R] [--dry-run] [--yes]
#
#   --dry-run    list what would be deleted, delete nothing
#   --yes        do not ask
#
# Everything that carries the tag portcullis:cluster=NAME goes: also what an up.sh left that
# was killed half-way, and what an earlier down.sh did not come to.  It lists all of it first.
#
# Exit: 0 nothing of the cluster is left; 1 something could not be deleted, and it says what;
# 64 usage.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=infra/aws/lib.sh
. "$PCL_CHECKOUT/infra/aws/lib.sh"

readonly kinds_all="instance template endpoint nat eip eni secret role profile bucket \
sg subnet rt igw vpc volume"
name=
region=
dry_run=0
yes=0
deleted=0 # then: 1
declare -A ids=() # of a kind, surplus ones too, with blanks between

# --- What is there ---------------------------------------------------------------

look()
{
    local key kind one
    have=() about=() aws_surplus=() ids=()
    aws_see tagged secrets_listed
    # shellcheck disable=SC2046,SC2086 # words
    aws_see $(aws_kinds ${kinds_all/ secret / })
    aws_see "secrets $(secret_parts)"
    for key in "${!have[@]}"; do
        [[ $key != object/* ]] || continue
        kind=${key%%/*}
        [[ $kind != listed || $deleted -eq 1 ]] || kind=secret
        ids[$kind]+="${have[$key]} "
    done
    for one in "${aws_surplus[@]}"; do
        ids[${one%% *}]+="${one#* } "
    done
    # The main route table goes with its VPC; it cannot be deleted by itself.
    if [[ -n ${have[rt/rt-private]-} ]]; then
        ids[rt]=${ids[rt]/"${have[rt/rt-private]} "/}
    fi
    left=0
    for kind in $kinds_all; do
        [[ -z ${ids[$kind]-} ]] || left=1
    done
}

# Whose secrets must be asked for by their names: those of every part that has an interface,
# which comes before its secret and goes after it.  Those that AWS lists are there, before
# anything is deleted; afterwards its list is not to be trusted.
secret_parts()
{
    local key
    {
        printf 'cluster\n'
        for key in "${!have[@]}"; do
            case $key in
                listed/*) printf '%s\n' "${key#*/}" ;;
                eni/eni-*) printf '%s\n' "${key#eni/eni-}" ;;
            esac
        done
    } | sort -u | while IFS= read -r key; do
        [[ $deleted -eq 0 && -n ${have[listed/$key]-} ]] || printf '%s ' "$key"
    done
}

list_print()
{
    local kind one part key
    for kind in $kinds_all; do
        for one in ${ids[$kind]-}; do
            part=again
            for key in "${!have[@]}"; do
                [[ ${have[$key]} != "$one" || $key != @("$kind"|listed)/* ]] || part=${key#*/}
            done
            printf '  - %-10s %-22s %s\n' "$kind" "$part" "$one"
        done
    done
}

# --- Deleting --------------------------------------------------------------------

# delete_each FUNCTION KIND: "FUNCTION ID" a line.
delete_each()
{
    local one
    for one in ${ids[$2]-}; do
        printf '%s %s\n' "$1" "$one"
    done
}

delete_instances()
{
    local list deadline=$((SECONDS + 600)) states
    read -r -a list <<< "${ids[instance]-}"
    [[ ${#list[@]} -gt 0 ]] || return 0
    aws_settle ec2 terminate-instances --instance-ids "${list[@]}"
    while :; do
        states=$(aws_find ec2 describe-instances --instance-ids "${list[@]}" --output text \
            --query "Reservations[].Instances[?State.Name!='terminated'][].[InstanceId]")
        [[ -n $states ]] || break
        [[ $SECONDS -lt $deadline ]] || fail "these do not terminate: ${states//$'\n'/ }"
        sleep "${PORTCULLIS_AWS_POLL_S:-5}"
    done
    say "instances: terminated"
}

delete_template()
{
    aws_settle ec2 delete-launch-template --launch-template-id "$1"
}

delete_endpoints()
{
    local list
    read -r -a list <<< "${ids[endpoint]-}"
    [[ ${#list[@]} -gt 0 ]] || return 0
    aws_settle ec2 delete-vpc-endpoints --vpc-endpoint-ids "${list[@]}"
}

# wait_gone FUNCTION WORDS: until FUNCTION sees nothing any more, also of an earlier run.
wait_gone()
{
    local words deadline=$((SECONDS + 900)) told=0
    while :; do
        words=$("$1")
        [[ -n $words ]] || break
        [[ $SECONDS -lt $deadline ]] || fail "$2: not gone after a quarter of an hour"
        if [[ $told -eq 0 ]]; then
            say "$2: waiting until AWS has deleted them (some minutes)"
            told=1
        fi
        sleep "${PORTCULLIS_AWS_POLL_S:-5}"
    done
}

delete_nat()
{
    aws_settle ec2 delete-nat-gateway --nat-gateway-id "$1"
}

delete_eip()
{
    local association
    association=$(about_field "id/$1" 3)
    if [[ -n $association ]]; then
        aws_settle ec2 disassociate-address --association-id "$association"
    fi
    aws_settle ec2 release-address --allocation-id "$1"
}

delete_eni()
{
    aws_settle ec2 delete-network-interface --network-interface-id "$1"
}

delete_secret()
{
    aws_settle secretsmanager delete-secret --secret-id "$1" --force-delete-without-recovery
}

delete_role()
{
    local role=$1 policy part
    part=${role#"$(role_name '')"}
    policy=$(about_field "role/$part" 1)
    if [[ -n ${have[profile/$part]-} && -n $(about_field "profile/$part" 1) ]]; then
        aws_settle iam remove-role-from-instance-profile --instance-profile-name "$role" \
            --role-name "$role"
    fi
    for policy in ${policy//,/ }; do
        aws_settle iam delete-role-policy --role-name "$role" --policy-name "$policy"
    done
    aws_settle iam delete-role --role-name "$role"
}

# After its role was taken out of it.
delete_profile()
{
    aws_settle iam delete-instance-profile --instance-profile-name "$1"
}

delete_bucket()
{
    aws_settle s3 rm --recursive --only-show-errors "s3://$1"
    aws_settle s3api delete-bucket --bucket "$1" --expected-bucket-owner "$aws_account"
}

# Groups name each other in their rules, so the rules go first.
delete_rules()
{
    local group=$1 way list key
    for way in False:ingress True:egress; do
        list=()
        for key in "${!have[@]}"; do
            if [[ $key == rule/* && ${have[$key]} == "$group" \
                && ${about[$key]} == "${way%:*}"* ]]; then
                list+=("${key#rule/}")
            fi
        done
        [[ ${#list[@]} -eq 0 ]] || aws_settle ec2 "revoke-security-group-${way#*:}" \
            --group-id "$group" --security-group-rule-ids "${list[@]}"
    done
}

delete_sg()
{
    aws_settle ec2 delete-security-group --group-id "$1"
}

delete_subnet()
{
    aws_settle ec2 delete-subnet --subnet-id "$1"
}

# Its associations went with their subnets, unless it was not us who made them.
delete_rt()
{
    local list one
    list=$(about_field "id/$1" 3)
    for one in ${list//,/ }; do
        aws_settle ec2 disassociate-route-table --association-id "$one"
    done
    aws_settle ec2 delete-route-table --route-table-id "$1"
}

delete_igw()
{
    local vpc
    vpc=$(about_field "id/$1" 1)
    if [[ -n $vpc ]]; then
        aws_settle ec2 detach-internet-gateway --internet-gateway-id "$1" --vpc-id "$vpc"
    fi
    aws_settle ec2 delete-internet-gateway --internet-gateway-id "$1"
}

delete_vpc()
{
    aws_settle ec2 delete-vpc --vpc-id "$1"
}

delete_volume()
{
    aws_settle ec2 delete-volume --volume-id "$1"
}

# What uses goes before what is used.
delete_all()
{
    local now
    if [[ -n ${ids[sg]-} ]]; then
        aws_see rules
    fi
    mapfile -t now < <(delete_each delete_template template && delete_each delete_secret secret
        delete_each delete_role role && delete_each delete_bucket bucket
        delete_each delete_nat nat && delete_each delete_rules sg)
    aws_side_by_side delete_instances delete_endpoints "${now[@]}"
    say "templates, secrets, roles, bucket, rules: deleted"
    now=()
    [[ " ${!have[*]}" != *" tagged/vpce-"* ]] || now+=("wait_gone see_endpoint_leaving endpoints")
    [[ " ${!have[*]}" != *" tagged/nat-"* ]] || now+=("wait_gone see_nat_leaving NAT-gateways")
    aws_side_by_side "${now[@]}"
    mapfile -t now < <(delete_each delete_eip eip && delete_each delete_eni eni
        delete_each delete_profile profile && delete_each delete_volume volume)
    aws_side_by_side "${now[@]}"
    mapfile -t now < <(delete_each delete_sg sg && delete_each delete_subnet subnet
        delete_each delete_igw igw)
    aws_side_by_side "${now[@]}"
    mapfile -t now < <(delete_each delete_rt rt)
    aws_side_by_side "${now[@]}"
    mapfile -t now < <(delete_each delete_vpc vpc)
    aws_side_by_side "${now[@]}"
    say "addresses, groups, subnets, VPC: deleted"
}

main()
{
    local kind one
    aws_options "dry-run yes" "" "$@"
    aws_env_read
    aws_begin "${name:-${PORTCULLIS_AWS_NAME-}}" "${region:-${PORTCULLIS_AWS_REGION-}}" lock
    look
    if [[ $left -eq 0 ]]; then
        say "nothing of $aws_name is in $aws_region, account $aws_account"
        exit 0
    fi
    say "Of $aws_name in $aws_region, account $aws_account, with all its data:"
    list_print
    [[ $dry_run -eq 0 ]] || exit 0
    [[ $yes -eq 1 ]] || aws_confirm "Delete all of it?"
    delete_all
    deleted=1
    for kind in "${!ids[@]}"; do
        for one in ${ids[$kind]} ${have[rt/rt-private]-}; do
            # shellcheck disable=SC2034 # lib.sh reads it
            aws_gone[$one]=1
        done
    done
    # What only now can be seen: something that AWS was still making, or that had no part.
    look
    if [[ $left -ne 0 ]]; then
        list_print
        fail "these are left; the same command again tries once more"
    fi
    rm -f "$aws_folder/client.bundle"
    say "nothing of $aws_name is left in $aws_region"
}

main "$@"
