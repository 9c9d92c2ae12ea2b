#!/usr/bin/env bash
# up.sh - a whole Portcullis cluster on this machine, for trying and for testing.
#
#   infra/up.sh [options]
#   infra/up.sh aws ...    a cluster on AWS: infra/up.sh aws --help
#
#   --nodes N            database nodes, 1 to 9: a source and N - 1 replicas (default 3)
#   --proxies N          proxies side by side, 1 to 8 (default 1): proxy, proxy-2, ...
#   --flavor F           mariadb or mysql (default: MariaDB if both are there or none)
#   --roles-apart        gatekeeper, broker and proxy are a process each (default)
#   --roles-together     the three of them in one process, portcullisd
#   --set WHO:KEY=VALUE  one configuration value: WHO is gatekeeper, broker, proxy
#                        (all proxies), proxy-N, agent (all agents) or agent-nodeN; an
#                        empty VALUE takes it back.
#                        Example: --set proxy:routing/strategy=random
#   --no-install         install no package; say which ones are missing
#   --no-demo            do not load the demo schema, ask no first query
#   --var DIR            state folder (default: var/ in the checkout)
#   --build-dir DIR      where the binaries are built (default: build/release)
#   --no-build           use the binaries that are there
#
# On a fresh Debian 12/13 or Ubuntu 22.04/24.04 it needs root, or sudo, for the
# packages and for nothing else.  Run again, it starts what died and restarts
# what changed, and leaves the rest alone; options that are not given keep
# their values.  infra/status.sh shows the cluster, infra/down.sh stops it.
#
# A configuration file under the state folder that was edited by hand is kept
# as it is, and said so.
#
# Exit: 0 the cluster is up; 1 something failed, and it says what and where its
# log is; 64 usage.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

may_install=1
may_build=1
want_demo=1
build_dir=
want_nodes=
want_proxies=
want_flavor=
want_roles=
sets=()

# --- Options -------------------------------------------------------------------

options_read()
{
    if [[ ${1-} == aws ]]; then
        exec "$PCL_CHECKOUT/infra/aws/up.sh" "${@:2}"
    fi
    while [[ $# -gt 0 ]]; do
        case $1 in
            --nodes | --proxies | --flavor | --set | --var | --build-dir)
                [[ $# -ge 2 ]] || usage_fail "$1 wants a value"
                option_with_value "$1" "$2"
                shift
                ;;
            --roles-apart) want_roles=apart ;;
            --roles-together) want_roles=together ;;
            --no-install) may_install=0 ;;
            --no-build) may_build=0 ;;
            --no-demo) want_demo=0 ;;
            -h | --help)
                help_print "${BASH_SOURCE[0]}"
                exit 0
                ;;
            *) usage_fail "unknown option: $1" ;;
        esac
        shift
    done
}

option_with_value()
{
    local value=$2 who
    case $1 in
        --nodes)
            [[ $value =~ ^[1-9]$ ]] || usage_fail "--nodes wants 1 to 9, not '$value'"
            want_nodes=$value
            ;;
        --proxies)
            [[ $value =~ ^[1-8]$ ]] || usage_fail "--proxies wants 1 to 8, not '$value'"
            want_proxies=$value
            ;;
        --flavor)
            [[ $value == mariadb || $value == mysql ]] \
                || usage_fail "--flavor wants mariadb or mysql, not '$value'"
            want_flavor=$value
            ;;
        --set)
            who='gatekeeper|broker|proxy(-[2-8])?|agent(-node[1-9])?'
            [[ $value =~ ^($who):[a-z0-9_]+/[a-z_]+= ]] \
                || usage_fail "--set wants WHO:SECTION/KEY=VALUE, not '$value'"
            sets+=("$value")
            ;;
        --var) state_use "$value" ;;
        --build-dir)
            mkdir -p "$value"
            build_dir=$(cd "$value" && pwd -P)
            ;;
    esac
}

# What is asked for, over what was, over the defaults.
settings_decide()
{
    local flavor one source
    source=$(source_now)
    [[ ${want_nodes:-9} -ge ${source#node} ]] \
        || fail "$source is the source, and would go: it is to be moved first (docs/operating.md)"
    flavor=$(setting_get flavor)
    if [[ ! -e $PCL_VAR/node1/ready ]]; then
        flavor=
    elif [[ -n $want_flavor && $flavor != "$want_flavor" ]]; then
        fail "$PCL_VAR holds a $flavor cluster; infra/down.sh --purge deletes it first"
    fi
    if [[ -z $flavor ]]; then
        flavor=$want_flavor
        if [[ -z $flavor ]]; then
            flavor=mariadb
            if ! flavor_server mariadb > /dev/null && flavor_server mysql > /dev/null; then
                flavor=mysql
            fi
        fi
    fi
    setting_put flavor "$flavor"
    setting_put nodes "${want_nodes:-$(setting_get nodes 3)}"
    setting_put proxies "${want_proxies:-$(setting_get proxies 1)}"
    setting_put roles "${want_roles:-$(setting_get roles apart)}"
    build_dir=${build_dir:-$(setting_get build "$PCL_CHECKOUT/build/release")}
    setting_put build "$build_dir"
    for one in "${sets[@]}"; do
        setting_put "set.${one%%=*}" "${one#*=}"
    done
    readonly flavor
}

# --- Packages and build ----------------------------------------------------------

prepare()
{
    local needs=("$PCL_NEED_RUN")
    if [[ $(setting_get flavor) == mariadb ]]; then
        needs+=("$PCL_NEED_MARIADB")
    else
        needs+=("$PCL_NEED_MYSQL")
    fi
    [[ $may_build -eq 0 ]] || needs+=("$PCL_NEED_BUILD")
    packages_ensure "$may_install" "${needs[@]}"
    if [[ $may_build -eq 1 ]]; then
        say "building in $build_dir (log: $PCL_VAR/log/build.log)"
        build_folder "$build_dir" "$PCL_VAR/log/build.log" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
            -DCMAKE_INSTALL_PREFIX=/usr -DBUILD_TESTING=OFF -DPCL_WERROR=OFF \
            || fail "the build failed"
    fi
    local binary
    for binary in client/portcullis gatekeeper/portcullis-gatekeeper broker/portcullis-broker \
        proxy/portcullis-proxy worker-agent/portcullis-worker-agent portcullisd/portcullisd; do
        [[ -x $build_dir/$binary ]] || fail "$build_dir/$binary is not there"
    done
    if [[ $PCL_VAR_OWN -eq 1 ]]; then
        ln -sfn "$build_dir/client/portcullis" "$PCL_CHECKOUT/portcullis"
    fi
}

# --- Secrets and keys ------------------------------------------------------------

# A file that only its owner reads, with a password of 24 random octets.
password_ensure()
{
    local file=$PCL_VAR/secrets/$1.password
    [[ ! -s $file ]] || return 0
    (umask 077 && head -c 24 /dev/urandom | base64 | tr '+/' '-_' > "$file.new")
    mv "$file.new" "$file"
}

# password_print NAME: the first line; a second one would be the password before.
password_print()
{
    local text=''
    IFS= read -r text < "$PCL_VAR/secrets/$1.password" || [[ -n $text ]] \
        || fail "$PCL_VAR/secrets/$1.password is empty"
    printf '%s\n' "$text"
}

# The key of causal tokens: 32 random octets in hexadecimal.
token_key_ensure()
{
    local file=$PCL_VAR/secrets/token.key
    [[ ! -s $file ]] || return 0
    (umask 077 && head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' > "$file.new")
    mv "$file.new" "$file"
}

key_ensure()
{
    local file=$PCL_VAR/secrets/$1.key
    [[ -s $file ]] || "$build_dir/client/portcullis" keygen "$file" > /dev/null \
        || fail "portcullis keygen $file failed"
}

key_public()
{
    sed -n 's/^[[:space:]]*public-key[[:space:]]*=[[:space:]]*"\([^"]*\)".*/\1/p' \
        "$PCL_VAR/secrets/$1.key"
}

secrets_make()
{
    local name password
    for name in admin read write replication; do
        password_ensure "$name"
    done
    password=$(password_print admin)
    token_key_ensure
    (
        umask 077
        printf '[client]\npassword="%s"\n' "$password" \
            > "$PCL_VAR/secrets/admin.cnf"
    )
    for name in gatekeeper broker proxy $(proxies_more) client $(nodes_list | sed 's/^/agent-/'); do
        key_ensure "$name"
    done
    principals_make
    printf 'gatekeeper  %s\n' "$(key_public gatekeeper)" > "$PCL_VAR/keys/gatekeepers"
    printf 'broker  %s\n' "$(key_public broker)" > "$PCL_VAR/keys/brokers"
    for name in $(nodes_list); do
        printf '%s  %s\n' "$name" "$(key_public "agent-$name")"
    done > "$PCL_VAR/keys/agents"
}

# The operator's own files: only made, never rewritten.  portcullis principal edits both.
principals_make()
{
    local policy=$PCL_VAR/etc/policy.cfg clients=$PCL_VAR/keys/clients log=$PCL_VAR/log/policy.log
    [[ ! -s $policy || ! -s $clients ]] || return 0
    [[ -s $policy ]] || policy_write > "$policy"
    [[ -s $clients ]] || printf '# NAME  PUBLIC-KEY\n' > "$clients"
    "$build_dir/client/portcullis" principal add local --role app \
        --key "$PCL_VAR/secrets/client.key" --policy "$policy" --clients "$clients" \
        > "$log" 2>&1 || {
        log_tail "$log"
        fail "the principal of client.bundle could not be added"
    }
}

ports_choose()
{
    local node role owner
    for node in $(nodes_list); do
        port_choose "$node" "$node"
        port_choose "http.agent-$node" "agent-$node"
    done
    for role in gatekeeper broker proxy; do
        owner=$role
        [[ $(setting_get roles) == apart ]] || owner=portcullisd
        port_choose "$role" "$owner"
        port_choose "http.$role" "$owner"
    done
    owner=proxy
    [[ $(setting_get roles) == apart ]] || owner=portcullisd
    port_choose proxy.agents "$owner"
    for role in $(proxies_more); do
        port_choose "$role" "$role"
        port_choose "$role.agents" "$role"
        port_choose "http.$role" "$role"
    done
}

# --- Configuration ---------------------------------------------------------------

# file_generate FILE: standard input becomes FILE, unless somebody edited FILE
# since it was last generated; then it stays.
file_generate()
{
    local file=$1 twin
    twin=${file#"$PCL_VAR"/}
    twin=$PCL_VAR/run/${twin//\//-}.generated
    cat > "$file.new"
    if [[ -e $file && -e $twin ]] && ! cmp -s "$file" "$twin"; then
        say "${file#"$PCL_VAR"/}: edited by hand, kept"
        if cmp -s "$file.new" "$twin"; then
            rm -f "$file.new"
        else
            warn "and it should change: compare it with $file.new"
        fi
        return 0
    fi
    cp "$file.new" "$twin"
    mv "$file.new" "$file"
}

# config_write PART: "section/key=value" lines on standard input, and what --set
# said about them, become etc/PART.cfg in ZPL.
config_write()
{
    local part=$1 line path order=() section last=''
    local -A value=()
    while IFS= read -r line; do
        [[ -n $line ]] || continue
        path=${line%%=*}
        [[ -v value[$path] ]] || order+=("$path")
        value[$path]=${line#*=}
    done < <(
        cat
        sed -n "s/^set\.${part%%-*}:\([^=]*=..*\)/\1/p; s/^set\.$part:\([^=]*=..*\)/\1/p" \
            "$PCL_VAR/settings"
    )
    for path in $(printf '%s\n' "${order[@]}" | sort -s -t / -k 1,1); do
        section=${path%%/*}
        [[ $section == "$last" ]] || printf '%s\n' "$section"
        last=$section
        printf '    %s = "%s"\n' "${path#*/}" "${value[$path]}"
    done | file_generate "$PCL_VAR/etc/$part.cfg"
}

configs_make()
{
    local secrets=$PCL_VAR/secrets keys=$PCL_VAR/keys
    local to_broker to_proxy broker_key='' proxy_key='' node part
    if [[ $(setting_get roles) == together ]]; then
        to_broker=inproc://broker
        to_proxy=inproc://proxy
    else
        to_broker=tcp://127.0.0.1:$(port_get broker)
        to_proxy=tcp://127.0.0.1:$(port_get proxy)
        broker_key=$(key_public broker)
        proxy_key=$(key_public proxy)
    fi
    config_write gatekeeper << CFG
clients/endpoint=tcp://127.0.0.1:$(port_get gatekeeper)
clients/keys=$keys/clients
curve/key_file=$secrets/gatekeeper.key
broker/endpoint=$to_broker
broker/public_key=$broker_key
http/address=127.0.0.1:$(port_get http.gatekeeper)
CFG
    config_write broker << CFG
gatekeepers/endpoint=$to_broker
gatekeepers/keys=$keys/gatekeepers
curve/key_file=$secrets/broker.key
proxy/endpoint=$to_proxy
proxy/public_key=$proxy_key
$(for part in $(proxies_more); do config_to_proxy "$part" "$part"; done)
policy/file=$PCL_VAR/etc/policy.cfg
audit/folder=$PCL_VAR/audit
tokens/key_file=$secrets/token.key
sql/flavor=$(setting_get flavor)
http/address=127.0.0.1:$(port_get http.broker)
CFG
    config_proxy proxy "$to_proxy"
    for part in $(proxies_more); do
        config_proxy "$part" "tcp://127.0.0.1:$(port_get "$part")"
    done
    for node in $(nodes_list); do
        config_agent "$node"
    done
    config_bundle
}

# config_proxy PART ENDPOINT: where brokers find it.
config_proxy()
{
    config_write "$1" << CFG
proxy/name=$1
brokers/endpoint=$2
brokers/keys=$PCL_VAR/keys/brokers
agents/endpoint=tcp://127.0.0.1:$(port_get "$1.agents")
agents/keys=$PCL_VAR/keys/agents
curve/key_file=$PCL_VAR/secrets/$1.key
http/address=127.0.0.1:$(port_get "http.$1")
CFG
}

# config_to_proxy PART PORT: the settings of who connects to another proxy than the first.
config_to_proxy()
{
    printf 'proxy%s/endpoint=tcp://127.0.0.1:%s\n' "${1#proxy-}" "$(port_get "$2")"
    printf 'proxy%s/public_key=%s\n' "${1#proxy-}" "$(key_public "$1")"
}

config_agent()
{
    local node=$1 secrets=$PCL_VAR/secrets role=replica semi_sync=0 part
    [[ $node != node1 ]] || role=source
    # One replica alone would hold every commit up while it is away.
    [[ $(setting_get nodes) -lt 3 ]] || semi_sync=1
    {
        cat << CFG
node/name=$node
node/role=$role
proxy/endpoint=tcp://127.0.0.1:$(port_get proxy.agents)
proxy/public_key=$(key_public proxy)
$(for part in $(proxies_more); do config_to_proxy "$part" "$part.agents"; done)
curve/key_file=$secrets/agent-$node.key
database/socket=$(node_socket "$node")
database/port=$(port_get "$node")
database/admin_user=root
database/admin_password_file=$secrets/admin.password
database/schemas=demo
accounts/read_password_file=$secrets/read.password
accounts/write_password_file=$secrets/write.password
accounts/replication_password_file=$secrets/replication.password
tokens/key_file=$secrets/token.key
replication/semi_sync=$semi_sync
topology/state_file=$PCL_VAR/$node/topology
topology/host=127.0.0.1
http/address=127.0.0.1:$(port_get "http.agent-$node")
CFG
        if [[ $role == replica ]]; then
            printf 'replication/source_host=127.0.0.1\n'
            printf 'replication/source_port=%s\n' "$(port_get node1)"
        fi
    } | config_write "agent-$node"
}

# The one file that a client elsewhere needs; with the broker's key it seals what it sends.
config_bundle()
{
    local new=$PCL_VAR/client.bundle.new
    rm -f "$new"
    "$build_dir/client/portcullis" bundle "$new" --principal local \
        --gatekeeper "tcp://127.0.0.1:$(port_get gatekeeper)" \
        --gatekeeper-key "$PCL_VAR/secrets/gatekeeper.key" \
        --broker-key "$PCL_VAR/secrets/broker.key" --key "$PCL_VAR/secrets/client.key" \
        > "$PCL_VAR/log/bundle.log" 2>&1 || {
        log_tail "$PCL_VAR/log/bundle.log"
        fail "the client bundle could not be written"
    }
    mv "$new" "$PCL_VAR/client.bundle"
}

# --- Databases -------------------------------------------------------------------

node_config()
{
    local node=$1 flavor
    flavor=$(setting_get flavor)
    {
        printf '# Written by infra/up.sh for %s.\n[mysqld]\n' "$node"
        [[ $(id -u) -ne 0 ]] || printf 'user = root\n'
        cat << CNF
datadir = $PCL_VAR/$node/data
tmpdir = $PCL_VAR/$node/tmp
pid_file = $PCL_VAR/$node/mysqld.pid
socket = $(node_socket "$node")
bind_address = 127.0.0.1
port = $(port_get "$node")
report_host = 127.0.0.1
report_port = $(port_get "$node")
server_id = $((1000 + ${node#node}))
skip_name_resolve = ON
character_set_server = utf8mb4
max_connections = 500
max_prepared_stmt_count = 200000
max_allowed_packet = 64M
table_open_cache = 400
innodb_buffer_pool_size = 32M
innodb_log_buffer_size = 4M
innodb_buffer_pool_dump_at_shutdown = OFF
key_buffer_size = 1M
log_bin = binlog
relay_log = relay
sync_binlog = 1
innodb_flush_log_at_trx_commit = 1
CNF
        "node_config_$flavor"
    } | file_generate "$PCL_VAR/$node/my.cnf"
}

# A node starts closed and silent: its agent opens the source, starts the
# replication of a replica, and turns semi-synchronous replication on.
#
# Any of them may be the source one day.  As MASTER a server commits what its crash
# left prepared in the binary log: replicas and clients may know it already.  As
# SLAVE it would cut that off, and give the same GTIDs to other transactions.
node_config_mariadb()
{
    cat << CNF
innodb_log_file_size = 16M
aria_pagecache_buffer_size = 4M
performance_schema = OFF
binlog_format = ROW
log_slave_updates = ON
gtid_strict_mode = ON
gtid_domain_id = 0
read_only = ON
init_rpl_role = MASTER
skip_slave_start = ON
slave_net_timeout = 4
slave_parallel_threads = 4
slave_parallel_mode = optimistic
rpl_semi_sync_master_enabled = OFF
rpl_semi_sync_master_wait_point = AFTER_SYNC
rpl_semi_sync_master_timeout = 4294967295
CNF
}

# relay_log_recovery would drop at each start what was received and not executed.
node_config_mysql()
{
    cat << CNF
loose_innodb_redo_log_capacity = 32M
innodb_buffer_pool_chunk_size = 32M
performance_schema_digests_size = 0
performance_schema_error_size = 0
performance_schema_max_thread_instances = 600
performance_schema_events_statements_history_long_size = 0
mysqlx = OFF
secure_file_priv = ""
gtid_mode = ON
enforce_gtid_consistency = ON
log_replica_updates = ON
super_read_only = ON
relay_log_recovery = OFF
skip_replica_start = ON
replica_net_timeout = 4
replica_parallel_workers = 4
replica_preserve_commit_order = ON
plugin_load_add = semisync_source.so
plugin_load_add = semisync_replica.so
plugin_load_add = mysql_clone.so
loose_rpl_semi_sync_source_wait_point = AFTER_SYNC
loose_rpl_semi_sync_source_timeout = 4294967295
CNF
}

# An empty data folder with the administrator's password set, made once and
# copied to each node that has none.  Made in /tmp: mariadb-install-db splits a
# path that has blanks.
template=
template_make()
{
    local first=$PCL_VAR/secrets/first.sql log=$PCL_VAR/log/template.log
    local flavor server user=() password
    flavor=$(setting_get flavor)
    server=$(flavor_server "$flavor")
    password=$(password_print admin)
    [[ $(id -u) -ne 0 ]] || user=(--user=root)
    template=$(mktemp -d /tmp/portcullis-template.XXXXXX)
    trap 'rm -rf "$template"' EXIT
    # Its own: a server that starts deletes what others have under way in a tmpdir they share.
    mkdir "$template/tmp"
    if [[ $flavor == mariadb ]]; then
        (
            umask 077
            cat > "$first" << SQL
FLUSH PRIVILEGES;
DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');
FLUSH PRIVILEGES;
ALTER USER 'root'@'localhost' IDENTIFIED BY '$password';
SQL
        )
        # --force: a machine that cannot look up its own name may have a database too.
        # The password comes in a run of its own: MariaDB 10.6 knows no --extra-file.
        mariadb-install-db --no-defaults "${user[@]}" --datadir="$template/data" \
            --tmpdir="$template/tmp" --auth-root-authentication-method=normal \
            --skip-test-db --skip-name-resolve --force --innodb-log-file-size=16M \
            > "$log" 2>&1 < /dev/null \
            && "$server" --no-defaults --bootstrap "${user[@]}" --datadir="$template/data" \
                --tmpdir="$template/tmp" --innodb-log-file-size=16M >> "$log" 2>&1 < "$first"
    else
        (
            umask 077
            printf "ALTER USER 'root'@'localhost' IDENTIFIED BY '%s';\n" "$password" > "$first"
        )
        "$server" --no-defaults "${user[@]}" --initialize-insecure --datadir="$template/data" \
            --tmpdir="$template/tmp" --secure-file-priv= --init-file="$first" \
            --loose-innodb-redo-log-capacity=32M \
            > "$log" 2>&1 < /dev/null \
            && rm -f "$template/data/auto.cnf" # each server makes its own identity
    fi || {
        rm -f "$first"
        log_tail "$log"
        fail "the database could not make an empty data folder"
    }
    rm -f "$first"
}

nodes_start()
{
    local node server need_template=0
    server=$(flavor_server "$(setting_get flavor)") || fail "the database server is not installed"
    socket_folder_make
    for node in $(nodes_list); do
        mkdir -p "$PCL_VAR/$node/tmp"
        [[ -e $PCL_VAR/$node/ready ]] || need_template=1
    done
    if [[ $need_template -eq 1 ]]; then
        say "making empty databases"
        template_make
    fi
    for node in $(nodes_list); do
        if [[ ! -e $PCL_VAR/$node/ready ]]; then
            rm -rf "$PCL_VAR/$node/data"
            cp -a "$template/data" "$PCL_VAR/$node/data"
            touch "$PCL_VAR/$node/ready"
        fi
        node_config "$node"
        part_ensure "$node" "$PCL_VAR/$node/my.cnf" -- \
            "$server" --defaults-file="$PCL_VAR/$node/my.cnf"
        did[$node]=$PART_DID
    done
    [[ -z $template ]] || rm -rf "$template"
    for node in $(nodes_list); do
        node_wait "$node"
        say "$node: database ${did[$node]}, port $(port_get "$node")"
    done
}

node_wait()
{
    local node=$1 deadline=$((SECONDS + 60)) said=''
    until said=$(node_sql "$node" -e 'SELECT 1' 2>&1 > /dev/null); do
        part_pid "$node" > /dev/null || part_failed "$node" "the database stopped"
        [[ $SECONDS -lt $deadline ]] || part_failed "$node" "no answer within 60 s: $said"
        sleep 0.1
    done
}

part_failed()
{
    local part=$1 why=$2
    log_tail "$PCL_VAR/log/$part.log"
    fail "$part: $why; its log is $PCL_VAR/log/$part.log"
}

# --- Daemons ---------------------------------------------------------------------

declare -A did=()

# daemon_start PART BINARY FILES...: checks the configuration first, so that a mistake
# is shown here and the part that runs is left running.
daemon_start()
{
    local part=$1 binary=$build_dir/$2 problems
    shift 2
    if ! problems=$("$binary" --config "$PCL_VAR/etc/$part.cfg" --check-config 2>&1); then
        printf '%s\n' "$problems" >&2
        fail "$part: its configuration $PCL_VAR/etc/$part.cfg is wrong"
    fi
    part_ensure "$part" "$PCL_VAR/etc/$part.cfg" "$@" -- \
        "$binary" --config "$PCL_VAR/etc/$part.cfg"
    did[$part]=$PART_DID
}

daemons_start()
{
    local node part secrets=$PCL_VAR/secrets
    for part in $(proxies_more); do
        daemon_start "$part" proxy/portcullis-proxy "$secrets/$part.key"
    done
    # Key lists and the policy are not among what restarts a daemon: it sees for itself.
    if [[ $(setting_get roles) == together ]]; then
        part_ensure portcullisd "$PCL_VAR"/etc/{gatekeeper,broker,proxy}.cfg \
            "$secrets"/{gatekeeper,broker,proxy}.key -- \
            "$build_dir/portcullisd/portcullisd" --roles gatekeeper,broker,proxy \
            --config-dir "$PCL_VAR/etc"
        did[portcullisd]=$PART_DID
    else
        daemon_start proxy proxy/portcullis-proxy "$secrets/proxy.key"
        daemon_start broker broker/portcullis-broker "$secrets/broker.key"
        daemon_start gatekeeper gatekeeper/portcullis-gatekeeper "$secrets/gatekeeper.key"
    fi
    for node in $(nodes_list); do
        daemon_start "agent-$node" worker-agent/portcullis-worker-agent "$secrets/agent-$node.key"
    done
    for node in $(nodes_list); do
        daemon_wait "agent-$node"
        if [[ $node == "$(source_now)" ]]; then
            say "$node: source, taking writes (agent ${did[agent-$node]})"
        else
            say "$node: replica, replicating (agent ${did[agent-$node]})"
        fi
    done
    for node in $(parts_list | grep -v node); do
        daemon_wait "$node"
        say "$node: ready (${did[$node]})"
    done
}

daemon_wait()
{
    local part=$1 role address said='' deadline=$((SECONDS + 90))
    while read -r role address; do
        until said=$(http_ready "$address"); do
            part_pid "$part" > /dev/null || part_failed "$part" "it stopped"
            [[ $SECONDS -lt $deadline ]] || part_failed "$part" "$role not ready in 90 s: $said"
            sleep 0.1
        done
    done < <(part_http "$part")
}

# Every part may be ready and a replica still unknown to a proxy, or its lag:
# a first look at the cluster shall show all of it.
cluster_wait()
{
    local page part deadline=$((SECONDS + 30)) nodes
    nodes=$(setting_get nodes)
    for part in proxy $(proxies_more); do
        until page=$(curl -sS --noproxy '*' --max-time 2 \
            "http://127.0.0.1:$(port_get "http.$part")/api/cluster" 2>&1) \
            && [[ $(grep -o '"state":"up"' <<< "$page" | wc -l) -eq $nodes ]] \
            && [[ $page != *'"lag_ms":-1'* ]]; do
            if [[ $SECONDS -ge $deadline ]]; then
                warn "$part does not see all $nodes nodes yet; infra/status.sh tells more"
                return 0
            fi
            sleep 0.1
        done
        say "$part: sees all $nodes nodes"
    done
}

# What belongs to an earlier shape of the cluster: fewer nodes, roles apart or together.
leftovers_stop()
{
    local part gone=() wanted
    wanted=" $(parts_list | tr '\n' ' ') "
    for part in $(parts_known); do
        if [[ $wanted != *" $part "* ]]; then
            say "$part: no longer part of the cluster, stopping it"
            gone+=("$part")
        fi
    done
    [[ ${#gone[@]} -eq 0 ]] || parts_stop 30 "${gone[@]}"
}

# --- Demo ------------------------------------------------------------------------

portcullis()
{
    PORTCULLIS_BUNDLE=$PCL_VAR/client.bundle "$build_dir/client/portcullis" "$@"
}

# Its statements can be run again, so a load that was cut off is simply repeated.
demo_load()
{
    local sum log=$PCL_VAR/log/demo.log
    sum=$(sha256sum < "$PCL_CHECKOUT/infra/demo.sql")
    [[ $sum != "$(setting_get demo)" ]] || return 0
    if ! portcullis query --timeout 30000 --file "$PCL_CHECKOUT/infra/demo.sql" \
        > "$log" 2>&1 < /dev/null; then
        log_tail "$log"
        fail "the demo schema could not be loaded"
    fi
    setting_put demo "$sum"
    say "demo: schema loaded through the gatekeeper"
}

first_query='SELECT id, name, city, balance FROM demo.customers'
first_query+=' ORDER BY balance DESC LIMIT 3'
readonly first_query

# Right after the load a replica may still be behind it: it has no table, or no rows.
first_answer()
{
    local answer deadline=$((SECONDS + 20))
    until answer=$(portcullis query --route "$first_query" 2>&1 < /dev/null) \
        && [[ $answer == *balance* ]]; do
        if [[ $SECONDS -ge $deadline ]]; then
            printf '%s\n' "$answer" >&2
            fail "the first query was not answered; infra/status.sh shows every part"
        fi
        sleep 0.2
    done
    say ""
    say "> $first_query"
    say "$answer"
}

last_words()
{
    local tool=./portcullis option=''
    if [[ $PCL_VAR_OWN -eq 0 ]]; then
        tool=${build_dir@Q}/client/portcullis
        option=" --var ${PCL_VAR@Q}"
    fi
    say ""
    say "The cluster is up. To copy:"
    [[ $PCL_VAR_OWN -eq 1 ]] || say "  export PORTCULLIS_BUNDLE=${PCL_VAR@Q}/client.bundle"
    say "  $tool query 'SELECT * FROM demo.products LIMIT 5'"
    say "  $tool query --strategy random --route 'SELECT COUNT(*) FROM demo.orders'"
    say "  $tool shell --db demo"
    say "  $tool status"
    say "  infra/status.sh$option"
    say "  infra/down.sh$option"
    say "A client elsewhere needs one file: $PCL_VAR/client.bundle"
}

# Thousands of clients are as many files in the gatekeeper.
files_raise()
{
    local hard
    hard=$(ulimit -H -n)
    if [[ $hard == unlimited || $hard -gt 65536 ]]; then
        hard=65536
    fi
    ulimit -S -n "$hard" 2> /dev/null || true
}

main()
{
    options_read "$@"
    files_raise
    state_lock
    settings_decide
    say "cluster: $(setting_get nodes) nodes, $(setting_get flavor), roles $(setting_get roles)," \
        "proxies $(setting_get proxies)," \
        "state in $PCL_VAR"
    prepare
    leftovers_stop
    secrets_make
    ports_choose
    configs_make
    nodes_start
    daemons_start
    cluster_wait
    if [[ $want_demo -eq 1 ]]; then
        demo_load
        first_answer
    fi
    last_words
}

main "$@"
