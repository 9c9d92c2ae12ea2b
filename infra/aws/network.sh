# shellcheck shell=bash
# network.sh - the VPC of a cluster: subnets over zones, routes, endpoints, and the chain of
# security groups.  Sourced by up.sh; each function looks whether its part is there and right,
# and makes it if not.
#
# Private subnets have no route to the internet: packages come from S3 through a gateway endpoint,
# secrets and commands through interface endpoints.  They use the main route table, so that a
# subnet that nobody gave a table is closed, too.
# shellcheck disable=SC2154 # variables of up.sh

readonly port_clients=5555 port_broker=5556 port_proxy=5557 port_agents=5558 port_database=3306

foreign_public=0 # the subnet that was given leads to the internet
foreign_groups=  # of endpoints that were there
foreign_cidrs=   # of the VPC that was given
foreign_ipv6=0   # it has such addresses, too: a new group is open to them

# --- A VPC that was given --------------------------------------------------------

net_foreign()
{
    [[ -n $(cluster_setting vpc_id) ]]
}

# Whether a gatekeeper can be reached from outside at an address of its own.
net_public()
{
    ! net_foreign || [[ $foreign_public -eq 1 ]]
}

# All is put into the subnet that was given.  Nothing that is there is changed but its route
# table, which gets the way to S3 where it has none.  Others live there: the endpoints that
# are made let everybody in the VPC through, since all of them come that way from then on.
net_foreign_look()
{
    local vpc subnet words zone gateway id groups service
    vpc=$(cluster_setting vpc_id)
    subnet=$(cluster_setting subnet_id)
    words=$(aws_call ec2 describe-subnets --subnet-ids "$subnet" --output text \
        --query 'Subnets[0].[VpcId,AvailabilityZone]')
    IFS=$'\t' read -r id zone <<< "$words"
    [[ $id == "$vpc" ]] || fail "the subnet $subnet is in $id, not in $vpc"
    have[vpc/vpc]=$vpc
    have[subnet/private-1]=$subnet
    have[subnet/public-1]=$subnet
    # shellcheck disable=SC2034 # lib.sh reads it
    cluster_settings[zones]=1 cluster_settings[zone_names]=$zone
    words=$(net_foreign_table Name=association.subnet-id,Values="$subnet")
    [[ -n $words && $words != None* ]] || words=$(net_foreign_table \
        Name=association.main,Values=true Name=vpc-id,Values="$vpc")
    IFS=$'\t' read -r id gateway <<< "$words"
    have[rt/foreign]=$id
    [[ $gateway != igw-* ]] || foreign_public=1
    net_foreign_names "$vpc"
    foreign_cidrs=$(aws_call ec2 describe-vpcs --vpc-ids "$vpc" --output text --query \
        "Vpcs[0].CidrBlockAssociationSet[?CidrBlockState.State=='associated'].[CidrBlock]")
    words=$(aws_call ec2 describe-vpcs --vpc-ids "$vpc" --output text \
        --query 'Vpcs[0].Ipv6CidrBlockAssociationSet[].Ipv6CidrBlock')
    [[ $words != *:* ]] || foreign_ipv6=1
    words=$(aws_call ec2 describe-vpc-endpoints --filters "Name=vpc-id,Values=$vpc" \
        --output text --query "VpcEndpoints[?State!='deleted'&&State!='deleting']
            .[ServiceName,VpcEndpointId,join(' ',Groups[].GroupId||[''])]")
    while IFS=$'\t' read -r service id groups; do
        service=endpoint-${service##*.}
        if [[ -n $id && -z ${have[endpoint/$service]-} ]]; then
            net_foreign_keep "endpoint/$service" "$id"
            foreign_groups+=" $groups"
        fi
    done <<< "$words"
}

# The names of endpoints are answered inside a VPC only with both of these.  It is the
# operator's, so it is he who changes it.
net_foreign_names()
{
    local vpc=$1 one
    for one in Support Hostnames; do
        [[ $(aws_call ec2 describe-vpc-attribute --vpc-id "$vpc" --attribute "enableDns$one" \
            --output text --query "EnableDns$one.Value") == True ]] \
            || fail "$vpc has not enableDns$one, which endpoints need:" \
                "aws ec2 modify-vpc-attribute --vpc-id $vpc --enable-dns-${one,,}"
    done
}

net_foreign_keep()
{
    have[$1]=$2
}

net_foreign_table()
{
    aws_call ec2 describe-route-tables --filters "$@" --output text --query "RouteTables[0]
        .[RouteTableId,Routes[?DestinationCidrBlock=='0.0.0.0/0'].GatewayId|[0]]"
}

# --- VPC and subnets -------------------------------------------------------------

net_vpc()
{
    local id
    [[ -z ${have[vpc/vpc]-} ]] || return 0
    change "VPC $vpc_cidr" || return 0
    id=$(aws_call ec2 create-vpc --cidr-block "$vpc_cidr" --query Vpc.VpcId --output text \
        --tag-specifications "$(aws_tags vpc vpc)")
    made vpc vpc "$id" "$vpc_cidr"
}

# Names of endpoints are answered inside the VPC only with this.
net_names()
{
    [[ ${have[names/vpc]-} != True ]] || return 0
    change "VPC: answer the names of endpoints" || return 0
    aws_call ec2 modify-vpc-attribute --vpc-id "${have[vpc/vpc]}" \
        --enable-dns-hostnames '{"Value":true}'
}

net_igw()
{
    local id
    if [[ -z ${have[igw/igw]-} ]]; then
        change "internet gateway, for gatekeepers" || return 0
        id=$(aws_call ec2 create-internet-gateway --output text \
            --query InternetGateway.InternetGatewayId \
            --tag-specifications "$(aws_tags internet-gateway igw)")
        made igw igw "$id"
    fi
}

net_igw_attach()
{
    [[ -z $(about_field igw/igw 1) ]] || return 0
    change "internet gateway: attach it to the VPC" || return 0
    aws_call ec2 attach-internet-gateway --internet-gateway-id "${have[igw/igw]}" \
        --vpc-id "${have[vpc/vpc]}"
}

# net_subnet public|private NUMBER
net_subnet()
{
    local part=$1-$2 third=$2 zone id cidr
    [[ -z ${have[subnet/$part]-} ]] || return 0
    zone=${zones[$2 - 1]-}
    [[ $1 == public ]] || third=$((10 + $2))
    cidr=${vpc_cidr%.*.*}.$third.0/24
    change "subnet $part $cidr in $zone" || return 0
    id=$(aws_call ec2 create-subnet --vpc-id "${have[vpc/vpc]}" --cidr-block "$cidr" \
        --availability-zone "$zone" --query Subnet.SubnetId --output text \
        --tag-specifications "$(aws_tags subnet "$part")")
    made subnet "$part" "$id" "$zone"$'\t'"$cidr"
}

# --- Routes ----------------------------------------------------------------------

# The main table came with the VPC: it is given our tags, and stays without a way out.
net_table_private()
{
    local id
    [[ -z ${have[rt/rt-private]-} ]] || return 0
    change "route table of private subnets" || return 0
    id=$(aws_call ec2 describe-route-tables --output text \
        --filters "Name=vpc-id,Values=${have[vpc/vpc]}" Name=association.main,Values=true \
        --query 'RouteTables[0].RouteTableId')
    aws_tags_loose rt-private
    aws_call ec2 create-tags --resources "$id" --tags "${aws_tag_words[@]}"
    made rt rt-private "$id"
}

net_table_public()
{
    local id
    [[ -z ${have[rt/rt-public]-} ]] || return 0
    change "route table of public subnets" || return 0
    id=$(aws_call ec2 create-route-table --vpc-id "${have[vpc/vpc]}" --output text \
        --query RouteTable.RouteTableId --tag-specifications "$(aws_tags route-table rt-public)")
    made rt rt-public "$id"
}

net_route_public()
{
    [[ -z $(about_field rt/rt-public 1) ]] || return 0
    change "public subnets: route to the internet" || return 0
    aws_settle ec2 create-route --route-table-id "${have[rt/rt-public]}" \
        --destination-cidr-block 0.0.0.0/0 --gateway-id "${have[igw/igw]}"
}

# net_associate NUMBER
net_associate()
{
    local subnet=${have[subnet/public-$1]-}
    if [[ -n $subnet && ,$(about_field rt/rt-public 2), == *,$subnet,* ]]; then
        return 0
    fi
    change "subnet public-$1: use the public route table" || return 0
    aws_call ec2 associate-route-table --subnet-id "$subnet" \
        --route-table-id "${have[rt/rt-public]}" > /dev/null
}

# --- Security groups -------------------------------------------------------------

# A group starts with everything allowed outwards; that goes before anything uses it.
net_group()
{
    local tier=$1 id everywhere='"IpRanges":[{"CidrIp":"0.0.0.0/0"}]'
    [[ -z ${have[sg/sg-$tier]-} ]] || return 0
    change "security group sg-$tier" || return 0
    id=$(aws_call ec2 create-security-group --group-name "portcullis-$aws_name-$tier" \
        --description "Portcullis $aws_name: $tier" --vpc-id "${have[vpc/vpc]}" \
        --query GroupId --output text \
        --tag-specifications "$(aws_tags security-group "sg-$tier")")
    [[ $foreign_ipv6 -eq 0 ]] || everywhere+=',"Ipv6Ranges":[{"CidrIpv6":"::/0"}]'
    aws_settle ec2 revoke-security-group-egress --group-id "$id" \
        --ip-permissions "[{\"IpProtocol\":\"-1\",$everywhere}]"
    made sg "sg-$tier" "$id"
}

# The tiers of this cluster: each has a group, and so have the endpoints.
net_tiers()
{
    printf 'gatekeeper\nbroker\nproxy\nnode\n'
    [[ $(cluster_setting bench 0) -eq 0 ]] || printf 'client\n'
}

group_id()
{
    printf '%s\n' "${have[sg/sg-$1]:-new:$1}"
}

rule_to()
{
    printf 'True\ttcp\t%d\t%d\t%s\n' "$1" "$1" "$2"
}

rule_from()
{
    printf 'False\ttcp\t%d\t%d\t%s\n' "$1" "$1" "$2"
}

# Who may speak to whom, as the rules of the group of TIER: outwards(True/False), protocol,
# first port, last port, peer.  Replies need no rule.
net_rules()
{
    local tier=$1 other
    case $tier in
        gatekeeper)
            rule_from "$port_clients" "$(cluster_setting client_cidr)"
            [[ $(cluster_setting bench 0) -eq 0 ]] || rule_from "$port_clients" "$(group_id client)"
            rule_to "$port_broker" "$(group_id broker)"
            ;;
        broker)
            rule_from "$port_broker" "$(group_id gatekeeper)"
            rule_to "$port_proxy" "$(group_id proxy)"
            ;;
        proxy)
            rule_from "$port_proxy" "$(group_id broker)"
            rule_from "$port_agents" "$(group_id node)"
            ;;
        node)
            rule_to "$port_agents" "$(group_id proxy)"
            rule_to "$port_database" "$(group_id node)"
            rule_from "$port_database" "$(group_id node)"
            ;;
        client) rule_to "$port_clients" "$(group_id gatekeeper)" ;;
        endpoint)
            for other in $(net_tiers); do
                rule_from 443 "$(group_id "$other")"
            done
            for other in $foreign_cidrs; do
                rule_from 443 "$other"
            done
            return 0
            ;;
    esac
    rule_to 443 "$(group_id endpoint)"
    for other in $foreign_groups; do
        rule_to 443 "$other"
    done
    rule_to 443 "${have[prefix/s3]}"
    if [[ $(cluster_setting nat 0) -eq 1 ]]; then
        rule_to 80 0.0.0.0/0
        rule_to 443 0.0.0.0/0
    fi
}

# Lines of net_rules on standard input, as the CLI wants them.
net_permissions()
{
    local way protocol first last peer list=() kind
    while IFS=$'\t' read -r way protocol first last peer; do
        case $peer in
            sg-*) kind="\"UserIdGroupPairs\":[{\"GroupId\":\"$peer\"}]" ;;
            pl-*) kind="\"PrefixListIds\":[{\"PrefixListId\":\"$peer\"}]" ;;
            *:*) kind="\"Ipv6Ranges\":[{\"CidrIpv6\":\"$peer\"}]" ;;
            *) kind="\"IpRanges\":[{\"CidrIp\":\"$peer\"}]" ;;
        esac
        list+=("{\"IpProtocol\":\"$protocol\",\"FromPort\":$first,\"ToPort\":$last,$kind}")
    done
    (IFS=, && printf '[%s]' "${list[*]}")
}

# Gives the group of a tier the rules that it shall have, and takes what it has besides.
net_group_rules()
{
    local tier=$1 key wanted there='' ids lines way verb
    local -A surplus=()
    wanted=$(net_rules "$tier" | sort -u) # AWS refuses a rule that stands twice
    for key in "${!have[@]}"; do
        if [[ $key == rule/* && ${have[$key]} == "$(group_id "$tier")" ]]; then
            there+=${about[$key]}$'\n'
            if ! grep -qxF -- "${about[$key]}" <<< "$wanted"; then
                way=${about[$key]%%$'\t'*}
                surplus[$way]+=" ${key#rule/}"
            fi
        fi
    done
    for way in "${!surplus[@]}"; do
        if change "security group sg-$tier: take rules away (${surplus[$way]# })"; then
            read -r -a ids <<< "${surplus[$way]}"
            lines=ingress
            [[ $way != True ]] || lines=egress
            aws_settle ec2 "revoke-security-group-$lines" --group-id "$(group_id "$tier")" \
                --security-group-rule-ids "${ids[@]}"
        fi
    done
    for way in False True; do
        lines=$(grep "^$way" <<< "$wanted" | grep -vxF -f <(printf '%s' "$there")) || continue
        verb=ingress
        [[ $way != True ]] || verb=egress
        change "security group sg-$tier: $verb $(net_words <<< "$lines")" || continue
        aws_settle ec2 "authorize-security-group-$verb" --group-id "$(group_id "$tier")" \
            --ip-permissions "$(net_permissions <<< "$lines")" \
            --tag-specifications "$(aws_tags security-group-rule "sg-$tier")"
    done
}

# What the rules say, for people.
net_words()
{
    local way protocol first last peer key words=()
    while IFS=$'\t' read -r way protocol first last peer; do
        for key in "${!have[@]}"; do
            if [[ ${have[$key]} == "$peer" && $key =~ ^(sg|prefix)/ ]]; then
                peer=${key#*/}
            fi
        done
        words+=("$protocol $first ${peer/new:/sg-}")
    done
    (IFS=, && printf '%s' "${words[*]}" | sed 's/,/, /g')
}

# The group that every VPC has lets its members speak to each other and out: nobody is in
# it, and it says so.
net_group_default()
{
    local group=${have[sg/default]-} key ids way
    if [[ -z $group ]]; then
        # The VPC is of this run, and so is the group.
        change "default security group: close it" || return 0
        group=$(aws_call ec2 describe-security-groups --output text \
            --filters "Name=vpc-id,Values=${have[vpc/vpc]}" Name=group-name,Values=default \
            --query 'SecurityGroups[0].GroupId')
        aws_settle ec2 revoke-security-group-egress --group-id "$group" \
            --ip-permissions '[{"IpProtocol":"-1","IpRanges":[{"CidrIp":"0.0.0.0/0"}]}]'
        aws_settle ec2 revoke-security-group-ingress --group-id "$group" --ip-permissions \
            "[{\"IpProtocol\":\"-1\",\"UserIdGroupPairs\":[{\"GroupId\":\"$group\"}]}]"
        return 0
    fi
    for way in False:ingress True:egress; do
        ids=()
        for key in "${!have[@]}"; do
            if [[ $key == rule/* && ${have[$key]} == "$group" \
                && ${about[$key]} == "${way%:*}"* ]]; then
                ids+=("${key#rule/}")
            fi
        done
        [[ ${#ids[@]} -gt 0 ]] || continue
        change "default security group: close it, ${way#*:}" || continue
        aws_settle ec2 "revoke-security-group-${way#*:}" --group-id "$group" \
            --security-group-rule-ids "${ids[@]}"
    done
}

# --- Endpoints -------------------------------------------------------------------

# Newer regions have no ec2messages: there the agent of Session Manager does without.
net_endpoints_look()
{
    local words
    [[ -z ${have[endpoint/endpoint-ec2messages]-} ]] || return 0
    words=$(aws_call ec2 describe-vpc-endpoint-services --output text \
        --query "ServiceNames[?starts_with(@,'com.amazonaws.$aws_region.')].[@]")
    if [[ -n $words ]] && ! grep -qx "com.amazonaws.$aws_region.ec2messages" <<< "$words"; then
        aws_endpoints=${aws_endpoints/ec2messages /}
    fi
}

# net_endpoint SERVICE: in one zone; a second would cost as much again (docs/aws.md).
net_endpoint()
{
    local service=$1 id words tables=()
    [[ -z ${have[endpoint/endpoint-$service]-} ]] || return 0
    change "endpoint of $service" || return 0
    if [[ $service == s3 ]]; then
        tables=("${have[rt/rt-private]-}" "${have[rt/rt-public]-}")
        ! net_foreign || tables=("${have[rt/foreign]}")
        words=(--vpc-endpoint-type Gateway --route-table-ids "${tables[@]}")
        net_foreign || words+=(--policy-document "$(net_policy_s3)")
    else
        words=(--vpc-endpoint-type Interface --private-dns-enabled
            --subnet-ids "${have[subnet/private-1]}" --security-group-ids "$(group_id endpoint)")
    fi
    id=$(aws_call ec2 create-vpc-endpoint --vpc-id "${have[vpc/vpc]}" "${words[@]}" \
        --service-name "com.amazonaws.$aws_region.$service" --output text \
        --query VpcEndpoint.VpcEndpointId \
        --tag-specifications "$(aws_tags vpc-endpoint "endpoint-$service")")
    made endpoint "endpoint-$service" "$id"
}

# Nothing goes out through S3 but to the cluster's bucket; AWS keeps its agent of Session
# Manager in a bucket of its own in each region.
net_policy_s3()
{
    cat << JSON
{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",
"Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::$aws_bucket/*"},
{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",
"Resource":"arn:aws:s3:::amazon-ssm-$aws_region/*"}]}
JSON
}

# --- NAT, when asked for ---------------------------------------------------------

net_nat()
{
    local id address
    [[ $(cluster_setting nat 0) -eq 1 ]] || return 0
    if [[ -z ${have[eip/eip-nat]-} ]]; then
        change "address of the NAT gateway" || return 0
        address=$(aws_call ec2 allocate-address --domain vpc --query AllocationId --output text \
            --tag-specifications "$(aws_tags elastic-ip eip-nat)")
        made eip eip-nat "$address"
    fi
    if [[ -z ${have[nat/nat]-} ]]; then
        change "NAT gateway" || return 0
        id=$(aws_call ec2 create-nat-gateway --subnet-id "${have[subnet/public-1]}" \
            --allocation-id "${have[eip/eip-nat]}" --query NatGateway.NatGatewayId \
            --output text --tag-specifications "$(aws_tags natgateway nat)")
        aws_call ec2 wait nat-gateway-available --nat-gateway-ids "$id"
        made nat nat "$id"
    fi
    if [[ $(about_field rt/rt-private 1) != "${have[nat/nat]}" ]]; then
        change "private subnets: route to the NAT gateway" || return 0
        aws_settle ec2 create-route --route-table-id "${have[rt/rt-private]}" \
            --destination-cidr-block 0.0.0.0/0 --nat-gateway-id "${have[nat/nat]}"
    fi
}
