# shellcheck shell=bash
# lib.sh - what the scripts for AWS share: calls that are tried again, what of a cluster is
# there, and commands on its instances.  Sourced after infra/lib.sh.
#
# A cluster's state is in AWS and nowhere else.  What belongs to it carries the tags
#
#   portcullis:cluster=NAME   portcullis:part=PART   Name=NAME-PART
#
# from the call that makes it, so that an up.sh that is killed between two calls leaves nothing
# that the next one, or down.sh, would not find.  The secret portcullis/NAME/cluster, which no
# instance may read, holds all keys and passwords and the settings: the cluster's memory.
#
# aws_see fills two arrays with what is there, by KIND/PART:
#
#   have   its id
#   about  what else must be known of it, fields between tabs (see see_* below); the same by
#          id/ID, also of what is there twice
#
# PORTCULLIS_AWS_JOBS      calls side by side (6)
# PORTCULLIS_AWS_TRIES     of one call, when AWS is busy or has not caught up yet (8)
# PORTCULLIS_AWS_RETRY_MS  before the second try; doubled for each, with jitter (1000)
# PORTCULLIS_AWS_STATE     where bundles and reports are put (build/aws)
# shellcheck disable=SC2034 # variables are for the scripts that source this

aws_name=
aws_region=
aws_account=
aws_folder=  # of this cluster on this machine: bundle, reports
aws_work=    # private, gone at exit
aws_bucket=
aws_path=    # of its roles and profiles
aws_jobs=${PORTCULLIS_AWS_JOBS:-6}
aws_tries=${PORTCULLIS_AWS_TRIES:-8}
aws_retry_ms=${PORTCULLIS_AWS_RETRY_MS:-1000}
declare -A have=() about=() cluster_settings=()
declare -A aws_gone=() # ids of what this run has deleted
aws_surplus=() # KIND ID of what is there twice
aws_endpoints="secretsmanager ssm ssmmessages ec2messages s3"
readonly aws_tiers="gatekeeper broker proxy node client"

# --- One call --------------------------------------------------------------------

# Which answers are worth another try.  AWS is busy; or it has not caught up with what it
# confirmed a moment ago; or something that is being deleted still stands in the way.
aws_passing()
{
    local words=$1 call=$2
    local busy='Throttl|RequestLimitExceeded|TooManyRequests|SlowDown|PriorRequest'
    busy+='|Unavailable|InternalError|InternalFailure|InternalServerError|\(50[0-9]\)'
    local behind='DependencyViolation|DeleteConflict|OperationAborted|IncorrectState'
    behind+='|scheduled for deletion|Invalid IAM Instance Profile|InvalidNetworkInterface.InUse'
    behind+='|InvalidIPAddress.InUse|is currently in use|InvocationDoesNotExist'
    behind+='|[Ee]nabling private DNS requires|IncorrectInstanceState'
    [[ ! $words =~ $busy|$behind ]] || return 0
    case $words in
        *"annot be found"* | *"does not exist"* | *NoSuchEntity* | *"NotFound"*)
            # What was just made, and is not known everywhere yet; a look that finds nothing
            # has its answer.
            [[ $call != describe-* && $call != get-* && $call != list-* && $call != delete-* ]]
            return
            ;;
        *"onnection"* | *"imeout"* | *"ncomplete"* | *"parse response"*)
            # Nobody knows what became of it.  What only looks may be said again, and so may
            # what AWS itself takes for the same call the second time.
            [[ " $aws_once " != *" $call "* ]]
            return
            ;;
    esac
    return 1
}

# What AWS says of a thing that is not there.
aws_absent()
{
    [[ $1 == *NotFound* || $1 == *NoSuch* || $1 == *"annot find"* ]]
}

# What would be there twice if it were said twice; nor may the CLI itself say it again.
readonly aws_once="create-vpc create-internet-gateway create-route-table \
create-network-interface create-vpc-endpoint allocate-address"

# aws_call SERVICE CALL ...: prints what the AWS CLI prints.  1: AWS said no, and what it
# said is on standard error.
aws_call()
{
    local try pause out said limit err=$aws_work/err.$BASHPID attempts=${AWS_MAX_ATTEMPTS:-3}
    [[ " $aws_once " != *" $2 "* ]] || attempts=1
    for ((try = 1; ; try++)); do
        if out=$(AWS_MAX_ATTEMPTS=$attempts aws --cli-connect-timeout 5 --cli-read-timeout 30 \
            "$@" 2> "$err" < /dev/null); then
            [[ -z $out ]] || printf '%s\n' "$out"
            rm -f "$err"
            return 0
        fi
        said=$(grep -v '^[[:space:]]*$' "$err" | head -n 3 || true)
        rm -f "$err"
        # An instance that is shutting down holds its interface for minutes; a rule that is taken
        # away, and is not there, will not come.
        limit=$aws_tries
        [[ $said != *InvalidPermission.NotFound* ]] || limit=2
        [[ $said != *InvalidNetworkInterface.InUse* ]] || limit=$((aws_tries * 3))
        if [[ $try -ge $limit ]] || ! aws_passing "$said" "$2"; then
            printf '%s %s: %s\n' "$1" "$2" "${said:-no answer}" >&2
            return 1
        fi
        # Anything between nothing and the whole of it: who failed together shall not come
        # back together.
        pause=$((aws_retry_ms * (1 << (try < 6 ? try - 1 : 5))))
        pause=$(((RANDOM * 32768 + RANDOM) % (pause + 1)))
        sleep "$((pause / 1000)).$(printf '%03d' $((pause % 1000)))"
    done
}

# The same for what may not be there: then it prints nothing, and that is an answer.
aws_find()
{
    local words=$aws_work/find.$BASHPID
    if ! aws_call "$@" 2> "$words"; then
        if aws_absent "$(< "$words")"; then
            return 0
        fi
        cat "$words" >&2
        return 1
    fi
}

# The same for what may be gone already, or there already: that is as good as done.
aws_settle()
{
    local words=$aws_work/settle.$BASHPID said
    if ! aws_call "$@" > /dev/null 2> "$words"; then
        said=$(< "$words")
        if aws_absent "$said" || [[ $said == *Duplicate* || $said == *AlreadyOwnedByYou* \
            || $said == *"already has"* ]]; then
            return 0
        fi
        # A bucket of that name may be of anybody in the world.
        if [[ $said == *AlreadyExists* && $said != *BucketAlreadyExists* ]]; then
            return 0
        fi
        cat "$words" >&2
        return 1
    fi
}

# aws_side_by_side "FUNCTION WORD..." ...: so many at a time.  When one of them failed, the
# script ends, but not before the others came to their end.  Never in a condition: errexit
# would be off in all of them.
aws_side_by_side()
{
    local one pid pids=() failed=0
    for one in "$@"; do
        while [[ $(jobs -rp | wc -l) -ge $aws_jobs ]]; do
            wait -n 2> /dev/null || true
        done
        # shellcheck disable=SC2086 # a function and its words
        ($one) &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || failed=1
    done
    [[ $failed -eq 0 ]] || fail "not done; the same command again goes on from here"
}

# --- Names -----------------------------------------------------------------------

# aws_tags TYPE PART: for --tag-specifications.
aws_tags()
{
    printf 'ResourceType=%s,Tags=%s' "$1" "$(aws_tag_list "$2")"
}

aws_tag_list()
{
    printf '[{Key=portcullis:cluster,Value=%s},{Key=portcullis:part,Value=%s}' "$aws_name" "$1"
    printf ',{Key=Name,Value=%s-%s}]' "$aws_name" "$1"
}

# For IAM, Secrets Manager and what else wants a tag an argument; more KEY VALUE may follow.
# The answer is in the array aws_tag_words.
aws_tags_loose()
{
    local part=$1
    shift
    aws_tag_words=("Key=portcullis:cluster,Value=$aws_name" "Key=portcullis:part,Value=$part"
        "Key=Name,Value=$aws_name-$part")
    while [[ $# -gt 0 ]]; do
        aws_tag_words+=("Key=$1,Value=$2")
        shift 2
    done
}

# Roles and instance profiles are of an account, not of a region: their names and their path
# (aws_path) say of which cluster in which region they are.  IAM takes 64 characters.
role_name()
{
    printf '%s\n' "portcullis-$aws_name-$aws_region-$1"
}

# gatekeeper1 -> gatekeeper, node3 -> node.
part_tier()
{
    printf '%s\n' "${1%%[0-9]*}"
}

# What first boot and the packages call the tier.
part_role()
{
    local tier
    tier=$(part_tier "$1")
    [[ $tier != node ]] || tier=worker-agent
    printf '%s\n' "$tier"
}

# Parts that are instances, innermost first, as the settings have them.
instance_parts()
{
    local number
    for ((number = 1; number <= $(cluster_setting nodes 3); number++)); do
        printf 'node%d\n' "$number"
    done
    for ((number = 1; number <= $(cluster_setting proxies 1); number++)); do
        printf 'proxy%d\n' "$number"
    done
    printf 'broker\n'
    for ((number = 1; number <= $(cluster_setting gatekeepers 1); number++)); do
        printf 'gatekeeper%d\n' "$number"
    done
    [[ $(cluster_setting bench 0) -eq 0 ]] || printf 'client\n'
}

# --- Begin -----------------------------------------------------------------------

# aws_setup: what infra/aws.env says, unless the environment says it already.
aws_env_read()
{
    local file=${PORTCULLIS_AWS_ENV:-$PCL_CHECKOUT/infra/aws.env} line
    [[ -r $file ]] || return 0
    while IFS= read -r line || [[ -n $line ]]; do
        [[ -n $line && $line != \#* ]] || continue
        [[ $line =~ ^(export\ +)?([A-Z][A-Z0-9_]*)=(.*)$ ]] \
            || fail "$file: not NAME=value: $line"
        if [[ -z ${!BASH_REMATCH[2]-} ]]; then
            export "${BASH_REMATCH[2]}=${BASH_REMATCH[3]}"
        fi
    done < "$file"
}

# aws_options FLAGS VALUED WORD...: a command line.  An option's value becomes the variable of
# its name, that of a flag 1; --name, --region and --help are of every script.  The one word
# that is no option becomes aws_word, what follows -- aws_command, where a script has set
# aws_word_wanted.
aws_word=
aws_word_wanted=0
aws_command=()
aws_options()
{
    local flags=" $1 " valued=" name region $2 "
    shift 2
    while [[ $# -gt 0 ]]; do
        case $1 in
            -h | --help)
                help_print "$0"
                exit 0
                ;;
            --?*)
                if [[ $flags == *" ${1#--} "* ]]; then
                    option_take "$1" 1
                else
                    [[ $valued == *" ${1#--} "* ]] || usage_fail "unknown option: $1"
                    [[ $# -ge 2 ]] || usage_fail "$1 wants a value"
                    option_take "$1" "$2"
                    shift
                fi
                ;;
            -*)
                [[ $1 == -- && $aws_word_wanted -eq 1 ]] || usage_fail "unknown option: $1"
                [[ $# -ge 2 ]] || usage_fail "-- wants a command after it"
                aws_command=("${@:2}")
                return 0
                ;;
            *)
                [[ $aws_word_wanted -eq 1 ]] || usage_fail "unknown option: $1"
                [[ -z $aws_word ]] || usage_fail "one part only, not $aws_word and $1"
                aws_word=$1
                ;;
        esac
        shift
    done
}

option_take()
{
    local variable=${1#--}
    declare -g "${variable//-/_}=$2"
}

# aws_begin NAME REGION [lock]: the tools, the names, the credentials.
aws_begin()
{
    aws_name=$1
    aws_region=$2
    [[ -n $aws_name ]] || usage_fail "--name, or PORTCULLIS_AWS_NAME, says which cluster"
    [[ $aws_name =~ ^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$ ]] \
        || usage_fail "a name is of 1 to 20 letters a-z, digits and dashes, not '$aws_name'"
    command -v aws > /dev/null || fail "the AWS CLI is not installed (package awscli)"
    [[ -n $aws_region ]] || aws_region=${AWS_REGION:-${AWS_DEFAULT_REGION:-}}
    [[ -n $aws_region ]] || aws_region=$(aws configure get region 2> /dev/null || true)
    [[ -n $aws_region ]] || usage_fail "--region, or AWS_REGION, says where"
    [[ $aws_region =~ ^[a-z]{2,4}(-[a-z]+)+-[0-9]+$ && ${#aws_region} -le 20 ]] \
        || usage_fail "a region is such as eu-central-1, not '$aws_region'"
    [[ ! $aws_region =~ ^(cn|us-gov|us-iso[a-z]*|eu-isoe|eusc)- ]] \
        || fail "$aws_region is of another partition of AWS than aws, which is not supported"
    export AWS_REGION=$aws_region AWS_DEFAULT_REGION=$aws_region AWS_PAGER=
    export AWS_RETRY_MODE=${AWS_RETRY_MODE:-standard} AWS_MAX_ATTEMPTS=${AWS_MAX_ATTEMPTS:-3}
    aws_folder=${PORTCULLIS_AWS_STATE:-$PCL_CHECKOUT/build/aws}/$aws_name/$aws_region
    (umask 077 && mkdir -p "$aws_folder")
    if [[ ${3-} == lock ]]; then
        exec 9> "$aws_folder/lock"
        flock -n 9 || say "waiting for another script that works on $aws_name"
        flock -w 600 9 || fail "another script holds $aws_folder/lock"
    fi
    aws_work_clean
    aws_work=$(mktemp -d "$aws_folder/work.$$.XXXXXX")
    trap 'rm -rf --one-file-system "$aws_work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    local said
    if ! said=$(aws_call sts get-caller-identity --query '[Account,Arn]' --output text); then
        fail "AWS does not take the credentials of this machine in $aws_region: aws configure" \
            "sets them up; a region that does not exist, or that the account has not enabled," \
            "does not take them either"
    fi
    IFS=$'\t' read -r aws_account aws_caller <<< "$said"
    aws_bucket=portcullis-$aws_name-$aws_account-$aws_region
    aws_path=/portcullis/$aws_name/$aws_region/
}

# What a script that was killed could not take away: keys may be in it.  Scripts without the
# lock run beside this one, and theirs stays.
aws_work_clean()
{
    local one pid
    for one in "$aws_folder"/work.*; do
        pid=${one#"$aws_folder/work."}
        [[ ! -d $one || -d /proc/${pid%%.*} ]] || rm -rf --one-file-system "$one"
    done
}

# aws_confirm QUESTION: a terminal is asked; without one --yes must have been said before.
aws_confirm()
{
    local answer
    [[ -t 0 ]] || usage_fail "this is not a terminal: --yes says that it shall be done"
    read -r -p "$1 [y/N] " answer
    [[ $answer == [yY] || $answer == [yY][eE][sS] ]] || fail "nothing was changed"
}

# --- What is there ---------------------------------------------------------------

# The ids of all that EC2 has of the cluster; of what was deleted, too, for a while.
see_tagged()
{
    aws_call ec2 describe-tags --output text --query "Tags[].['tagged',ResourceId,ResourceId]" \
        --filters Name=key,Values=portcullis:cluster "Name=value,Values=$aws_name"
}

# aws_kinds KIND...: those of them worth a look, on one line; one call for all of EC2 (tagged,
# which the caller has seen) saves one for each kind that there is nothing of but what is in
# aws_gone.  Instances are always worth it: they hold the data.
aws_kinds()
{
    local kind begin seen=' ' key
    for key in "${!have[@]}"; do
        [[ $key != tagged/* || -n ${aws_gone[${have[$key]}]-} ]] || seen+="${have[$key]%%-*} "
    done
    local -A begins=([vpc]=vpc [subnet]=subnet [igw]=igw [rt]=rtb [sg]=sg [eni]=eni
        [eip]=eipalloc [nat]=nat [endpoint]=vpce [template]=lt [volume]=vol)
    for kind in "$@"; do
        begin=${begins[$kind]-}
        [[ -n $begin && $seen != *" $begin "* ]] || printf '%s ' "$kind"
    done
}

# Each prints lines of KIND, PART, ID and what else matters, between tabs.  "None" is what
# the CLI prints for nothing.
see_ec2()
{
    local call=$1 query=$2
    shift 2
    aws_call ec2 "$call" --output text --query "$query" \
        --filters "Name=tag:portcullis:cluster,Values=$aws_name" "$@"
}

readonly see_part="Tags[?Key=='portcullis:part']|[0].Value"
readonly see_sum="Tags[?Key=='portcullis:sum']|[0].Value"

see_vpc()
{
    see_ec2 describe-vpcs "Vpcs[].['vpc',$see_part,VpcId,CidrBlock]"
}

see_subnet()
{
    see_ec2 describe-subnets \
        "Subnets[].['subnet',$see_part,SubnetId,AvailabilityZone,CidrBlock]"
}

see_igw()
{
    see_ec2 describe-internet-gateways \
        "InternetGateways[].['igw',$see_part,InternetGatewayId,Attachments[0].VpcId]"
}

see_rt()
{
    see_ec2 describe-route-tables "RouteTables[].['rt',$see_part,RouteTableId,
        Routes[?DestinationCidrBlock=='0.0.0.0/0'].[GatewayId||NatGatewayId][]|[0],
        join(',',Associations[].SubnetId),
        join(',',Associations[?!Main].RouteTableAssociationId)]"
}

see_sg()
{
    see_ec2 describe-security-groups "SecurityGroups[].['sg',$see_part,GroupId,VpcId]"
}

see_eni()
{
    see_ec2 describe-network-interfaces "NetworkInterfaces[].['eni',
        TagSet[?Key=='portcullis:part']|[0].Value,NetworkInterfaceId,
        PrivateIpAddress,SubnetId,Status]"
}

see_eip()
{
    see_ec2 describe-addresses \
        "Addresses[].['eip',$see_part,AllocationId,PublicIp,NetworkInterfaceId,AssociationId]"
}

see_nat()
{
    aws_call ec2 describe-nat-gateways --output text \
        --filter "Name=tag:portcullis:cluster,Values=$aws_name" \
        --query "NatGateways[?State!='deleted'&&State!='deleting'&&State!='failed']
            .['nat',$see_part,NatGatewayId,State]"
}

see_endpoint()
{
    see_ec2 describe-vpc-endpoints "VpcEndpoints[?State!='deleted'&&State!='deleting']
        .['endpoint',$see_part,VpcEndpointId,State]"
}

# What is being deleted still holds its interfaces, for minutes.
see_nat_leaving()
{
    aws_call ec2 describe-nat-gateways --output text \
        --filter "Name=tag:portcullis:cluster,Values=$aws_name" \
        --query "NatGateways[?State!='deleted'&&State!='failed'].[NatGatewayId]"
}

see_endpoint_leaving()
{
    see_ec2 describe-vpc-endpoints \
        "VpcEndpoints[?State!='deleted'&&State!='Deleted'].[VpcEndpointId]"
}

see_template()
{
    see_ec2 describe-launch-templates \
        "LaunchTemplates[].['template',$see_part,LaunchTemplateId,$see_sum]"
}

see_instance()
{
    see_ec2 describe-instances "Reservations[].Instances[].['instance',$see_part,InstanceId,
        State.Name,PrivateIpAddress,InstanceType,Placement.AvailabilityZone,
        Tags[?Key=='portcullis:config']|[0].Value,Tags[?Key=='portcullis:donor']|[0].Value]" \
        "Name=instance-state-name,Values=pending,running,stopping,stopped"
}

# Of an instance that is gone: its own go with it.
see_volume()
{
    see_ec2 describe-volumes "Volumes[?State=='available'].['volume',$see_part,VolumeId]"
}

# Secrets that AWS lists: its list may be minutes behind, both ways.
see_secrets_listed()
{
    aws_call secretsmanager list-secrets --output text \
        --filters "Key=name,Values=portcullis/$aws_name/" \
        --query 'SecretList[].[Name,ARN]' \
        | sed -n "s|^portcullis/$aws_name/|listed\t|p"
}

# Secrets of these parts, each asked for by its name.
see_secrets()
{
    local looks=() part
    for part in "$@"; do
        looks+=("see_secret $part")
    done
    aws_side_by_side "${looks[@]}"
}

see_secret()
{
    aws_find secretsmanager describe-secret --output text \
        --secret-id "portcullis/$aws_name/$1" \
        --query "DeletedDate==null && ['secret',$see_part,ARN,$see_sum] || ['None']"
}

see_role()
{
    aws_call iam get-account-authorization-details --filter Role --output text \
        --query "RoleDetailList[?Path=='$aws_path'].['role',$see_part,RoleName,
            join(',',RolePolicyList[].PolicyName)]"
}

see_profile()
{
    aws_call iam list-instance-profiles --path-prefix "$aws_path" --output text \
        --query "InstanceProfiles[?Path=='$aws_path']
            .['profile',InstanceProfileName,InstanceProfileName,Roles[0].RoleName]" \
        | sed "s/^profile\t$(role_name '')/profile\t/"
}

see_bucket()
{
    local words
    words=$(aws_find s3api list-buckets --output text \
        --query "Buckets[?Name=='$aws_bucket'].['bucket','bucket',Name]")
    [[ -n $words ]] || return 0
    printf '%s\t%s\n' "$words" "$(aws_find s3api get-bucket-tagging --bucket "$aws_bucket" \
        --expected-bucket-owner "$aws_account" --output text \
        --query "TagSet[?Key=='portcullis:sum']|[0].Value")"
    aws_find s3api list-objects-v2 --bucket "$aws_bucket" --output text \
        --expected-bucket-owner "$aws_account" \
        --query "Contents[].['object',Key,ETag]"
}

# The cluster's memory is unpacked into $aws_work/memory; with WORD only that file of it.
see_memory()
{
    local arn value files=(${1+"./$1"})
    value=$(aws_find secretsmanager get-secret-value --output text \
        --secret-id "portcullis/$aws_name/cluster" --query '[ARN,SecretString]')
    [[ -n $value ]] || return 0
    IFS=$'\t' read -r arn value <<< "$value"
    mkdir -p "$aws_work/memory"
    (umask 077 && base64 -d <<< "$value" | tar -xzf - -C "$aws_work/memory" "${files[@]}")
    printf 'memory\tcluster\t%s\n' "$arn"
}

# For who needs no keys.
see_settings()
{
    see_memory settings
}

# The addresses of S3 in this region, as rules name them.
see_prefix()
{
    aws_call ec2 describe-managed-prefix-lists --output text \
        --filters "Name=prefix-list-name,Values=com.amazonaws.$aws_region.s3" \
        --query "PrefixLists[].['prefix','s3',PrefixListId]"
}

# A second look at what the first one found: rules of groups, attributes of the VPC.
see_rules()
{
    aws_call ec2 describe-security-group-rules --output text --query "SecurityGroupRules[]
        .['rule',SecurityGroupRuleId,GroupId,IsEgress,IpProtocol,FromPort,ToPort,
            CidrIpv4||CidrIpv6||ReferencedGroupInfo.GroupId||PrefixListId]" \
        --filters "Name=group-id,Values=$(see_groups)"
}

see_groups()
{
    local key ids=()
    for key in "${!have[@]}"; do
        [[ $key != sg/* ]] || ids+=("${have[$key]}")
    done
    (IFS=, && printf '%s' "${ids[*]}")
}

see_names()
{
    aws_call ec2 describe-vpc-attribute --vpc-id "${have[vpc/vpc]}" --output text \
        --attribute enableDnsHostnames --query "['names','vpc',EnableDnsHostnames.Value]"
}

see_default_group()
{
    aws_call ec2 describe-security-groups --output text \
        --filters "Name=vpc-id,Values=${have[vpc/vpc]}" Name=group-name,Values=default \
        --query "SecurityGroups[].['sg','default',GroupId]"
}

# aws_see KIND...: looks side by side, and takes what it saw into have and about.  A KIND may
# have words after it.
aws_see()
{
    local kind looks=()
    rm -rf "$aws_work/see"
    mkdir -p "$aws_work/see"
    for kind in "$@"; do
        looks+=("see_into $kind")
    done
    aws_side_by_side "${looks[@]}"
    for kind in "$@"; do
        aws_take "$aws_work/see/${kind%% *}"
    done
}

see_into()
{
    "see_$1" "${@:2}" > "$aws_work/see/$1"
}

# aws_take FILE: lines as see_* print them.  Of two of the same part the first by id counts,
# in every run alike.
aws_take()
{
    local kind part id more key
    [[ -e $1 ]] || fail "there is no ${1##*/} to take"
    while IFS=$'\t' read -r kind part id more; do
        key=$kind/$part
        about[id/$id]=${more//None/}
        if [[ -n ${have[$key]-} && ${have[$key]} != "$id" ]]; then
            aws_surplus+=("$kind $id")
            continue
        fi
        have[$key]=$id
        about[$key]=${more//None/}
    done < <(grep -v '^None$' "$1" | sort)
}

# about_field KEY NUMBER: the NUMBER-th of what is known about it.
about_field()
{
    local fields words=${about[$1]-}
    IFS='|' read -r -a fields <<< "${words//$'\t'/|}"
    printf '%s\n' "${fields[$2 - 1]-}"
}

# --- The cluster's memory --------------------------------------------------------

memory_settings_read()
{
    local line
    [[ -r $aws_work/memory/settings ]] || return 0
    while IFS= read -r line; do
        cluster_settings[${line%%=*}]=${line#*=}
    done < "$aws_work/memory/settings"
}

# cluster_setting KEY [FALLBACK]
cluster_setting()
{
    printf '%s\n' "${cluster_settings[$1]:-${2-}}"
}

memory_settings_write()
{
    local key
    mkdir -p "$aws_work/memory"
    for key in "${!cluster_settings[@]}"; do
        printf '%s=%s\n' "$key" "${cluster_settings[$key]}"
    done | sort > "$aws_work/memory/settings"
}

# The same files give the same octets: what did not change is not written again.
tar_same()
{
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - -C "$1" . | gzip -n9
}

# memory_put: what $aws_work/memory holds becomes the secret.
memory_put()
{
    local value=$aws_work/memory.b64 verb
    (umask 077 && tar_same "$aws_work/memory" | base64 -w 0 > "$value")
    if [[ -n ${have[memory/cluster]-} ]]; then
        aws_call secretsmanager put-secret-value --secret-id "${have[memory/cluster]}" \
            --secret-string "file://$value" > /dev/null
    else
        aws_tags_loose cluster
        have[memory/cluster]=$(aws_call secretsmanager create-secret \
            --name "portcullis/$aws_name/cluster" --tags "${aws_tag_words[@]}" \
            --description "Keys, passwords and settings of $aws_name; for its operator only" \
            --secret-string "file://$value" --query ARN --output text)
    fi
    rm -f "$value"
}

# packages_put FOLDER PREFIX SUM: into the bucket; SUM comes last and says that all are there.
packages_put()
{
    aws_call s3 cp --recursive --only-show-errors --exclude SUM "$1" "s3://$aws_bucket/$2/"
    printf '%s\n' "$3" > "$aws_work/SUM"
    aws_call s3 cp --only-show-errors "$aws_work/SUM" "s3://$aws_bucket/$2/SUM"
}

# cluster_setting_put KEY VALUE: for the next up.sh; the caller has seen the memory.
cluster_setting_put()
{
    cluster_settings[$1]=$2
    memory_settings_write
    memory_put
}

# --- Instances -------------------------------------------------------------------

# PART ID ADDRESS STATE, innermost first; the caller has seen instance and memory.
cluster_instances()
{
    local part key
    for part in $(instance_parts); do
        key=instance/$part
        if [[ -n ${have[$key]-} ]]; then
            printf '%s %s %s %s\n' "$part" "${have[$key]}" "$(about_field "$key" 2)" \
                "$(about_field "$key" 1)"
        fi
    done
}

# ssm_run ID SECONDS COMMAND...: as root on an instance; prints what it prints.
# 0: it succeeded; 1: it failed; 2: no answer in time, or the instance is not there.
# A command that is given up on is cancelled: what the caller does next shall not meet it.
ssm_run()
{
    local id=$1 seconds=$2 deadline=$((SECONDS + $2)) command status said
    local file=$aws_work/ssm.$BASHPID
    shift 2
    [[ $seconds -ge 30 ]] || seconds=30
    printf '{"commands":[%s],"executionTimeout":["%d"]}' "$(json_text "$*")" "$seconds" > "$file"
    command=$(aws_call ssm send-command --instance-ids "$id" --output text \
        --document-name AWS-RunShellScript --parameters "file://$file" \
        --timeout-seconds "$seconds" --query Command.CommandId) || return 2
    if ! status=$(ssm_status "$command" "$id" "$deadline"); then
        aws_call ssm cancel-command --command-id "$command" --instance-ids "$id" > /dev/null \
            || warn "the command $command of $id could not be cancelled"
        return 2
    fi
    said=$(aws_call ssm get-command-invocation --command-id "$command" --instance-id "$id" \
        --output text --query '[StandardOutputContent,StandardErrorContent]') || return 2
    printf '%s\n' "$said" | sed 's/\t*$//'
    [[ $status == Success ]] || return 1
}

# ssm_status COMMAND ID DEADLINE: how it ended; 1 when that is not known in time.  A command
# is not known everywhere at once, so the first question waits, too.
ssm_status()
{
    local words
    while :; do
        sleep "${PORTCULLIS_AWS_POLL_S:-2}"
        words=$(aws_call ssm get-command-invocation --command-id "$1" --instance-id "$2" \
            --output text --query '[Status]') || return 1
        case ${words%%$'\t'*} in
            Success | Failed | TimedOut | Cancelled)
                printf '%s\n' "${words%%$'\t'*}"
                return 0
                ;;
        esac
        [[ $SECONDS -lt $3 ]] || return 1
    done
}

# --- Who the source is -------------------------------------------------------------

source_term=0 # of the source that the nodes know; 0: it never changed by itself, or nobody answered
source_stage=none

# A source hands over by itself.  So the nodes are asked, and the latest term that one of them knows
# counts, from then on in the settings, too.  The caller has seen memory and instance.
source_learn()
{
    local part term stage node nodes=() looks=()
    for part in $(instance_parts); do
        if [[ $part == node* && $(about_field "instance/$part" 1) == running ]]; then
            nodes+=("$part")
            looks+=("source_ask $part")
        fi
    done
    aws_side_by_side "${looks[@]}"
    for part in "${nodes[@]}"; do
        read -r term stage node < "$aws_work/topology.$part" || continue
        if [[ $term -gt $source_term || ($term -eq $source_term && $stage == open) ]]; then
            source_term=$term
            source_stage=$stage
            cluster_settings[source]=$node
        fi
    done
}

# TERM STAGE NODE, as the state file of that node's agent has it; nothing of one that has none.
source_ask()
{
    local said
    said=$(ssm_run "${have[instance/$1]}" 30 portcullis-node topology 2> /dev/null) || said=''
    grep -E '^[1-9][0-9]{0,17} (decided|open) node[1-9]$' <<< "$said" \
        > "$aws_work/topology.$1" || true
}

# --- Health ----------------------------------------------------------------------

# Asks all instances at once, over Session Manager, what first boot left there to ask: whether
# their daemon is ready.  Prints PART WORDS of those that are not; 0 when all are.
machines_well()
{
    local command part id words seen asked=' ' bad=0
    command=$(aws_call ssm send-command --document-name AWS-RunShellScript --output text \
        --targets "Key=tag:portcullis:cluster,Values=$aws_name" --timeout-seconds 30 \
        --parameters '{"commands":["/usr/local/sbin/portcullis-boot status"]}' \
        --query Command.CommandId) || { say "all: Session Manager took no command"; return 1; }
    seen=$(machines_asked "$command")
    if [[ $seen == Success\ * && ${seen#* } -ge $(instance_parts | wc -l) ]]; then
        return 0
    fi
    # Not all is well, so it is worth a call to know who is not.
    words=$(aws_call ssm list-command-invocations --command-id "$command" --details \
        --output text --query "CommandInvocations[].[InstanceId,Status,
            CommandPlugins[0].Output]" 2> /dev/null || true)
    for part in $(instance_parts); do
        id=${have[instance/$part]-none}
        asked=$(grep "^$id"$'\t' <<< "$words" | head -n 1 | cut -f 2-) || true
        if [[ $asked != Success* ]]; then
            bad=1
            printf '%s: %s\n' "$part" "${asked:-it does not take commands yet}" | tr '\t' ' '
        fi
    done
    return "$bad"
}

# How a command to all of them ended, and how many it reached.  None: it is not known yet.
machines_asked()
{
    local words deadline=$((SECONDS + 60))
    while :; do
        words=$(aws_call ssm list-commands --command-id "$1" --output text \
            --query 'Commands[0].[Status,TargetCount]') || return 1
        case $words in
            None* | '' | Pending* | InProgress*) ;;
            *) break ;;
        esac
        [[ $SECONDS -lt $deadline ]] || break
        sleep "${PORTCULLIS_AWS_POLL_S:-3}"
    done
    printf '%s\n' "${words//$'\t'/ }"
}
