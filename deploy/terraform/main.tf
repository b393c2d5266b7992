# Deploys a release of cognito-user-events: uploads its functions and its template to a bucket, and
# creates the CloudFormation stack.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "name" {
  description = "Name of the stack. The names of the functions begin with it."
  type        = string
  default     = "cognito-user-events"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,42}$", var.name))
    error_message = "Must have at most 43 letters, digits and hyphens, and begin with a letter."
  }
}

variable "release" {
  description = "Folder of a release: it has template-arm64.yaml, and the functions in functions/arm64."
  type        = string
}

variable "architecture" {
  description = "Processor of the functions."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "Must be one of arm64, x86_64."
  }
}

variable "bucket" {
  description = "Bucket for the functions and the template, in the region of the stack."
  type        = string
}

variable "key_prefix" {
  description = "Begin of the names of the objects in the bucket."
  type        = string
  default     = "cognito-user-events/"
}

locals {
  functions = fileset(var.release, "functions/${var.architecture}/*.zip")

  # CloudFormation updates a function only if its object has another name.
  hash   = sha256(join("", [for file in sort(local.functions) : filesha256("${var.release}/${file}")]))
  folder = "${var.key_prefix}${var.name}/${substr(local.hash, 0, 16)}"

  template = replace(
    file("${var.release}/template-${var.architecture}.yaml"),
    "/CodeUri: (functions\\/[a-z0-9_-]+\\/[a-z-]+\\.zip)/",
    "CodeUri: s3://${var.bucket}/${local.folder}/$1",
  )
}

data "aws_s3_bucket" "this" {
  bucket = var.bucket
}

resource "aws_s3_object" "function" {
  for_each = local.functions

  bucket = var.bucket
  key    = "${local.folder}/${each.value}"
  source = "${var.release}/${each.value}"

  lifecycle {
    # The old code stays until the stack has been updated, or rolled back.
    create_before_destroy = true
  }
}

resource "aws_s3_object" "template" {
  bucket  = var.bucket
  key     = "${local.folder}/template-${sha256(local.template)}.yaml"
  content = local.template

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudformation_stack" "this" {
  name         = var.name
  template_url = "https://${data.aws_s3_bucket.this.bucket_regional_domain_name}/${aws_s3_object.template.key}"
  parameters   = merge(local.parameters, { Architecture = var.architecture })
  # The template has roles, and SAM's transform.
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]

  depends_on = [aws_s3_object.function]
}
