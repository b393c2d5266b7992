// Generated from template.yaml by `npm run generate`.

/** The parameters of the template. */
export interface Parameters {
  /**
   * Name of your product in emails, in SMS and on the page, such as Example Shop. At most 40
   * characters.
   */
  readonly productName: string;
  /**
   * Domain name of your API, such as api.example.com. The stack creates a CloudFront distribution
   * in front of it. The API must answer over HTTPS and verify the Authorization header itself. If
   * this and ExistingDistributionId are empty, the stack creates an API and a page of its own.
   */
  readonly apiOriginDomainName?: string;
  /**
   * ID of a distribution in this account to invalidate, instead of a new one. docs/caching.md lists
   * the settings that it needs. Do not enter the distribution that this stack has created: the
   * stack would delete it.
   */
  readonly existingDistributionId?: string;
  /**
   * ID of a user pool in this account and region. The stack then creates no pool, client or group,
   * and does not change the pool. docs/existing-user-pool.md describes how to attach the triggers.
   * If empty, the stack creates a pool.
   */
  readonly existingUserPoolId?: string;
  /**
   * App clients of ExistingUserPoolId whose access tokens the read API accepts, separated by
   * commas. The page signs in with the first one. docs/existing-user-pool.md lists the settings
   * that it needs.
   */
  readonly existingUserPoolClientIds?: string;
  /**
   * Address of the domain of ExistingUserPoolId, where the page signs users in, such as
   * https://example-shop.auth.eu-central-1.amazoncognito.com.
   */
  readonly existingUserPoolLoginUrl?: string;
  /**
   * Feature plan of the pool. LITE supports only version V1_0 of pre-token-generation. For an
   * existing pool, enter its plan.
   *
   * @default ESSENTIALS
   */
  readonly userPoolTier?: "LITE" | "ESSENTIALS" | "PLUS";
  /**
   * Event version of pre-token-generation. V1_0 changes groups and the ID token, but not the access
   * token. V3_0 also sends events for client credentials, which the trigger leaves unchanged.
   *
   * @default V2_0
   */
  readonly preTokenGenerationVersion?: "V1_0" | "V2_0" | "V3_0";
  /**
   * Makes the new pool call the triggers. Set it to false before you delete the stack: the pool is
   * kept, and if it calls deleted functions, no user can sign in. With an existing pool, it only
   * turns user-pool-watch on or off, whose alarm rings while the pool does not call the triggers.
   *
   * @default true
   */
  readonly attachTriggers?: boolean;
  /**
   * Lets people sign up themselves. With false, only administrators create users.
   *
   * @default true
   */
  readonly selfSignUp?: boolean;
  /**
   * Multi-factor authentication with an authenticator app.
   *
   * @default OPTIONAL
   */
  readonly mfaConfiguration?: "OFF" | "OPTIONAL" | "ON";
  /**
   * How the app client may sign in. ALLOW_USER_PASSWORD_AUTH sends the password itself to Cognito.
   * SRP does not. LITE does not support ALLOW_USER_AUTH. ALLOW_CUSTOM_AUTH needs challenge
   * triggers, which you attach yourself.
   *
   * @default ALLOW_USER_SRP_AUTH,ALLOW_REFRESH_TOKEN_AUTH
   */
  readonly authFlows?: readonly string[];
  /**
   * Standard attributes that users may change through the app clients, and that identity providers
   * may set. Only administrators can change custom attributes, because groups may follow from them.
   * The exception are those in FirstMappedAttribute and the two after it.
   *
   * @default email,name,locale
   */
  readonly writeAttributes?: readonly string[];
  /**
   * Validity of ID and access tokens. For an existing pool, enter the longest validity among all
   * its clients. Users without a valid token need no invalidation.
   *
   * @default 60
   */
  readonly tokenValidityMinutes?: number;
  /**
   * Validity of refresh tokens.
   *
   * @default 30
   */
  readonly refreshTokenValidityDays?: number;
  /**
   * Shortest password that the pool accepts.
   *
   * @default 12
   */
  readonly passwordMinimumLength?: number;
  /**
   * Requires a lower-case letter in a password.
   *
   * @default true
   */
  readonly passwordRequireLowercase?: boolean;
  /**
   * Requires an upper-case letter in a password.
   *
   * @default true
   */
  readonly passwordRequireUppercase?: boolean;
  /**
   * Requires a digit in a password.
   *
   * @default true
   */
  readonly passwordRequireNumbers?: boolean;
  /**
   * Requires a symbol in a password. Temporary passwords can then contain < and &, which Cognito
   * inserts into the HTML of an email without escaping them.
   *
   * @default false
   */
  readonly passwordRequireSymbols?: boolean;
  /**
   * How long a user can sign in with the temporary password of an invitation.
   *
   * @default 3
   */
  readonly temporaryPasswordValidityDays?: number;
  /**
   * A group to create in the new pool, such as Developer. The groups in GroupRules must exist,
   * unless CreateGroups is true. If you remove a name here, its group stays in the pool, and the
   * stack cannot create it again.
   */
  readonly firstGroup?: string;
  /**
   * Precedence of the group in a token, as a number. If a user is in several groups with a role,
   * the role of the group with the lowest number is the preferred one.
   */
  readonly firstGroupPrecedence?: string;
  /**
   * Role that members of the group can assume through an identity pool (cognito:roles in the
   * token). If a rule of GroupRules gives the group, state the same role_arn there. If empty and
   * IdentityPool is true, the stack creates a role.
   */
  readonly firstGroupRoleArn?: string;
  /**
   * Another group to create.
   */
  readonly secondGroup?: string;
  /**
   * Precedence of SecondGroup in a token.
   */
  readonly secondGroupPrecedence?: string;
  /**
   * Role of SecondGroup.
   */
  readonly secondGroupRoleArn?: string;
  /**
   * Another group to create.
   */
  readonly thirdGroup?: string;
  /**
   * Precedence of ThirdGroup in a token.
   */
  readonly thirdGroupPrecedence?: string;
  /**
   * Role of ThirdGroup.
   */
  readonly thirdGroupRoleArn?: string;
  /**
   * ARN of the SES identity that the pool sends through. custom-message then renders emails too
   * (EMAIL_THROUGH_SES). If empty, Cognito sends its own text, at most 50 emails a day. For an
   * existing pool, enter the identity that it sends through.
   */
  readonly sesIdentityArn?: string;
  /**
   * Sender of the emails, such as no-reply@example.com. Set it together with SesIdentityArn.
   */
  readonly sesFromAddress?: string;
  /**
   * AWS WAF web ACL in front of the new pool, with scope REGIONAL. It sees the requests to managed
   * login and to the operations that need no AWS credentials, such as SignUp.
   */
  readonly userPoolWebAclArn?: string;
  /**
   * Domain of managed login, where users sign in and identity providers return to. Either a prefix
   * such as example-shop, which must be free in the region, or your own domain name together with
   * ManagedLoginCertificateArn. If empty, the read API gets a generated prefix. Without the read
   * API, set it together with CallbackUrls. LITE has the classic pages.
   */
  readonly managedLoginDomain?: string;
  /**
   * ACM certificate of ManagedLoginDomain, in us-east-1, if that is your own domain name. The
   * parent domain needs an A record, and you create the DNS record yourself.
   */
  readonly managedLoginCertificateArn?: string;
  /**
   * Pages of your app that managed login may return to with a code, such as
   * https://www.example.com/callback, separated by commas, in addition to the page of the read API.
   * The stack then creates a second app client, for managed login, with the authorization code
   * grant. Use PKCE: it has no secret.
   */
  readonly callbackUrls?: string;
  /**
   * Pages that managed login may return to after a sign-out, separated by commas.
   */
  readonly logoutUrls?: string;
  /**
   * Scopes that your app may request from managed login. With aws.cognito.signin.user.admin, users
   * can change their own attributes, including those that an identity provider sets.
   *
   * @default openid,email,profile
   */
  readonly oAuthScopes?: readonly string[];
  /**
   * Names of the identity providers that users of managed login may choose, separated by commas.
   * COGNITO is the pool itself. Create the others in the pool before you list them here.
   * docs/deploying.md shows how.
   *
   * @default COGNITO
   */
  readonly identityProviders?: string;
  /**
   * Custom attribute that an identity provider sets, such as custom:groups. The pool gets the
   * attribute, which cannot be removed later. The client of managed login may write it, because
   * Cognito fails the sign-in otherwise. So a person who signs up through that client can choose
   * the value. SECURITY.md says what that means for groups.
   */
  readonly firstMappedAttribute?: string;
  /**
   * Another custom attribute that an identity provider sets.
   */
  readonly secondMappedAttribute?: string;
  /**
   * Another custom attribute that an identity provider sets.
   */
  readonly thirdMappedAttribute?: string;
  /**
   * Domains and single addresses that may sign up, such as
   * example.com,*.example.org,partner@example.net. If empty, all may sign up that no other rule
   * denies.
   */
  readonly allowedEmailDomains?: string;
  /**
   * Domains and single addresses that may not sign up, even if another list allows them. An address
   * in AllowedEmailDomains may sign up although its domain is blocked.
   */
  readonly blockedEmailDomains?: string;
  /**
   * Denies domains whose mailboxes anyone can read. The list is part of the binary, and as old as
   * the release.
   *
   * @default false
   */
  readonly blockDisposableDomains?: boolean;
  /**
   * Domains that BlockDisposableDomains does not deny although the list has them. The other rules
   * still apply to them.
   */
  readonly notDisposableDomains?: string;
  /**
   * Domains that may sign up even if AllowedEmailDomains does not list them.
   */
  readonly trustedEmailDomains?: string;
  /**
   * Confirms and verifies users of trusted domains without a code. Anyone can then claim any
   * mailbox of such a domain. Keep false unless only trusted people can reach the sign-up.
   *
   * @default false
   */
  readonly trustedDomainsSkipVerification?: boolean;
  /**
   * Allows sign-ups without an email address. A pool that this stack creates always requires one.
   *
   * @default false
   */
  readonly allowWithoutEmail?: boolean;
  /**
   * Applies the sign-up rules to users that an administrator creates, too.
   *
   * @default false
   */
  readonly checkAdminCreated?: boolean;
  /**
   * The only domains that each identity provider may bring, as JSON: {"Google": ["example.com"]}.
   */
  readonly providerDomains?: string;
  /**
   * Denies sign-ups with an email address that `replay user suspend --email` suspended. Adds one
   * read of the table to each sign-up.
   *
   * @default false
   */
  readonly checkSuspendedEmails?: boolean;
  /**
   * Key of the hashes of suspended email addresses, such as the output of openssl rand -hex 32.
   * `replay` needs the same key. With another key, earlier suspensions of addresses have no effect.
   *
   * A secret: pass the value of a CfnParameter with noEcho.
   */
  readonly suspendedEmailKey?: string;
  /**
   * The answer to a sign-in if DynamoDB cannot be read, and to a sign-up if CheckSuspendedEmails is
   * true. With allow, suspended users can sign in during that time.
   *
   * @default deny
   */
  readonly onStoreError?: "deny" | "allow";
  /**
   * The groups that follow from a user's attributes, as JSON:
   * [{"attribute":"custom:department","equals":"Engineering","group":"Developer"}].
   * docs/configuration.md describes all fields.
   */
  readonly groupRules?: string;
  /**
   * Attributes from which privileged groups may follow, such as custom:department. Users of the new
   * pool cannot write them, except those in FirstMappedAttribute and the two after it: read
   * SECURITY.md first. With an existing pool, make sure that no client can. Not available with
   * V1_0.
   */
  readonly trustedAttributes?: string;
  /**
   * Makes the group changes of GroupRules in the user pool too. With false, groups change only in
   * the tokens.
   *
   * @default true
   */
  readonly persistGroups?: boolean;
  /**
   * Creates a group that the pool does not have. With false, the message becomes a dead letter.
   *
   * @default false
   */
  readonly createGroups?: boolean;
  /**
   * Claims and scopes of every token, as JSON: {"access": {"tenant": "example"}}. Not available
   * with V1_0.
   */
  readonly tokenClaims?: string;
  /**
   * Language for users whose attribute locale is missing or names another language.
   *
   * @default en
   */
  readonly defaultLocale?: "en" | "de" | "es" | "fr" | "pt" | "ja";
  /**
   * Lets your app choose the language of a message: the value locale of its ClientMetadata comes
   * before the user's attribute locale.
   *
   * @default false
   */
  readonly localeFromClientMetadata?: boolean;
  /**
   * How the pool verifies the email address of a new user. With link, the email has Cognito's link
   * instead of a code, which needs ManagedLoginDomain. For an existing pool, enter its own setting.
   *
   * @default code
   */
  readonly emailVerification?: "code" | "link";
  /**
   * Page where readers of a message find help, such as https://www.example.com/help.
   */
  readonly supportUrl?: string;
  /**
   * Page of your app that accepts codes from links, such as https://www.example.com/account. If
   * empty, messages contain codes and no links, so no proxy log or referrer contains a code.
   */
  readonly linkBaseUrl?: string;
  /**
   * Characters of the longest user name that an invitation by SMS must have room for. Cognito
   * generates user names of 36 characters.
   *
   * @default 36
   */
  readonly maxUsernameLength?: number;
  /**
   * Characters of the longest temporary password that an invitation by SMS must have room for. Not
   * lower than PasswordMinimumLength. With a short ProductName, there is room for more than 16.
   *
   * @default 16
   */
  readonly maxTemporaryPasswordLength?: number;
  /**
   * Services that may send events to user-events: ARNs of roles, or IDs of whole accounts (this one
   * too), separated by commas. The queue refuses all other senders, whatever their own policies
   * allow.
   */
  readonly eventProducers?: string;
  /**
   * Services that may send permission.granted and permission.revoked to resource-permissions: ARNs
   * of roles, or IDs of whole accounts (this one too), separated by commas. Each of them can let
   * any user read the data of any other user. If empty, only operators can.
   */
  readonly permissionProducers?: string;
  /**
   * Roles or users of operators. Apart from the functions and the producers, only they can send to
   * the queues, and apart from the workers, only they can receive, delete and purge. If empty, no
   * one can read or redrive dead letters. It grants nothing by itself: the operator's own policy
   * must allow the actions.
   */
  readonly operatorArns?: string;
  /**
   * Operators of user-events and its dead-letter queue, instead of OperatorArns. replay user
   * suspend and reinstate send to user-events.
   */
  readonly userEventsOperatorArns?: string;
  /**
   * Operators of cache-invalidations and its dead-letter queue, instead of OperatorArns. Each
   * message there can cost money. replay user erase sends to cache-invalidations.
   */
  readonly cacheInvalidationsOperatorArns?: string;
  /**
   * Operators of group-memberships and its dead-letter queue, instead of OperatorArns. A message
   * there can put a user into a group. No command of replay needs it, except those that read or
   * redrive its dead letters.
   */
  readonly groupMembershipsOperatorArns?: string;
  /**
   * Operators of resource-permissions and its dead-letter queue, instead of OperatorArns. A message
   * there can let a user read the data of another user.
   */
  readonly resourcePermissionsOperatorArns?: string;
  /**
   * Operators of account-activities and its dead-letter queue, instead of OperatorArns. A message
   * there can erase a user.
   */
  readonly accountActivitiesOperatorArns?: string;
  /**
   * How long applied events and their entries in lists stay in the table.
   *
   * @default 90
   */
  readonly eventRetentionDays?: number;
  /**
   * Days for which a sign-in attempt that was allowed stays in the table. Anyone who knows a user
   * name can cause one each minute, so this limits what strangers can store.
   *
   * @default 7
   */
  readonly signInAttemptRetentionDays?: number;
  /**
   * Lets the event user.deleted erase a user. Every service that may send to user-events can then
   * erase any user, and user-stats also gets the permissions Query and DeleteItem.
   *
   * @default false
   */
  readonly allowErasureEvents?: boolean;
  /**
   * Maximum number of concurrent invocations of user-stats. It keeps a backlog from using the
   * concurrency that sign-ins need. The other workers use up to 2 each, and a new account has 10.
   *
   * @default 2
   */
  readonly userStatsMaximumConcurrency?: number;
  /**
   * Creates a rule, a queue and a worker for what Cognito has no trigger for: deleted users,
   * changed attributes and passwords, MFA, disabled users, failed sign-ins. Needs a CloudTrail
   * trail that logs management events in this region. See docs/account-events.md.
   *
   * @default false
   */
  readonly accountEvents?: boolean;
  /**
   * What happens to the data of a user who is deleted from the pool. With keep, the table only gets
   * the time of the deletion, and account-activity gets no permission to delete items.
   *
   * @default erase
   */
  readonly accountDeletion?: "erase" | "keep";
  /**
   * Failed sign-ins of one user in one hour at which the user counts in the metric
   * UsersWithManyFailures. More than 20 in an hour are not stored, so they cannot be counted.
   *
   * @default 10
   */
  readonly failedSignInsPerUser?: number;
  /**
   * Different users who fail to sign in from one IP address in ten minutes at which the address
   * counts in the metric AddressesWithManyUsers.
   *
   * @default 10
   */
  readonly failedUsersPerAddress?: number;
  /**
   * How an invalidation finds a user's pages: by the cache tag that the origin sends, or by the
   * paths /users/{sub}/{view}. The regions of China have no cache tags.
   *
   * @default tag
   */
  readonly invalidationTarget?: "tag" | "path";
  /**
   * Which changes are worth an invalidation, by event type: always, budget or never. For example
   * *=never,profile.updated=budget. Types without a rule have never if OriginLifetime is adaptive
   * and MaxCacheLifetimeSeconds is at most 60, otherwise budget. Suspensions, reinstatements,
   * erasures and lost permissions cannot have a rule: they are always invalidated.
   */
  readonly invalidationPolicy?: string;
  /**
   * How the origin chooses the lifetime of a page. adaptive: from the age of the data, and it knows
   * the query parameter after (docs/caching.md). fixed: any lifetime up to MaxCacheLifetimeSeconds.
   * By default adaptive with the read API, and fixed with an API or a distribution of your own.
   */
  readonly originLifetime?: "" | "fixed" | "adaptive";
  /**
   * If OriginLifetime is adaptive, a page lives for the age of its data, divided by this number.
   *
   * @default 10
   */
  readonly cacheLifetimeDivisor?: number;
  /**
   * If OriginLifetime is adaptive, the shortest lifetime of a page. If it is above
   * MaxCacheLifetimeSeconds, that value applies.
   *
   * @default 5
   */
  readonly minCacheLifetimeSeconds?: number;
  /**
   * The longest time that a page stays in the cache. A device can miss another device's change for
   * this time and 5 seconds more. The new distribution limits s-maxage to this value. For an
   * existing distribution, enter its longest lifetime.
   *
   * @default 60
   */
  readonly maxCacheLifetimeSeconds?: number;
  /**
   * Skips invalidations for users without a valid token. Use it only if Authorization is part of
   * the cache key, as in the new distribution. It has no effect if InvalidationTarget is path.
   *
   * @default true
   */
  readonly skipInactiveUsers?: boolean;
  /**
   * If one batch has more users than this, one item purges the pages of all users. A batch has at
   * most 6 MB, which is room for the changes of about 6,500 users.
   *
   * @default 3000
   */
  readonly purgeAllThreshold?: number;
  /**
   * Each time the oldest message has waited this long (in addition to InvalidationIntervalSeconds),
   * PurgeAllThreshold is halved, but not below 100.
   *
   * @default 300
   */
  readonly purgeAllThresholdHalvingSeconds?: number;
  /**
   * Minimum time between two invalidations of a user's pages. Changes in between wait, and one
   * invalidation covers all of them. 0 means no minimum.
   *
   * @default 60
   */
  readonly invalidationIntervalSeconds?: number;
  /**
   * Maximum number of invalidation items in a month. After the first 1,000, an item costs half a
   * cent: 10,000 items cost $45. 0 means no limit, and no limit of the costs.
   *
   * @default 10000
   */
  readonly monthlyItemBudget?: number;
  /**
   * What happens when the budget is used up. expire makes no more invalidations, and pages stay
   * stale until they expire. purge_all purges the pages of all users with one item.
   *
   * @default expire
   */
  readonly onBudgetExhausted?: "expire" | "purge_all";
  /**
   * The alarm invalidation-items rings if CloudFront is asked for more invalidation items than this
   * in one hour. 1,000 items cost $5.
   *
   * @default 1000
   */
  readonly invalidationItemsPerHourAlarm?: number;
  /**
   * Groups whose members may read other users' data, at /api/users/{sub}/dashboard, orders and
   * profile, separated by commas. Name only groups that users cannot join by themselves. If empty,
   * no one may.
   */
  readonly adminGroups?: string;
  /**
   * Requests per second that the read API accepts in the long run, from all users together. It
   * refuses others with 429. Answers from the cache of CloudFront do not count.
   *
   * @default 50
   */
  readonly apiThrottlingRateLimit?: number;
  /**
   * Requests that the read API accepts at once, before ApiThrottlingRateLimit applies.
   *
   * @default 50
   */
  readonly apiThrottlingBurstLimit?: number;
  /**
   * Creates an identity pool, which gives AWS credentials to signed-in users: those of their
   * group's role. The groups FirstGroup, SecondGroup and ThirdGroup get a role, unless you give its
   * ARN.
   *
   * @default false
   */
  readonly identityPool?: boolean;
  /**
   * Path that CloudFront adds in front of every request to the origin, such as /prod.
   */
  readonly apiOriginPath?: string;
  /**
   * Request headers that CloudFront forwards to the origin, at most 10, besides Authorization and
   * Origin. All others are removed. They are not part of the cache key: an answer with s-maxage
   * must not depend on them.
   *
   * @default Content-Type,Access-Control-Request-Method,Access-Control-Request-Headers
   */
  readonly forwardedHeaders?: readonly string[];
  /**
   * Secret that CloudFront sends to the origin in the header X-Origin-Verify. The origin can then
   * refuse requests that bypass CloudFront. The read API does. docs/caching.md describes the check
   * and the rotation.
   *
   * A secret: pass the value of a CfnParameter with noEcho.
   */
  readonly originSecret?: string;
  /**
   * Secret that the read API accepts in addition to OriginSecret, before CloudFront sends it.
   * docs/caching.md describes the rotation.
   *
   * A secret: pass the value of a CfnParameter with noEcho.
   */
  readonly nextOriginSecret?: string;
  /**
   * Your own domain name for the distribution. Set it together with CertificateArn, and create the
   * DNS record yourself. With the read API, it is the address of the page, so it has no asterisk.
   */
  readonly aliasDomainName?: string;
  /**
   * ACM certificate of AliasDomainName, in us-east-1. Without it, CloudFront chooses the TLS
   * versions.
   */
  readonly certificateArn?: string;
  /**
   * AWS WAF web ACL in front of the distribution.
   */
  readonly webAclArn?: string;
  /**
   * Bucket for access logs, such as logs.s3.amazonaws.com. Its object ownership must allow ACLs.
   * The logs contain no headers, so no tokens.
   */
  readonly accessLogBucketDomainName?: string;
  /**
   * Protects the user pool and the table against deletion. Without it, the stack still keeps both
   * when you delete it.
   *
   * @default true
   */
  readonly deletionProtection?: boolean;
  /**
   * Concurrency that is reserved for each of the five triggers. It is also the trigger's limit. 0
   * reserves none: the quota of a new account is too small to reserve any.
   *
   * @default 0
   */
  readonly triggerReservedConcurrency?: number;
  /**
   * Log level of the functions.
   *
   * @default INFO
   */
  readonly logLevel?: "INFO" | "DEBUG";
  /**
   * How long logs are kept. replay can recover an unsent event from the logs only during this time.
   *
   * @default 30
   */
  readonly logRetentionDays?: 1 | 3 | 5 | 7 | 14 | 30 | 60 | 90 | 120 | 150 | 180 | 365 | 400 | 545 | 731;
  /**
   * Your own KMS key for the logs. An unsent event in a log can contain an email address. The key
   * policy must allow CloudWatch Logs to use the key. If empty, a key of AWS encrypts the logs.
   */
  readonly logKmsKeyArn?: string;
  /**
   * With Active, X-Ray traces the functions. AWS charges for traces.
   *
   * @default PassThrough
   */
  readonly tracing?: "PassThrough" | "Active";
  /**
   * Creates alarms and a dashboard. The alarms cost about 4 dollars a month. With the read API,
   * alarms and metrics cost about 3 dollars more, most of it for the hit ratio of CloudFront.
   *
   * @default true
   */
  readonly monitoring?: boolean;
  /**
   * SNS topic that is notified when an alarm rings and when it ends. If empty, there are no
   * notifications.
   */
  readonly alarmTopicArn?: string;
}

/** The outputs of the template. */
export interface Outputs {
  /**
   * ID of the user pool
   */
  readonly UserPoolId: string;
  /**
   * ID of the app client, for the sign-in of your app
   *
   * Only if the template's condition CreateUserPool is true.
   */
  readonly UserPoolClientId: string;
  /**
   * ID of the app client for managed login and identity providers
   *
   * Only if the template's condition CreateManagedLoginClient is true.
   */
  readonly ManagedLoginClientId: string;
  /**
   * Address of managed login, such as the endpoints /oauth2/authorize and /logout
   *
   * Only if the template's condition CreateManagedLoginDomain is true.
   */
  readonly ManagedLoginUrl: string;
  /**
   * Address of the page. Upload it first, see PageBucketName
   *
   * Only if the template's condition CreateReadApi is true.
   */
  readonly PageUrl: string;
  /**
   * Bucket of the page. docs/deploying.md has the command that uploads it
   *
   * Only if the template's condition CreateReadApi is true.
   */
  readonly PageBucketName: string;
  /**
   * ID of the HTTP API of the read API, for its metrics
   *
   * Only if the template's condition CreateReadApi is true.
   */
  readonly HttpApiId: string;
  /**
   * ID of the identity pool
   *
   * Only if the template's condition CreateIdentityPool is true.
   */
  readonly IdentityPoolId: string;
  /**
   * Role of FirstGroup, for role_arn in GroupRules
   *
   * Only if the template's condition CreateFirstGroupRole is true.
   */
  readonly FirstGroupRoleArn: string;
  /**
   * Role of SecondGroup, for role_arn in GroupRules
   *
   * Only if the template's condition CreateSecondGroupRole is true.
   */
  readonly SecondGroupRoleArn: string;
  /**
   * Role of ThirdGroup, for role_arn in GroupRules
   *
   * Only if the template's condition CreateThirdGroupRole is true.
   */
  readonly ThirdGroupRoleArn: string;
  /**
   * The triggers, which `replay attach` attaches. See docs/existing-user-pool.md
   */
  readonly LambdaConfig: string;
  /**
   * Name of the table. docs/data-model.md has a read-only policy for dashboards
   */
  readonly TableName: string;
  /**
   * ARN of the table, for that policy
   */
  readonly TableArn: string;
  /**
   * ID of the distribution that is invalidated
   */
  readonly DistributionId: string;
  /**
   * Domain name of the distribution. Point the DNS record of an alias to it
   *
   * Only if the template's condition CreateDistribution is true.
   */
  readonly DistributionDomainName: string;
  /**
   * URL of user-events, to which your services send events (EventProducers)
   */
  readonly UserEventsQueueUrl: string;
  /**
   * ARN of user-events, the target of a redrive
   */
  readonly UserEventsQueueArn: string;
  /**
   * URL of the dead-letter queue of user-events
   */
  readonly UserEventsDeadLetterQueueUrl: string;
  /**
   * ARN of the dead-letter queue of user-events, the source of a redrive
   */
  readonly UserEventsDeadLetterQueueArn: string;
  /**
   * URL of cache-invalidations, to which user-stats, resource-permission and operators send
   */
  readonly CacheInvalidationsQueueUrl: string;
  /**
   * ARN of cache-invalidations, the target of a redrive
   */
  readonly CacheInvalidationsQueueArn: string;
  /**
   * URL of the dead-letter queue of cache-invalidations
   */
  readonly CacheInvalidationsDeadLetterQueueUrl: string;
  /**
   * ARN of the dead-letter queue of cache-invalidations, the source of a redrive
   */
  readonly CacheInvalidationsDeadLetterQueueArn: string;
  /**
   * URL of group-memberships, to which pre-token-generation and operators send
   */
  readonly GroupMembershipsQueueUrl: string;
  /**
   * ARN of group-memberships, the target of a redrive
   */
  readonly GroupMembershipsQueueArn: string;
  /**
   * URL of the dead-letter queue of group-memberships
   */
  readonly GroupMembershipsDeadLetterQueueUrl: string;
  /**
   * ARN of the dead-letter queue of group-memberships, the source of a redrive
   */
  readonly GroupMembershipsDeadLetterQueueArn: string;
  /**
   * URL of resource-permissions, to which PermissionProducers and operators send
   */
  readonly ResourcePermissionsQueueUrl: string;
  /**
   * ARN of resource-permissions, the target of a redrive
   */
  readonly ResourcePermissionsQueueArn: string;
  /**
   * URL of the dead-letter queue of resource-permissions
   */
  readonly ResourcePermissionsDeadLetterQueueUrl: string;
  /**
   * ARN of the dead-letter queue of resource-permissions, the source of a redrive
   */
  readonly ResourcePermissionsDeadLetterQueueArn: string;
  /**
   * URL of account-activities, to which the rule AccountEventsRule sends
   *
   * Only if the template's condition AccountEventsEnabled is true.
   */
  readonly AccountActivitiesQueueUrl: string;
  /**
   * ARN of account-activities, the target of a redrive
   *
   * Only if the template's condition AccountEventsEnabled is true.
   */
  readonly AccountActivitiesQueueArn: string;
  /**
   * URL of the dead-letter queue of account-activities
   *
   * Only if the template's condition AccountEventsEnabled is true.
   */
  readonly AccountActivitiesDeadLetterQueueUrl: string;
  /**
   * ARN of the dead-letter queue of account-activities, the source of a redrive
   *
   * Only if the template's condition AccountEventsEnabled is true.
   */
  readonly AccountActivitiesDeadLetterQueueArn: string;
}

export type OutputName = keyof Outputs;
