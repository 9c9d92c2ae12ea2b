"""What the scripts for AWS share, function by function: infra/aws/lib.sh and its neighbours."""
import json

import broken
import fault_cloud
from cloud import REGION, ROOT

ROLE = f"portcullis-try-{REGION}-node1"


def shell(cloud, text, **options):
    """Runs some lines with all functions that up.sh has."""
    sourced = "".join(f". {ROOT}/infra/{name}.sh\n" for name in (
        "lib", "aws/lib", "aws/network", "aws/identity"))
    return cloud.run("bash", "-c", f"set -euo pipefail\n{sourced}aws_begin try {REGION}\n{text}",
                     **options)


def test_a_role_of_our_name_that_is_not_ours_gets_no_rights(cloud):
    make = f"identity_create role {ROLE} --assume-role-policy-document \"$role_trust\""
    assert shell(cloud, make).code == 0
    assert shell(cloud, make).code == 0  # it is ours, and there
    with cloud.asking():
        cloud.ask("iam", "delete-role", "--role-name", ROLE)
        cloud.ask("iam", "create-role", "--role-name", ROLE, "--assume-role-policy-document",
                  json.dumps(broken.TRUST_ALL))
    done = shell(cloud, make)
    assert done.code == 1 and "not of this cluster" in done.output, done


def test_a_bucket_of_somebody_else_is_not_ours(cloud):
    class Taken:
        code = "BucketAlreadyExists"

        def before(self, call):
            made = call.service == "s3" and call.action.startswith("PUT")
            return fault_cloud.error(call, 409, self.code, "taken") if made else None

    taken = Taken()
    make = "aws_settle s3api create-bucket --bucket \"$aws_bucket\""
    assert shell(cloud, make, faults=[taken]).code == 1
    taken.code = "BucketAlreadyOwnedByYou"
    assert shell(cloud, make, faults=[taken]).code == 0


def test_what_a_killed_script_left_is_taken_away_and_no_more(cloud):
    folder = cloud.scratch / "state" / "try" / REGION
    for name in ("work.1.alive", "work.999999999.dead"):
        (folder / name / "memory").mkdir(parents=True)
    done = shell(cloud, "")
    assert done.code == 0, done
    assert {one.name for one in folder.iterdir()} == {"work.1.alive"}


WORTH_A_TRY = (
    ("InvalidParameterValue: Network interface 'eni-1' is currently in use",
     "delete-network-interface"), ("InvalidParameter: Enabling private DNS requires both",
     "create-vpc-endpoint"), ("InvalidIPAddress.InUse", "release-address"),
    ("InvocationDoesNotExist", "get-command-invocation"),
    ("IncorrectInstanceState", "start-instances"))
NOT_WORTH_IT = (("UnauthorizedOperation: no", "run-instances"),
                ("InvalidParameterValue: no such type", "run-instances"))


def test_which_answers_are_worth_another_try(cloud):
    words = [word for pair in WORTH_A_TRY + NOT_WORTH_IT for word in pair]
    done = cloud.run("bash", "-c", f". {ROOT}/infra/lib.sh; . {ROOT}/infra/aws/lib.sh;"
                     'while [ $# -gt 0 ]; do aws_passing "$1" "$2"; echo $?; shift 2; done', "-",
                     *words)
    assert done.output.split() == ["0"] * len(WORTH_A_TRY) + ["1"] * len(NOT_WORTH_IT), done


def test_an_interface_that_is_in_use_is_waited_for_longer(cloud):
    class InUse:
        made = 0

        def before(self, call):
            if call.action != "DeleteNetworkInterface":
                return None
            self.made += 1
            return fault_cloud.error(call, 400, "InvalidNetworkInterface.InUse", "in use")

    fault = InUse()
    done = shell(cloud, "aws_call ec2 delete-network-interface --network-interface-id eni-1",
                 faults=[fault], environment={"PORTCULLIS_AWS_TRIES": "2",
                                              "PORTCULLIS_AWS_RETRY_MS": "1"})
    assert done.code == 1 and fault.made == 6, done


def test_a_command_that_is_given_up_on_is_cancelled(cloud):
    class Slow:
        def before(self, call):
            if call.name == "ssm:SendCommand":
                return fault_cloud.as_json({"Command": {"CommandId": "1" * 36}})
            if call.name == "ssm:GetCommandInvocation":
                return fault_cloud.as_json({"Status": "InProgress"})
            return fault_cloud.as_json({}) if call.name == "ssm:CancelCommand" else None

    done = shell(cloud, "ssm_run i-00000001 0 true", faults=[Slow(), fault_cloud.LateCommand()])
    assert done.code == 2 and done.mutating == ["ssm:SendCommand", "ssm:CancelCommand"], done
    assert done.calls[1].fields["TimeoutSeconds"] == 30, done.calls[1]


def test_a_region_without_an_endpoint_of_ec2messages_does_without(cloud):
    class New:
        def before(self, call):
            if call.action != "DescribeVpcEndpointServices":
                return None
            return 200, {"Content-Type": "text/xml"}, (
                "<DescribeVpcEndpointServicesResponse"
                ' xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><serviceNameSet>'
                f"<item>com.amazonaws.{REGION}.ssm</item></serviceNameSet>"
                "</DescribeVpcEndpointServicesResponse>").encode()

    look = "net_endpoints_look; echo $aws_endpoints"
    assert "ec2messages" in shell(cloud, look).output
    assert "secretsmanager ssm ssmmessages s3\n" == shell(cloud, look, faults=[New()]).output
