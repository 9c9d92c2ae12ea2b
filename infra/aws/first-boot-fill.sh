# shellcheck shell=bash
# first-boot-fill.sh - user data of one instance: first-boot.sh.in with the settings
# of the instance in it.  Sourced, after infra/lib.sh.

# User data has at most 16384 octets, before its Base64; cloud-init unpacks what is gzip'ed.
readonly FIRST_BOOT_SIZE_MAX=16384
readonly FIRST_BOOT_NEEDED='CLUSTER PART TIER REGION BUCKET SECRET_ID PACKAGES PACKAGES_SUM'
readonly FIRST_BOOT_OF_NODE='FLAVOR ADDRESS SERVER_ID'
readonly FIRST_BOOT_MAY='DONOR S3_ENDPOINT SECRETS_ENDPOINT IMDS_ENDPOINT TRIES'

# first_boot_fill KEY=VALUE...: prints the user data; 1 and words on standard error when a
# setting is missing, unknown or not plain text.  It holds no secret, nor may a value be one.
first_boot_fill()
{
    local one key value settings='' text given=' ' needed=$FIRST_BOOT_NEEDED template
    local known=" $FIRST_BOOT_NEEDED $FIRST_BOOT_OF_NODE $FIRST_BOOT_MAY "
    for one in "$@"; do
        key=${one%%=*} value=${one#*=}
        if [[ $one != *=* || $known != *" $key "* ]]; then
            warn "first boot knows no '$one'"
            return 1
        fi
        if [[ ! $value =~ ^[A-Za-z0-9/:._@+=-]*$ ]]; then
            warn "$key has a value that is not plain"
            return 1
        fi
        settings+="readonly $key='$value'"$'\n'
        [[ -z $value ]] || given+="$key "
        [[ $one != TIER=worker-agent ]] || needed+=" $FIRST_BOOT_OF_NODE"
    done
    for key in $needed; do
        [[ $given == *" $key "* ]] || { warn "first boot of an instance needs $key"; return 1; }
    done
    for key in $FIRST_BOOT_OF_NODE $FIRST_BOOT_MAY; do
        [[ $settings == *"readonly $key="* ]] || settings+="readonly $key="$'\n'
    done
    template=$(< "${BASH_SOURCE[0]%/*}/first-boot.sh.in")
    text=${template/'#@SETTINGS@'/"${settings%$'\n'}"}
    [[ $text != "$template" ]] || { warn "first-boot.sh.in has no place for settings"; return 1; }
    printf '%s\n' "$text"
}

# first_boot_pack: prints what it reads, user data, as an instance is given it.
first_boot_pack()
{
    local packed size
    packed=$(gzip -9n | base64 -w 0)
    size=$((${#packed} * 3 / 4))
    if [[ $size -gt $FIRST_BOOT_SIZE_MAX ]]; then
        warn "user data is too long: $size octets"
        return 1
    fi
    printf '%s' "$packed"
}
