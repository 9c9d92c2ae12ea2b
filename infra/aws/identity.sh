# shellcheck shell=bash
# identity.sh - who may know what: keys and passwords, a secret and a role for each instance,
# and the bucket.  Sourced by up.sh.
#
# All keys and passwords are made here, once, into the cluster's memory (see lib.sh), and each
# part's secret is cut from it: an instance reads its own and no other.  Nothing of it is ever
# an argument of a command, or in user data, or left on this machine.
# shellcheck disable=SC2154 # variables of up.sh

# --- Keys and passwords ----------------------------------------------------------

# The portcullis command, which makes keys and bundles.
identity_command()
{
    local one
    for one in "${PORTCULLIS_COMMAND-}" "$PCL_CHECKOUT/build/release/client/portcullis" \
        "$(command -v portcullis || true)"; do
        if [[ -n $one && -x $one ]]; then
            printf '%s\n' "$one"
            return 0
        fi
    done
    fail "no portcullis command here: infra/up.sh builds one, PORTCULLIS_COMMAND names another"
}

# Whose CURVE keys there are; `local` is the first client.
identity_keys()
{
    instance_parts | grep -vx client
    printf 'local\n'
}

# Files of the memory that are not there yet.
identity_missing()
{
    local name
    for name in $(identity_keys); do
        [[ -s $memory/keys/$name.key ]] || printf 'keys/%s.key\n' "$name"
    done
    for name in admin read write replication; do
        [[ -s $memory/passwords/$name.password ]] || printf 'passwords/%s.password\n' "$name"
    done
    for name in token.key policy.cfg clients; do
        [[ -s $memory/$name ]] || printf '%s\n' "$name"
    done
}

identity_make()
{
    local file=$1 command
    mkdir -p "$memory/keys" "$memory/passwords"
    case $file in
        keys/*)
            command=$(identity_command)
            "$command" keygen "$memory/$file" > /dev/null || fail "portcullis keygen failed"
            ;;
        passwords/*) head -c 24 /dev/urandom | base64 | tr '+/' '-_' > "$memory/$file" ;;
        token.key) head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' > "$memory/$file" ;;
        policy.cfg) policy_write > "$memory/$file" ;;
        clients)
            printf '# NAME  PUBLIC-KEY\n' > "$memory/$file"
            command=$(identity_command)
            "$command" principal add local --role app --key "$memory/keys/local.key" \
                --policy "$memory/policy.cfg" --clients "$memory/clients" > /dev/null 2>&1 \
                || fail "the principal of client.bundle could not be added"
            ;;
    esac
}

# Makes what is missing, and keeps all of it, before anything is made from it.
identity_memory()
{
    local file missing sum
    missing=$(identity_missing)
    sum=$(cluster_setting_sum)
    [[ -n $missing || -z ${have[memory/cluster]-} || $sum != "$memory_sum" ]] || return 0
    if [[ -z ${have[memory/cluster]-} ]]; then
        change "secret cluster: keys, passwords and settings, for the operator only" || return 0
    elif [[ -n $missing ]]; then
        change "secret cluster: add $(tr '\n' ' ' <<< "$missing")" || return 0
    else
        change "secret cluster: settings" || return 0
    fi
    (
        umask 077
        for file in $missing; do
            identity_make "$file"
        done
        memory_settings_write
    )
    memory_put
    memory_sum=$sum
}

# Of the settings and of the files that the operator may replace.
cluster_setting_sum()
{
    local key
    {
        for key in "${!cluster_settings[@]}"; do
            printf '%s=%s\n' "$key" "${cluster_settings[$key]}"
        done | sort
        cat "$memory/policy.cfg" "$memory/clients" 2> /dev/null || true
    } | sha256sum
}

# --- An instance's own secret ----------------------------------------------------

# NAME FILE lines: what /etc/portcullis/secrets of a part holds, and what it is cut from.
secret_files()
{
    local part=$1 name
    case $(part_tier "$part") in
        gatekeeper) printf 'gatekeeper.key keys/%s.key\n' "$part" ;;
        broker) printf 'broker.key keys/broker.key\ntoken.key token.key\n' ;;
        proxy) printf 'proxy.key keys/%s.key\n' "$part" ;;
        node)
            printf 'agent.key keys/%s.key\ntoken.key token.key\n' "$part"
            for name in admin read write replication; do
                printf '%s.password passwords/%s.password\n' "$name" "$name"
            done
            ;;
        client) printf 'client.bundle bench.bundle\n' ;;
    esac
}

secret_value()
{
    local name file list=()
    while read -r name file; do
        list+=("$(json_text "$name"):$(json_text "$(< "$memory/$file")")")
    done < <(secret_files "$1")
    (IFS=, && printf '{"files":{%s}}' "${list[*]}")
}

# The value's own sum stands in a tag, so that nobody has to read a secret to compare it.
identity_secret()
{
    local part=$1 value=$aws_work/secret.$1 sum id
    id=${have[secret/$part]-}
    if [[ $mode == plan && (-n $(identity_missing) \
        || $part == client && -z ${have[eni/eni-gatekeeper1]-}) ]]; then
        [[ -n $id ]] || change "secret $part" || true
        return 0
    fi
    [[ $part != client ]] || bench_bundle
    (umask 077 && secret_value "$part" > "$value")
    sum=$(sha256sum < "$value")
    sum=${sum%% *}
    if [[ -z $id ]]; then
        change "secret $part" || return 0
        identity_secret_create "$part" "$value" "$sum"
    elif [[ $(about_field "secret/$part" 1) != "$sum" ]]; then
        change "secret $part: new content" || return 0
        identity_secret_put "$part" "$id" "$value" "$sum"
    fi
    rm -f "$value"
}

# One that is there without being known was left by a down.sh that had deleted the memory.
identity_secret_create()
{
    local part=$1 value=$2 sum=$3 id words=$aws_work/create.$BASHPID
    aws_tags_loose "$part" portcullis:sum "$sum"
    if id=$(aws_call secretsmanager create-secret --name "portcullis/$aws_name/$part" \
        --description "Portcullis $aws_name: what $part may know" \
        --secret-string "file://$value" --tags "${aws_tag_words[@]}" \
        --query ARN --output text 2> "$words"); then
        made secret "$part" "$id" "$sum"
        return 0
    fi
    if [[ $(< "$words") != *ResourceExists* ]]; then
        cat "$words" >&2
        return 1
    fi
    id=$(aws_call secretsmanager describe-secret --secret-id "portcullis/$aws_name/$part" \
        --query ARN --output text)
    identity_secret_put "$part" "$id" "$value" "$sum"
}

identity_secret_put()
{
    local part=$1 id=$2 value=$3 sum=$4
    aws_call secretsmanager put-secret-value --secret-id "$id" \
        --secret-string "file://$value" > /dev/null
    aws_call secretsmanager tag-resource --secret-id "$id" \
        --tags "Key=portcullis:sum,Value=$sum"
    made secret "$part" "$id" "$sum"
}

# --- Roles -----------------------------------------------------------------------

# What the instance of a part may do: read its secret, from inside the VPC only, and its
# packages and configuration; take commands of Session Manager.
role_policy()
{
    local part=$1 files
    files="\"arn:aws:s3:::$aws_bucket/packages/*\""
    files+=",\"arn:aws:s3:::$aws_bucket/config/$part.tar.gz\""
    cat << JSON
{"Version":"2012-10-17","Statement":[
{"Sid":"OwnSecret","Effect":"Allow","Action":"secretsmanager:GetSecretValue",
"Resource":"${have[secret/$part]}"$(role_condition)},
{"Sid":"Files","Effect":"Allow","Action":"s3:GetObject","Resource":[$files]},
{"Sid":"SessionManager","Effect":"Allow","Action":[
"ssm:UpdateInstanceInformation","ssmmessages:CreateControlChannel",
"ssmmessages:CreateDataChannel","ssmmessages:OpenControlChannel",
"ssmmessages:OpenDataChannel","ec2messages:AcknowledgeMessage","ec2messages:DeleteMessage",
"ec2messages:FailMessage","ec2messages:GetEndpoint","ec2messages:GetMessages",
"ec2messages:SendReply"],"Resource":"*"}]}
JSON
}

# Credentials that were carried out of the VPC open nothing.
role_condition()
{
    printf ',"Condition":{"StringEquals":{"aws:SourceVpc":"%s"}}' "${have[vpc/vpc]}"
}

readonly role_trust='{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
"Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}'

# identity_role PART: role, policy and instance profile.  The policy's name holds its sum.
identity_role()
{
    local part=$1 policy name old role
    role=$(role_name "$part")
    if [[ $mode == plan && -z ${have[secret/$part]-} ]]; then
        [[ -n ${have[role/$part]-} ]] || change "role and instance profile $role" || true
        return 0
    fi
    policy=$(role_policy "$part")
    name=$(sha256sum <<< "$policy")
    name=portcullis-${name:0:12}
    if [[ -z ${have[role/$part]-} ]]; then
        if change "role $role"; then
            aws_tags_loose "$part"
            identity_create role "$role" \
                --description "Portcullis $aws_name: the instance $part" \
                --assume-role-policy-document "$role_trust" --tags "${aws_tag_words[@]}"
            made role "$part" "$role"
        fi
    fi
    if [[ ,$(about_field "role/$part" 1), != *,$name,* ]]; then
        if change "role $role: what it may do"; then
            aws_call iam put-role-policy --role-name "$role" --policy-name "$name" \
                --policy-document "$policy"
        fi
    fi
    old=$(about_field "role/$part" 1)
    for old in ${old//,/ }; do
        if [[ $old != "$name" ]] && change "role $role: take the policy $old away"; then
            aws_settle iam delete-role-policy --role-name "$role" --policy-name "$old"
        fi
    done
    identity_profile "$part"
}

# identity_create role|instance-profile NAME ...: one that is there already is ours only if
# its path is.
identity_create()
{
    local kind=$1 name=$2 path words=$aws_work/create.$BASHPID
    shift 2
    if ! aws_call iam "create-$kind" "--$kind-name" "$name" --path "$aws_path" "$@" \
        > /dev/null 2> "$words"; then
        if [[ $(< "$words") != *EntityAlreadyExists* ]]; then
            cat "$words" >&2
            return 1
        fi
        path=$(aws_call iam "get-$kind" "--$kind-name" "$name" --query '*.Path|[0]' --output text)
        [[ $path == "$aws_path" ]] \
            || fail "there is a $kind $name already, of $path: it is not of this cluster"
    fi
}

identity_profile()
{
    local part=$1 role words=$aws_work/profile.$1
    role=$(role_name "$part")
    if [[ -z ${have[profile/$part]-} ]]; then
        if change "instance profile $role"; then
            aws_tags_loose "$part"
            identity_create instance-profile "$role" --tags "${aws_tag_words[@]}"
        fi
    fi
    if [[ $(about_field "profile/$part" 1) != "$role" ]]; then
        if change "instance profile $role: its role"; then
            # A profile takes one role: whoever says that it is full may mean ours, which a
            # call put in that was not answered.
            if ! aws_settle iam add-role-to-instance-profile --instance-profile-name "$role" \
                --role-name "$role" 2> "$words" && [[ $(aws_call iam get-instance-profile \
                --instance-profile-name "$role" --output text \
                --query 'InstanceProfile.Roles[0].RoleName') != "$role" ]]; then
                cat "$words" >&2
                return 1
            fi
        fi
    fi
}

# --- Bucket ----------------------------------------------------------------------

bucket_policy()
{
    printf '{"Version":"2012-10-17","Statement":[{"Sid":"OnlyEncrypted","Effect":"Deny",'
    printf '"Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::%s",' "$aws_bucket"
    printf '"arn:aws:s3:::%s/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}' \
        "$aws_bucket"
}

# Its sum is tagged last: without it some of this was not done yet, and is done again.
identity_bucket()
{
    local sum tags where=() own=(--bucket "$aws_bucket" --expected-bucket-owner "$aws_account")
    sum=$(bucket_policy | sha256sum)
    sum=${sum:0:12}
    [[ $(about_field bucket/bucket 1 2> /dev/null) != "$sum" ]] || return 0
    change "bucket $aws_bucket: closed, encrypted" || return 0
    if [[ -z ${have[bucket/bucket]-} ]]; then
        [[ $aws_region == us-east-1 ]] \
            || where=(--create-bucket-configuration "LocationConstraint=$aws_region")
        aws_settle s3api create-bucket --bucket "$aws_bucket" "${where[@]}"
    fi
    aws_call s3api put-public-access-block "${own[@]}" \
        --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,$(
        )BlockPublicPolicy=true,RestrictPublicBuckets=true
    aws_call s3api put-bucket-encryption "${own[@]}" \
        --server-side-encryption-configuration \
        '{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"AES256"}}]}'
    aws_call s3api put-bucket-policy "${own[@]}" --policy "$(bucket_policy)"
    aws_tags_loose bucket portcullis:sum "$sum"
    tags=$(printf '{%s},' "${aws_tag_words[@]}")
    aws_call s3api put-bucket-tagging "${own[@]}" --tagging "TagSet=[${tags%,}]"
    made bucket bucket "$aws_bucket" "$sum"
}

# The packages, under a prefix of their own version.
identity_packages()
{
    local prefix
    prefix=$(cluster_setting packages)
    [[ -z ${have[object/$prefix/SUM]-} ]] || return 0
    change "bucket: packages of $packages_from" || return 0
    packages_put "$packages_from" "$prefix" "$(cluster_setting packages_sum)"
}
