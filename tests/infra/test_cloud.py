"""The cloud of the tests itself: that its faults are made, and that its calls are counted."""
import fault_cloud


def make_vpc(cloud, **options):
    return cloud.run("aws", "ec2", "create-vpc", "--cidr-block", "10.9.0.0/16", **options)


def vpcs(cloud):
    found = cloud.aws("ec2", "describe-vpcs", "--filters", "Name=cidr,Values=10.9.0.0/16")
    return len(found["Vpcs"])


def test_calls_are_counted_and_told_apart(cloud):
    done = cloud.run("sh", "-c", "aws ec2 create-vpc --cidr-block 10.9.0.0/16 && aws iam list-roles"
                     " && aws s3api create-bucket --bucket things --create-bucket-configuration"
                     " LocationConstraint=eu-central-1 && echo some | aws s3 cp - s3://things/x/y"
                     " && aws s3 cp s3://things/x/y - && aws secretsmanager list-secrets")
    assert done.code == 0, done
    assert done.output.count("some") == 1
    assert done.mutating == ["ec2:CreateVpc", "s3:PUT /things", "s3:PUT /things/x/y"]
    assert {"iam:ListRoles", "secretsmanager:ListSecrets"} <= {call.name for call in done.calls}
    assert vpcs(cloud) == 1


def test_reset_leaves_nothing(cloud):
    assert vpcs(cloud) == 0


def test_a_script_is_killed_before_a_call_or_after_it(cloud):
    done = make_vpc(cloud, kill_at=1, carried_out=False)
    assert done.code == -9 and vpcs(cloud) == 0
    done = make_vpc(cloud, kill_at=1, carried_out=True)
    assert done.code == -9 and vpcs(cloud) == 1
    assert make_vpc(cloud, kill_at=2).code == 0 and vpcs(cloud) == 2


def test_throttling_is_what_the_cli_takes_for_it(cloud):
    for arguments in (["ec2", "describe-vpcs"], ["iam", "list-roles"], ["s3api", "list-buckets"],
                      ["secretsmanager", "list-secrets"]):
        fault = fault_cloud.Throttle(1.0, seed=1)
        done = cloud.run("aws", *arguments, faults=[fault], environment={"AWS_MAX_ATTEMPTS": "2"})
        assert done.code != 0 and fault.made == 2, done  # it was tried again, then told
        assert "Rate exceeded" in done.output


def test_an_answer_that_is_cut_is_an_error_and_its_call_was_made(cloud):
    fault = fault_cloud.Cut(1.0, seed=1)
    done = make_vpc(cloud, faults=[fault], environment={"AWS_MAX_ATTEMPTS": "1"})
    assert done.code != 0 and fault.made == 1 and vpcs(cloud) == 1


def test_what_was_just_made_is_not_known_yet(cloud):
    fault = fault_cloud.NotYet(2)
    ask = ("one=$(aws ec2 create-vpc --cidr-block 10.9.0.0/16 --query Vpc.VpcId --output text);"
           "for i in 1 2 3; do aws ec2 describe-vpcs --vpc-ids $one > /dev/null; echo got $?; done")
    done = cloud.run("bash", "-c", ask, faults=[fault])
    assert done.output.count("InvalidVpcID.NotFound") == 2 and fault.made == 2
    assert done.output.count("got 0") == 1


def test_a_call_with_a_token_is_carried_out_once(cloud):
    asked = ("aws ec2 run-instances --image-id ami-1 --client-token one"
             " --query Instances[0].InstanceId")
    done = cloud.run("sh", "-c", f"{asked}; {asked}")
    first, second = done.output.split()
    assert first == second and first.startswith('"i-')


def test_the_proxy_answers_what_moto_does_not_know(cloud):
    image = cloud.aws("ssm", "get-parameter", "--name",
                      "/aws/service/debian/release/12/latest/amd64")["Parameter"]["Value"]
    found = cloud.aws("ec2", "describe-images", "--image-ids", image)["Images"]
    assert [one["ImageId"] for one in found] == [image]
    assert cloud.aws("service-quotas", "get-service-quota", "--service-code", "ec2",
                     "--quota-code", "L-1216C47A")["Quota"]["Value"] > 0
    made = cloud.aws("ec2", "run-instances", "--image-id", image, "--count", "2")["Instances"]
    online = cloud.aws("ssm", "describe-instance-information")["InstanceInformationList"]
    assert {one["InstanceId"] for one in made} == {one["InstanceId"] for one in online}
