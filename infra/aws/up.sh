#!/usr/bin/env bash
# up.sh - a Portcullis cluster on AWS: network, secrets, roles, packages and instances.
#
#   infra/up.sh aws --name NAME [options]
#
#   --name NAME            the cluster, of 1 to 20 letters a-z, digits and dashes
#   --region R             default: AWS_REGION, or what aws configure was told
#   --nodes N              database nodes, 1 to 9: a source and N - 1 replicas (default 3);
#                          more may be asked for later, not fewer
#   --gatekeepers N        1 to 4 (default 1)
#   --proxies N            1 to 8 side by side, over the zones (default 1)
#   --flavor F             mariadb (default) or mysql
#   --release R            of the instances: 12 (default), 13, ubuntu-22.04 or ubuntu-24.04
#   --instance-type T      of instances that are made from now on; or TIER=T, which may come
#                          several times: TIER is gatekeeper, broker, proxy, node or client
#   --volume-size GB       of a database node (default 40)
#   --image-id AMI         another image than the newest of the release
#   --packages DIR         what infra/package.sh made (default: it is asked to)
#   --zones N              availability zones, 1 to 3 (default: up to 3)
#   --vpc-cidr C           a /16 for the VPC (default 10.77.0.0/16)
#   --vpc-id ID --subnet-id ID   use these instead of making a VPC
#   --client-cidr C        who may reach the gatekeepers' port (default 0.0.0.0/0; without its
#                          key nobody is let in)
#   --nat                  a NAT gateway, so that instances can reach mirrors (they need none)
#   --policy FILE          the broker's policy from now on
#   --clients FILE         the gatekeepers' list of clients' keys from now on
#   --bench                also a client instance, which stays until down.sh; compares the
#                          strategies from there, and brings benchmark_results.txt and
#                          report.html back (PORTCULLIS_AWS_BENCH_LOAD: its options, default
#                          "--clients 32 --time 10 --rounds 3")
#   --accept-loss          the source is gone, and not all replicas can be asked for what they
#                          have of its writes: go on with those that can
#   --no-wait              do not wait until all instances are well
#   --dry-run              check and print the plan, change nothing
#   --yes                  do not ask
#
# What is not given comes from the environment (--nodes from PORTCULLIS_AWS_NODES and so on),
# then from infra/aws.env (lines NAME=value), and for the VPC and the subnet from vpc_id.txt and
# subnet_id.txt in the AWS configuration folder.  A cluster that is there keeps what is not
# given at all, and the network that it was made in.
#
# Run again, it makes what is missing, and leaves the rest alone; so it does after it was
# killed, at whatever step.  infra/status.sh aws shows the cluster, infra/down.sh aws deletes it.
#
# Exit: 0 the cluster is up; 1 something failed, and it says what; 3 it is there, but not all
# of it was well in time; 64 usage.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=infra/aws/lib.sh
. "$PCL_CHECKOUT/infra/aws/lib.sh"
# shellcheck source=infra/aws/network.sh
. "$PCL_CHECKOUT/infra/aws/network.sh"
# shellcheck source=infra/aws/identity.sh
. "$PCL_CHECKOUT/infra/aws/identity.sh"
# shellcheck source=infra/aws/config.sh
. "$PCL_CHECKOUT/infra/aws/config.sh"
# shellcheck source=infra/aws/machines.sh
. "$PCL_CHECKOUT/infra/aws/machines.sh"
# shellcheck source=infra/aws/bench.sh
. "$PCL_CHECKOUT/infra/aws/bench.sh"
# shellcheck source=infra/aws/prices.sh
. "$PCL_CHECKOUT/infra/aws/prices.sh"
# shellcheck source=infra/aws/first-boot-fill.sh
. "$PCL_CHECKOUT/infra/aws/first-boot-fill.sh"

mode=plan # then: run
dry_run=0
yes=0
wait_health=1
accept_loss=0 # machines.sh reads it
name=
region=
packages_from=
policy_from=
clients_from=
declare -A asked=() # settings that this run was given
declare -A filed=() # of a network, for a cluster that is not there yet
zones=()
plan=()
memory=
memory_sum=
data_before=0 # a node of it was there before this run

# --- Options -------------------------------------------------------------------

options_read()
{
    while [[ $# -gt 0 ]]; do
        case $1 in
            --dry-run) dry_run=1 ;;
            --yes) yes=1 ;;
            --no-wait) wait_health=0 ;;
            --accept-loss) accept_loss=1 ;;
            --nat) asked[nat]=1 ;;
            --bench) asked[bench]=1 ;;
            -h | --help)
                help_print "${BASH_SOURCE[0]}"
                exit 0
                ;;
            --*)
                [[ " $options_valued " == *" ${1#--} "* ]] || usage_fail "unknown option: $1"
                [[ $# -ge 2 ]] || usage_fail "$1 wants a value"
                option_set "${1#--}" "$2"
                shift
                ;;
            *) usage_fail "unknown option: $1" ;;
        esac
        shift
    done
}

readonly options_valued="name region nodes gatekeepers proxies flavor release instance-type \
volume-size image-id packages zones vpc-cidr vpc-id subnet-id client-cidr policy clients"

option_set()
{
    local option=$1 value=$2 tier
    option_check "$option" "$value"
    [[ $option != *-cidr ]] || value=$(cidr_plain "$value") \
        || usage_fail "--$option: there is no network '$2'"
    case $option in
        name) name=$value ;;
        region) region=$value ;;
        packages) packages_from=$value ;;
        policy) policy_from=$value ;;
        clients) clients_from=$value ;;
        instance-type)
            if [[ $value == *=* ]]; then
                asked[type.${value%%=*}]=${value#*=}
            else
                for tier in $aws_tiers; do
                    asked[type.$tier]=$value
                done
            fi
            ;;
        image-id) asked[image]=$value ;;
        *) asked[${option//-/_}]=$value ;;
    esac
}

# cidr_plain A.B.C.D/N: as AWS keeps it, without bits of a host; 1 when there is no such
# network.
cidr_plain()
{
    local octets bits=${1#*/} one address=0 mask
    IFS=. read -r -a octets <<< "${1%/*}"
    for one in "${octets[@]}"; do
        [[ $((10#$one)) -le 255 ]] || return 1
        address=$(((address << 8) | 10#$one))
    done
    [[ $((10#$bits)) -le 32 ]] || return 1
    bits=$((10#$bits))
    mask=$(((0xffffffff << (32 - bits)) & 0xffffffff))
    address=$((address & mask))
    printf '%d.%d.%d.%d/%d\n' $((address >> 24)) $((address >> 16 & 255)) \
        $((address >> 8 & 255)) $((address & 255)) "$bits"
}

# What a value of an option must look like, and what is said of one that does not.
option_check()
{
    local option=$1 value=$2 form words
    case $option in
        nodes) form='^[1-9]$' words='1 to 9' ;;
        gatekeepers) form='^[1-4]$' words='1 to 4' ;;
        proxies) form='^[1-8]$' words='1 to 8' ;;
        zones) form='^[1-3]$' words='1 to 3' ;;
        flavor) form='^(mariadb|mysql)$' words='mariadb or mysql' ;;
        release)
            form='^(12|13|ubuntu-2[24]\.04)$' words='12, 13, ubuntu-22.04 or ubuntu-24.04'
            ;;
        instance-type)
            form='^((gatekeeper|broker|proxy|node|client)=)?[a-z][a-z0-9-]*\.[a-z0-9-]+$'
            words='a type such as m6i.large, or TIER=TYPE'
            ;;
        volume-size)
            form='^([1-9][0-9]{1,3}|1[0-5][0-9]{3})$'
            words='10 to 15999 (GB)'
            ;;
        vpc-cidr) form='^([0-9]{1,3}\.){2}0\.0/16$' words='a network such as 10.77.0.0/16' ;;
        client-cidr) form='^([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}$' words='a network, A.B.C.D/N' ;;
        vpc-id) form='^vpc-[0-9a-f]+$' words='vpc-...' ;;
        subnet-id) form='^subnet-[0-9a-f]+$' words='subnet-...' ;;
        image-id) form='^ami-[0-9a-f]+$' words='ami-...' ;;
        region) form='^[a-z]{2}(-[a-z]+)+-[0-9]$' words='a region such as eu-central-1' ;;
        packages) [[ -d $value ]] || usage_fail "--packages: there is no folder $value" ;;
        policy | clients) [[ -r $value ]] || usage_fail "--$option: $value cannot be read" ;;
    esac
    [[ -z ${form-} || $value =~ $form ]] || usage_fail "--$option wants $words, not '$value'"
    [[ $option != instance-type || ! ${value#*=} =~ ^(a1|[a-z]+[0-9]+[a-z]*g[a-z]*)\. ]] \
        || usage_fail "--instance-type: ${value#*=} is of ARM, the packages are for x86_64"
}

# What the command line left open.
options_environment()
{
    local option variable folder
    for option in $options_valued nat bench; do
        variable=PORTCULLIS_AWS_${option^^}
        variable=${variable//-/_}
        if [[ -n ${!variable-} ]]; then
            option_default "$option" "${!variable}"
        fi
    done
    folder=$(dirname "${AWS_CONFIG_FILE:-$HOME/.aws/config}")
    for option in vpc-id subnet-id; do
        if [[ -s $folder/${option//-/_}.txt ]]; then
            filed[${option//-/_}]=$(tr -d '[:space:]' < "$folder/${option//-/_}.txt")
            option_check "$option" "${filed[${option//-/_}]}"
        fi
    done
}

option_default()
{
    local option=$1 value=$2 had=${asked[${1//-/_}]-} tier
    case $option in
        name) had=$name ;;
        region) had=$region ;;
        packages) had=$packages_from ;;
        policy) had=$policy_from ;;
        clients) had=$clients_from ;;
        instance-type)
            option_check "$option" "$value"
            for tier in $aws_tiers; do
                [[ $value != *=* || ${value%%=*} == "$tier" ]] || continue
                asked[type.$tier]=${asked[type.$tier]:-${value#*=}}
            done
            return 0
            ;;
        image-id) had=${asked[image]-} ;;
        nat | bench)
            [[ $value != 1 ]] || asked[$option]=1
            return 0
            ;;
    esac
    [[ -n $had ]] || option_set "$option" "$value"
}

# --- Settings --------------------------------------------------------------------

# What is asked for, over what the cluster was made with, over the defaults.
settings_decide()
{
    local key tier
    local -A default=([nodes]=3 [gatekeepers]=1 [proxies]=1 [flavor]=mariadb [release]=12
        [volume_size]=40 [client_cidr]=0.0.0.0/0 [vpc_cidr]=10.77.0.0/16 [nat]=0 [bench]=0
        [source]=node1)
    for tier in gatekeeper broker proxy client; do
        default[type.$tier]=c6i.large
    done
    default[type.node]=m6i.large
    memory=$aws_work/memory
    mkdir -p "$memory"
    memory_settings_read
    memory_sum=$(cluster_setting_sum)
    network_decide
    for key in flavor release vpc_cidr vpc_id subnet_id zones; do
        if [[ -n ${cluster_settings[$key]-} && -n ${asked[$key]-} \
            && ${asked[$key]} != "${cluster_settings[$key]}" ]]; then
            fail "$aws_name has $key ${cluster_settings[$key]}: that cannot be changed;" \
                "infra/down.sh aws deletes it first"
        fi
    done
    for key in nodes gatekeepers proxies; do
        if [[ ${asked[$key]-9} -lt ${cluster_settings[$key]-0} ]]; then
            fail "$aws_name has ${cluster_settings[$key]} $key: it grows, but does not shrink"
        fi
    done
    for key in "${!default[@]}"; do
        [[ -v cluster_settings[$key] ]] || cluster_settings[$key]=${default[$key]}
    done
    for key in "${!asked[@]}"; do
        cluster_settings[$key]=${asked[$key]}
    done
    vpc_cidr=$(cluster_setting vpc_cidr)
    if [[ -z $(cluster_setting vpc_id) && -n $(cluster_setting subnet_id) ]] \
        || [[ -n $(cluster_setting vpc_id) && -z $(cluster_setting subnet_id) ]]; then
        usage_fail "--vpc-id and --subnet-id go together"
    fi
    if net_foreign && [[ $(cluster_setting nat) -eq 1 ]]; then
        usage_fail "--nat is for a VPC that up.sh makes, not for one that was given"
    fi
}

# A cluster stays in the network that it was made in.
network_decide()
{
    local key
    for key in vpc_id subnet_id; do
        if [[ -z ${cluster_settings[zone_names]-} ]]; then
            [[ -n ${asked[$key]-} || -z ${filed[$key]-} ]] || asked[$key]=${filed[$key]}
        elif [[ -n ${asked[$key]-} && -z ${cluster_settings[$key]-} ]]; then
            fail "$aws_name has a VPC of its own: that cannot be changed;" \
                "infra/down.sh aws deletes it first"
        fi
    done
}

# What else must be known before anything is made, and is asked of AWS only once.
settings_look()
{
    local count
    if net_foreign; then
        net_foreign_look
    elif [[ -z $(cluster_setting zone_names) ]]; then
        mapfile -t zones < <(aws_call ec2 describe-availability-zones --output text \
            --filters Name=zone-type,Values=availability-zone Name=state,Values=available \
            --query 'AvailabilityZones[].[ZoneName]' | sort)
        [[ ${#zones[@]} -gt 0 ]] || fail "no availability zone of $aws_region was seen"
        count=${asked[zones]-3}
        [[ ${#zones[@]} -ge $count ]] || count=${#zones[@]}
        cluster_settings[zones]=$count
        cluster_settings[zone_names]="${zones[*]:0:count}"
    fi
    net_endpoints_look
    read -r -a zones <<< "$(cluster_setting zone_names)"
    if [[ -z $(cluster_setting root_device) || -n ${asked[image]-} ]]; then
        image_choose
    fi
    packages_choose
}

# The newest image of the release, as its maker publishes it.
image_choose()
{
    local image words path ubuntu=canonical/ubuntu/server
    image=${asked[image]-}
    if [[ -z $image ]]; then
        case $(cluster_setting release) in
            12 | 13) path=debian/release/$(cluster_setting release)/latest/amd64 ;;
            ubuntu-22.04) path=$ubuntu/22.04/stable/current/amd64/hvm/ebs-gp2/ami-id ;;
            ubuntu-24.04) path=$ubuntu/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id ;;
        esac
        image=$(aws_call ssm get-parameter --name "/aws/service/$path" --output text \
            --query Parameter.Value) || fail "no image of the release: --image-id names one"
    fi
    words=$(aws_call ec2 describe-images --image-ids "$image" --output text \
        --query 'Images[0].[RootDeviceName,Architecture]') || fail "there is no image $image"
    [[ $words == *x86_64 ]] || fail "$image is not for x86_64, which the packages are for"
    cluster_settings[image]=$image
    cluster_settings[root_device]=${words%%$'\t'*}
}

packages_choose()
{
    local release sum
    if [[ -z $packages_from && -n $(cluster_setting packages) ]]; then
        [[ -z ${have[object/$(cluster_setting packages)/SUM]-} ]] || return 0
    fi
    release=$(cluster_setting release)
    [[ $release == ubuntu-* ]] || release=debian-$release
    if [[ -z $packages_from ]]; then
        packages_from=$PCL_CHECKOUT/build/packages/$release
        if [[ ! -s $packages_from/SUM ]]; then
            packages_flavor "$release" /dev/null
            if [[ $dry_run -eq 1 ]]; then
                change "packages of $release (infra/package.sh)" || true
                cluster_settings[packages]=packages/$release/new cluster_settings[packages_sum]=new
                return 0
            fi
            say "making the packages (infra/package.sh)"
            "$PCL_CHECKOUT/infra/package.sh" --release "$(cluster_setting release)" \
                --flavor "$(cluster_setting flavor)"
        fi
    fi
    [[ -s $packages_from/SHA256SUMS ]] || fail "$packages_from holds no SHA256SUMS"
    packages_flavor "$release" "$packages_from/SHA256SUMS"
    sum=$(sha256sum < "$packages_from/SHA256SUMS")
    sum=${sum%% *}
    [[ ! -s $packages_from/SUM || $(< "$packages_from/SUM") == "$sum" ]] \
        || fail "$packages_from: SUM is not that of SHA256SUMS"
    cluster_settings[packages]=packages/$release/${sum:0:12}
    cluster_settings[packages_sum]=$sum
}

# packages_flavor RELEASE SUMS: a folder may hold both servers, but not only the one that this
# cluster does not have.
packages_flavor()
{
    local release=$1 sums=$2 flavor other=mysql
    flavor=$(cluster_setting flavor)
    [[ $flavor == mariadb ]] || other=mariadb
    if grep -q "  ${flavor}-server_" "$sums"; then
        return 0
    fi
    [[ $release == ubuntu-* || $flavor != mysql ]] \
        || fail "Debian has no MySQL server: Ubuntu has, or --packages names a" \
            "folder of infra/package.sh --extra with one"
    ! grep -q "  ${other}-server_" "$sums" \
        || fail "$packages_from holds $other, and this cluster has $flavor:" \
            "infra/package.sh --flavor $flavor makes another"
}

# --- Changes ---------------------------------------------------------------------

# change WORDS: while planning it is noted, and 1 keeps the caller from doing it.
change()
{
    if [[ $mode == plan ]]; then
        plan+=("$1")
        return 1
    fi
    say "$1"
}

# made KIND PART ID [ABOUT]: what a change brought, for those that come after it.
made()
{
    have[$1/$2]=$3
    about[$1/$2]=${4-}
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "${4-}" >> "$aws_work/made"
}

# Steps that do not need each other.
steps()
{
    local one
    if [[ $mode == plan ]]; then
        for one in "$@"; do
            $one
        done
        return 0
    fi
    : > "$aws_work/made"
    aws_side_by_side "$@"
    aws_take "$aws_work/made"
}

# step_each FUNCTION PART...: "FUNCTION PART" a line.
step_each()
{
    local function=$1 part
    shift
    for part in "$@"; do
        printf '%s %s\n' "$function" "$part"
    done
}

# All of the cluster: each group of steps needs what the ones before it made.
steps_all()
{
    local parts tiers gates=() numbers now part
    # Of a VPC of our own: what comes first, what needs the VPC, what needs its parts.
    local own=(net_vpc net_igw net_table_public net_table_private net_names net_igw_attach
        net_group_default net_route_public net_nat)
    ! net_foreign || own=()
    mapfile -t parts < <(instance_parts)
    mapfile -t tiers < <(net_tiers)
    mapfile -t numbers < <(seq "$(cluster_setting zones)")
    identity_memory
    source_promote
    ! net_public || mapfile -t gates < <(cluster_parts gatekeeper)
    mapfile -t now < <(step_each machine_address "${gates[@]}")
    steps "${own[@]:0:2}" identity_bucket "${now[@]}"
    mapfile -t now < <(step_each net_group "${tiers[@]}" endpoint)
    if ! net_foreign; then
        mapfile -t -O "${#now[@]}" now < <(step_each "net_subnet private" "${numbers[@]}"
            step_each "net_subnet public" "${numbers[@]}")
    fi
    steps "${own[@]:2:5}" "${now[@]}" identity_packages
    mapfile -t now < <(step_each net_group_rules "${tiers[@]}" endpoint
        step_each machine_interface "${parts[@]}")
    net_foreign || mapfile -t -O "${#now[@]}" now < <(step_each net_associate "${numbers[@]}")
    # shellcheck disable=SC2086 # words
    mapfile -t -O "${#now[@]}" now < <(step_each net_endpoint $aws_endpoints)
    steps "${own[@]:7:1}" "${now[@]}"
    mapfile -t now < <(step_each identity_part "${parts[@]}"
        step_each machine_address_use "${gates[@]}")
    steps "${own[@]:8}" machine_configs "${now[@]}"
    # Inner parts first: nobody shall be told of a neighbour that does not know him yet.
    for part in "${parts[@]}"; do
        machine_configure "$part"
    done
    # A replica without a source is taken for one that has outlived it.
    steps "machine_instance $(source_part)"
    mapfile -t now < <(step_each machine_instance "${parts[@]}" \
        | grep -vx "machine_instance $(source_part)")
    steps "${now[@]}"
}

identity_part()
{
    identity_secret "$1"
    identity_role "$1"
}

# Configurations; while planning, an address may not be known yet.
machine_configs()
{
    local part parts known=1 differ=()
    mapfile -t parts < <(instance_parts)
    for part in "${parts[@]}"; do
        [[ -n ${have[eni/eni-$part]-} ]] || known=0
    done
    [[ $mode == run || -z $(identity_missing) ]] || known=0
    for part in "${parts[@]}"; do
        if [[ $known -eq 1 ]]; then
            config_pack "$part"
            config_same "$part" || ! change "configuration of $part" || differ+=("$part")
        elif [[ -z ${have[object/config/$part.tar.gz]-} ]]; then
            change "configuration of $part" || true
        fi
    done
    config_put "${differ[@]}"
}

# --- Main ------------------------------------------------------------------------

plan_print()
{
    local one
    say "Plan for $aws_name in $aws_region:"
    for one in "${plan[@]}"; do
        say "  + $one"
    done
}

look()
{
    aws_see tagged memory instance role profile bucket prefix
    # shellcheck disable=SC2046 # words
    aws_see $(aws_kinds vpc subnet igw rt sg eni eip nat endpoint template)
    [[ -z ${have[vpc/vpc]-} ]] || aws_see names default_group
    [[ -z $(see_groups) ]] || aws_see rules
}

last_words()
{
    local bundle=$aws_folder/client.bundle
    (umask 077 && bundle_write "$bundle")
    say ""
    say "$aws_name is up. A client needs one file: $bundle"
    say "  export PORTCULLIS_BUNDLE=${bundle@Q}"
    say "  portcullis query 'SELECT 1'"
    say "  infra/status.sh aws --name $aws_name --region $aws_region"
    say "  infra/down.sh aws --name $aws_name --region $aws_region"
}

main()
{
    local key code=0
    options_read "$@"
    aws_env_read
    options_environment
    aws_begin "$name" "$region" lock
    say "$aws_name in $aws_region: account $aws_account, as $aws_caller"
    look
    settings_decide
    # Without a memory there are no secrets either, unless a down.sh was killed.
    [[ -z ${have[memory/cluster]-} ]] || aws_see "secrets $(instance_parts | tr '\n' ' ')"
    settings_look
    for key in policy clients; do
        local -n from=${key}_from
        [[ -z $from ]] || cp "$from" "$memory/${key/policy/policy.cfg}"
    done
    # A promotion that was begun is carried out first: the nodes hear of it only then.
    [[ -n $(cluster_setting promoting) ]] || source_learn
    source_choose
    steps_all
    if [[ ${#plan[@]} -eq 0 ]]; then
        say "$aws_name in $aws_region: nothing to change"
    else
        plan_print
        prices_print
        quotas_check
        [[ $dry_run -eq 0 ]] || return 0
        [[ $yes -eq 1 ]] || aws_confirm "Do this?"
        mode=run
        steps_all
    fi
    [[ $dry_run -eq 0 ]] || return 0
    donors_open || warn "the source does not let its replicas in yet that clone it"
    if [[ $wait_health -eq 1 ]]; then
        if machines_wait; then
            donors_close
            [[ ${asked[bench]-0} -eq 0 ]] || bench_run || code=3
        else
            code=3
        fi
    fi
    last_words
    return "$code"
}

main "$@"
