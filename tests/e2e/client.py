"""Client of the deployed stack: what users, administrators, other services and operators do through AWS's APIs."""

import base64
import contextlib
import json
import subprocess
import time
from datetime import datetime, timezone

from botocore import UNSIGNED

import srp
from assertions import eventually, expect
from stack import ACCOUNT, PARAMETERS, REGION, STACK_NAME

PASSWORD = "Corr3ct-horse!"

# A role that may send messages and receive from all queues according to its own policy, but is in no parameter for
# producers or operators.
UNLISTED_ROLE = "unlisted-service"


class StackClient:
    """The deployed stack, seen through AWS's APIs."""

    def __init__(self, ministack, root, replay_binary, page=None):
        self.ministack, self.root, self.replay_binary = ministack, root, replay_binary
        # The folder whose files are uploaded to the page's bucket.
        self.page = page or root / "web"
        # No retries: the error of a failing trigger is a result.
        self.cognito = ministack.client("cognito-idp", retries={"total_max_attempts": 1})
        # A user's browser has no AWS credentials.
        self.browser = ministack.client("cognito-idp", signature_version=UNSIGNED, retries={"total_max_attempts": 1})
        self.functions, self.logs = ministack.client("lambda"), ministack.client("logs")
        self.cloudfront = ministack.client("cloudfront")
        cloudformation = ministack.client("cloudformation")
        outputs = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"][0]["Outputs"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in outputs}
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK_NAME)
        self.resources = {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for page in pages
            for resource in page["StackResourceSummaries"]
        }
        self.user_pool, self.app_client = self.outputs["UserPoolId"], self.outputs["UserPoolClientId"]
        self.distribution = self.outputs["DistributionId"]
        self.table = ministack.table(self.outputs["TableName"])
        operator = self.assume_role("operator", ACCOUNT, may_read_queues=True)
        self.queues = ministack.client("sqs", credentials=operator)
        self.invalidation_items, self.senders = {}, {}

    # User pool

    def app_client_settings(self, output):
        """The settings of the app client whose ID is this output of the stack."""
        client = self.cognito.describe_user_pool_client(UserPoolId=self.user_pool, ClientId=self.outputs[output])
        return client["UserPoolClient"]

    def sign_up(self, email, name):
        return self.browser.sign_up(
            ClientId=self.app_client,
            Username=email,
            Password=PASSWORD,
            UserAttributes=attribute_list({"email": email, "name": name}),
        )

    def confirm_sign_up(self, email, code):
        self.browser.confirm_sign_up(ClientId=self.app_client, Username=email, ConfirmationCode=code)

    def sign_in(self, email, password=PASSWORD):
        return srp.sign_in(self.browser, self.user_pool, self.app_client, email, password)

    def refresh_tokens(self, refresh_token):
        return self.browser.initiate_auth(
            ClientId=self.app_client,
            AuthFlow="REFRESH_TOKEN_AUTH",
            AuthParameters={"REFRESH_TOKEN": refresh_token},
        )["AuthenticationResult"]

    def create_user(self, attributes):
        """Creates a user as an administrator, and returns the user's attributes."""
        user = self.cognito.admin_create_user(
            UserPoolId=self.user_pool, Username=attributes["email"], UserAttributes=attribute_list(attributes)
        )["User"]
        return {attribute["Name"]: attribute["Value"] for attribute in user["Attributes"]}

    def set_password(self, email):
        self.cognito.admin_set_user_password(
            UserPoolId=self.user_pool, Username=email, Password=PASSWORD, Permanent=True
        )

    def add_to_group(self, email, group):
        self.cognito.admin_add_user_to_group(UserPoolId=self.user_pool, Username=email, GroupName=group)

    def set_attributes(self, email, attributes):
        self.cognito.admin_update_user_attributes(
            UserPoolId=self.user_pool, Username=email, UserAttributes=attribute_list(attributes)
        )

    def delete_user(self, email):
        self.cognito.admin_delete_user(UserPoolId=self.user_pool, Username=email)

    def get_user(self, email):
        return self.cognito.admin_get_user(UserPoolId=self.user_pool, Username=email)

    def groups(self, username):
        groups = self.cognito.admin_list_groups_for_user(UserPoolId=self.user_pool, Username=username)["Groups"]
        return [group["GroupName"] for group in groups]

    def latest_email_to(self, address):
        """The latest email to this address that MiniStack's SES has accepted."""
        messages = self.ministack.get("/_ministack/ses/messages")["messages"][ACCOUNT]
        return [message for message in messages if message["To"] == [address]][-1]

    # Functions

    def trigger_event(self, fixture, username, attributes):
        """A trigger event of the folder events/, changed to this user pool and user."""
        event = json.loads((self.root / "events" / fixture).read_text())
        event.update(userPoolId=self.user_pool, userName=username, region=REGION)
        event["callerContext"]["clientId"] = self.app_client
        event["request"]["userAttributes"] = attributes
        return event

    def invoke(self, function, event):
        response = self.functions.invoke(FunctionName=self.resources[function], Payload=json.dumps(event))
        return json.load(response["Payload"])

    def function_names(self):
        return [name for name in self.resources if name.endswith("Function")]

    def log_group(self, function):
        """The log group of a function."""
        configuration = self.functions.get_function_configuration(FunctionName=self.resources[function])
        return configuration.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{self.resources[function]}"

    def log_lines(self, function, pattern=""):
        """The lines of a function's log that contain the pattern."""
        try:
            pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=self.log_group(function))
            lines = [line for page in pages for event in page["events"] for line in event["message"].splitlines()]
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        return [line for line in lines if pattern in line]

    def metric_sum(self, function, name):
        """The sum of a metric, read from the function's log as CloudWatch reads it (embedded metric format)."""
        return sum(json.loads(line)[name] for line in self.log_lines(function, f'"{name}":'))

    # Table

    def item(self, partition_key, sort_key):
        return self.table.get_item(Key={"PK": partition_key, "SK": sort_key}, ConsistentRead=True).get("Item")

    def user_statistics(self, sub):
        return self.item(f"USER#{sub}", "STATS") or {}

    def age_data(self, sub, seconds):
        """Moves the times of a user's changes back, as if so much time had passed since.

        read-api and user-stats then see old data: a page lives for a tenth of its age. No event of the user may be on
        its way, because user-stats would write the times that it has read before.
        """
        names = ["lastChangedAt", "lastClientAwareAt", "lastNoticeAt", "lastSkippedAt", "pagesExpireAt"]
        statistics = self.user_statistics(sub)
        moved = {name: statistics[name] - seconds * 1000 for name in names if name in statistics}
        self.table.update_item(
            Key={"PK": f"USER#{sub}", "SK": "STATS"},
            UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in moved),
            ExpressionAttributeValues={f":{name}": value for name, value in moved.items()},
        )

    def domain_statistics(self, domain):
        """The sum of a domain's shards, see docs/data-model.md."""
        items = filter(None, (self.item(f"DOMAIN#{domain}#{shard}", "STATS") for shard in range(32)))
        total = {"signUps": 0, "signUpsAllowed": 0, "signUpsDenied": 0}
        for item in items:
            total = {name: total[name] + item[name] for name in total}
        return total

    def suspend_user(self, sub, reason):
        """Writes the same item as `replay user suspend`."""
        suspension = {"reason": reason, "by": "support", "at": int(time.time() * 1000)}
        self.table.put_item(Item={"PK": f"SUSPENSION#{sub}", "SK": "SUSPENSION", **suspension})

    def replay(self, *arguments, input=None, codes=(0,)):
        """Runs a command of `replay` as an operator, and returns its output. Expects one of the exit codes.

        The operator has the permissions that docs/replay.md lists.
        """
        result = self.run_replay(*arguments, input=input)
        expect(result.returncode in codes, f"replay ended with exit code {result.returncode}:\n{result.stderr}")
        return result.stdout

    def run_replay(self, *arguments, input=None, cwd=None):
        """The same, with any exit code, in a folder. Returns the completed process."""
        operator = self.assume_role("operator", ACCOUNT, may_send=True, may_suspend=True)
        environment = {
            "AWS_ACCESS_KEY_ID": operator["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": operator["SecretAccessKey"],
            "AWS_SESSION_TOKEN": operator["SessionToken"],
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.ministack.endpoint,
            "SSL_CERT_FILE": str(self.ministack.certificate),
            "TABLE_NAME": self.outputs["TableName"],
            "USER_EVENTS_QUEUE_URL": self.outputs["UserEventsQueueUrl"],
            "SUSPENDED_EMAIL_KEY": PARAMETERS["SuspendedEmailKey"],
            "USER": "support",
        }
        return subprocess.run(
            [self.replay_binary, *arguments], env=environment, capture_output=True, text=True, input=input, cwd=cwd
        )

    # Queues

    def assume_role(self, name, account, may_send=False, may_read_queues=False, may_suspend=False):
        """Credentials of a role. Creates the role if it does not exist."""
        iam = self.ministack.client("iam", account=account)
        trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
        with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
        if may_send:
            names = ("UserEvents", "ResourcePermissions", "AccountActivities")
            queues = [self.outputs[f"{name}QueueArn"] for name in names]
            send = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queues}
            iam.put_role_policy(RoleName=name, PolicyName="send", PolicyDocument=policy(send))
        if may_read_queues:
            read = {"Effect": "Allow", "Action": ["sqs:GetQueueAttributes", "sqs:ReceiveMessage"], "Resource": "*"}
            iam.put_role_policy(RoleName=name, PolicyName="read-queues", PolicyDocument=policy(read))
        if may_suspend:
            pool = f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{self.user_pool}"
            calls = ["ListUsers", "AdminUserGlobalSignOut", "AdminDisableUser", "AdminEnableUser"]
            statements = [
                self.table_access(["GetItem", "BatchGetItem"], "USER#*", "SUSPENSION#*", "SUSPENDED_EMAIL#*"),
                # One transaction writes both partitions. AWS does not document whether LeadingKeys has the keys of
                # one item or of the whole transaction.
                self.table_access(["PutItem", "UpdateItem"], "USER#*", "SUSPENSION#*"),
                self.table_access(["PutItem", "DeleteItem"], "SUSPENDED_EMAIL#*"),
                {"Effect": "Allow", "Action": [f"cognito-idp:{call}" for call in calls], "Resource": pool},
            ]
            iam.put_role_policy(RoleName=name, PolicyName="suspend", PolicyDocument=policy(*statements))
        return self.ministack.client("sts", account=account).assume_role(
            RoleArn=f"arn:aws:iam::{account}:role/{name}", RoleSessionName="end-to-end"
        )["Credentials"]

    def table_access(self, calls, *leading_keys):
        """An IAM statement that allows these calls on these partitions of the table."""
        return {
            "Effect": "Allow",
            "Action": [f"dynamodb:{call}" for call in calls],
            "Resource": self.outputs["TableArn"],
            "Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": leading_keys}},
        }

    def send_messages(self, credentials, bodies, queue="UserEventsQueue"):
        """Sends messages to a queue."""
        entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
        # One client for each role: hundreds of them make the garbage collection of Python stop this test for seconds.
        key = credentials["AccessKeyId"]
        if key not in self.senders:
            self.senders[key] = self.ministack.client("sqs", credentials=credentials)
        result = self.senders[key].send_message_batch(QueueUrl=self.outputs[f"{queue}Url"], Entries=entries)
        expect(len(result["Successful"]) == len(entries), result)

    def receive_as(self, credentials, queue):
        self.ministack.client("sqs", credentials=credentials).receive_message(QueueUrl=self.outputs[f"{queue}Url"])

    def wait_for_workers(self):
        """Waits until all queues are empty. The order matters: a worker sends messages to the queues after its own."""
        for queue in ("UserEvents", "GroupMemberships", "ResourcePermissions", "AccountActivities", "CacheInvalidations"):
            eventually(lambda: self.message_count(f"{queue}Queue") == 0, f"an empty queue {queue}", seconds=60)

    def message_count(self, queue):
        """The number of messages of a queue: visible, in flight and delayed."""
        attributes = self.queues.get_queue_attributes(QueueUrl=self.outputs[f"{queue}Url"], AttributeNames=["All"])[
            "Attributes"
        ]
        return sum(
            int(attributes.get(f"ApproximateNumberOfMessages{state}", 0)) for state in ("", "NotVisible", "Delayed")
        )

    def receive_dead_letters(self):
        """Attributes and body of each dead letter of user-events. A message is returned only once."""
        messages = self.queues.receive_message(
            QueueUrl=self.outputs["UserEventsDeadLetterQueueUrl"],
            MessageAttributeNames=["All"],
            MaxNumberOfMessages=10,
            VisibilityTimeout=600,
        ).get("Messages", [])
        for message in messages:
            attributes = {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()}
            yield attributes, message["Body"]

    # Distribution

    def invalidations(self):
        """The items of each invalidation, in the order in which this client first saw the invalidations."""
        response = self.cloudfront.list_invalidations(DistributionId=self.distribution)
        for invalidation in response["InvalidationList"].get("Items", []):
            id = invalidation["Id"]
            if id not in self.invalidation_items:
                details = self.cloudfront.get_invalidation(DistributionId=self.distribution, Id=id)
                self.invalidation_items[id] = details["Invalidation"]["InvalidationBatch"]["Paths"]["Items"]
        return list(self.invalidation_items.values())


def order_service_event(id, type, user, client_aware=False, **data):
    """A CloudEvent of the order service, as JSON. `client_aware`: the client gets its `reference`."""
    return json.dumps(
        {
            "specversion": "1.0",
            "id": id,
            "source": "/shop/orders",
            "type": type,
            "subject": user["sub"],
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            **({"clientaware": True} if client_aware else {}),
            "data": data,
        }
    )


def reference(event):
    """The value of `after` for an event, see docs/read-your-writes.md."""
    event = json.loads(event)
    source = event["source"].replace("%", "%25").replace("#", "%23")
    return base64.urlsafe_b64encode(f"{source}#{event['id']}".encode()).rstrip(b"=").decode()


def token_claims(token):
    """The claims of a JWT. Does not verify the signature."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def attribute_list(attributes):
    return [{"Name": name, "Value": value} for name, value in attributes.items()]


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
