#!/usr/bin/env bash
# ssh.sh - a shell on an instance of a cluster on AWS; a cluster on this machine needs none.
#
#   infra/ssh.sh aws PART ...    infra/ssh.sh aws --help
#
# Exit: that of infra/aws/ssh.sh; 64 usage.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1-} in
    aws) exec "$PCL_CHECKOUT/infra/aws/ssh.sh" "${@:2}" ;;
    -h | --help) help_print "${BASH_SOURCE[0]}" ;;
    *) usage_fail "which cluster? infra/ssh.sh aws PART --name NAME" ;;
esac
