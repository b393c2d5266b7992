"""Deploys template.yaml to a stand-in for AWS, and lives through a user's first day with it.

    python tests/e2e/e2e.py                  # sam build, sam deploy, the story
    python tests/e2e/e2e.py --build DIR      # with the outcome of an earlier sam build

The stand-in is MiniStack, with IAM switched on (stand_in.py): every call, also those of the functions, is held against
the policies of the template, over TLS. The person in the story talks to Cognito without credentials, as a browser
does. What MiniStack does not do is invoked through Lambda's API with the events in events/, or left out; both are
listed in docs/end-to-end.md.

Nothing waits for a fixed time: whatever takes its time is asked for until it is there, or until a deadline.
"""

import argparse
import base64
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

import srp

HERE = Path(__file__).resolve().parent
REGION = "eu-central-1"
ACCOUNT = "000000000000"
PARTNER_ACCOUNT = "123456789012"
STACK = "cognito-user-events"

# Who may sign up, what groups follow, who may send. Everything else is as the template has it.
PARAMETERS = {
    "Architecture": "x86_64" if os.uname().machine == "x86_64" else "arm64",
    "ProductName": "Example Shop",
    "ApiOriginDomainName": "api.example.com",
    "AllowedEmailDomains": "example.com",
    "BlockedEmailDomains": "spam.test",
    "FirstGroup": "Developer",
    "GroupRules": '[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"}]',
    "TokenClaims": '{"access": {"tenant": "example"}}',
    "SesIdentityArn": f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/example.com",
    "SesFromAddress": "no-reply@example.com",
    "EventProducers": f"arn:aws:iam::{PARTNER_ACCOUNT}:role/order-service",
    "OperatorArns": f"arn:aws:iam::{ACCOUNT}:role/operator",
}

REFUSED_SIGN_UP = "Sign-up is not possible with this e-mail address"
REFUSED_SIGN_IN = "Sign-in is not possible, please contact support"
PASSWORD = "Corr3ct-horse!"


# The story


def tell(story, shop):
    """What happens, in order. Each part uses what the one before it has made."""
    deny_sign_ups(story, shop)
    ana = sign_up(story, shop)
    sign_in(story, shop, ana)
    invite_and_ban(story, shop)
    events = buy(story, shop, ana)
    send_poison(story, shop, ana)
    deliver_again(story, shop, ana, events)
    look_back(story, shop)
    remove(story, shop)


def deny_sign_ups(story, shop):
    story.chapter("Who may not sign up")
    for name, email in [("a blocked domain", "eve@spam.test"), ("a look-alike", "eve@evilexample.com")]:
        with story.step(f"{email}, {name}, reads:") as step:
            error = refused(lambda: shop.sign_up(email, "Eve"))
            expect(error["Code"] == "UserLambdaValidationException", error)
            expect(REFUSED_SIGN_UP in error["Message"], error)
            step.sees(REFUSED_SIGN_UP)
    with story.step("both are counted, the look-alike under `other`") as step:
        counts = {"signUps": 1, "signUpsAllowed": 0, "signUpsDenied": 1}
        for domain in ("spam.test", "other"):
            eventually(lambda: shop.domain_statistics(domain) == counts, f"one denied sign-up for {domain}")


def sign_up(story, shop):
    story.chapter("Ana signs up")
    email = "ana@example.com"
    with story.step(f"{email} gets a code by e-mail") as step:
        sub = shop.sign_up(email, "Ana Example")["UserSub"]
        code = re.search(r"\b\d{6}\b", shop.mail_to(email)["BodyText"])[0]
    with story.step("a wrong code is refused") as step:
        error = refused(lambda: shop.confirm(email, "000000"))
        step.sees(error["Message"])
    with story.step("with the right one she is confirmed"):
        shop.confirm(email, code)
        user = shop.cognito.admin_get_user(UserPoolId=shop.user_pool, Username=email)
        expect(user["UserStatus"] == "CONFIRMED", user["UserStatus"])
    with story.step("post-confirmation writes her profile (invoked by the test)"):
        attributes = {"sub": sub, "email": email, "name": "Ana Example"}
        event = shop.event("post-confirmation/confirm-sign-up.json", sub, attributes)
        expect(shop.invoke("PostConfirmationFunction", event) == event, "the event was changed")
        profile = eventually(lambda: shop.item(f"USER#{sub}", "PROFILE"), "a profile")
        expect((profile["email"], profile["name"]) == (email, "Ana Example"), profile)
    with story.step("the event it sends arrives in her statistics"):
        eventually(lambda: "confirmedAt" in shop.statistics(sub), "confirmedAt")
    with story.step("custom-message words the mail with the code (invoked by the test)") as step:
        event = shop.event("custom-message/sign-up.json", sub, {**attributes, "locale": "fr"})
        response = shop.invoke("CustomMessageFunction", event)["response"]
        expect("{####}" in response["emailMessage"], response["emailMessage"])
        step.sees(response["emailSubject"])
    return {"email": email, "sub": sub}


def sign_in(story, shop, ana):
    story.chapter("Ana signs in")
    with story.step("pre-authentication lets her pass (invoked by the test)"):
        event = shop.event("pre-authentication/authentication.json", ana["sub"], {"sub": ana["sub"]})
        expect(shop.invoke("PreAuthenticationFunction", event) == event, "the event was changed")
    with story.step("her tokens come, with the claim of TokenClaims in the access token") as step:
        tokens = shop.sign_in(ana["email"])
        expect(claims(tokens["AccessToken"])["tenant"] == "example", claims(tokens["AccessToken"]))
        expect("cognito:groups" not in claims(tokens["IdToken"]), claims(tokens["IdToken"]))
    with story.step("an administrator notes her department; her next sign-in tells group-membership") as step:
        department = {"Name": "custom:department", "Value": "Engineering"}
        shop.cognito.admin_update_user_attributes(
            UserPoolId=shop.user_pool, Username=ana["email"], UserAttributes=[department]
        )
        shop.sign_in(ana["email"])
        eventually(lambda: "Developer" in shop.groups(ana["sub"]), "the group Developer")
    with story.step("her tokens name the group:") as step:
        tokens = shop.sign_in(ana["email"])
        for token in ("IdToken", "AccessToken"):
            expect(claims(tokens[token])["cognito:groups"] == ["Developer"], claims(tokens[token]))
        step.sees("cognito:groups = Developer")
    with story.step("the very first token would, too (pre-token-generation, invoked by the test)"):
        attributes = {"sub": ana["sub"], "custom:department": "Engineering"}
        event = shop.event("pre-token-generation/authentication.json", ana["sub"], attributes)
        override = shop.invoke("PreTokenGenerationFunction", event)["response"]["claimsAndScopeOverrideDetails"]
        groups = override["groupOverrideDetails"]["groupsToOverride"]
        expect(set(groups) == {"Developer", "Engineering", "Staff"}, groups)
    with story.step("a refreshed token is counted as such"):
        shop.refresh(tokens["RefreshToken"])
        eventually(lambda: shop.statistics(ana["sub"]).get("tokenRefreshes"), "a refresh")
        expect(shop.statistics(ana["sub"])["signIns"] >= 3, shop.statistics(ana["sub"]))
    with story.step("nobody@example.com, who has no account, reads what a wrong password gives:") as step:
        unknown = refused(lambda: shop.sign_in("nobody@example.com"))
        wrong = refused(lambda: shop.sign_in(ana["email"], "Wr0ng-horse!"))
        expect(unknown == wrong, (unknown, wrong))
        step.sees(wrong["Message"])


def invite_and_ban(story, shop):
    story.chapter("Ben is invited, and banned")
    email = "ben@example.com"
    with story.step("an administrator creates ben@example.com; his mail, in German:") as step:
        attributes = {"email": email, "email_verified": "true", "name": "Ben", "locale": "de"}
        user = shop.cognito.admin_create_user(
            UserPoolId=shop.user_pool, Username=email, UserAttributes=attribute_list(attributes)
        )["User"]
        sub = {each["Name"]: each["Value"] for each in user["Attributes"]}["sub"]
        mail = shop.mail_to(email)
        expect(mail["Source"] == "no-reply@example.com", mail["Source"])
        expect("Vorläufiges Passwort" in mail["BodyHtml"], mail["BodyHtml"])
        step.sees(mail["Subject"])
    with story.step("he signs in"):
        shop.cognito.admin_set_user_password(
            UserPoolId=shop.user_pool, Username=email, Password=PASSWORD, Permanent=True
        )
        tokens = shop.sign_in(email)
    with story.step("an administrator writes a ban into his profile; he cannot sign in, and reads:") as step:
        shop.ban(sub, "chargebacks")
        error = refused(lambda: shop.sign_in(email))
        expect(REFUSED_SIGN_IN in error["Message"], error)
        expect("chargebacks" not in error["Message"], error)
        step.sees(REFUSED_SIGN_IN)
    with story.step("his refresh token gives him nothing either"):
        error = refused(lambda: shop.refresh(tokens["RefreshToken"]))
        expect(REFUSED_SIGN_IN in error["Message"], error)
    with story.step("pre-authentication, before the password is looked at, says the same (invoked by the test)"):
        event = shop.event("pre-authentication/authentication.json", sub, {"sub": sub})
        error = shop.invoke("PreAuthenticationFunction", event)
        expect(error["errorMessage"] == REFUSED_SIGN_IN, error)
    with story.step("the attempts are counted"):
        eventually(lambda: shop.statistics(sub).get("signInsDenied") == 3, "three denied sign-ins")


def buy(story, shop, ana):
    story.chapter("Ana buys")
    events = [
        shop_event("order-1001-placed", "order.placed", ana, order_id="1001", amount="49.90", currency="EUR"),
        shop_event("order-1002-placed", "order.placed", ana, order_id="1002", amount="12.50", currency="EUR"),
        shop_event("order-1002-cancelled", "order.cancelled", ana, order_id="1002", amount="12.50", currency="EUR"),
        shop_event("notification-1", "notification.created", ana, notification_id="order-1001-confirmed"),
    ]
    item = f"#user:{ana['sub']}"
    with story.step("until now, her confirmation alone has evicted pages of hers:") as step:
        shop.settle()
        before = shop.invalidations()
        expect(before.count([item]) == 1, before)
        step.sees(item)
    with story.step("who is not among EventProducers cannot send, whatever their own policy allows:") as step:
        stranger = shop.principal("stranger", ACCOUNT, may_send=True)
        error = refused(lambda: shop.send(stranger, events))
        expect("AccessDenied" in error["Code"], error)
        step.sees(error["Code"])
    with story.step("the order service, a role of another account, sends four events"):
        shop.send(shop.principal("order-service", PARTNER_ACCOUNT, may_send=True), events)
    with story.step("her statistics, in one read of the table:") as step:
        statistics = eventually(
            lambda: (found := shop.statistics(ana["sub"])).get("orders") == 2 and found, "two orders in the statistics"
        )
        expect(statistics["ordersCancelled"] == 1, statistics)
        expect(statistics["unreadNotifications"] == 1, statistics)
        expect(statistics["spent"] == {"EUR": "49.90"}, statistics)
        step.sees("2 orders, 1 of them cancelled, spent EUR 49.90, 1 notification unread")
    with story.step("CloudFront is told to forget her pages, and nobody else's:") as step:
        shop.settle()
        new = shop.invalidations()[len(before) :]
        expect(new == [[item]], new)
        step.sees(item)
    return events


def send_poison(story, shop, ana):
    story.chapter("What can never succeed")
    poison = {
        "not_json": "not JSON",
        "invalid_data": shop_event(
            "order-1003-placed", "order.placed", ana, order_id="1003", amount="-1", currency="EUR"
        ),
        "unknown_type": shop_event("order-1004-shipped", "order.shipped", ana, order_id="1004"),
    }
    with story.step("the order service sends three bad messages"):
        shop.send(shop.principal("order-service", PARTNER_ACCOUNT), poison.values())
    with story.step("they are parked in the dead-letter queue as they came, each with its error.type:") as step:
        parked = {}

        def all_parked():
            parked.update((attributes["error.type"], body) for attributes, body in shop.dead_letters())
            return parked.keys() >= poison.keys()

        eventually(all_parked, "three dead letters")
        expect(parked == poison, parked)
        step.sees(", ".join(sorted(parked)))


def deliver_again(story, shop, ana, events):
    story.chapter("The same once more")
    shop.settle()
    before, invalidations = shop.statistics(ana["sub"]), shop.invalidations()
    duplicates = shop.metric("UserStatsFunction", "EventsDuplicate")
    with story.step("the order service sends its four events again; in the log of user-stats:") as step:
        shop.send(shop.principal("order-service", PARTNER_ACCOUNT), events)
        shop.settle()
        duplicates = shop.metric("UserStatsFunction", "EventsDuplicate") - duplicates
        expect(duplicates == len(events), duplicates)
        step.sees(f"EventsDuplicate: {duplicates}")
    with story.step("her statistics are the same to the last digit"):
        expect(shop.statistics(ana["sub"]) == before, shop.statistics(ana["sub"]))
    with story.step("no eviction is paid for again; in the log of cache-invalidation:") as step:
        expect(shop.invalidations() == invalidations, shop.invalidations())
        skipped = shop.metric("CacheInvalidationFunction", "InvalidationsSkipped")
        expect(skipped >= 1, skipped)
        step.sees(f"InvalidationsSkipped: {skipped}")
    with story.step("nothing is left in any queue, and no dead letter but the three"):
        for queue, expected in [("UserEvents", 3), ("CacheInvalidations", 0), ("GroupMemberships", 0)]:
            found = shop.waiting(f"{queue}DeadLetterQueue")
            expect(found == expected, f"{found} dead letters of {queue}")


def look_back(story, shop):
    story.chapter("Looking back")
    with story.step("IAM refused the functions nothing: their roles allow what they need"):
        refusals = [line for line in shop.aws.printed() if line.startswith("IAM refuses")]
        others = [line for line in refusals if "/stranger/" not in line]
        # The stranger shows that the list is not blind.
        expect(refusals and not others, "\n".join(others) or "no refusal at all")
    with story.step("no event was lost"):
        lost = [line for function in shop.function_names() for line in shop.log(function, "event not sent")]
        expect(not lost, "\n".join(lost))


def remove(story, shop):
    story.chapter("The stack is removed")
    with story.step("sam delete keeps the user pool, with Ana in it, and the table"):
        shop.aws.sam("delete", "--stack-name", STACK, "--region", REGION, "--no-prompts", cwd=shop.root)
        shop.cognito.admin_get_user(UserPoolId=shop.user_pool, Username="ana@example.com")
        expect(shop.table.item_count > 0, "the table is empty")
    with story.step("functions, queues and everything else are gone"):
        expect(not shop.functions.list_functions()["Functions"], "there are functions")
        expect(not shop.aws.client("sqs").list_queues().get("QueueUrls"), "there are queues")


# The shop: the deployed stack, as those see it who use it


class Shop:
    """The deployed stack, through AWS's own APIs."""

    def __init__(self, aws, root):
        self.aws, self.root = aws, root
        # A failing trigger is an answer, not a reason to ask again.
        self.cognito = aws.client("cognito-idp", retries={"total_max_attempts": 1})
        # The person at the browser has no AWS credentials.
        self.browser = aws.client("cognito-idp", signature_version=UNSIGNED, retries={"total_max_attempts": 1})
        self.functions, self.logs = aws.client("lambda"), aws.client("logs")
        self.cloudfront = aws.client("cloudfront")
        cloudformation = aws.client("cloudformation")
        outputs = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in outputs}
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK)
        self.resources = {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for page in pages
            for each in page["StackResourceSummaries"]
        }
        self.user_pool, self.client = self.outputs["UserPoolId"], self.outputs["UserPoolClientId"]
        self.distribution = self.outputs["DistributionId"]
        self.table = aws.table(self.outputs["TableName"])
        operator = self.principal("operator", ACCOUNT, may_look=True)
        self.queues = aws.client("sqs", credentials=operator)
        self.items = {}

    # People

    def sign_up(self, email, name):
        return self.browser.sign_up(
            ClientId=self.client,
            Username=email,
            Password=PASSWORD,
            UserAttributes=attribute_list({"email": email, "name": name}),
        )

    def confirm(self, email, code):
        self.browser.confirm_sign_up(ClientId=self.client, Username=email, ConfirmationCode=code)

    def sign_in(self, email, password=PASSWORD):
        return srp.sign_in(self.browser, self.user_pool, self.client, email, password)

    def refresh(self, token):
        return self.browser.initiate_auth(
            ClientId=self.client, AuthFlow="REFRESH_TOKEN_AUTH", AuthParameters={"REFRESH_TOKEN": token}
        )["AuthenticationResult"]

    def mail_to(self, email):
        """The latest e-mail to this address, from MiniStack's outbox."""
        messages = self.aws.get("/_ministack/ses/messages")["messages"][ACCOUNT]
        return [each for each in messages if each["To"] == [email]][-1]

    def groups(self, username):
        groups = self.cognito.admin_list_groups_for_user(UserPoolId=self.user_pool, Username=username)["Groups"]
        return [group["GroupName"] for group in groups]

    # Functions

    def event(self, fixture, username, attributes):
        """An event of events/, about this pool and user."""
        event = json.loads((self.root / "events" / fixture).read_text())
        event.update(userPoolId=self.user_pool, userName=username, region=REGION)
        event["callerContext"]["clientId"] = self.client
        event["request"]["userAttributes"] = attributes
        return event

    def invoke(self, function, event):
        answer = self.functions.invoke(FunctionName=self.resources[function], Payload=json.dumps(event))
        return json.load(answer["Payload"])

    def function_names(self):
        return [name for name in self.resources if name.endswith("Function")]

    def log(self, function, pattern=""):
        group = self.functions.get_function_configuration(FunctionName=self.resources[function])
        group = group.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{self.resources[function]}"
        try:
            pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
            lines = [line for page in pages for each in page["events"] for line in each["message"].splitlines()]
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        return [line for line in lines if pattern in line]

    def metric(self, function, name):
        """The sum of a metric in the function's log, where CloudWatch would find it."""
        return sum(json.loads(line)[name] for line in self.log(function, f'"{name}":'))

    # The table

    def item(self, partition, sort):
        return self.table.get_item(Key={"PK": partition, "SK": sort}, ConsistentRead=True).get("Item")

    def statistics(self, sub):
        return self.item(f"USER#{sub}", "STATS") or {}

    def domain_statistics(self, domain):
        """The sum of a domain's shards, as docs/data-model.md reads it."""
        items = filter(None, (self.item(f"DOMAIN#{domain}#{shard}", "STATS") for shard in range(32)))
        total = {"signUps": 0, "signUpsAllowed": 0, "signUpsDenied": 0}
        for item in items:
            total = {name: total[name] + item[name] for name in total}
        return total

    def ban(self, sub, reason):
        """As `replay suspend` writes it."""
        ban = {"reason": reason, "by": "support", "at": int(time.time() * 1000)}
        self.table.update_item(
            Key={"PK": f"USER#{sub}", "SK": "PROFILE"},
            UpdateExpression="SET isBanned = :true, ban = :ban",
            ExpressionAttributeValues={":true": True, ":ban": ban},
        )

    # The queues

    def principal(self, name, account, may_send=False, may_look=False):
        """A session of the role `name`, which is made where it is not there yet."""
        iam = self.aws.client("iam", account=account)
        trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
        with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
        if may_send:
            send = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": self.outputs["UserEventsQueueArn"]}
            iam.put_role_policy(RoleName=name, PolicyName="send", PolicyDocument=policy(send))
        if may_look:
            look = {"Effect": "Allow", "Action": ["sqs:GetQueueAttributes", "sqs:ReceiveMessage"], "Resource": "*"}
            iam.put_role_policy(RoleName=name, PolicyName="look", PolicyDocument=policy(look))
        return self.aws.client("sts", account=account).assume_role(
            RoleArn=f"arn:aws:iam::{account}:role/{name}", RoleSessionName="end-to-end"
        )["Credentials"]

    def send(self, credentials, bodies):
        entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
        sent = self.aws.client("sqs", credentials=credentials).send_message_batch(
            QueueUrl=self.outputs["UserEventsQueueUrl"], Entries=entries
        )
        expect(len(sent["Successful"]) == len(entries), sent)

    def settle(self):
        """Waits until the workers have read everything, what is delayed too. Each queue feeds those after it."""
        for queue in ("UserEvents", "GroupMemberships", "CacheInvalidations"):
            eventually(lambda: self.waiting(f"{queue}Queue") == 0, f"an empty queue {queue}", seconds=60)

    def waiting(self, queue):
        """How many messages wait in a queue, are delayed or being worked on."""
        attributes = self.queues.get_queue_attributes(QueueUrl=self.outputs[f"{queue}Url"], AttributeNames=["All"])[
            "Attributes"
        ]
        return sum(
            int(attributes.get(f"ApproximateNumberOfMessages{state}", 0)) for state in ("", "NotVisible", "Delayed")
        )

    def dead_letters(self):
        """Attributes and body of the messages that could not be worked on; each is seen once."""
        messages = self.queues.receive_message(
            QueueUrl=self.outputs["UserEventsDeadLetterQueueUrl"],
            MessageAttributeNames=["All"],
            MaxNumberOfMessages=10,
            VisibilityTimeout=600,
        ).get("Messages", [])
        for message in messages:
            attributes = {name: each["StringValue"] for name, each in message.get("MessageAttributes", {}).items()}
            yield attributes, message["Body"]

    # The distribution

    def invalidations(self):
        """The items of every invalidation, in the order in which this test saw them first."""
        listed = self.cloudfront.list_invalidations(DistributionId=self.distribution)["InvalidationList"]
        for each in listed.get("Items", []):
            if each["Id"] not in self.items:
                found = self.cloudfront.get_invalidation(DistributionId=self.distribution, Id=each["Id"])
                self.items[each["Id"]] = found["Invalidation"]["InvalidationBatch"]["Paths"]["Items"]
        return list(self.items.values())


# The stand-in for AWS


class Aws:
    """MiniStack on a free port of the loopback interface, with all it writes in one folder."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.endpoint = f"https://127.0.0.1:{self.port}"
        self.certificate = folder / "certificate.pem"
        self.here = {"endpoint_url": self.endpoint, "verify": str(self.certificate)}
        # Nothing of the caller's AWS configuration gets in.
        self.environment = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CA_BUNDLE": str(self.certificate),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            # MiniStack's root user of the account 000000000000.
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.5",
        }
        self.process, self.clients = None, []

    def start(self):
        key = self.folder / "key.pem"
        # Self-signed and no authority: what rustls and OpenSSL both take as trusted when they are told to.
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=stand-in"]
            + ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=IP:127.0.0.1"]
            + ["-keyout", key, "-out", self.certificate],
            check=True,
            capture_output=True,
        )
        environment = {
            **self.environment,
            "AUTH": "true",
            "USE_SSL": "1",
            "MINISTACK_SSL_CERT": str(self.certificate),
            "MINISTACK_SSL_KEY": str(key),
            # The functions trust the certificate, and find AWS at AWS_ENDPOINT_URL.
            "SSL_CERT_FILE": str(self.certificate),
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "STATE_DIR": str(self.folder / "state"),
            "S3_DATA_DIR": str(self.folder / "s3"),
            "PERSIST_STATE": "0",
            "S3_PERSIST": "0",
            # Two servers that nobody here needs.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # A failing pre-token-generation fails the sign-in, as on AWS.
            "MINISTACK_COGNITO_PRETOKEN_STRICT": "1",
        }
        self.log = open(self.folder / "ministack.log", "w+")
        self.process = subprocess.Popen(
            [sys.executable, HERE / "stand_in.py"],
            env=environment,
            cwd=self.folder,
            stdin=subprocess.PIPE,  # Closed when this process ends, however it ends; stand_in.py ends then too.
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # It and the functions that it starts form one process group.
        )
        eventually(self.answers, "MiniStack to answer")

    def answers(self):
        expect(self.process.poll() is None, lambda: f"MiniStack ended:\n{self.tail()}")
        with contextlib.suppress(OSError):
            return self.get("/_ministack/ready")

    def get(self, path):
        context = ssl.create_default_context(cafile=self.certificate)
        with urllib.request.urlopen(self.endpoint + path, context=context, timeout=5) as answer:
            return json.load(answer)

    def printed(self):
        return (self.folder / "ministack.log").read_text(errors="replace").splitlines()

    def tail(self):
        return "\n".join(self.printed()[-60:])

    def stop(self):
        """Ends MiniStack and all functions. Fails if anything is left."""
        if self.process is None:
            return
        group = self.process.pid
        # MiniStack waits for open connections before it ends.
        for client in self.clients:
            client.close()
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(group, signal.SIGKILL)
            self.process.wait()
            raise
        finally:
            self.process.stdin.close()
            self.log.close()
        left = eventually_none(lambda: processes_of(group))
        if left:
            os.killpg(group, signal.SIGKILL)
        expect(not left, f"processes were left behind: {left}")
        with socket.socket() as probe:
            expect(probe.connect_ex(("127.0.0.1", self.port)) != 0, f"something listens on port {self.port}")

    def client(self, service, account=None, credentials=None, **config):
        if credentials:
            keys = credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
        else:
            # In MiniStack an account's number is the access key of its root user.
            keys = account or "test", "test", None
        client = boto3.Session(*keys, region_name=REGION).client(service, **self.here, config=Config(**config))
        self.clients.append(client)
        return client

    def table(self, name):
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        dynamodb = boto3.resource("dynamodb", region_name=REGION, **keys, **self.here)
        self.clients.append(dynamodb.meta.client)
        return dynamodb.Table(name)

    def deploy(self, build, parameters, fails=False):
        def quoted(value):
            # Values are JSON here and there.
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

        return self.sam(
            "deploy",
            *["--template-file", str(build / "template.yaml"), "--stack-name", STACK, "--resolve-s3"],
            *["--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar"],
            *["--parameter-overrides", *(f"{name}={quoted(value)}" for name, value in parameters.items())],
            cwd=build,
            fails=fails,
        )

    def sam(self, *arguments, cwd, fails=False):
        """What sam prints. It is meant to fail, or to succeed."""
        done = subprocess.run(
            ["sam", *arguments],
            env=self.environment,
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        expect(
            (done.returncode != 0) == fails, f"sam {arguments[0]} ended with {done.returncode}:\n{done.stdout[-6000:]}"
        )
        return done.stdout


def processes_of(group):
    """The processes of a process group, as `ps` would show them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (name) state parent group …; the name may hold spaces.
            pid, name, fields = re.fullmatch(r"(\d+) \((.*)\) (.*)", stat.read_text().strip(), re.S).groups()
            state, _, its_group = fields.split()[:3]
            # A zombie has ended; that nobody has asked how is its new parent's affair.
            if int(its_group) == group and state != "Z":
                found.append(f"{pid} {name}")
    return found


# Small things


def shop_event(id, type, user, **data):
    """A CloudEvent of the order service."""
    return json.dumps(
        {
            "specversion": "1.0",
            "id": id,
            "source": "/shop/orders",
            "type": type,
            "subject": user["sub"],
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": data,
        }
    )


def attribute_list(attributes):
    return [{"Name": name, "Value": value} for name, value in attributes.items()]


def policy(statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def refused(call):
    """The error that a call is answered with."""
    try:
        answer = call()
    except ClientError as error:
        return error.response["Error"]
    raise AssertionError(f"not refused: {answer}")


def expect(truth, otherwise):
    if not truth:
        raise AssertionError(otherwise() if callable(otherwise) else otherwise)


def eventually(probe, what, seconds=30):
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        expect(time.monotonic() < deadline, f"waited {seconds} s in vain for {what}")
        time.sleep(0.1)
    return answer


def eventually_none(probe, seconds=5):
    deadline = time.monotonic() + seconds
    while (answer := probe()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return answer


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Story:
    """Prints what happens while it happens, and how long each part took."""

    def __init__(self):
        self.parts = []

    def chapter(self, title):
        self.end_chapter()
        self.parts.append([title, time.monotonic(), None])
        print(f"\n{title}", flush=True)

    def end_chapter(self):
        if self.parts and self.parts[-1][2] is None:
            self.parts[-1][2] = time.monotonic()

    @contextlib.contextmanager
    def step(self, text):
        start, step = time.monotonic(), Step()
        try:
            yield step
        except BaseException:
            print(f"  ✗ {time.monotonic() - start:5.2f} s  {text}", flush=True)
            raise
        seconds = time.monotonic() - start
        print(f"  ✓ {seconds:5.2f} s  {text} {step.seen}".rstrip(), flush=True)

    def times(self):
        self.end_chapter()
        print("\nTime by part")
        for title, start, end in self.parts:
            print(f"  {end - start:6.1f} s  {title}")
        print(f"  {self.parts[-1][2] - self.parts[0][1]:6.1f} s  in all")


class Step:
    seen = ""

    def sees(self, text):
        self.seen = f"“{text}”"


# The run


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--root", type=lambda path: Path(path).resolve(), default=HERE.parents[1], help="the repository"
    )
    parser.add_argument(
        "--build",
        type=lambda path: Path(path).resolve(),
        help="a folder that `sam build` has made, instead of building",
    )
    options = parser.parse_args()
    # Ended from outside, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    story = Story()
    with tempfile.TemporaryDirectory(prefix="cognito-user-events-") as folder:
        aws, shop = Aws(Path(folder)), None
        try:
            story.chapter("Build and deploy")
            build = options.build or build_with_sam(story, options.root)
            shop = deploy(story, aws, build, options.root)
            tell(story, shop)
        except Exception:
            traceback.print_exc()
            explain(aws, shop)
            return 1
        finally:
            story.chapter("Leave")
            with story.step("MiniStack and all functions have ended, the port is free"):
                aws.stop()
    story.times()
    return 0


def build_with_sam(story, root):
    # With the caller's environment: cargo and its caches are in the caller's home.
    with story.step("sam build"):
        subprocess.run(
            [
                Path(sys.executable).parent / "sam",
                "build",
                "--parameter-overrides",
                f"Architecture={PARAMETERS['Architecture']}",
            ],
            cwd=root,
            env={**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])},
            check=True,
        )
    return root / ".aws-sam" / "build"


def deploy(story, aws, build, root):
    with story.step("MiniStack listens on") as step:
        aws.start()
        step.sees(aws.endpoint)
    with story.step("sam deploy:") as step:
        aws.deploy(build, PARAMETERS)
        shop = Shop(aws, root)
        step.sees(f"{len(shop.resources)} resources")
    with story.step("a second deployment, with two origins, ends with") as step:
        reason = "Give ApiOriginDomainName or ExistingDistributionId, not both."
        answer = aws.deploy(build, {**PARAMETERS, "ExistingDistributionId": "E2EXAMPLE1ABCD"}, fails=True)
        expect(reason in answer, answer)
        step.sees(reason)
    with story.step("and leaves everything as it was"):
        again = Shop(aws, root)
        expect((again.resources, again.outputs) == (shop.resources, shop.outputs), again.resources)
    return shop


def explain(aws, shop):
    """What the functions logged, for whoever has to find the cause."""
    if aws.process is None:
        return
    print("\nLog of MiniStack, its end\n" + aws.tail(), file=sys.stderr)
    for function in shop.function_names() if shop else []:
        with contextlib.suppress(Exception):
            print(f"\nLog of {function}, its end", *shop.log(function)[-25:], sep="\n  ", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
