# Generated from template.yaml by `cargo xtask cdk`.

variable "product_name" {
  description = "Name of your product in emails, in SMS and on the page, such as Example Shop. At most 40 characters."
  type        = string
}

variable "api_origin_domain_name" {
  description = "Domain name of your API, such as api.example.com. The stack creates a CloudFront distribution in front of it. The API must answer over HTTPS and verify the Authorization header itself. If this and ExistingDistributionId are empty, the stack creates an API and a page of its own."
  type        = string
  default     = null
}

variable "existing_distribution_id" {
  description = "ID of a distribution in this account to invalidate, instead of a new one. docs/caching.md lists the settings that it needs. Do not enter the distribution that this stack has created: the stack would delete it."
  type        = string
  default     = null
}

variable "existing_user_pool_id" {
  description = "ID of a user pool in this account and region. The stack then creates no pool, client or group, and does not change the pool. docs/existing-user-pool.md describes how to attach the triggers. If empty, the stack creates a pool."
  type        = string
  default     = null
}

variable "existing_user_pool_client_ids" {
  description = "App clients of ExistingUserPoolId whose access tokens the read API accepts, separated by commas. The page signs in with the first one. docs/existing-user-pool.md lists the settings that it needs."
  type        = string
  default     = null
}

variable "existing_user_pool_login_url" {
  description = "Address of the domain of ExistingUserPoolId, where the page signs users in, such as https://example-shop.auth.eu-central-1.amazoncognito.com."
  type        = string
  default     = null
}

variable "user_pool_tier" {
  description = "Feature plan of the pool. LITE supports only version V1_0 of pre-token-generation. For an existing pool, enter its plan."
  type        = string
  default     = null

  validation {
    condition     = var.user_pool_tier == null ? true : contains(["LITE", "ESSENTIALS", "PLUS"], var.user_pool_tier)
    error_message = "Must be one of LITE, ESSENTIALS, PLUS."
  }
}

variable "pre_token_generation_version" {
  description = "Event version of pre-token-generation. V1_0 changes groups and the ID token, but not the access token. V3_0 also sends events for client credentials, which the trigger leaves unchanged."
  type        = string
  default     = null

  validation {
    condition     = var.pre_token_generation_version == null ? true : contains(["V1_0", "V2_0", "V3_0"], var.pre_token_generation_version)
    error_message = "Must be one of V1_0, V2_0, V3_0."
  }
}

variable "attach_triggers" {
  description = "Makes the new pool call the triggers. Set it to false before you delete the stack: the pool is kept, and if it calls deleted functions, no user can sign in. With an existing pool, it only turns user-pool-watch on or off, whose alarm rings while the pool does not call the triggers."
  type        = bool
  default     = null
}

variable "self_sign_up" {
  description = "Lets people sign up themselves. With false, only administrators create users."
  type        = bool
  default     = null
}

variable "mfa_configuration" {
  description = "Multi-factor authentication with an authenticator app."
  type        = string
  default     = null

  validation {
    condition     = var.mfa_configuration == null ? true : contains(["OFF", "OPTIONAL", "ON"], var.mfa_configuration)
    error_message = "Must be one of OFF, OPTIONAL, ON."
  }
}

variable "auth_flows" {
  description = "How the app client may sign in. ALLOW_USER_PASSWORD_AUTH sends the password itself to Cognito. SRP does not. LITE does not support ALLOW_USER_AUTH. ALLOW_CUSTOM_AUTH needs challenge triggers, which you attach yourself."
  type        = list(string)
  default     = null
}

variable "write_attributes" {
  description = "Standard attributes that users may change through the app clients, and that identity providers may set. Only administrators can change custom attributes, because groups may follow from them. The exception are those in FirstMappedAttribute and the two after it."
  type        = list(string)
  default     = null
}

variable "token_validity_minutes" {
  description = "Validity of ID and access tokens. For an existing pool, enter the longest validity among all its clients. Users without a valid token need no invalidation."
  type        = number
  default     = null

  validation {
    condition     = var.token_validity_minutes == null ? true : var.token_validity_minutes >= 5 && var.token_validity_minutes <= 1440
    error_message = "Must be from 5 to 1440."
  }
}

variable "refresh_token_validity_days" {
  description = "Validity of refresh tokens."
  type        = number
  default     = null

  validation {
    condition     = var.refresh_token_validity_days == null ? true : var.refresh_token_validity_days >= 1 && var.refresh_token_validity_days <= 3650
    error_message = "Must be from 1 to 3650."
  }
}

variable "password_minimum_length" {
  description = "Shortest password that the pool accepts."
  type        = number
  default     = null

  validation {
    condition     = var.password_minimum_length == null ? true : var.password_minimum_length >= 6 && var.password_minimum_length <= 99
    error_message = "Must be from 6 to 99."
  }
}

variable "password_require_lowercase" {
  description = "Requires a lower-case letter in a password."
  type        = bool
  default     = null
}

variable "password_require_uppercase" {
  description = "Requires an upper-case letter in a password."
  type        = bool
  default     = null
}

variable "password_require_numbers" {
  description = "Requires a digit in a password."
  type        = bool
  default     = null
}

variable "password_require_symbols" {
  description = "Requires a symbol in a password. Temporary passwords can then contain < and &, which Cognito inserts into the HTML of an email without escaping them."
  type        = bool
  default     = null
}

variable "temporary_password_validity_days" {
  description = "How long a user can sign in with the temporary password of an invitation."
  type        = number
  default     = null

  validation {
    condition     = var.temporary_password_validity_days == null ? true : var.temporary_password_validity_days >= 1 && var.temporary_password_validity_days <= 365
    error_message = "Must be from 1 to 365."
  }
}

variable "first_group" {
  description = "A group to create in the new pool, such as Developer. The groups in GroupRules must exist, unless CreateGroups is true. If you remove a name here, its group stays in the pool, and the stack cannot create it again."
  type        = string
  default     = null
}

variable "first_group_precedence" {
  description = "Precedence of the group in a token, as a number. If a user is in several groups with a role, the role of the group with the lowest number is the preferred one."
  type        = string
  default     = null
}

variable "first_group_role_arn" {
  description = "Role that members of the group can assume through an identity pool (cognito:roles in the token). If a rule of GroupRules gives the group, state the same role_arn there. If empty and IdentityPool is true, the stack creates a role."
  type        = string
  default     = null
}

variable "second_group" {
  description = "Another group to create."
  type        = string
  default     = null
}

variable "second_group_precedence" {
  description = "Precedence of SecondGroup in a token."
  type        = string
  default     = null
}

variable "second_group_role_arn" {
  description = "Role of SecondGroup."
  type        = string
  default     = null
}

variable "third_group" {
  description = "Another group to create."
  type        = string
  default     = null
}

variable "third_group_precedence" {
  description = "Precedence of ThirdGroup in a token."
  type        = string
  default     = null
}

variable "third_group_role_arn" {
  description = "Role of ThirdGroup."
  type        = string
  default     = null
}

variable "ses_identity_arn" {
  description = "ARN of the SES identity that the pool sends through. custom-message then renders emails too (EMAIL_THROUGH_SES). If empty, Cognito sends its own text, at most 50 emails a day. For an existing pool, enter the identity that it sends through."
  type        = string
  default     = null
}

variable "ses_from_address" {
  description = "Sender of the emails, such as no-reply@example.com. Set it together with SesIdentityArn."
  type        = string
  default     = null
}

variable "user_pool_web_acl_arn" {
  description = "AWS WAF web ACL in front of the new pool, with scope REGIONAL. It sees the requests to managed login and to the operations that need no AWS credentials, such as SignUp."
  type        = string
  default     = null
}

variable "managed_login_domain" {
  description = "Domain of managed login, where users sign in and identity providers return to. Either a prefix such as example-shop, which must be free in the region, or your own domain name together with ManagedLoginCertificateArn. If empty, the read API gets a generated prefix. Without the read API, set it together with CallbackUrls. LITE has the classic pages."
  type        = string
  default     = null
}

variable "managed_login_certificate_arn" {
  description = "ACM certificate of ManagedLoginDomain, in us-east-1, if that is your own domain name. The parent domain needs an A record, and you create the DNS record yourself."
  type        = string
  default     = null
}

variable "callback_urls" {
  description = "Pages of your app that managed login may return to with a code, such as https://www.example.com/callback, separated by commas, in addition to the page of the read API. The stack then creates a second app client, for managed login, with the authorization code grant. Use PKCE: it has no secret."
  type        = string
  default     = null
}

variable "logout_urls" {
  description = "Pages that managed login may return to after a sign-out, separated by commas."
  type        = string
  default     = null
}

variable "o_auth_scopes" {
  description = "Scopes that your app may request from managed login. With aws.cognito.signin.user.admin, users can change their own attributes, including those that an identity provider sets."
  type        = list(string)
  default     = null
}

variable "identity_providers" {
  description = "Names of the identity providers that users of managed login may choose, separated by commas. COGNITO is the pool itself. Create the others in the pool before you list them here. docs/deploying.md shows how."
  type        = string
  default     = null
}

variable "first_mapped_attribute" {
  description = "Custom attribute that an identity provider sets, such as custom:groups. The pool gets the attribute, which cannot be removed later. The client of managed login may write it, because Cognito fails the sign-in otherwise. So a person who signs up through that client can choose the value. SECURITY.md says what that means for groups."
  type        = string
  default     = null
}

variable "second_mapped_attribute" {
  description = "Another custom attribute that an identity provider sets."
  type        = string
  default     = null
}

variable "third_mapped_attribute" {
  description = "Another custom attribute that an identity provider sets."
  type        = string
  default     = null
}

variable "allowed_email_domains" {
  description = "Domains and single addresses that may sign up, such as example.com,*.example.org,partner@example.net. If empty, all may sign up that no other rule denies."
  type        = string
  default     = null
}

variable "blocked_email_domains" {
  description = "Domains and single addresses that may not sign up, even if another list allows them. An address in AllowedEmailDomains may sign up although its domain is blocked."
  type        = string
  default     = null
}

variable "block_disposable_domains" {
  description = "Denies domains whose mailboxes anyone can read. The list is part of the binary, and as old as the release."
  type        = bool
  default     = null
}

variable "not_disposable_domains" {
  description = "Domains that BlockDisposableDomains does not deny although the list has them. The other rules still apply to them."
  type        = string
  default     = null
}

variable "trusted_email_domains" {
  description = "Domains that may sign up even if AllowedEmailDomains does not list them."
  type        = string
  default     = null
}

variable "trusted_domains_skip_verification" {
  description = "Confirms and verifies users of trusted domains without a code. Anyone can then claim any mailbox of such a domain. Keep false unless only trusted people can reach the sign-up."
  type        = bool
  default     = null
}

variable "allow_without_email" {
  description = "Allows sign-ups without an email address. A pool that this stack creates always requires one."
  type        = bool
  default     = null
}

variable "check_admin_created" {
  description = "Applies the sign-up rules to users that an administrator creates, too."
  type        = bool
  default     = null
}

variable "provider_domains" {
  description = "The only domains that each identity provider may bring, as JSON: {\"Google\": [\"example.com\"]}."
  type        = string
  default     = null
}

variable "check_suspended_emails" {
  description = "Denies sign-ups with an email address that `replay user suspend --email` suspended. Adds one read of the table to each sign-up."
  type        = bool
  default     = null
}

variable "suspended_email_key" {
  description = "Key of the hashes of suspended email addresses, such as the output of openssl rand -hex 32. `replay` needs the same key. With another key, earlier suspensions of addresses have no effect."
  type        = string
  default     = null
  sensitive   = true
}

variable "on_store_error" {
  description = "The answer to a sign-in if DynamoDB cannot be read, and to a sign-up if CheckSuspendedEmails is true. With allow, suspended users can sign in during that time."
  type        = string
  default     = null

  validation {
    condition     = var.on_store_error == null ? true : contains(["deny", "allow"], var.on_store_error)
    error_message = "Must be one of deny, allow."
  }
}

variable "group_rules" {
  description = "The groups that follow from a user's attributes, as JSON: [{\"attribute\":\"custom:department\",\"equals\":\"Engineering\",\"group\":\"Developer\"}]. docs/configuration.md describes all fields."
  type        = string
  default     = null
}

variable "trusted_attributes" {
  description = "Attributes from which privileged groups may follow, such as custom:department. Users of the new pool cannot write them, except those in FirstMappedAttribute and the two after it: read SECURITY.md first. With an existing pool, make sure that no client can. Not available with V1_0."
  type        = string
  default     = null
}

variable "persist_groups" {
  description = "Makes the group changes of GroupRules in the user pool too. With false, groups change only in the tokens."
  type        = bool
  default     = null
}

variable "create_groups" {
  description = "Creates a group that the pool does not have. With false, the message becomes a dead letter."
  type        = bool
  default     = null
}

variable "token_claims" {
  description = "Claims and scopes of every token, as JSON: {\"access\": {\"tenant\": \"example\"}}. Not available with V1_0."
  type        = string
  default     = null
}

variable "default_locale" {
  description = "Language for users whose attribute locale is missing or names another language."
  type        = string
  default     = null

  validation {
    condition     = var.default_locale == null ? true : contains(["en", "de", "es", "fr", "pt", "ja"], var.default_locale)
    error_message = "Must be one of en, de, es, fr, pt, ja."
  }
}

variable "locale_from_client_metadata" {
  description = "Lets your app choose the language of a message: the value locale of its ClientMetadata comes before the user's attribute locale."
  type        = bool
  default     = null
}

variable "email_verification" {
  description = "How the pool verifies the email address of a new user. With link, the email has Cognito's link instead of a code, which needs ManagedLoginDomain. For an existing pool, enter its own setting."
  type        = string
  default     = null

  validation {
    condition     = var.email_verification == null ? true : contains(["code", "link"], var.email_verification)
    error_message = "Must be one of code, link."
  }
}

variable "support_url" {
  description = "Page where readers of a message find help, such as https://www.example.com/help."
  type        = string
  default     = null
}

variable "link_base_url" {
  description = "Page of your app that accepts codes from links, such as https://www.example.com/account. If empty, messages contain codes and no links, so no proxy log or referrer contains a code."
  type        = string
  default     = null
}

variable "max_username_length" {
  description = "Characters of the longest user name that an invitation by SMS must have room for. Cognito generates user names of 36 characters."
  type        = number
  default     = null

  validation {
    condition     = var.max_username_length == null ? true : var.max_username_length >= 1 && var.max_username_length <= 128
    error_message = "Must be from 1 to 128."
  }
}

variable "max_temporary_password_length" {
  description = "Characters of the longest temporary password that an invitation by SMS must have room for. Not lower than PasswordMinimumLength. With a short ProductName, there is room for more than 16."
  type        = number
  default     = null

  validation {
    condition     = var.max_temporary_password_length == null ? true : var.max_temporary_password_length >= 6 && var.max_temporary_password_length <= 256
    error_message = "Must be from 6 to 256."
  }
}

variable "event_producers" {
  description = "Services that may send events to user-events: ARNs of roles, or IDs of whole accounts (this one too), separated by commas. The queue refuses all other senders, whatever their own policies allow."
  type        = string
  default     = null
}

variable "permission_producers" {
  description = "Services that may send permission.granted and permission.revoked to resource-permissions: ARNs of roles, or IDs of whole accounts (this one too), separated by commas. Each of them can let any user read the data of any other user. If empty, only operators can."
  type        = string
  default     = null
}

variable "operator_arns" {
  description = "Roles or users of operators. Apart from the functions and the producers, only they can send to the queues, and apart from the workers, only they can receive, delete and purge. If empty, no one can read or redrive dead letters. It grants nothing by itself: the operator's own policy must allow the actions."
  type        = string
  default     = null
}

variable "user_events_operator_arns" {
  description = "Operators of user-events and its dead-letter queue, instead of OperatorArns. replay user suspend and reinstate send to user-events."
  type        = string
  default     = null
}

variable "cache_invalidations_operator_arns" {
  description = "Operators of cache-invalidations and its dead-letter queue, instead of OperatorArns. Each message there can cost money. replay user erase sends to cache-invalidations."
  type        = string
  default     = null
}

variable "group_memberships_operator_arns" {
  description = "Operators of group-memberships and its dead-letter queue, instead of OperatorArns. A message there can put a user into a group. No command of replay needs it, except those that read or redrive its dead letters."
  type        = string
  default     = null
}

variable "resource_permissions_operator_arns" {
  description = "Operators of resource-permissions and its dead-letter queue, instead of OperatorArns. A message there can let a user read the data of another user."
  type        = string
  default     = null
}

variable "account_activities_operator_arns" {
  description = "Operators of account-activities and its dead-letter queue, instead of OperatorArns. A message there can erase a user."
  type        = string
  default     = null
}

variable "event_retention_days" {
  description = "How long applied events and their entries in lists stay in the table."
  type        = number
  default     = null

  validation {
    condition     = var.event_retention_days == null ? true : var.event_retention_days >= 32 && var.event_retention_days <= 3650
    error_message = "Must be from 32 to 3650."
  }
}

variable "sign_in_attempt_retention_days" {
  description = "Days for which a sign-in attempt that was allowed stays in the table. Anyone who knows a user name can cause one each minute, so this limits what strangers can store."
  type        = number
  default     = null

  validation {
    condition     = var.sign_in_attempt_retention_days == null ? true : var.sign_in_attempt_retention_days >= 1 && var.sign_in_attempt_retention_days <= 90
    error_message = "Must be from 1 to 90."
  }
}

variable "allow_erasure_events" {
  description = "Lets the event user.deleted erase a user. Every service that may send to user-events can then erase any user, and user-stats also gets the permissions Query and DeleteItem."
  type        = bool
  default     = null
}

variable "user_stats_maximum_concurrency" {
  description = "Maximum number of concurrent invocations of user-stats. It keeps a backlog from using the concurrency that sign-ins need. The other workers use up to 2 each, and a new account has 10."
  type        = number
  default     = null

  validation {
    condition     = var.user_stats_maximum_concurrency == null ? true : var.user_stats_maximum_concurrency >= 2 && var.user_stats_maximum_concurrency <= 1000
    error_message = "Must be from 2 to 1000."
  }
}

variable "account_events" {
  description = "Creates a rule, a queue and a worker for what Cognito has no trigger for: deleted users, changed attributes and passwords, MFA, disabled users, failed sign-ins. Needs a CloudTrail trail that logs management events in this region. See docs/account-events.md."
  type        = bool
  default     = null
}

variable "account_deletion" {
  description = "What happens to the data of a user who is deleted from the pool. With keep, the table only gets the time of the deletion, and account-activity gets no permission to delete items."
  type        = string
  default     = null

  validation {
    condition     = var.account_deletion == null ? true : contains(["erase", "keep"], var.account_deletion)
    error_message = "Must be one of erase, keep."
  }
}

variable "failed_sign_ins_per_user" {
  description = "Failed sign-ins of one user in one hour at which the user counts in the metric UsersWithManyFailures. More than 20 in an hour are not stored, so they cannot be counted."
  type        = number
  default     = null

  validation {
    condition     = var.failed_sign_ins_per_user == null ? true : var.failed_sign_ins_per_user >= 2 && var.failed_sign_ins_per_user <= 20
    error_message = "Must be from 2 to 20."
  }
}

variable "failed_users_per_address" {
  description = "Different users who fail to sign in from one IP address in ten minutes at which the address counts in the metric AddressesWithManyUsers."
  type        = number
  default     = null

  validation {
    condition     = var.failed_users_per_address == null ? true : var.failed_users_per_address >= 2 && var.failed_users_per_address <= 50
    error_message = "Must be from 2 to 50."
  }
}

variable "invalidation_target" {
  description = "How an invalidation finds a user's pages: by the cache tag that the origin sends, or by the paths /users/{sub}/{view}. The regions of China have no cache tags."
  type        = string
  default     = null

  validation {
    condition     = var.invalidation_target == null ? true : contains(["tag", "path"], var.invalidation_target)
    error_message = "Must be one of tag, path."
  }
}

variable "invalidation_policy" {
  description = "Which changes are worth an invalidation, by event type: always, budget or never. For example *=never,profile.updated=budget. Types without a rule have never if OriginLifetime is adaptive and MaxCacheLifetimeSeconds is at most 60, otherwise budget. Suspensions, reinstatements, erasures and lost permissions cannot have a rule: they are always invalidated."
  type        = string
  default     = null
}

variable "origin_lifetime" {
  description = "How the origin chooses the lifetime of a page. adaptive: from the age of the data, and it knows the query parameter after (docs/caching.md). fixed: any lifetime up to MaxCacheLifetimeSeconds. By default adaptive with the read API, and fixed with an API or a distribution of your own."
  type        = string
  default     = null

  validation {
    condition     = var.origin_lifetime == null ? true : contains(["", "fixed", "adaptive"], var.origin_lifetime)
    error_message = "Must be one of an empty text, fixed, adaptive."
  }
}

variable "cache_lifetime_divisor" {
  description = "If OriginLifetime is adaptive, a page lives for the age of its data, divided by this number."
  type        = number
  default     = null

  validation {
    condition     = var.cache_lifetime_divisor == null ? true : var.cache_lifetime_divisor >= 1 && var.cache_lifetime_divisor <= 1000
    error_message = "Must be from 1 to 1000."
  }
}

variable "min_cache_lifetime_seconds" {
  description = "If OriginLifetime is adaptive, the shortest lifetime of a page. If it is above MaxCacheLifetimeSeconds, that value applies."
  type        = number
  default     = null

  validation {
    condition     = var.min_cache_lifetime_seconds == null ? true : var.min_cache_lifetime_seconds >= 1 && var.min_cache_lifetime_seconds <= 3600
    error_message = "Must be from 1 to 3600."
  }
}

variable "max_cache_lifetime_seconds" {
  description = "The longest time that a page stays in the cache. A device can miss another device's change for this time and 5 seconds more. The new distribution limits s-maxage to this value. For an existing distribution, enter its longest lifetime."
  type        = number
  default     = null

  validation {
    condition     = var.max_cache_lifetime_seconds == null ? true : var.max_cache_lifetime_seconds >= 1 && var.max_cache_lifetime_seconds <= 31536000
    error_message = "Must be from 1 to 31536000."
  }
}

variable "skip_inactive_users" {
  description = "Skips invalidations for users without a valid token. Use it only if Authorization is part of the cache key, as in the new distribution. It has no effect if InvalidationTarget is path."
  type        = bool
  default     = null
}

variable "purge_all_threshold" {
  description = "If one batch has more users than this, one item purges the pages of all users. A batch has at most 6 MB, which is room for the changes of about 6,500 users."
  type        = number
  default     = null

  validation {
    condition     = var.purge_all_threshold == null ? true : var.purge_all_threshold >= 1 && var.purge_all_threshold <= 6500
    error_message = "Must be from 1 to 6500."
  }
}

variable "purge_all_threshold_halving_seconds" {
  description = "Each time the oldest message has waited this long (in addition to InvalidationIntervalSeconds), PurgeAllThreshold is halved, but not below 100."
  type        = number
  default     = null

  validation {
    condition     = var.purge_all_threshold_halving_seconds == null ? true : var.purge_all_threshold_halving_seconds >= 1 && var.purge_all_threshold_halving_seconds <= 86400
    error_message = "Must be from 1 to 86400."
  }
}

variable "invalidation_interval_seconds" {
  description = "Minimum time between two invalidations of a user's pages. Changes in between wait, and one invalidation covers all of them. 0 means no minimum."
  type        = number
  default     = null

  validation {
    condition     = var.invalidation_interval_seconds == null ? true : var.invalidation_interval_seconds >= 0 && var.invalidation_interval_seconds <= 900
    error_message = "Must be from 0 to 900."
  }
}

variable "monthly_item_budget" {
  description = "Maximum number of invalidation items in a month. After the first 1,000, an item costs half a cent: 10,000 items cost $45. 0 means no limit, and no limit of the costs."
  type        = number
  default     = null

  validation {
    condition     = var.monthly_item_budget == null ? true : var.monthly_item_budget >= 0 && var.monthly_item_budget <= 4294967295
    error_message = "Must be from 0 to 4294967295."
  }
}

variable "on_budget_exhausted" {
  description = "What happens when the budget is used up. expire makes no more invalidations, and pages stay stale until they expire. purge_all purges the pages of all users with one item."
  type        = string
  default     = null

  validation {
    condition     = var.on_budget_exhausted == null ? true : contains(["expire", "purge_all"], var.on_budget_exhausted)
    error_message = "Must be one of expire, purge_all."
  }
}

variable "invalidation_items_per_hour_alarm" {
  description = "The alarm invalidation-items rings if CloudFront is asked for more invalidation items than this in one hour. 1,000 items cost $5."
  type        = number
  default     = null

  validation {
    condition     = var.invalidation_items_per_hour_alarm == null ? true : var.invalidation_items_per_hour_alarm >= 1 && var.invalidation_items_per_hour_alarm <= 4294967295
    error_message = "Must be from 1 to 4294967295."
  }
}

variable "admin_groups" {
  description = "Groups whose members may read other users' data, at /api/users/{sub}/dashboard, orders and profile, separated by commas. Name only groups that users cannot join by themselves. If empty, no one may."
  type        = string
  default     = null
}

variable "api_throttling_rate_limit" {
  description = "Requests per second that the read API accepts in the long run, from all users together. It refuses others with 429. Answers from the cache of CloudFront do not count."
  type        = number
  default     = null

  validation {
    condition     = var.api_throttling_rate_limit == null ? true : var.api_throttling_rate_limit >= 1 && var.api_throttling_rate_limit <= 10000
    error_message = "Must be from 1 to 10000."
  }
}

variable "api_throttling_burst_limit" {
  description = "Requests that the read API accepts at once, before ApiThrottlingRateLimit applies."
  type        = number
  default     = null

  validation {
    condition     = var.api_throttling_burst_limit == null ? true : var.api_throttling_burst_limit >= 1 && var.api_throttling_burst_limit <= 5000
    error_message = "Must be from 1 to 5000."
  }
}

variable "identity_pool" {
  description = "Creates an identity pool, which gives AWS credentials to signed-in users: those of their group's role. The groups FirstGroup, SecondGroup and ThirdGroup get a role, unless you give its ARN."
  type        = bool
  default     = null
}

variable "api_origin_path" {
  description = "Path that CloudFront adds in front of every request to the origin, such as /prod."
  type        = string
  default     = null
}

variable "forwarded_headers" {
  description = "Request headers that CloudFront forwards to the origin, at most 10, besides Authorization and Origin. All others are removed. They are not part of the cache key: an answer with s-maxage must not depend on them."
  type        = list(string)
  default     = null
}

variable "origin_secret" {
  description = "Secret that CloudFront sends to the origin in the header X-Origin-Verify. The origin can then refuse requests that bypass CloudFront. The read API does. docs/caching.md describes the check and the rotation."
  type        = string
  default     = null
  sensitive   = true
}

variable "next_origin_secret" {
  description = "Secret that the read API accepts in addition to OriginSecret, before CloudFront sends it. docs/caching.md describes the rotation."
  type        = string
  default     = null
  sensitive   = true
}

variable "alias_domain_name" {
  description = "Your own domain name for the distribution. Set it together with CertificateArn, and create the DNS record yourself. With the read API, it is the address of the page, so it has no asterisk."
  type        = string
  default     = null
}

variable "certificate_arn" {
  description = "ACM certificate of AliasDomainName, in us-east-1. Without it, CloudFront chooses the TLS versions."
  type        = string
  default     = null
}

variable "web_acl_arn" {
  description = "AWS WAF web ACL in front of the distribution."
  type        = string
  default     = null
}

variable "access_log_bucket_domain_name" {
  description = "Bucket for access logs, such as logs.s3.amazonaws.com. Its object ownership must allow ACLs. The logs contain no headers, so no tokens."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Protects the user pool and the table against deletion. Without it, the stack still keeps both when you delete it."
  type        = bool
  default     = null
}

variable "trigger_reserved_concurrency" {
  description = "Concurrency that is reserved for each of the five triggers. It is also the trigger's limit. 0 reserves none: the quota of a new account is too small to reserve any."
  type        = number
  default     = null

  validation {
    condition     = var.trigger_reserved_concurrency == null ? true : var.trigger_reserved_concurrency >= 0 && var.trigger_reserved_concurrency <= 10000
    error_message = "Must be from 0 to 10000."
  }
}

variable "log_level" {
  description = "Log level of the functions."
  type        = string
  default     = null

  validation {
    condition     = var.log_level == null ? true : contains(["INFO", "DEBUG"], var.log_level)
    error_message = "Must be one of INFO, DEBUG."
  }
}

variable "log_retention_days" {
  description = "How long logs are kept. replay can recover an unsent event from the logs only during this time."
  type        = number
  default     = null

  validation {
    condition     = var.log_retention_days == null ? true : contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "Must be one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }
}

variable "log_kms_key_arn" {
  description = "Your own KMS key for the logs. An unsent event in a log can contain an email address. The key policy must allow CloudWatch Logs to use the key. If empty, a key of AWS encrypts the logs."
  type        = string
  default     = null
}

variable "tracing" {
  description = "With Active, X-Ray traces the functions. AWS charges for traces."
  type        = string
  default     = null

  validation {
    condition     = var.tracing == null ? true : contains(["PassThrough", "Active"], var.tracing)
    error_message = "Must be one of PassThrough, Active."
  }
}

variable "monitoring" {
  description = "Creates alarms and a dashboard. The alarms cost about 4 dollars a month. With the read API, alarms and metrics cost about 3 dollars more, most of it for the hit ratio of CloudFront."
  type        = bool
  default     = null
}

variable "alarm_topic_arn" {
  description = "SNS topic that is notified when an alarm rings and when it ends. If empty, there are no notifications."
  type        = string
  default     = null
}

locals {
  # Only the values that are set: the template has the defaults of the others.
  parameters = merge(
    { for name, value in {
      ProductName                     = var.product_name
      ApiOriginDomainName             = var.api_origin_domain_name
      ExistingDistributionId          = var.existing_distribution_id
      ExistingUserPoolId              = var.existing_user_pool_id
      ExistingUserPoolClientIds       = var.existing_user_pool_client_ids
      ExistingUserPoolLoginUrl        = var.existing_user_pool_login_url
      UserPoolTier                    = var.user_pool_tier
      PreTokenGenerationVersion       = var.pre_token_generation_version
      AttachTriggers                  = tostring(var.attach_triggers)
      SelfSignUp                      = tostring(var.self_sign_up)
      MfaConfiguration                = var.mfa_configuration
      AuthFlows                       = var.auth_flows == null ? null : join(",", var.auth_flows)
      WriteAttributes                 = var.write_attributes == null ? null : join(",", var.write_attributes)
      TokenValidityMinutes            = tostring(var.token_validity_minutes)
      RefreshTokenValidityDays        = tostring(var.refresh_token_validity_days)
      PasswordMinimumLength           = tostring(var.password_minimum_length)
      PasswordRequireLowercase        = tostring(var.password_require_lowercase)
      PasswordRequireUppercase        = tostring(var.password_require_uppercase)
      PasswordRequireNumbers          = tostring(var.password_require_numbers)
      PasswordRequireSymbols          = tostring(var.password_require_symbols)
      TemporaryPasswordValidityDays   = tostring(var.temporary_password_validity_days)
      FirstGroup                      = var.first_group
      FirstGroupPrecedence            = var.first_group_precedence
      FirstGroupRoleArn               = var.first_group_role_arn
      SecondGroup                     = var.second_group
      SecondGroupPrecedence           = var.second_group_precedence
      SecondGroupRoleArn              = var.second_group_role_arn
      ThirdGroup                      = var.third_group
      ThirdGroupPrecedence            = var.third_group_precedence
      ThirdGroupRoleArn               = var.third_group_role_arn
      SesIdentityArn                  = var.ses_identity_arn
      SesFromAddress                  = var.ses_from_address
      UserPoolWebAclArn               = var.user_pool_web_acl_arn
      ManagedLoginDomain              = var.managed_login_domain
      ManagedLoginCertificateArn      = var.managed_login_certificate_arn
      CallbackUrls                    = var.callback_urls
      LogoutUrls                      = var.logout_urls
      OAuthScopes                     = var.o_auth_scopes == null ? null : join(",", var.o_auth_scopes)
      IdentityProviders               = var.identity_providers
      FirstMappedAttribute            = var.first_mapped_attribute
      SecondMappedAttribute           = var.second_mapped_attribute
      ThirdMappedAttribute            = var.third_mapped_attribute
      AllowedEmailDomains             = var.allowed_email_domains
      BlockedEmailDomains             = var.blocked_email_domains
      BlockDisposableDomains          = tostring(var.block_disposable_domains)
      NotDisposableDomains            = var.not_disposable_domains
      TrustedEmailDomains             = var.trusted_email_domains
      TrustedDomainsSkipVerification  = tostring(var.trusted_domains_skip_verification)
      AllowWithoutEmail               = tostring(var.allow_without_email)
      CheckAdminCreated               = tostring(var.check_admin_created)
      ProviderDomains                 = var.provider_domains
      CheckSuspendedEmails            = tostring(var.check_suspended_emails)
      OnStoreError                    = var.on_store_error
      GroupRules                      = var.group_rules
      TrustedAttributes               = var.trusted_attributes
      PersistGroups                   = tostring(var.persist_groups)
      CreateGroups                    = tostring(var.create_groups)
      TokenClaims                     = var.token_claims
      DefaultLocale                   = var.default_locale
      LocaleFromClientMetadata        = tostring(var.locale_from_client_metadata)
      EmailVerification               = var.email_verification
      SupportUrl                      = var.support_url
      LinkBaseUrl                     = var.link_base_url
      MaxUsernameLength               = tostring(var.max_username_length)
      MaxTemporaryPasswordLength      = tostring(var.max_temporary_password_length)
      EventProducers                  = var.event_producers
      PermissionProducers             = var.permission_producers
      OperatorArns                    = var.operator_arns
      UserEventsOperatorArns          = var.user_events_operator_arns
      CacheInvalidationsOperatorArns  = var.cache_invalidations_operator_arns
      GroupMembershipsOperatorArns    = var.group_memberships_operator_arns
      ResourcePermissionsOperatorArns = var.resource_permissions_operator_arns
      AccountActivitiesOperatorArns   = var.account_activities_operator_arns
      EventRetentionDays              = tostring(var.event_retention_days)
      SignInAttemptRetentionDays      = tostring(var.sign_in_attempt_retention_days)
      AllowErasureEvents              = tostring(var.allow_erasure_events)
      UserStatsMaximumConcurrency     = tostring(var.user_stats_maximum_concurrency)
      AccountEvents                   = tostring(var.account_events)
      AccountDeletion                 = var.account_deletion
      FailedSignInsPerUser            = tostring(var.failed_sign_ins_per_user)
      FailedUsersPerAddress           = tostring(var.failed_users_per_address)
      InvalidationTarget              = var.invalidation_target
      InvalidationPolicy              = var.invalidation_policy
      OriginLifetime                  = var.origin_lifetime
      CacheLifetimeDivisor            = tostring(var.cache_lifetime_divisor)
      MinCacheLifetimeSeconds         = tostring(var.min_cache_lifetime_seconds)
      MaxCacheLifetimeSeconds         = tostring(var.max_cache_lifetime_seconds)
      SkipInactiveUsers               = tostring(var.skip_inactive_users)
      PurgeAllThreshold               = tostring(var.purge_all_threshold)
      PurgeAllThresholdHalvingSeconds = tostring(var.purge_all_threshold_halving_seconds)
      InvalidationIntervalSeconds     = tostring(var.invalidation_interval_seconds)
      MonthlyItemBudget               = tostring(var.monthly_item_budget)
      OnBudgetExhausted               = var.on_budget_exhausted
      InvalidationItemsPerHourAlarm   = tostring(var.invalidation_items_per_hour_alarm)
      AdminGroups                     = var.admin_groups
      ApiThrottlingRateLimit          = tostring(var.api_throttling_rate_limit)
      ApiThrottlingBurstLimit         = tostring(var.api_throttling_burst_limit)
      IdentityPool                    = tostring(var.identity_pool)
      ApiOriginPath                   = var.api_origin_path
      ForwardedHeaders                = var.forwarded_headers == null ? null : join(",", var.forwarded_headers)
      AliasDomainName                 = var.alias_domain_name
      CertificateArn                  = var.certificate_arn
      WebAclArn                       = var.web_acl_arn
      AccessLogBucketDomainName       = var.access_log_bucket_domain_name
      DeletionProtection              = tostring(var.deletion_protection)
      TriggerReservedConcurrency      = tostring(var.trigger_reserved_concurrency)
      LogLevel                        = var.log_level
      LogRetentionDays                = tostring(var.log_retention_days)
      LogKmsKeyArn                    = var.log_kms_key_arn
      Tracing                         = var.tracing
      Monitoring                      = tostring(var.monitoring)
      AlarmTopicArn                   = var.alarm_topic_arn
    } : name => value if value != null },
    # Apart from the others, so that a plan hides only the secrets.
    nonsensitive(var.suspended_email_key == null) ? {} : { SuspendedEmailKey = var.suspended_email_key },
    nonsensitive(var.origin_secret == null) ? {} : { OriginSecret = var.origin_secret },
    nonsensitive(var.next_origin_secret == null) ? {} : { NextOriginSecret = var.next_origin_secret },
  )
}
