#!/usr/bin/env bash
# ssh.sh - a shell on an instance of a Portcullis cluster on AWS, over Session Manager.
#
#   infra/ssh.sh aws PART --name NAME [--region R] [-- COMMAND...]
#
# PART is gatekeeper1, broker, proxy1, node1 ..., as infra/status.sh aws shows them.  No port
# is open for it, and no key is needed: who may, says IAM.  With a COMMAND it is run as root,
# its output is printed (AWS keeps the first 24,000 characters), and no session is opened; a
# session needs AWS's session-manager-plugin on this machine.
#
# Exit: that of the session; of a COMMAND 0, or 1 when it failed, 2 when no answer came; 64 usage.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=infra/aws/lib.sh
. "$PCL_CHECKOUT/infra/aws/lib.sh"

name=
region=

main()
{
    local id part
    aws_word_wanted=1
    aws_options "" "" "$@"
    part=$aws_word
    [[ -n $part ]] || usage_fail "which part? infra/status.sh aws shows them"
    aws_env_read
    aws_begin "${name:-${PORTCULLIS_AWS_NAME-}}" "${region:-${PORTCULLIS_AWS_REGION-}}"
    aws_see instance
    id=${have[instance/$part]-}
    [[ -n $id ]] || fail "$aws_name has no instance $part in $aws_region"
    [[ $(about_field "instance/$part" 1) == running ]] \
        || fail "$part ($id) is $(about_field "instance/$part" 1), not running"
    if [[ ${#aws_command[@]} -gt 0 ]]; then
        ssm_run "$id" "${PORTCULLIS_AWS_WAIT_S:-900}" "${aws_command[@]}"
        return
    fi
    command -v session-manager-plugin > /dev/null \
        || fail "AWS's session-manager-plugin is not installed here; -- COMMAND does without"
    rm -rf --one-file-system "$aws_work"
    exec aws ssm start-session --target "$id"
}

main "$@"
