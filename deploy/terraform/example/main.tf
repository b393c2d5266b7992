# The stack `shop` gets a user pool of its own. The stack `forum` serves an existing user pool.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "release" {
  description = "Folder of a release."
  type        = string
}

variable "architecture" {
  type    = string
  default = "arm64"
}

variable "bucket" {
  type = string
}

variable "origin_secret" {
  type      = string
  sensitive = true
}

variable "forum_user_pool_id" {
  description = "ID of the existing user pool."
  type        = string
  default     = null
}

module "shop" {
  source = "../"

  name         = "shop"
  release      = var.release
  architecture = var.architecture
  bucket       = var.bucket

  product_name          = "Example Shop"
  allowed_email_domains = "example.com"
  group_rules = jsonencode([
    { attribute = "custom:department", equals = "Engineering", group = "Developer" },
  ])
  first_group   = "Developer"
  origin_secret = var.origin_secret

  # Only for the test, which signs in with a password. The defaults are SRP and optional MFA.
  auth_flows        = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
  mfa_configuration = "OFF"
}

module "forum" {
  source = "../"
  count  = var.forum_user_pool_id == null ? 0 : 1

  name         = "forum"
  release      = var.release
  architecture = var.architecture
  bucket       = var.bucket

  product_name           = "Example Forum"
  existing_user_pool_id  = var.forum_user_pool_id
  api_origin_domain_name = "api.example.com"
}

output "shop_user_pool_id" {
  value = module.shop.user_pool_id
}

output "shop_client_id" {
  value = module.shop.user_pool_client_id
}

output "shop_table_name" {
  value = module.shop.table_name
}

output "forum_lambda_config" {
  value = one(module.forum[*].lambda_config)
}
