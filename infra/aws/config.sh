# shellcheck shell=bash
# config.sh - the configuration of each part, from the cluster's memory and the addresses of
# its network interfaces.  Sourced by up.sh and by what changes a cluster later; the caller
# has seen memory, eni, eip and bucket (aws_see).
#
# It is put into the bucket as config/PART.tar.gz, which holds what belongs in /etc/portcullis
# of that instance: public keys and addresses, nothing secret.
# shellcheck disable=SC2154 # variables of lib.sh

# --- Values ----------------------------------------------------------------------

part_address()
{
    about_field "eni/eni-$1" 1
}

# Which node's database is the source: the first, until another has taken over (source_learn).
source_part()
{
    cluster_setting source node1
}

cluster_parts()
{
    local tier=$1 part
    for part in $(instance_parts); do
        [[ $(part_tier "$part") != "$tier" ]] || printf '%s\n' "$part"
    done
}

memory_key_public()
{
    sed -n 's/^[[:space:]]*public-key[[:space:]]*=[[:space:]]*"\([^"]*\)".*/\1/p' \
        "$aws_work/memory/keys/$1.key"
}

# "section/key=value" lines, sorted by section, become ZPL.
config_zpl()
{
    local line path section last=''
    while IFS= read -r line; do
        path=${line%%=*}
        section=${path%%/*}
        [[ $section == "$last" ]] || printf '%s\n' "$section"
        last=$section
        printf '    %s = "%s"\n' "${path#*/}" "${line#*=}"
    done
}

# The availability zone of its subnet (part_subnet).
part_zone()
{
    local number=${1##*[a-z]} names
    read -r -a names <<< "$(cluster_setting zone_names)"
    [[ ${#names[@]} -eq 0 ]] || printf '%s\n' "${names[(${number:-1} - 1) % ${#names[@]}]}"
}

# config_proxies PORT: the settings of who connects to the proxies.
config_proxies()
{
    local part section
    for part in $(cluster_parts proxy); do
        section=$part
        [[ $part != proxy1 ]] || section=proxy
        printf '%s/endpoint=tcp://%s:%s\n' "$section" "$(part_address "$part")" "$1"
        printf '%s/public_key=%s\n' "$section" "$(memory_key_public "$part")"
    done
}

# --- A part's files --------------------------------------------------------------

config_gatekeeper()
{
    local folder=$2/gatekeeper
    mkdir -p "$folder"
    cp "$aws_work/memory/clients" "$folder/clients"
    config_zpl > "$folder/gatekeeper.cfg" << CFG
clients/endpoint=tcp://$(part_address "$1"):5555
clients/keys=/etc/portcullis/gatekeeper/clients
curve/key_file=credential:key
broker/endpoint=tcp://$(part_address broker):5556
broker/public_key=$(memory_key_public broker)
http/address=127.0.0.1:8000
CFG
}

config_broker()
{
    local folder=$2/broker part
    mkdir -p "$folder"
    cp "$aws_work/memory/policy.cfg" "$folder/policy.cfg"
    for part in $(cluster_parts gatekeeper); do
        printf '%s  %s\n' "$part" "$(memory_key_public "$part")"
    done > "$folder/gatekeepers"
    config_zpl > "$folder/broker.cfg" << CFG
gatekeepers/endpoint=tcp://$(part_address broker):5556
gatekeepers/keys=/etc/portcullis/broker/gatekeepers
curve/key_file=credential:key
$(config_proxies 5557)
policy/file=/etc/portcullis/broker/policy.cfg
audit/folder=/var/log/portcullis-broker/audit
tokens/key_file=credential:token.key
sql/flavor=$(cluster_setting flavor)
http/address=127.0.0.1:8000
CFG
}

config_proxy()
{
    local folder=$2/proxy part
    mkdir -p "$folder"
    printf 'broker  %s\n' "$(memory_key_public broker)" > "$folder/brokers"
    for part in $(cluster_parts node); do
        printf '%s  %s\n' "$part" "$(memory_key_public "$part")"
    done > "$folder/agents"
    config_zpl > "$folder/proxy.cfg" << CFG
proxy/name=$aws_name-$1
brokers/endpoint=tcp://$(part_address "$1"):5557
brokers/keys=/etc/portcullis/proxy/brokers
agents/endpoint=tcp://$(part_address "$1"):5558
agents/keys=/etc/portcullis/proxy/agents
curve/key_file=credential:key
routing/zone=$(part_zone "$1")
http/address=127.0.0.1:8000
CFG
}

# Its secrets are in a folder of their own in memory, where the agent puts new ones by itself.
config_node()
{
    local part=$1 folder=$2/worker-agent secrets=/run/portcullis-worker-agent
    local source role=replica semi_sync=0
    source=$(source_part)
    [[ $part != "$source" ]] || role=source
    # One replica alone would hold every commit up while it is away.
    [[ $(cluster_setting nodes) -lt 3 ]] || semi_sync=1
    mkdir -p "$folder"
    {
        cat << CFG
node/name=$part
node/role=$role
$(config_proxies 5558)
curve/key_file=$secrets/agent.key
database/socket=/run/mysqld/mysqld.sock
database/port=3306
database/admin_user=portcullis_admin
database/admin_password_file=$secrets/admin.password
database/schemas=$(cluster_setting schemas demo)
accounts/read_password_file=$secrets/read.password
accounts/write_password_file=$secrets/write.password
accounts/replication_password_file=$secrets/replication.password
tokens/key_file=$secrets/token.key
replication/semi_sync=$semi_sync
CFG
        if [[ $role == replica ]]; then
            printf 'replication/source_host=%s\n' "$(part_address "$source")"
            printf 'replication/source_port=3306\n'
        fi
        cat << CFG
topology/state_file=/var/lib/portcullis-worker-agent/topology
topology/host=$(part_address "$part")
aws/metadata=1
aws/secret_id=portcullis/$aws_name/$part
aws/secret_directory=$secrets
aws/region=$aws_region
http/address=127.0.0.1:8000
CFG
    } | config_zpl > "$folder/worker-agent.cfg"
}

# The client of --bench has its bundle in its secret.
config_client()
{
    mkdir -p "$2"
}

# The client of --bench, unless everybody may come anyway.
config_client_inside()
{
    if [[ $(cluster_setting bench 0) -eq 1 && $(cluster_setting client_cidr) != 0.0.0.0/0 ]]
    then
        printf ', %s' "$(part_address client)"
    fi
}

# Who may speak to whom, once more, by the host's own firewall.
config_firewall()
{
    local folder=$1/firewall part list
    mkdir -p "$folder"
    {
        printf 'define clients = { %s%s }\n' "$(cluster_setting client_cidr)" \
            "$(config_client_inside)"
        for list in gatekeeper:gatekeepers broker:brokers proxy:proxies node:databases; do
            printf 'define %s = {' "${list#*:}"
            for part in $(cluster_parts "${list%:*}"); do
                printf ' %s,' "$(part_address "$part")"
            done | sed 's/,$//'
            printf ' }\n'
        done
        printf 'define client_port = 5555\ndefine broker_port = 5556\ndefine proxy_port = 5557\n'
        printf 'define agents_port = 5558\ndefine database_port = 3306\n'
    } > "$folder/addresses.nft"
}

# --- Into the bucket -------------------------------------------------------------

# config_pack PART: makes $aws_work/config/PART.tar.gz.
config_pack()
{
    local part=$1 folder=$aws_work/config/$1
    rm -rf "$folder"
    mkdir -p "$folder"
    "config_$(part_tier "$part")" "$part" "$folder"
    [[ $(part_tier "$part") == client ]] || config_firewall "$folder"
    tar_same "$folder" > "$folder.tar.gz"
}

# The sum that S3 has of it, and that an instance is tagged with which uses it.
config_sum()
{
    local sum
    sum=$(md5sum < "$aws_work/config/$1.tar.gz")
    printf '%s\n' "${sum%% *}"
}

# Whether the bucket has this very one.
config_same()
{
    [[ ${have[object/config/$1.tar.gz]-} == "\"$(config_sum "$1")\"" ]]
}

# config_use PART: its instance takes the configuration over from the bucket.
config_use()
{
    local part=$1 id=${have[instance/$1]}
    ssm_run "$id" 300 /usr/local/sbin/portcullis-boot configure > "$aws_work/use.$part" || {
        cat "$aws_work/use.$part" >&2
        fail "$part did not take its configuration over"
    }
    aws_call ec2 create-tags --resources "$id" \
        --tags "Key=portcullis:config,Value=$(config_sum "$part")"
}

# config_upload PART...: packs them, and puts what differs there.
config_upload()
{
    local part differ=()
    for part in "$@"; do
        config_pack "$part"
        config_same "$part" || differ+=("$part")
    done
    config_put "${differ[@]}"
}

# config_put PART...: those that are packed, by one call.
config_put()
{
    local part folder=$aws_work/config/put
    [[ $# -gt 0 ]] || return 0
    rm -rf "$folder"
    mkdir -p "$folder"
    for part in "$@"; do
        ln "$aws_work/config/$part.tar.gz" "$folder/"
    done
    aws_call s3 cp --recursive --only-show-errors "$folder/" "s3://$aws_bucket/config/"
}

# --- Bundles ---------------------------------------------------------------------

# Where clients come in: from outside at the address that stays; without one, and for the
# client inside, at the private one.
gatekeeper_endpoint()
{
    local part=$1 address=''
    [[ ${2-} == inside ]] || address=$(about_field "eip/eip-$part" 1)
    printf 'tcp://%s:5555\n' "${address:-$(part_address "$part")}"
}

# bundle_write FILE [inside]: the one file that a client needs.
bundle_write()
{
    local file=$1 part words=() command
    command=$(identity_command)
    for part in $(cluster_parts gatekeeper); do
        words+=(--gatekeeper "$(gatekeeper_endpoint "$part" "${2-}")"
            --gatekeeper-key "$aws_work/memory/keys/$part.key")
    done
    rm -f "$file.new"
    "$command" bundle "$file.new" --principal local "${words[@]}" \
        --broker-key "$aws_work/memory/keys/broker.key" \
        --key "$aws_work/memory/keys/local.key" > /dev/null \
        || fail "the client bundle could not be written"
    mv "$file.new" "$file"
}
