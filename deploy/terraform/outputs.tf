# Generated from template.yaml by `cargo xtask cdk`.

output "user_pool_id" {
  description = "ID of the user pool"
  value       = aws_cloudformation_stack.this.outputs["UserPoolId"]
}

output "user_pool_client_id" {
  description = "ID of the app client, for the sign-in of your app. Null unless the template's condition CreateUserPool is true"
  value       = lookup(aws_cloudformation_stack.this.outputs, "UserPoolClientId", null)
}

output "managed_login_client_id" {
  description = "ID of the app client for managed login and identity providers. Null unless the template's condition CreateManagedLoginClient is true"
  value       = lookup(aws_cloudformation_stack.this.outputs, "ManagedLoginClientId", null)
}

output "managed_login_url" {
  description = "Address of managed login, such as the endpoints /oauth2/authorize and /logout. Null unless the template's condition CreateManagedLoginDomain is true"
  value       = lookup(aws_cloudformation_stack.this.outputs, "ManagedLoginUrl", null)
}

output "page_url" {
  description = "Address of the page. Upload it first, see PageBucketName. Null unless the template's condition CreateReadApi is true"
  value       = lookup(aws_cloudformation_stack.this.outputs, "PageUrl", null)
}

output "page_bucket_name" {
  description = "Bucket of the page. docs/deploying.md has the command that uploads it. Null unless the template's condition CreateReadApi is true"
  value       = lookup(aws_cloudformation_stack.this.outputs, "PageBucketName", null)
}

output "http_api_id" {
  description = "ID of the HTTP API of the read API, for its metrics. Null unless the template's condition CreateReadApi is true"
  value       = lookup(aws_cloudformation_stack.this.outputs, "HttpApiId", null)
}

output "identity_pool_id" {
  description = "ID of the identity pool. Null unless the template's condition CreateIdentityPool is true"
  value       = lookup(aws_cloudformation_stack.this.outputs, "IdentityPoolId", null)
}

output "first_group_role_arn" {
  description = "Role of FirstGroup, for role_arn in GroupRules. Null unless the template's condition CreateFirstGroupRole is true"
  value       = lookup(aws_cloudformation_stack.this.outputs, "FirstGroupRoleArn", null)
}

output "second_group_role_arn" {
  description = "Role of SecondGroup, for role_arn in GroupRules. Null unless the template's condition CreateSecondGroupRole is true"
  value       = lookup(aws_cloudformation_stack.this.outputs, "SecondGroupRoleArn", null)
}

output "third_group_role_arn" {
  description = "Role of ThirdGroup, for role_arn in GroupRules. Null unless the template's condition CreateThirdGroupRole is true"
  value       = lookup(aws_cloudformation_stack.this.outputs, "ThirdGroupRoleArn", null)
}

output "lambda_config" {
  description = "The triggers, which `replay attach` attaches. See docs/existing-user-pool.md"
  value       = jsondecode(aws_cloudformation_stack.this.outputs["LambdaConfig"])
}

output "table_name" {
  description = "Name of the table. docs/data-model.md has a read-only policy for dashboards"
  value       = aws_cloudformation_stack.this.outputs["TableName"]
}

output "table_arn" {
  description = "ARN of the table, for that policy"
  value       = aws_cloudformation_stack.this.outputs["TableArn"]
}

output "distribution_id" {
  description = "ID of the distribution that is invalidated"
  value       = aws_cloudformation_stack.this.outputs["DistributionId"]
}

output "distribution_domain_name" {
  description = "Domain name of the distribution. Point the DNS record of an alias to it. Null unless the template's condition CreateDistribution is true"
  value       = lookup(aws_cloudformation_stack.this.outputs, "DistributionDomainName", null)
}

output "user_events_queue_url" {
  description = "URL of user-events, to which your services send events (EventProducers)"
  value       = aws_cloudformation_stack.this.outputs["UserEventsQueueUrl"]
}

output "user_events_queue_arn" {
  description = "ARN of user-events, the target of a redrive"
  value       = aws_cloudformation_stack.this.outputs["UserEventsQueueArn"]
}

output "user_events_dead_letter_queue_url" {
  description = "URL of the dead-letter queue of user-events"
  value       = aws_cloudformation_stack.this.outputs["UserEventsDeadLetterQueueUrl"]
}

output "user_events_dead_letter_queue_arn" {
  description = "ARN of the dead-letter queue of user-events, the source of a redrive"
  value       = aws_cloudformation_stack.this.outputs["UserEventsDeadLetterQueueArn"]
}

output "cache_invalidations_queue_url" {
  description = "URL of cache-invalidations, to which user-stats, resource-permission and operators send"
  value       = aws_cloudformation_stack.this.outputs["CacheInvalidationsQueueUrl"]
}

output "cache_invalidations_queue_arn" {
  description = "ARN of cache-invalidations, the target of a redrive"
  value       = aws_cloudformation_stack.this.outputs["CacheInvalidationsQueueArn"]
}

output "cache_invalidations_dead_letter_queue_url" {
  description = "URL of the dead-letter queue of cache-invalidations"
  value       = aws_cloudformation_stack.this.outputs["CacheInvalidationsDeadLetterQueueUrl"]
}

output "cache_invalidations_dead_letter_queue_arn" {
  description = "ARN of the dead-letter queue of cache-invalidations, the source of a redrive"
  value       = aws_cloudformation_stack.this.outputs["CacheInvalidationsDeadLetterQueueArn"]
}

output "group_memberships_queue_url" {
  description = "URL of group-memberships, to which pre-token-generation and operators send"
  value       = aws_cloudformation_stack.this.outputs["GroupMembershipsQueueUrl"]
}

output "group_memberships_queue_arn" {
  description = "ARN of group-memberships, the target of a redrive"
  value       = aws_cloudformation_stack.this.outputs["GroupMembershipsQueueArn"]
}

output "group_memberships_dead_letter_queue_url" {
  description = "URL of the dead-letter queue of group-memberships"
  value       = aws_cloudformation_stack.this.outputs["GroupMembershipsDeadLetterQueueUrl"]
}

output "group_memberships_dead_letter_queue_arn" {
  description = "ARN of the dead-letter queue of group-memberships, the source of a redrive"
  value       = aws_cloudformation_stack.this.outputs["GroupMembershipsDeadLetterQueueArn"]
}

output "resource_permissions_queue_url" {
  description = "URL of resource-permissions, to which PermissionProducers and operators send"
  value       = aws_cloudformation_stack.this.outputs["ResourcePermissionsQueueUrl"]
}

output "resource_permissions_queue_arn" {
  description = "ARN of resource-permissions, the target of a redrive"
  value       = aws_cloudformation_stack.this.outputs["ResourcePermissionsQueueArn"]
}

output "resource_permissions_dead_letter_queue_url" {
  description = "URL of the dead-letter queue of resource-permissions"
  value       = aws_cloudformation_stack.this.outputs["ResourcePermissionsDeadLetterQueueUrl"]
}

output "resource_permissions_dead_letter_queue_arn" {
  description = "ARN of the dead-letter queue of resource-permissions, the source of a redrive"
  value       = aws_cloudformation_stack.this.outputs["ResourcePermissionsDeadLetterQueueArn"]
}

output "account_activities_queue_url" {
  description = "URL of account-activities, to which the rule AccountEventsRule sends. Null unless the template's condition AccountEventsEnabled is true"
  value       = lookup(aws_cloudformation_stack.this.outputs, "AccountActivitiesQueueUrl", null)
}

output "account_activities_queue_arn" {
  description = "ARN of account-activities, the target of a redrive. Null unless the template's condition AccountEventsEnabled is true"
  value       = lookup(aws_cloudformation_stack.this.outputs, "AccountActivitiesQueueArn", null)
}

output "account_activities_dead_letter_queue_url" {
  description = "URL of the dead-letter queue of account-activities. Null unless the template's condition AccountEventsEnabled is true"
  value       = lookup(aws_cloudformation_stack.this.outputs, "AccountActivitiesDeadLetterQueueUrl", null)
}

output "account_activities_dead_letter_queue_arn" {
  description = "ARN of the dead-letter queue of account-activities, the source of a redrive. Null unless the template's condition AccountEventsEnabled is true"
  value       = lookup(aws_cloudformation_stack.this.outputs, "AccountActivitiesDeadLetterQueueArn", null)
}
