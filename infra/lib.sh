# shellcheck shell=bash
# lib.sh - what the scripts of infra/ and tests/ share: words on the terminal,
# packages, the state folder, and the life of a part.
#
# A part is one process of a cluster: a database (node1), its agent
# (agent-node1), proxy, broker, gatekeeper, or portcullisd in their stead; with
# several proxies also proxy-2, proxy-3 and so on.
# The state folder (var/ of the checkout, or --var DIR) holds for each part
#
#   run/PART.pid     process id, its start time and the boot it belongs to, so
#                    that a number that was given to someone else is never
#                    trusted and never killed
#   run/PART.cmd     its command line, an argument per NUL, to start it again
#   run/PART.sum     what its command and files were when it was set up
#   run/PART.bin     which binary it was started from
#   log/PART.log     what it wrote
#
# Functions return 1 for "no", and call fail() for what ends the script.
# Sourced with errexit, nounset and pipefail on.
# shellcheck disable=SC2034 # variables are for the scripts that source this

PCL_CHECKOUT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
PCL_VAR=$PCL_CHECKOUT/var
PCL_VAR_OWN=1 # 0 with --var: then the checkout itself is not touched

# --- Words ---------------------------------------------------------------------

say()
{
    printf '%s\n' "$*"
}

warn()
{
    printf 'warning: %s\n' "$*" >&2
}

fail()
{
    printf 'error: %s\n' "$*" >&2
    exit 1
}

usage_fail()
{
    printf 'error: %s\n' "$*" >&2
    printf "Try '%s --help'.\n" "$0" >&2
    exit 64
}

# The comment at the top of a script is its help.
help_print()
{
    awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$1"
}

# The last lines of a log and where it is; the log may not exist yet.
log_tail()
{
    local log=$1
    if [[ -s $log ]]; then
        printf -- '--- last lines of %s\n' "$log" >&2
        tail -n 15 "$log" >&2
    else
        printf -- '--- %s is empty\n' "$log" >&2
    fi
}

json_text()
{
    local text=$1
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\n'/\\n}
    text=${text//$'\t'/\\t}
    printf '"%s"' "$text"
}

# --- Packages ------------------------------------------------------------------

# NEED lines: what must be there, then the packages that bring it, best first;
# cmd:NAME is a command, pc:NAME a pkg-config module, py:NAME a module of
# /usr/bin/python3, file:PATH a file, flavor:NAME a database server of that
# flavor.  Several with | mean any of them.
readonly PCL_NEED_BUILD="
cmd:gcc|cmd:cc          gcc
file:/usr/include/stdio.h libc6-dev
cmd:cmake               cmake
cmd:ninja               ninja-build
cmd:pkg-config          pkgconf pkg-config
pc:libzmq               libzmq3-dev
pc:libczmq              libczmq-dev
pc:msgpack-c|pc:msgpack libmsgpack-c-dev libmsgpack-dev
pc:libsodium            libsodium-dev
pc:libmicrohttpd        libmicrohttpd-dev
pc:libcurl              libcurl4-openssl-dev
pc:libedit              libedit-dev
pc:libmariadb|pc:mysqlclient libmariadb-dev
"
readonly PCL_NEED_RUN="
cmd:curl                curl
cmd:setsid              util-linux
cmd:sha256sum           coreutils
cmd:flock               util-linux
cmd:awk                 mawk gawk
"
readonly PCL_NEED_MARIADB="
flavor:mariadb          mariadb-server-core mariadb-server-core-10.6 mariadb-server
cmd:mariadb             mariadb-client-core mariadb-client-core-10.6 mariadb-client
"
readonly PCL_NEED_MYSQL="
flavor:mysql            mysql-server-core mysql-server-core-8.4 mysql-server-core-8.0
cmd:mysql               mysql-client-core mysql-client-core-8.4 mysql-client-core-8.0
"
readonly PCL_NEED_TEST="
pc:cmocka               libcmocka-dev
cmd:/usr/bin/python3    python3
py:zmq                  python3-zmq
py:msgpack              python3-msgpack
py:nacl                 python3-nacl
py:pytest               python3-pytest
py:xdist                python3-pytest-xdist
cmd:clang               clang
cmd:clang-format        clang-format
cmd:shellcheck          shellcheck
cmd:debootstrap         debootstrap
cmd:nft                 nftables
cmd:ip                  iproute2
cmd:strace              strace
cmd:valgrind            valgrind
cmd:systemd-analyze     systemd
cmd:sysbench            sysbench
"
# What measures, beside what tests need.
readonly PCL_NEED_BENCH="
cmd:sysbench            sysbench
cmd:/usr/bin/python3    python3
py:zmq                  python3-zmq
py:msgpack              python3-msgpack
py:nacl                 python3-nacl
"
# run_all.sh, beside what a cluster needs.
readonly PCL_NEED_REPORT="
cmd:/usr/bin/python3    python3
py:zmq                  python3-zmq
py:msgpack              python3-msgpack
py:nacl                 python3-nacl
"
readonly PCL_NEED_CI="
cmd:promtool            prometheus
cmd:chromium|cmd:chromium-browser|cmd:google-chrome chromium
"

# PATH of a user often lacks the folders of daemons.
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/libexec
export PATH

need_met()
{
    local any
    for any in ${1//|/ }; do
        case $any in
            cmd:*) command -v "${any#cmd:}" > /dev/null && return 0 ;;
            pc:*) pkg-config --exists "${any#pc:}" 2> /dev/null && return 0 ;;
            py:*) /usr/bin/python3 -c "import ${any#py:}" 2> /dev/null && return 0 ;;
            file:*) [[ -e ${any#file:} ]] && return 0 ;;
            flavor:*) flavor_server "${any#flavor:}" > /dev/null && return 0 ;;
        esac
    done
    return 1
}

# The first of the names that apt can install here; the first name when it knows none.
package_choose()
{
    local name policy
    for name in "$@"; do
        policy=$(apt-cache policy "$name" 2> /dev/null || true)
        if [[ $policy =~ Candidate:\ [^\(] ]]; then
            printf '%s\n' "$name"
            return
        fi
    done
    printf '%s\n' "$1"
}

# Names of the packages that the NEED lines on standard input lack, one a line.
packages_missing()
{
    local need names
    while read -r need names; do
        if [[ -n $need ]] && ! need_met "$need"; then
            # shellcheck disable=SC2086 # names is a list of words
            package_choose $names
        fi
    done
}

as_root()
{
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif command -v sudo > /dev/null; then
        sudo "$@"
    else
        fail "neither root nor sudo: run this as root: $*"
    fi
}

apt_install()
{
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "$@" < /dev/null
}

# packages_ensure MAY_INSTALL NEEDS...: installs what is missing, or says what is.
packages_ensure()
{
    local may_install=$1 missing
    shift
    # pkg-config answers for the others, so it is asked for before them.
    missing=$(printf '%s\n' "$@" | packages_missing | sort -u | tr '\n' ' ')
    [[ -n $missing ]] || return 0
    command -v apt-get > /dev/null || fail "missing, and there is no apt-get here: $missing"
    if [[ $may_install -eq 0 ]]; then
        printf 'error: packages are missing; install them with\n' >&2
        printf '    apt-get install --no-install-recommends %s\n' "$missing" >&2
        if [[ -z $(apt-cache policy libc6 2> /dev/null) ]]; then
            printf 'after apt-get update: without its lists some names are guesses\n' >&2
        fi
        exit 1
    fi
    say "installing: $missing"
    local log
    log=$(mktemp /tmp/portcullis-apt.XXXXXX)
    # The names are chosen again after the update: a fresh machine has no lists yet.
    as_root apt-get update > "$log" 2>&1 < /dev/null || warn "apt-get update failed, see $log"
    missing=$(printf '%s\n' "$@" | packages_missing | sort -u | tr '\n' ' ')
    # shellcheck disable=SC2086 # missing is a list of words
    if ! apt_install $missing >> "$log" 2>&1; then
        log_tail "$log"
        fail "apt-get could not install them"
    fi
    hash -r
    # What pkg-config could not answer before it was there itself.
    missing=$(printf '%s\n' "$@" | packages_missing | sort -u | tr '\n' ' ')
    if [[ -n $missing ]]; then
        # shellcheck disable=SC2086
        if ! apt_install $missing >> "$log" 2>&1; then
            log_tail "$log"
            fail "apt-get could not install them"
        fi
        hash -r
    fi
    missing=$(printf '%s\n' "$@" | packages_missing | sort -u | tr '\n' ' ')
    [[ -z $missing ]] || fail "installed, and still not usable: $missing(log: $log)"
    rm -f "$log"
}

# --- Build ---------------------------------------------------------------------

# build_folder DIR LOG CMAKE-ARGS...: configures and builds; on failure the first errors.
build_folder()
{
    local folder=$1 log=$2 cached=0 configured=1
    shift 2
    mkdir -p "$folder" "$(dirname "$log")"
    [[ ! -e $folder/CMakeCache.txt ]] || cached=1
    if ! build_configure "$folder" "$@" > "$log" 2>&1; then
        # What an earlier run found may have been removed from the machine since.
        rm -f "$folder/CMakeCache.txt"
        if [[ $cached -eq 0 ]] || ! build_configure "$folder" "$@" > "$log" 2>&1; then
            configured=0
        fi
    fi
    if [[ $configured -eq 0 ]] || ! ninja -C "$folder" >> "$log" 2>&1 < /dev/null; then
        grep -m 10 -E 'error|Error|FAILED' "$log" >&2 || true
        log_tail "$log"
        return 1
    fi
}

build_configure()
{
    local folder=$1
    shift
    cmake -G Ninja -S "$PCL_CHECKOUT" -B "$folder" "$@" < /dev/null
}

# --- State folder --------------------------------------------------------------

state_use()
{
    PCL_VAR=$1
    PCL_VAR_OWN=0
    mkdir -p "$PCL_VAR"
    PCL_VAR=$(cd "$PCL_VAR" && pwd -P)
}

# One up, down or part command at a time on a state folder; released at exit.
state_lock()
{
    mkdir -p "$PCL_VAR"/{run,log,etc,keys,secrets,audit}
    chmod 700 "$PCL_VAR/secrets" "$PCL_VAR/audit"
    exec 9> "$PCL_VAR/run/lock"
    flock -w 120 9 || fail "another script holds $PCL_VAR/run/lock"
}

setting_get()
{
    local name=$1 fallback=${2-} line
    if [[ -r $PCL_VAR/settings ]]; then
        while read -r line; do
            if [[ $line == "$name="* ]]; then
                printf '%s\n' "${line#*=}"
                return 0
            fi
        done < "$PCL_VAR/settings"
    fi
    printf '%s\n' "$fallback"
}

setting_put()
{
    local name=$1 value=$2 line
    {
        if [[ -r $PCL_VAR/settings ]]; then
            while read -r line; do
                [[ $line == "$name="* ]] || printf '%s\n' "$line"
            done < "$PCL_VAR/settings"
        fi
        printf '%s=%s\n' "$name" "$value"
    } > "$PCL_VAR/settings.new"
    mv "$PCL_VAR/settings.new" "$PCL_VAR/settings"
}

# Where sockets live: a path longer than a socket address holds would be cut,
# so a deep checkout gets a short private folder.
socket_folder()
{
    local folder=$PCL_VAR/run
    if [[ ${#folder} -gt 80 ]]; then
        folder=/tmp/portcullis-$(id -u)-$(printf '%s' "$PCL_VAR" | sha256sum | cut -c1-12)
    fi
    printf '%s\n' "$folder"
}

# Makes it when it is the short one; refuses a folder that somebody else put there.
socket_folder_make()
{
    local folder
    folder=$(socket_folder)
    [[ $folder == "$PCL_VAR/run" ]] && return 0
    mkdir -m 700 "$folder" 2> /dev/null || true
    [[ -d $folder && ! -L $folder && -O $folder && $(stat -c %a "$folder") == 700 ]] \
        || fail "$folder exists and is not a private folder of this user"
}

node_socket()
{
    printf '%s/%s.sock\n' "$(socket_folder)" "$1"
}

port_get()
{
    setting_get "port.$1"
}

port_busy()
{
    local hex
    printf -v hex '%04X' "$1"
    cat /proc/net/tcp /proc/net/tcp6 2> /dev/null \
        | awk -v port=":$hex" 'substr($2, length($2) - 4) == port && $4 == "0A" { found = 1 }
                               END { exit !found }'
}

# port_choose NAME PART: keeps the port that NAME has, unless it has none, or PART
# is down and somebody else took it.  Below the range that outgoing connections use;
# PORTCULLIS_PORTS=FIRST-LAST narrows it, so that clusters that start and stop beside
# each other never meet.
port_choose()
{
    local name=$1 part=$2 port tries range=${PORTCULLIS_PORTS:-20000-31999}
    local first=${range%-*} last=${range#*-}
    port=$(port_get "$name")
    if [[ -n $port ]] && { part_pid "$part" > /dev/null || ! port_busy "$port"; }; then
        return 0
    fi
    for ((tries = 0; tries < 200; tries++)); do
        port=$((first + (RANDOM * 32768 + RANDOM) % (last - first + 1)))
        if ! port_busy "$port" && ! grep -q "^port\..*=$port\$" "$PCL_VAR/settings"; then
            setting_put "port.$name" "$port"
            return 0
        fi
    done
    fail "no free port on loopback found for $name"
}

# --- A part's life -------------------------------------------------------------

boot_id()
{
    cat /proc/sys/kernel/random/boot_id
}

# Start time of a living process, in ticks since boot; 1 for none or a zombie.
process_start()
{
    local stat fields
    { stat=$(< "/proc/$1/stat"); } 2> /dev/null || return 1
    read -r -a fields <<< "${stat##*) }"
    [[ ${fields[0]} != [ZX] ]] || return 1
    printf '%s\n' "${fields[19]}"
}

# Prints the process id of a living part.
part_pid()
{
    local pid start boot
    read -r pid start boot 2> /dev/null < "$PCL_VAR/run/$1.pid" || return 1
    [[ $boot == "$(boot_id)" && $start == "$(process_start "$pid")" ]] || return 1
    printf '%s\n' "$pid"
}

# Starts run/PART.cmd in its own session, with its log, holding no descriptor of ours.
part_launch()
{
    local part=$1 command=() pid start
    mapfile -d '' -t command < "$PCL_VAR/run/$part.cmd"
    part_binary "$part" cmd > "$PCL_VAR/run/$part.bin"
    printf -- '--- %s starts %s\n' "$(date -u +%FT%TZ)" "$part" >> "$PCL_VAR/log/$part.log"
    (
        cd "$PCL_VAR" || exit 1
        exec setsid "${command[@]}" 9>&- < /dev/null >> "$PCL_VAR/log/$part.log" 2>&1
    ) &
    pid=$!
    start=$(process_start "$pid") || start=0
    printf '%s %s %s\n' "$pid" "$start" "$(boot_id)" > "$PCL_VAR/run/$part.pid"
}

# What a part is made of: its command and the content of the files it reads.
part_sum()
{
    local part=$1
    shift
    { cat "$PCL_VAR/run/$part.cmd.new" "$@"; } | sha256sum
}

# Which binary a part runs: a daemon does not let its user ask /proc for it.
part_binary()
{
    local binary
    IFS= read -r -d '' binary < "$PCL_VAR/run/$1.$2" || true
    stat -L -c '%n %i %s %Y' "$binary" 2> /dev/null || printf '%s\n' "$binary"
}

# The same for one that is down; used when nothing about it changes.
part_relaunch()
{
    [[ -s $PCL_VAR/run/$1.cmd ]] || fail "$1 never ran here; infra/up.sh starts it"
    part_pid "$1" > /dev/null || part_launch "$1"
}

# part_ensure PART FILES... -- COMMAND...: starts it if it is not running, starts
# it again if its command, binary or files changed.  Sets PART_DID to one of:
# running, started, restarted.
part_ensure()
{
    local part=$1 files=() pid sum changed=''
    shift
    while [[ $1 != -- ]]; do
        files+=("$1")
        shift
    done
    shift
    printf '%s\0' "$@" > "$PCL_VAR/run/$part.cmd.new"
    sum=$(part_sum "$part" "${files[@]}")
    PART_DID=started
    if pid=$(part_pid "$part"); then
        [[ $sum == "$(cat "$PCL_VAR/run/$part.sum" 2> /dev/null)" ]] || changed=configuration
        [[ $(part_binary "$part" cmd.new) == "$(cat "$PCL_VAR/run/$part.bin" 2> /dev/null)" ]] \
            || changed=binary
        if [[ -z $changed ]]; then
            rm -f "$PCL_VAR/run/$part.cmd.new"
            PART_DID=running
            return 0
        fi
        say "$part: $changed changed, stopping it to start it again"
        parts_stop 60 "$part"
        PART_DID=restarted
    fi
    mv "$PCL_VAR/run/$part.cmd.new" "$PCL_VAR/run/$part.cmd"
    printf '%s\n' "$sum" > "$PCL_VAR/run/$part.sum"
    part_launch "$part"
}

# parts_stop SECONDS PART...: SIGTERM to all at once, SIGKILL to what outlives it.
parts_stop()
{
    local limit=$1 part pid waiting=()
    shift
    for part in "$@"; do
        if pid=$(part_pid "$part"); then
            kill -TERM "$pid" 2> /dev/null || true
            kill -CONT "$pid" 2> /dev/null || true
            waiting+=("$part")
        fi
    done
    local deadline=$((SECONDS + limit))
    for part in "${waiting[@]}"; do
        while pid=$(part_pid "$part"); do
            if [[ $SECONDS -ge $deadline ]]; then
                warn "$part did not stop within $limit s: killed"
                kill -KILL "$pid" 2> /dev/null || true
                deadline=$((SECONDS + 5))
            fi
            sleep 0.05
        done
        rm -f "$PCL_VAR/run/$part.pid"
    done
}

parts_kill()
{
    local part pid
    for part in "$@"; do
        if pid=$(part_pid "$part"); then
            kill -KILL "$pid" 2> /dev/null || true
            while part_pid "$part" > /dev/null; do
                sleep 0.02
            done
        fi
        rm -f "$PCL_VAR/run/$part.pid"
    done
}

# Asks /ready: 0 when it says yes; prints what it says.
http_ready()
{
    local answer
    answer=$(curl -sS --noproxy '*' --max-time 2 -w '\n%{http_code}' "http://$1/ready" 2>&1) \
        || { printf 'no answer on http://%s/ready\n' "$1"; return 1; }
    printf '%s\n' "${answer%$'\n'*}"
    [[ ${answer##*$'\n'} == 200 ]]
}

# --- The cluster ---------------------------------------------------------------

# The policy that a new cluster starts with.
policy_write()
{
    cat << POLICY
# Who may do what here.  The broker takes a changed file over by itself, when it is whole:
# portcullis policy check FILE names every mistake, docs/policy.md every setting.
policy
    version = "1"
roles
    # Everything but what administers a server.
    app
        accounts = "app"
        classes = "read locking_read write call ddl transaction state"
# NAME = "ROLE PUBLIC-KEY"; portcullis principal add, list and revoke keep them.
principals
POLICY
}

cluster_exists()
{
    [[ -s $PCL_VAR/settings ]]
}

nodes_list()
{
    local number
    for ((number = 1; number <= $(setting_get nodes 0); number++)); do
        printf 'node%d\n' "$number"
    done
}

# TERM, STAGE and NODE of the newest of the agents' state files; node1 where no source has changed.
topology_now()
{
    local node files=()
    for node in $(nodes_list); do
        [[ ! -f $PCL_VAR/$node/topology ]] || files+=("$PCL_VAR/$node/topology")
    done
    awk 'BEGIN { newest = "0 none node1" }
        $1 == "term" { term = $2 }
        $1 == "stage" { stage = $2; rank = 2 * term + (stage == "open") }
        $1 == "source" && rank > latest { latest = rank; newest = term " " stage " " $2 }
        END { print newest }' "${files[@]}" < /dev/null
}

source_now()
{
    local now
    now=$(topology_now)
    printf '%s\n' "${now##* }"
}

# The proxies beside the first one, which may be in portcullisd.
proxies_more()
{
    local number
    for ((number = 2; number <= $(setting_get proxies 1); number++)); do
        printf 'proxy-%d\n' "$number"
    done
}

# Every part of the cluster, innermost first.
parts_list()
{
    nodes_list
    nodes_list | sed 's/^/agent-/'
    proxies_more
    if [[ $(setting_get roles apart) == together ]]; then
        printf 'portcullisd\n'
    else
        printf 'proxy\nbroker\ngatekeeper\n'
    fi
}

# Every part that ever ran in this state folder, also of an earlier shape of the cluster.
parts_known()
{
    local file
    for file in "$PCL_VAR"/run/*.pid; do
        [[ -e $file ]] && basename "$file" .pid
    done
    return 0
}

# The HTTP addresses of a part, "ROLE ADDRESS" a line; a database has none.
part_http()
{
    local role
    case $1 in
        node*) ;;
        portcullisd)
            for role in gatekeeper broker proxy; do
                printf '%s 127.0.0.1:%s\n' "$role" "$(port_get "http.$role")"
            done
            ;;
        *) printf '%s 127.0.0.1:%s\n' "$1" "$(port_get "http.$1")" ;;
    esac
}

# mariadbd or mysqld of the wanted flavor; 1 when it is not installed.
flavor_server()
{
    local name found=mysql
    if [[ $1 == mariadb ]] && command -v mariadbd; then
        return 0
    fi
    name=$(command -v mysqld) || return 1
    [[ $("$name" --version 2> /dev/null) != *MariaDB* ]] || found=mariadb
    [[ $found == "$1" ]] && printf '%s\n' "$name"
}

flavor_client()
{
    case $1 in
        mariadb) command -v mariadb || command -v mysql ;;
        mysql) command -v mysql ;;
    esac
}

# Standard input or arguments to the database client of a node, as its root.
node_sql()
{
    local node=$1
    shift
    "$(flavor_client "$(setting_get flavor)")" \
        --defaults-extra-file="$PCL_VAR/secrets/admin.cnf" --no-auto-rehash \
        --socket="$(node_socket "$node")" --user=root "$@"
}
