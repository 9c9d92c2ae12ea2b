#!/usr/bin/env bash
# deploy.sh - new packages for a cluster, one instance after the other.
#
#   infra/deploy.sh aws --name NAME [options]   a cluster on AWS: infra/deploy.sh aws --help
#
# A cluster on this machine takes a new build with infra/up.sh, run again.
#
# Exit: 64 usage; else what infra/aws/deploy.sh says.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1-} in
    aws)
        shift
        exec "$PCL_CHECKOUT/infra/aws/deploy.sh" "$@"
        ;;
    -h | --help) help_print "${BASH_SOURCE[0]}" ;;
    *) usage_fail "only a cluster on AWS is deployed to: infra/deploy.sh aws --name NAME" ;;
esac
