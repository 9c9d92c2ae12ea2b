# shellcheck shell=bash
# prices.sh - what a cluster costs an hour, and whether the account's quotas have room for it.
# Sourced by up.sh.
#
# Instances and their volumes are nearly all of it: their prices on demand, for Linux in this
# region, are asked of AWS's price list.  The rest, and these where the list does not answer or the
# credentials may not ask, are estimates: what the list prices in US East (N. Virginia) were in
# 2025, from memory; other regions differ by up to a half.  What is billed, AWS alone knows.
# Traffic between zones and to the outside comes on top (docs/aws.md).
# shellcheck disable=SC2154 # variables of up.sh

# TYPE, virtual processors, thousandths of a cent an hour.
readonly price_types="
t3.micro 2 1040
t3.small 2 2080
t3.medium 2 4160
t3.large 2 8320
t3.xlarge 4 16640
c6i.large 2 8500
c6i.xlarge 4 17000
c6i.2xlarge 8 34000
c7i.large 2 8925
c7i.xlarge 4 17850
c7i.2xlarge 8 35700
m6i.large 2 9600
m6i.xlarge 4 19200
m6i.2xlarge 8 38400
m7i.large 2 10080
m7i.xlarge 4 20160
m7i.2xlarge 8 40320
r6i.large 2 12600
r6i.xlarge 4 25200
r6i.2xlarge 8 50400
r7i.large 2 13230
r7i.xlarge 4 26460
r7i.2xlarge 8 52920
"
# The same unit: an interface endpoint in one zone, a NAT gateway, a public address an hour; a
# secret and a GB of gp3 a month.
readonly price_endpoint=1000 price_nat=4500 price_address=500
readonly price_secret_month=40000 price_volume_month=8000
readonly price_hours_month=730

# price_field TYPE NUMBER: of the table; nothing for a type that is not in it.
price_field()
{
    awk -v type="$1" -v field="$2" '$1 == type { print $field }' <<< "$price_types"
}

# price_ask WHAT FIELD=VALUE...: AWS's price of the one product of EC2 that has these, as a line
# "price WHAT THOUSANDTHS" in prices.list.  No answer is no reason to stop.  The list answers in a
# few regions, for all of them.
price_ask()
{
    # shellcheck disable=SC2034 # aws_call reads aws_tries
    local what=$1 field filters=() product aws_tries=2
    shift
    for field in "$@" "regionCode=$aws_region"; do
        filters+=("Type=TERM_MATCH,Field=${field%%=*},Value=${field#*=}")
    done
    product=$(aws_call pricing get-products --region us-east-1 --service-code AmazonEC2 \
        --no-paginate --filters "${filters[@]}" --query 'PriceList[0]' --output text \
        2>> "$aws_work/prices.said") || return 0
    if [[ ${product#*\"OnDemand\"} =~ \"USD\"\ *:\ *\"([0-9.]+)\" ]]; then
        awk -v what="$what" -v usd="${BASH_REMATCH[1]}" 'BEGIN {
            if (usd > 0) printf "price\t%s\t%d\n", what, usd * 100000 + 0.5
        }' >> "$aws_work/prices.list"
    fi
}

# prices_look TYPE...: of these, and of volumes, into have; what the list does not tell is told.
prices_look()
{
    local type asks=("price_ask gp3 productFamily=Storage volumeApiName=gp3")
    for type in "$@"; do
        asks+=("price_ask $type instanceType=$type operatingSystem=Linux tenancy=Shared
            preInstalledSw=NA capacitystatus=Used")
    done
    : > "$aws_work/prices.list"
    : > "$aws_work/prices.said"
    aws_side_by_side "${asks[@]}"
    aws_take "$aws_work/prices.list"
    if [[ -s $aws_work/prices.said ]]; then
        say "AWS's price list was not told: $(head -n 1 "$aws_work/prices.said")"
    fi
}

# Thousandths of a cent as dollars.
price_dollars()
{
    awk -v n="$1" -v digits="$2" 'BEGIN { printf "%.*f", digits, n / 100000 }'
}

# price_line WORDS COUNT PRICE [LISTED]: one line of the bill, COUNT times the price of the list
# or else the estimate PRICE; adds to price_sum.
price_line()
{
    local amount=$(($2 * ${4:-$3})) whose='an estimate'
    [[ -z ${4-} ]] || whose="by AWS's price list"
    price_sum=$((price_sum + amount))
    printf '  %8s  %s, %s\n' "$(price_dollars "$amount" 4)" "$1" "$whose"
}

# What all of the cluster costs an hour, as it will be.
prices_print()
{
    local part type price count=0 gigabytes=0 unknown='' price_sum=0 volume
    local -A types=()
    for part in $(instance_parts); do
        type=$(machine_type "$part")
        types[$type]=$((${types[$type]-0} + 1))
        count=$((count + 1))
        gigabytes=$((gigabytes + $(machine_volume "$part")))
    done
    prices_look "${!types[@]}"
    say "It costs about, in USD an hour:"
    for type in $(printf '%s\n' "${!types[@]}" | sort); do
        price=$(price_field "$type" 3)
        if [[ -z $price && -z ${have[price/$type]-} ]]; then
            unknown+=" $type"
            printf '  %8s  %d x %s\n' '?' "${types[$type]}" "$type"
        else
            price_line "${types[$type]} x $type" "${types[$type]}" "$price" \
                "${have[price/$type]-}"
        fi
    done
    volume=${have[price/gp3]-}
    price_line "$gigabytes GB of volumes" 1 $((gigabytes * price_volume_month \
        / price_hours_month)) ${volume:+$((gigabytes * volume / price_hours_month))}
    price_line "4 interface endpoints" 4 "$price_endpoint"
    price_line "public addresses" "$(cluster_setting gatekeepers)" "$price_address"
    price_line "$((count + 1)) secrets" 1 $(((count + 1) * price_secret_month / price_hours_month))
    [[ $(cluster_setting nat) -eq 0 ]] \
        || price_line "NAT gateway and its address" 1 $((price_nat + price_address))
    say "  $(price_dollars "$price_sum" 2) USD an hour, $(price_dollars \
        $((price_sum * price_hours_month)) 0) a month${unknown:+, and the price of$unknown}"
}

# --- Quotas ----------------------------------------------------------------------

readonly quota_processors=L-1216C47A quota_addresses=L-0263D0A3 quota_vpcs=L-F678F1CE

see_quotas()
{
    quota_see ec2 "$quota_processors" "$quota_addresses"
}

see_quotas_vpc()
{
    quota_see vpc "$quota_vpcs"
}

# quota_see SERVICE CODE...: "quota CODE VALUE" a line.  An account that may not ask is told
# so later; it is no reason to stop.
quota_see()
{
    # shellcheck disable=SC2034 # aws_call reads aws_tries
    local service=$1 code value aws_tries=2
    shift
    for code in "$@"; do
        value=$(aws_call service-quotas get-service-quota --service-code "$service" \
            --quota-code "$code" --query Quota.Value --output text 2> /dev/null || true)
        printf 'quota\t%s\t%s\n' "$code" "${value%%.*}"
    done
}

# What the account uses already; the quota of processors is of these families together.
see_used_processors()
{
    aws_call ec2 describe-instances --output text \
        --filters Name=instance-state-name,Values=pending,running \
        --query 'Reservations[].Instances[]
            .[InstanceType,CpuOptions.CoreCount,CpuOptions.ThreadsPerCore]' \
        | awk '$1 ~ /^[acdhimrtz]/ { sum += $2 * $3 > 0 ? $2 * $3 : 2 }
               END { printf "used\tprocessors\t%d\n", sum }'
}

see_used_addresses()
{
    aws_call ec2 describe-addresses --output text \
        --query "['used','addresses',to_string(length(Addresses))]"
}

see_used_vpcs()
{
    aws_call ec2 describe-vpcs --output text --query "['used','vpcs',to_string(length(Vpcs))]"
}

# quota_line CODE WHAT NEEDED USED: says how it stands; 1 when there is no room.
quota_line()
{
    local limit=${have[quota/$1]-} what=$2 needed=$3 used=$4
    [[ $needed -gt 0 ]] || return 0
    if [[ -z $limit ]]; then
        say "  $what: $needed more, $used in use; the quota could not be asked"
        return 0
    fi
    say "  $what: $needed more, $used in use, the quota is $limit"
    [[ $((used + needed)) -le $limit ]]
}

# Of one that is not in our table AWS is asked.
type_processors()
{
    local number
    number=$(price_field "$1" 2)
    [[ -n $number ]] || number=$(aws_call ec2 describe-instance-types --instance-types "$1" \
        --query 'InstanceTypes[0].VCpuInfo.DefaultVCpus' --output text 2> /dev/null || true)
    if [[ ! $number =~ ^[1-9][0-9]*$ ]]; then
        warn "AWS does not say how many processors $1 has: counted as 2"
        number=2
    fi
    printf '%s\n' "$number"
}

# Before anything is made: whether all of it will find room.
quotas_check()
{
    local part type processors=0 addresses=0 vpcs=0 room=1
    local -A numbers=()
    for part in $(instance_parts); do
        type=$(machine_type "$part")
        if [[ -z ${have[instance/$part]-} && $type == [acdhimrtz]* ]]; then
            [[ -n ${numbers[$type]-} ]] || numbers[$type]=$(type_processors "$type")
            processors=$((processors + numbers[$type]))
        fi
        if [[ $part == gatekeeper* && -z ${have[eip/eip-$part]-} ]] && net_public; then
            addresses=$((addresses + 1))
        fi
    done
    [[ -n ${have[vpc/vpc]-} ]] || vpcs=1
    if [[ $(cluster_setting nat) -eq 1 && -z ${have[eip/eip-nat]-} ]]; then
        addresses=$((addresses + 1))
    fi
    [[ $((processors + addresses + vpcs)) -gt 0 ]] || return 0
    aws_see quotas quotas_vpc used_processors used_addresses used_vpcs
    say "Quotas of the account in $aws_region:"
    quota_line "$quota_processors" "processors of standard instances" "$processors" \
        "${have[used/processors]}" || room=0
    quota_line "$quota_addresses" "public addresses" "$addresses" \
        "${have[used/addresses]}" || room=0
    quota_line "$quota_vpcs" "VPCs" "$vpcs" "${have[used/vpcs]}" || room=0
    [[ $room -eq 1 ]] || fail "there is no room for it: AWS raises quotas on request" \
        "(aws service-quotas request-service-quota-increase)"
}
