"""What CloudFormation makes of a SAM template: the result of AWS's own translator, which the SAM CLI contains."""

import os

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies:
    """The template names no managed policy, so the translator looks none up."""

    def load(self):
        return {}


def expanded(path):
    """The template without its transform, in the spelling of deploy/cdk."""
    template = yaml_parse(path.read_text())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # The translator refuses a file. The comparison ignores where the code is.
            resource["Properties"]["CodeUri"] = {"Bucket": "bucket", "Key": "key"}
    # The translator wants to know the partition.
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    result = normalized(transform(template, {}, NoManagedPolicies()))
    for resource in result["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            # SAM's name in a tag would be wrong in an app without SAM.
            tags = resource["Properties"].pop("Tags")
            assert tags == [{"Key": "lambda:createdBy", "Value": "SAM"}], tags
        if isinstance(resource.get("DependsOn"), str):
            resource["DependsOn"] = [resource["DependsOn"]]
    return result


def normalized(value):
    """Writes Fn::GetAtt as a list everywhere."""
    if isinstance(value, list):
        return [normalized(item) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(attribute := value.get("Fn::GetAtt"), str):
        return {"Fn::GetAtt": attribute.split(".", 1)}
    return {name: normalized(item) for name, item in value.items()}
