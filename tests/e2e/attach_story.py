"""A part of the scenario: `replay attach` and `replay detach` with a second stack and an existing user pool.

The pool has every setting that botocore's shapes allow, so that a lost one is noticed.
"""

import io
import json
import subprocess
import sys
import time
import zipfile

from assertions import expect, expect_client_error
from client import PASSWORD, attribute_list, policy, token_claims
from stack import ACCOUNT, PARAMETERS, REGION, STACK_NAME

SECOND_STACK = "existing-pool"
# A function of others. Cognito calls it only for sign-ins that this story does not have.
OTHER_FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:other"
# Settings that need a certain value, by path.
CHOSEN = {
    "LambdaConfig": {
        "PreSignUp": OTHER_FUNCTION,
        "DefineAuthChallenge": OTHER_FUNCTION,
        "CreateAuthChallenge": OTHER_FUNCTION,
        "VerifyAuthChallengeResponse": OTHER_FUNCTION,
        "UserMigration": OTHER_FUNCTION,
        "CustomSMSSender": {"LambdaArn": OTHER_FUNCTION, "LambdaVersion": "V1_0"},
        "InboundFederation": {"LambdaArn": OTHER_FUNCTION, "LambdaVersion": "V1_0"},
        "KMSKeyID": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d",
    },
    "AdminCreateUserConfig.AllowAdminCreateUserOnly": False,
    "AutoVerifiedAttributes": ["email"],
    "DeletionProtection": "INACTIVE",
    "EmailConfiguration.EmailSendingAccount": "DEVELOPER",
    "EmailConfiguration.SourceArn": PARAMETERS["SesIdentityArn"],
    "MfaConfiguration": "OPTIONAL",
    "Policies.PasswordPolicy.MinimumLength": 10,
    "Policies.SignInPolicy.AllowedFirstAuthFactors": ["PASSWORD"],
    "UserPoolAddOns.AdvancedSecurityMode": "AUDIT",
    "UserPoolTier": "PLUS",
}
# The request must not have it together with TemporaryPasswordValidityDays.
SUPERSEDED = "AdminCreateUserConfig.UnusedAccountValidityDays"


def run(report, stack, build):
    report.section("An existing user pool, with `replay attach` and `replay detach`")
    cognito = stack.ministack.client("cognito-idp")
    with report.step("the shapes that replay's tests use are those of this botocore"):
        subprocess.run([sys.executable, stack.root / "tests/shapes/cognito_shapes.py", "--check"], check=True)
    with report.step("a user pool has every setting of UpdateUserPool and SetUserPoolMfaConfig:") as step:
        pool, client = create_pool(cognito)
        before = settings(cognito, pool)
        step.show(f"{sum(1 for _ in leaves(before))} values")
        create_other_function(stack, pool)
    with report.step("a second stack for this pool is deployed, in seconds:") as step:
        started = time.monotonic()
        deploy(stack, build, pool)
        step.show(f"{time.monotonic() - started:.0f}")
    permit(stack, pool)
    refuse(report, stack, cognito, pool, before)
    backup = attach(report, stack, cognito, pool, before)
    call_triggers(report, stack, cognito, pool, client)
    lose_settings(report, stack, cognito, pool, before, backup)
    detach(report, stack, cognito, pool, before, backup)


def create_pool(cognito):
    """Creates a pool with all settings and an app client. Returns their IDs."""
    pool = cognito.create_user_pool(PoolName="accounts", UsernameAttributes=["email"])["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName="app", ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    mfa = full_request(cognito, "SetUserPoolMfaConfigRequest", pool)
    cognito.set_user_pool_mfa_config(**mfa)
    cognito.update_user_pool(**full_request(cognito, "UpdateUserPoolRequest", pool))
    return pool, client


def create_other_function(stack, pool):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as code:
        code.writestr("bootstrap", "#!/bin/sh\n")
    stack.functions.create_function(
        FunctionName="other",
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role=f"arn:aws:iam::{ACCOUNT}:role/operator",
        Code={"ZipFile": file.getvalue()},
    )
    stack.functions.add_permission(
        FunctionName="other",
        StatementId="pool",
        Action="lambda:InvokeFunction",
        Principal="cognito-idp.amazonaws.com",
        SourceArn=f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{pool}",
        SourceAccount=ACCOUNT,
    )


def full_request(cognito, name, pool):
    """A request with every member of its shape."""
    request = value_of(cognito.meta.service_model.shape_for(name), "")
    return {**request, "UserPoolId": pool}


def value_of(shape, path):
    if path in CHOSEN:
        return CHOSEN[path]
    if shape.type_name == "structure":
        paths = {name: f"{path}.{name}".removeprefix(".") for name in shape.members}
        return {name: value_of(shape.members[name], paths[name]) for name in paths if paths[name] != SUPERSEDED}
    if shape.type_name == "list":
        return [value_of(shape.member, path)]
    if shape.type_name == "map":
        return {"team": "shop", "cost center": "12"}
    if shape.type_name == "boolean":
        return True
    if shape.type_name == "integer":
        return shape.metadata.get("min", 0) + 1
    if shape.name == "ArnType":
        return f"arn:aws:iam::{ACCOUNT}:role/of-the-pool"
    return shape.enum[0] if shape.enum else 'Your "code" is {####}, {##Confirm##} {username} é'


def settings(cognito, pool):
    """What DescribeUserPool and GetUserPoolMfaConfig return, without what no command sets."""
    described = cognito.describe_user_pool(UserPoolId=pool)["UserPool"]
    for name in ("LastModifiedDate", "EstimatedNumberOfUsers"):
        described.pop(name, None)
    mfa = cognito.get_user_pool_mfa_config(UserPoolId=pool)
    del mfa["ResponseMetadata"]
    return {"UserPool": described, "MfaConfig": mfa}


def leaves(value):
    if isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    else:
        yield value


def without_triggers(found):
    return {**found, "UserPool": {**found["UserPool"], "LambdaConfig": None}}


def deploy(stack, build, pool):
    parameters = {
        "Architecture": PARAMETERS["Architecture"],
        "AllowedEmailDomains": "example.com",
        "ExistingUserPoolId": pool,
        # So the stack has no read API, which needs app clients. Its invalidations are those of another distribution:
        # the pages of the first stack count their own.
        "ApiOriginDomainName": "api.example.com",
        "Monitoring": "false",
        "OperatorArns": PARAMETERS["OperatorArns"],
        "ProductName": PARAMETERS["ProductName"],
        "TokenClaims": PARAMETERS["TokenClaims"],
    }
    stack.ministack.deploy(build, parameters, stack_name=SECOND_STACK)


def permit(stack, pool):
    """Gives the role of the operator the permissions that docs/replay.md lists for these commands."""
    calls = ["DescribeUserPool", "GetUserPoolMfaConfig", "UpdateUserPool", "SetUserPoolMfaConfig"]
    pools = [f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{each}" for each in (pool, stack.user_pool)]
    everywhere = ["cloudformation:DescribeStacks", "cloudformation:DescribeStackResources"]
    everywhere += ["cloudformation:ListStackResources", "lambda:GetPolicy", "lambda:ListTags"]
    everywhere += ["iam:PassRole", "kms:CreateGrant"]
    statements = [
        {"Effect": "Allow", "Action": [f"cognito-idp:{call}" for call in calls], "Resource": pools},
        {"Effect": "Allow", "Action": everywhere, "Resource": "*"},
    ]
    stack.assume_role("operator", ACCOUNT)
    stack.ministack.client("iam").put_role_policy(
        RoleName="operator", PolicyName="attach", PolicyDocument=policy(*statements)
    )


def replay(stack, *arguments, code=0):
    """Runs `replay` for the second stack, in a folder for its backup files. Returns its result."""
    result = stack.run_replay(*arguments, "--stack", SECOND_STACK, cwd=stack.ministack.folder)
    expect(result.returncode == code, f"replay {arguments} ended with {result.returncode}: {result.stderr}")
    return result


def refuse(report, stack, cognito, pool, before):
    with report.step("the pool of the first stack is refused, because that stack manages it"):
        result = stack.run_replay("attach", "--stack", STACK_NAME)
        expect(result.returncode == 1 and "AttachTriggers=true" in result.stderr, result.stderr)
    with report.step("a pool with the tag of a CloudFormation stack is refused"):
        arn = f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{pool}"
        tags = {"aws:cloudformation:stack-name": STACK_NAME}
        cognito.tag_resource(ResourceArn=arn, Tags=tags)
        result = replay(stack, "attach", "--replace-all", code=1)
        expect(f"CloudFormation manages the user pool, in the stack {STACK_NAME}" in result.stderr, result.stderr)
        cognito.untag_resource(ResourceArn=arn, TagKeys=list(tags))
    with report.step("a function that the pool calls already is named, and must be kept or replaced"):
        result = replay(stack, "attach", "--yes", code=2)
        expect("pre-sign-up calls other" in result.stderr, result.stderr)
    with report.step("the dry run changes nothing, and says how many settings stay:") as step:
        plan = json.loads(replay(stack, "attach", "--replace-all", "--json").stdout)
        expect(settings(cognito, pool) == before, "the dry run changed the pool")
        step.show(f"{plan['unchanged']}")


def attach(report, stack, cognito, pool, before):
    with report.step("`attach --yes` changes only the five triggers; settings compared:") as step:
        document = json.loads(replay(stack, "attach", "--replace-all", "--yes", "--json").stdout)
        after = settings(cognito, pool)
        expect(without_triggers(after) == without_triggers(before), after)
        step.show(f"{document['compared']}")
    with report.step("the other triggers of the pool stay"):
        triggers, old = after["UserPool"]["LambdaConfig"], before["UserPool"]["LambdaConfig"]
        expect(all(triggers[name] == old[name] for name in old if name != "PreSignUp"), triggers)
        expect(f"{SECOND_STACK}-pre-sign-up" in triggers["PreSignUp"], triggers)
    with report.step("`replay status`: user pool:") as step:
        step.show(user_pool_check(stack, "ok"))
    return document["backup"]


def user_pool_check(stack, state):
    """The line *user pool* of `replay status`."""
    result = stack.run_replay("status", "--stack", SECOND_STACK, "--json")
    [check] = [check for check in json.loads(result.stdout)["checks"] if check["check"] == "user_pool"]
    expect(check["state"] == state, check)
    return check["text"]


def call_triggers(report, stack, cognito, pool, client):
    with report.step("pre-sign-up denies a domain, and pre-token-generation adds a claim"):
        denied = {"ClientId": client, "Username": "eve@spam.test", "Password": PASSWORD}
        error = expect_client_error(lambda: stack.browser.sign_up(**denied))
        expect(error["Code"] == "UserLambdaValidationException", error)
        cognito.admin_create_user(
            UserPoolId=pool,
            Username="nora@example.com",
            MessageAction="SUPPRESS",
            UserAttributes=attribute_list({"email": "nora@example.com", "email_verified": "true"}),
        )
        cognito.admin_set_user_password(
            UserPoolId=pool, Username="nora@example.com", Password=PASSWORD, Permanent=True
        )
        tokens = cognito.admin_initiate_auth(
            UserPoolId=pool,
            ClientId=client,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": "nora@example.com", "PASSWORD": PASSWORD},
        )["AuthenticationResult"]
        expect(token_claims(tokens["AccessToken"])["tenant"] == "example", tokens)


def lose_settings(report, stack, cognito, pool, before, backup):
    with report.step("`update-user-pool` with only the ID resets the pool, and `replay status` says so:") as step:
        attached = settings(cognito, pool)
        cognito.update_user_pool(UserPoolId=pool)
        lost = settings(cognito, pool)
        expect(lost["UserPool"]["LambdaConfig"] == {} and lost["UserPool"]["UserPoolTags"] == {}, lost)
        step.show(user_pool_check(stack, "look"))
    with report.step("`attach --restore` gives all settings back, with the triggers; settings restored:") as step:
        restore = ["attach", "--replace-all", "--restore", backup, "--json"]
        plan = json.loads(replay(stack, *restore).stdout)
        replay(stack, *restore, "--yes", "--backup", "reset.json")
        expect(settings(cognito, pool) == attached, settings(cognito, pool))
        expect(user_pool_check(stack, "ok"), "the triggers")
        step.show(f"{len(plan['changes'])}")


def detach(report, stack, cognito, pool, before, backup):
    with report.step("`detach` leaves the functions of others"):
        replay(stack, "detach", "--yes", "--backup", "attached.json")
        expected = dict(before["UserPool"]["LambdaConfig"])
        del expected["PreSignUp"]
        expect(settings(cognito, pool)["UserPool"]["LambdaConfig"] == expected, settings(cognito, pool))
    with report.step("`detach --restore` gives the pool everything back as it was"):
        replay(stack, "detach", "--restore", backup, "--yes", "--backup", "detached.json")
        expect(settings(cognito, pool) == before, settings(cognito, pool))
    with report.step("a function of the backup that does not exist any more is not given back"):
        replay(stack, "attach", "--replace-all", "--yes", "--backup", "again.json")
        stack.functions.delete_function(FunctionName="other")
        result = replay(stack, "detach", "--restore", backup, "--yes", code=1)
        expect("the function other does not exist" in result.stderr, result.stderr)
        replay(stack, "detach", "--yes", "--backup", "last.json")
