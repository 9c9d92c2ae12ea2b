# shellcheck shell=bash
# machines.sh - the instances of a cluster: an address that outlives each, a launch template,
# the instance, and whether it is well.  Sourced by up.sh.
# shellcheck disable=SC2154 # variables of up.sh

# --- Addresses -------------------------------------------------------------------

# Nodes over the zones, and proxies too; the broker beside the first of both, to save a way;
# gatekeepers in public subnets, over the zones.
part_subnet()
{
    local number=${1##*[a-z]} kind=private
    [[ $(part_tier "$1") != gatekeeper ]] || kind=public
    printf '%s-%d\n' "$kind" $(((${number:-1} - 1) % $(cluster_setting zones 3) + 1))
}

# A network interface of its own keeps the private address when the instance is replaced:
# the neighbours' configurations stay true.
machine_interface()
{
    local part=$1 subnet id words
    [[ -z ${have[eni/eni-$part]-} ]] || return 0
    subnet=$(part_subnet "$part")
    change "network interface eni-$part in $subnet" || return 0
    words=$(aws_call ec2 create-network-interface --subnet-id "${have[subnet/$subnet]}" \
        --groups "$(group_id "$(part_tier "$part")")" --description "$aws_name $part" \
        --tag-specifications "$(aws_tags network-interface "eni-$part")" --output text \
        --query 'NetworkInterface.[NetworkInterfaceId,PrivateIpAddress,SubnetId]')
    IFS=$'\t' read -r id words <<< "$words"
    made eni "eni-$part" "$id" "$words"$'\t'available
}

# The public address of a gatekeeper, which bundles name.
machine_address()
{
    local part=$1 words id
    [[ -z ${have[eip/eip-$part]-} ]] || return 0
    change "public address eip-$part" || return 0
    words=$(aws_call ec2 allocate-address --domain vpc --output text \
        --query '[AllocationId,PublicIp]' \
        --tag-specifications "$(aws_tags elastic-ip "eip-$part")")
    IFS=$'\t' read -r id words <<< "$words"
    made eip "eip-$part" "$id" "$words"
}

machine_address_use()
{
    local part=$1
    if [[ -n ${have[eni/eni-$part]-} \
        && $(about_field "eip/eip-$part" 2) == "${have[eni/eni-$part]}" ]]; then
        return 0
    fi
    change "public address eip-$part: of eni-$part" || return 0
    aws_call ec2 associate-address --allocation-id "${have[eip/eip-$part]}" \
        --network-interface-id "${have[eni/eni-$part]}" > /dev/null
}

# --- Templates -------------------------------------------------------------------

machine_type()
{
    local tier
    tier=$(part_tier "$1")
    cluster_setting "type.$tier"
}

machine_volume()
{
    if [[ $(part_tier "$1") == node ]]; then
        cluster_setting volume_size
    else
        printf '10\n'
    fi
}

# A new replica of a cluster that has data clones its source: the source's address.
machine_donor()
{
    local source
    source=$(source_part)
    if [[ $(part_tier "$1") == node && $1 != "$source" && $data_before -eq 1 ]]; then
        part_address "$source"
    fi
}

# What first boot is told.
machine_user_data()
{
    local part=$1 number=${1##*[a-z]}
    first_boot_fill "CLUSTER=$aws_name" "PART=$part" "TIER=$(part_role "$part")" \
        "REGION=$aws_region" "BUCKET=$aws_bucket" "SECRET_ID=portcullis/$aws_name/$part" \
        "PACKAGES=$(cluster_setting packages)" "PACKAGES_SUM=$(cluster_setting packages_sum)" \
        "FLAVOR=$(cluster_setting flavor)" "ADDRESS=$(part_address "$part")" \
        "SERVER_ID=$((1000 + ${number:-0}))" "DONOR=$(machine_donor "$part")"
}

# Metadata only by token, and not beyond the instance itself; every volume encrypted.
machine_template_data()
{
    local part=$1 data
    data=$(machine_user_data "$part" | first_boot_pack)
    cat << JSON
{"ImageId":"$(cluster_setting image)","InstanceType":"$(machine_type "$part")",
"IamInstanceProfile":{"Name":"$(role_name "$part")"},
"MetadataOptions":{"HttpTokens":"required","HttpPutResponseHopLimit":1,
"HttpEndpoint":"enabled","InstanceMetadataTags":"disabled"},
"BlockDeviceMappings":[{"DeviceName":"$(cluster_setting root_device)","Ebs":{"Encrypted":true,
"VolumeSize":$(machine_volume "$part"),"VolumeType":"gp3","DeleteOnTermination":true}}],
"NetworkInterfaces":[{"DeviceIndex":0,"NetworkInterfaceId":"${have[eni/eni-$part]}"}],
"UserData":"$data"}
JSON
}

# Looked at only where an instance is missing: a template that nobody starts may be old.
machine_template()
{
    local part=$1 data=$aws_work/template.$1 id sum
    machine_template_data "$part" > "$data"
    sum=$(sha256sum < "$data")
    sum=${sum:0:12}
    id=${have[template/$part]-}
    if [[ -z $id ]]; then
        id=$(aws_call ec2 create-launch-template --launch-template-name "$aws_name-$part" \
            --launch-template-data "file://$data" --query LaunchTemplate.LaunchTemplateId \
            --output text --tag-specifications "$(machine_template_tags "$part" "$sum")")
        made template "$part" "$id" "$sum"
    elif [[ $(about_field "template/$part" 1) != "$sum" ]]; then
        id=$(aws_call ec2 create-launch-template-version --launch-template-id "$id" \
            --launch-template-data "file://$data" --output text \
            --query LaunchTemplateVersion.VersionNumber)
        aws_call ec2 modify-launch-template --launch-template-id "${have[template/$part]}" \
            --default-version "$id" > /dev/null
        aws_call ec2 create-tags --resources "${have[template/$part]}" \
            --tags "Key=portcullis:sum,Value=$sum"
    fi
}

machine_template_tags()
{
    local tags
    tags=$(aws_tags launch-template "$1")
    printf '%s,{Key=portcullis:sum,Value=%s}]' "${tags%]}" "$2"
}

# --- Instances -------------------------------------------------------------------

machine_instance()
{
    local part=$1 id state
    id=${have[instance/$part]-}
    state=$(about_field "instance/$part" 1)
    if [[ $state == stopp* ]]; then
        change "instance $part: start it again" || return 0
        aws_call ec2 start-instances --instance-ids "$id" > /dev/null
        return 0
    fi
    [[ -z $id ]] || return 0
    change "instance $part, $(machine_type "$part") in $(part_subnet "$part")" || return 0
    machine_template "$part"
    id=$(aws_call ec2 run-instances --output text --query 'Instances[0].InstanceId' \
        --launch-template "LaunchTemplateName=$aws_name-$part,Version=\$Default" \
        --client-token "$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')" \
        --metadata-options HttpTokens=required,HttpPutResponseHopLimit=1,HttpEndpoint=enabled \
        --network-interfaces "DeviceIndex=0,NetworkInterfaceId=${have[eni/eni-$part]}" \
        --tag-specifications "$(machine_tags "$part")" "$(aws_tags volume "$part")")
    made instance "$part" "$id" pending$'\t'"$(part_address "$part")"$'\t\t\t'"$(
        config_sum "$part")"$'\t'"$(machine_donor "$part")"
}

# An instance is also tagged with the configuration that it starts with, and with whom it
# clones until that is done.
machine_tags()
{
    local tags donor
    tags=$(aws_tags instance "$1")
    tags="${tags%]},{Key=portcullis:config,Value=$(config_sum "$1")}"
    donor=$(machine_donor "$1")
    [[ -z $donor ]] || tags+=",{Key=portcullis:donor,Value=$donor}"
    printf '%s]' "$tags"
}

# One that was there before takes a new configuration over.
machine_configure()
{
    local part=$1
    [[ -n ${have[instance/$part]-} && -s $aws_work/config/$part.tar.gz ]] || return 0
    [[ $(about_field "instance/$part" 1) == running ]] || return 0
    [[ $(about_field "instance/$part" 5) != "$(config_sum "$part")" ]] || return 0
    change "instance $part: take its configuration over" || return 0
    config_use "$part"
}

# --- The source ------------------------------------------------------------------

# Without its instance its database is gone: what replicas have is the data.  A new, empty
# source would take it from them, so the replica that has most becomes the source first.
source_choose()
{
    local source part best='' most=-1 count running=() silent=()
    source=$(source_part)
    data_before=0
    for part in $(cluster_parts node); do
        if [[ -n ${have[instance/$part]-} ]]; then
            data_before=1
            [[ $(about_field "instance/$part" 1) != running ]] || running+=("$part")
        fi
    done
    [[ $data_before -eq 1 && -z ${have[instance/$source]-} ]] || return 0
    [[ ${#running[@]} -gt 0 ]] \
        || fail "the source $source is gone, and no replica runs that could take its place"
    source_fence "$source"
    for part in $(nodes_before); do
        [[ $part != "$source" ]] || continue
        if [[ " ${running[*]} " != *" $part "* ]]; then
            silent+=("$part")
            continue
        fi
        count=$(ssm_run "${have[instance/$part]}" 60 portcullis-node position | position_count) || {
            silent+=("$part")
            continue
        }
        if [[ $count -gt $most ]]; then
            best=$part
            most=$count
        fi
    done
    # A write that was acknowledged is on one replica at least: it may be one of these.
    if [[ ${#silent[@]} -gt 0 ]]; then
        [[ -n $best && $accept_loss -eq 1 ]] \
            || fail "the source $source is gone, and ${silent[*]} cannot be asked for what only" \
                "they may have of its writes; try again when they answer, or give what the" \
                "others do not have up for lost with --accept-loss"
        warn "what only ${silent[*]} had of the writes is given up for lost"
    fi
    say "the source $source is gone; $best has most of its data"
    # shellcheck disable=SC2034 # lib.sh reads it
    cluster_settings[source]=$best cluster_settings[promoting]=$best
    # What only the lost source had decided, and told nobody, is the term in between.
    if [[ $source_term -gt 0 ]]; then
        # shellcheck disable=SC2034 # lib.sh reads it
        cluster_settings[succeeds]="$((source_term + 2)) $source $(part_address "$source")"
    fi
}

# The nodes that the cluster had before this run.
nodes_before()
{
    local number count
    count=$(sed -n 's/^nodes=//p' "$aws_work/memory/settings" 2> /dev/null || true)
    for ((number = 1; number <= ${count:-$(cluster_setting nodes)}; number++)); do
        printf 'node%d\n' "$number"
    done
}

# Until an instance that is being terminated is gone: it takes writes up to its end.
source_fence()
{
    local source=$1 left deadline=$((SECONDS + ${PORTCULLIS_AWS_WAIT_S:-900})) told=0
    while :; do
        left=$(see_ec2 describe-instances 'Reservations[].Instances[].[InstanceId]' \
            "Name=tag:portcullis:part,Values=$source" \
            Name=instance-state-name,Values=shutting-down)
        [[ -n $left && $left != None ]] || return 0
        [[ $told -eq 1 ]] || say "the source $source is being terminated: waiting for its end"
        told=1
        [[ $SECONDS -lt $deadline ]] \
            || fail "${left//$'\n'/ } still runs, and may take writes; try again when it is gone"
        sleep "${PORTCULLIS_AWS_POLL_S:-10}"
    done
}

# How many transactions a position stands for: of MariaDB (0-1001-42) the number in the
# domain, of MySQL (UUID:1-42:45) those in all intervals.  1 when there is none: a node of a
# cluster has at least its agent's, so that says nothing of what it holds.
position_count()
{
    tr -d ' \n' | tr ',:' '\n' | awk -F - '
        NF == 3 { sum += $3 }
        NF == 2 { sum += $2 - $1 + 1 }
        NF == 1 && /^[0-9]+$/ { sum += 1 }
        END { if (sum == 0) exit 1; print sum }'
}

# Done after the memory says so, and crossed out there when it is done.  An agent makes of its
# database what its configuration says, or its state file where the source has changed before: it is
# started with the new one.
source_promote()
{
    local part succeeds
    part=$(cluster_setting promoting)
    succeeds=$(cluster_setting succeeds)
    [[ -n $part ]] || return 0
    change "instance $part: becomes the source" || return 0
    ssm_run "${have[instance/$part]}" 600 "systemctl stop portcullis-worker-agent \
        && portcullis-node promote received 500${succeeds:+ && portcullis-node succeed $succeeds}" \
        > "$aws_work/promote" || {
        cat "$aws_work/promote" >&2
        fail "$part could not be made the source"
    }
    unset 'cluster_settings[promoting]' 'cluster_settings[succeeds]'
    identity_memory
}

# The source lets each node in that clones it.  1 when it could not be told, as in its own first
# boot.
declare -A donors_told=()
donors_open()
{
    local part source=${have[instance/$(source_part)]-} failed=0
    for part in $(donors_wanted); do
        if [[ -z ${donors_told[$part]-} ]]; then
            if ssm_run "$source" 60 "portcullis-node donor-open $(part_address "$part")" \
                > /dev/null; then
                donors_told[$part]=1
            else
                failed=1
            fi
        fi
    done
    return "$failed"
}

# Nodes that clone the source until they are well.
donors_wanted()
{
    local part
    [[ -n ${have[instance/$(source_part)]-} ]] || return 0
    for part in $(cluster_parts node); do
        [[ -z $(about_field "instance/$part" 6) ]] || printf '%s\n' "$part"
    done
}

donors_close()
{
    local part source=${have[instance/$(source_part)]-}
    for part in $(donors_wanted); do
        if ! ssm_run "$source" 60 "portcullis-node donor-close $(part_address "$part")" \
            > /dev/null; then
            warn "the source did not close its door for $part, which cloned it; the next" \
                "infra/up.sh aws does"
            continue
        fi
        aws_call ec2 delete-tags --resources "${have[instance/$part]}" \
            --tags Key=portcullis:donor
    done
}

# --- Health ----------------------------------------------------------------------

# Until all are well, or time is up: then 1, and it is said who is not.
machines_wait()
{
    local limit=${PORTCULLIS_AWS_WAIT_S:-900} words last='' deadline
    deadline=$((SECONDS + limit))
    say "waiting until all instances are well (first boot takes some minutes)"
    until words=$(machines_well); do
        donors_open || true
        if [[ $words != "$last" ]]; then
            say "  ${words//$'\n'/$'\n'  }"
            last=$words
        fi
        if [[ $SECONDS -ge $deadline ]]; then
            warn "not all of it was well within $limit s; infra/status.sh aws tells more"
            return 1
        fi
        sleep "${PORTCULLIS_AWS_POLL_S:-10}"
    done
    say "all instances are well"
}
