//! List prices of us-east-1 in US dollars, as of November 2026. Only CloudFront's free items are
//! subtracted, no other free tier.

/// AWS Lambda: one request. Source: a copy of aws.amazon.com/lambda/pricing of September 2026. Its
/// row is for managed instances. Secondary sources have the same price for functions.
pub const LAMBDA_REQUEST: f64 = 0.20e-6;
/// AWS Lambda: one GB-second on arm64, the template's default. x86_64 costs a quarter more. Secondary
/// sources: cloudchipr.com/blog/aws-lambda-pricing (2024), and prices.js of artillery 2.0.28. The
/// price falls from 7.5 billion GB-seconds per month on, which the model never reaches.
pub const LAMBDA_GIGABYTE_SECOND: f64 = 13.3334e-6;
/// Amazon SQS: one request to a standard queue, for each 64 KB. Secondary sources: cloudburn.io
/// (March 2026), factualminds.com (June 2026). The price falls from 100 billion per month on.
pub const SQS_REQUEST: f64 = 0.40e-6;
/// Amazon SQS: surcharge for each message in a message group (fair queues). Same sources.
pub const SQS_MESSAGE_IN_GROUP: f64 = 0.10e-6;
/// Amazon DynamoDB on demand: one write request unit. aws.amazon.com/dynamodb/pricing/on-demand
pub const DYNAMODB_WRITE_UNIT: f64 = 0.625e-6;
/// Amazon DynamoDB on demand: one read request unit. Same source.
pub const DYNAMODB_READ_UNIT: f64 = 0.125e-6;
/// Amazon DynamoDB: one GB for a month. 0.25 in the table (an older copy of
/// aws.amazon.com/dynamodb/pricing) and 0.20 for point-in-time recovery (secondary sources). The model
/// also charges the first 25 GB, which are free.
pub const DYNAMODB_GIGABYTE_MONTH: f64 = 0.25 + 0.20;
/// Amazon CloudWatch Logs: one GB of collected logs. Secondary sources.
pub const LOGS_GIGABYTE: f64 = 0.50;
/// Amazon CloudFront: one invalidation item. The value is `DOLLARS_PER_ITEM` in
/// workers/src/cache_invalidation.rs, which its metric uses too.
/// aws.amazon.com/about-aws/whats-new/2026/04/cloudfront-invalidation-cache-tag
pub use workers::cache_invalidation::DOLLARS_PER_ITEM as CLOUDFRONT_ITEM;
/// Amazon CloudFront: free items per month, for all distributions of an account. Same source.
pub const CLOUDFRONT_FREE_ITEMS: f64 = 1_000.0;
