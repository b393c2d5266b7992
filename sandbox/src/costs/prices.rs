//! List prices of us-east-1 in US dollars, before free tiers (CloudFront's free items apart), as of November 2026.

/// AWS Lambda, a request. A copy of aws.amazon.com/lambda/pricing of September 2026, whose row is that of managed instances;
/// secondary sources have the same for functions.
pub const LAMBDA_REQUEST: f64 = 0.20e-6;
/// AWS Lambda, a second of a gigabyte on arm64, the template's default; x86_64 is a quarter more. Secondary sources:
/// cloudchipr.com/blog/aws-lambda-pricing (2024), and prices.js of artillery 2.0.28. From 7.5 billion a month on it is
/// less, which no row here comes near.
pub const LAMBDA_GIGABYTE_SECOND: f64 = 13.3334e-6;
/// Amazon SQS, a request to a standard queue, for each 64 KB that it carries. Secondary sources: cloudburn.io (March
/// 2026), factualminds.com (June 2026). From 100 billion a month on it is less.
pub const SQS_REQUEST: f64 = 0.40e-6;
/// Amazon SQS, added for each message that is sent in a group (fair queues). The same sources.
pub const SQS_MESSAGE_IN_GROUP: f64 = 0.10e-6;
/// Amazon DynamoDB on demand, a write request unit: aws.amazon.com/dynamodb/pricing/on-demand.
pub const DYNAMODB_WRITE_UNIT: f64 = 0.625e-6;
/// Amazon DynamoDB on demand, a read request unit. The same source.
pub const DYNAMODB_READ_UNIT: f64 = 0.125e-6;
/// Amazon DynamoDB, a gigabyte for a month: 0.25 in the table (an older copy of aws.amazon.com/dynamodb/pricing), and 0.20
/// for point-in-time recovery (secondary sources). The first 25 GB, which are free, are counted.
pub const DYNAMODB_GIGABYTE_MONTH: f64 = 0.25 + 0.20;
/// Amazon CloudFront, an invalidation item: aws.amazon.com/about-aws/whats-new/2026/04/cloudfront-invalidation-cache-tag.
/// What cache-invalidation's metric counts with.
pub use workers::cache_invalidation::DOLLARS_PER_ITEM as CLOUDFRONT_ITEM;
/// Amazon CloudFront: so many items of a month are free, for all distributions of an account. The same source.
pub const CLOUDFRONT_FREE_ITEMS: f64 = 1_000.0;
