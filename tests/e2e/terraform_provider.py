"""A stand-in for Terraform's provider hashicorp/aws, which registries of packages do not have.

It has the two resources and the data source that deploy/terraform uses, with the names, the types and the requirements
of the attributes in hashicorp/terraform-provider-aws: stack.go of cloudformation, object.go and bucket_data_source.go
of s3, in internal/service. Attributes that neither the module nor a user of it can reach are left out.
Terraform checks the module against this schema. The provider calls MiniStack through boto3.

Terraform starts no provider that is named in TF_REATTACH_PROVIDERS, so this process prints that variable.
"""

import sys

import boto3
from botocore.exceptions import ClientError
from tf import schema, types
from tf.iface import DataSource, Provider, Resource
from tf.runner import run_provider

TEXT, FLAG, COUNT = types.String(), types.Bool(), types.Number()


class TextMap(types.TfType):
    """A map of strings, which the package tf lacks."""

    def encode(self, value):
        return value

    def decode(self, value):
        return value

    def tf_type(self):
        return b'["map","string"]'


TEXTS, TEXT_SET = TextMap(), types.Set(TEXT)


def attributes(types_by_name, **options):
    return [schema.Attribute(name, type, **options) for name, type in types_by_name.items()]


class KeptState(Resource):
    """A resource whose state never changes its form."""

    def upgrade(self, context, version, old):
        return old


class Stack(KeptState):
    @classmethod
    def get_name(cls):
        return "cloudformation_stack"

    @classmethod
    def get_schema(cls):
        return schema.Schema(
            attributes=[
                *attributes({"name": TEXT}, required=True, requires_replace=True),
                *attributes(
                    {"capabilities": TEXT_SET, "iam_role_arn": TEXT, "notification_arns": TEXT_SET}, optional=True
                ),
                *attributes({"policy_url": TEXT, "tags": TEXTS, "template_url": TEXT}, optional=True),
                *attributes({"disable_rollback": FLAG, "on_failure": TEXT}, optional=True, requires_replace=True),
                *attributes({"timeout_in_minutes": COUNT}, optional=True, requires_replace=True),
                *attributes(
                    {"parameters": TEXTS, "policy_body": TEXT, "template_body": TEXT}, optional=True, computed=True
                ),
                *attributes({"id": TEXT, "outputs": TEXTS, "tags_all": TEXTS}, computed=True),
            ]
        )

    def __init__(self, provider):
        self.client = boto3.client("cloudformation")

    def plan(self, context, current, planned):
        if context.changed_fields:
            # Known after the update.
            planned["outputs"] = planned["template_body"] = types.Unknown
        return planned

    def create(self, context, planned):
        self.client.create_stack(**self.request(planned))
        return self.settled(planned, "stack_create_complete")

    def update(self, context, current, planned):
        try:
            self.client.update_stack(**self.request(planned))
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
            return self.state(planned, planned["parameters"])
        return self.settled(planned, "stack_update_complete")

    def read(self, context, current):
        try:
            stack = self.client.describe_stacks(StackName=current["name"])["Stacks"][0]
            actual = {item["ParameterKey"]: item["ParameterValue"] for item in stack["Parameters"]}
            # As the provider: only those that were set. CloudFormation returns a secret as asterisks.
            return self.state(current, {name: actual[name] for name in current["parameters"]})
        except ClientError:
            return None

    def delete(self, context, current):
        self.client.delete_stack(StackName=current["name"])
        self.client.get_waiter("stack_delete_complete").wait(StackName=current["name"], WaiterConfig=WAIT)

    def request(self, planned):
        parameters = planned["parameters"] or {}
        return {
            "StackName": planned["name"],
            "TemplateURL": planned["template_url"],
            "Capabilities": planned["capabilities"] or [],
            "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        }

    def settled(self, planned, waiter):
        """The state after the operation that the waiter waits for."""
        self.client.get_waiter(waiter).wait(StackName=planned["name"], WaiterConfig=WAIT)
        return self.state(planned, planned["parameters"])

    def state(self, planned, parameters):
        stack = self.client.describe_stacks(StackName=planned["name"])["Stacks"][0]
        template = self.client.get_template(StackName=planned["name"], TemplateStage="Original")["TemplateBody"]
        return {
            **planned,
            "id": stack["StackId"],
            "outputs": {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])},
            "parameters": parameters,
            "policy_body": None,
            "tags_all": {},
            "template_body": template if isinstance(template, str) else str(template),
        }


WAIT = {"Delay": 1, "MaxAttempts": 120}


class StoredObject(KeptState):
    @classmethod
    def get_name(cls):
        return "s3_object"

    @classmethod
    def get_schema(cls):
        return schema.Schema(
            attributes=[
                *attributes({"bucket": TEXT, "key": TEXT}, required=True, requires_replace=True),
                *attributes(
                    {"content": TEXT, "content_base64": TEXT, "source": TEXT, "source_hash": TEXT}, optional=True
                ),
                *attributes(
                    {"tags": TEXTS, "metadata": TEXTS, "force_destroy": FLAG, "cache_control": TEXT}, optional=True
                ),
                *attributes(
                    {"acl": TEXT, "content_type": TEXT, "etag": TEXT, "kms_key_id": TEXT}, optional=True, computed=True
                ),
                *attributes({"id": TEXT, "arn": TEXT, "version_id": TEXT, "tags_all": TEXTS}, computed=True),
            ]
        )

    def __init__(self, provider):
        self.client = boto3.client("s3")

    def create(self, context, planned):
        if planned["source"]:
            self.client.upload_file(planned["source"], planned["bucket"], planned["key"])
        else:
            self.client.put_object(Bucket=planned["bucket"], Key=planned["key"], Body=planned["content"].encode())
        return self.state(planned)

    def update(self, context, current, planned):
        return self.create(context, planned)

    def read(self, context, current):
        try:
            return self.state(current)
        except ClientError:
            return None

    def delete(self, context, current):
        self.client.delete_object(Bucket=current["bucket"], Key=current["key"])

    def state(self, planned):
        actual = self.client.head_object(Bucket=planned["bucket"], Key=planned["key"])
        name = f"{planned['bucket']}/{planned['key']}"
        computed = {
            "acl": None,
            "kms_key_id": None,
            "version_id": None,
            "tags_all": {},
            "content_type": actual["ContentType"],
        }
        return {**planned, **computed, "id": name, "arn": f"arn:aws:s3:::{name}", "etag": actual["ETag"].strip('"')}


class Bucket(DataSource):
    @classmethod
    def get_name(cls):
        return "s3_bucket"

    @classmethod
    def get_schema(cls):
        return schema.Schema(
            attributes=[
                *attributes({"bucket": TEXT}, required=True),
                *attributes(
                    {"id": TEXT, "arn": TEXT, "bucket_domain_name": TEXT, "bucket_region": TEXT}, computed=True
                ),
                *attributes(
                    {"bucket_regional_domain_name": TEXT, "hosted_zone_id": TEXT, "region": TEXT}, computed=True
                ),
            ]
        )

    def __init__(self, provider):
        self.client = boto3.client("s3")

    def read(self, context, config):
        name, region = config["bucket"], self.client.meta.region_name
        self.client.head_bucket(Bucket=name)
        return {
            "bucket": name,
            "id": name,
            "arn": f"arn:aws:s3:::{name}",
            "bucket_domain_name": f"{name}.s3.amazonaws.com",
            "bucket_region": region,
            "bucket_regional_domain_name": f"{name}.s3.{region}.amazonaws.com",
            "hosted_zone_id": None,
            "region": region,
        }


class StandIn(Provider):
    def get_model_prefix(self):
        return "aws_"

    def get_provider_schema(self, diagnostics):
        return schema.Schema(attributes=attributes({"region": TEXT, "profile": TEXT}, optional=True))

    def full_name(self):
        return "registry.terraform.io/hashicorp/aws"

    def validate_config(self, diagnostics, config):
        pass

    def configure_provider(self, diagnostics, config):
        pass

    def get_data_sources(self):
        return [Bucket]

    def get_resources(self):
        return [Stack, StoredObject]


if __name__ == "__main__":
    sys.argv.append("--dev")
    run_provider(StandIn())
