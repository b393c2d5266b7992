//! The read API and its page: what the stack creates if it has no other API and no other
//! distribution.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use xtask::template::Template;

use super::deployment::Deployment;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NEXT_SECRET: &str = "fedcba9876543210fedcba9876543210";
const EXISTING_POOL: [(&str, &str); 3] = [
    ("ExistingUserPoolId", "eu-central-1_EXAMPLE12"),
    ("ExistingUserPoolClientIds", "1example23456789,2example23456789"),
    ("ExistingUserPoolLoginUrl", "https://login.example.com"),
];
/// The prefix of managed login if the deployment has no other: the UUID in the ID of the stack.
const DEFAULT_LOGIN: &str =
    "https://login-1c0e3a70-cc5f-11f0-8c3b-0a1b2c3d4e5f.auth.${AWS::Region}.amazoncognito.com";

fn variable(deployment: &Deployment, name: &str) -> Value {
    deployment.properties("ReadApiFunction").unwrap()["Environment"]["Variables"][name].clone()
}

fn distribution(deployment: &Deployment) -> Value {
    deployment.properties("Distribution").unwrap()["DistributionConfig"].clone()
}

#[test]
fn only_the_product_name_has_no_default() {
    let template = Template::read();
    let required: Vec<&String> = template
        .parameters()
        .iter()
        .filter(|(_, parameter)| parameter["Default"].is_null())
        .map(|(name, _)| name)
        .collect();
    assert_eq!(required, ["ProductName"]);
    assert_eq!(Deployment::with_read_api(&[]).refusals(), Vec::<String>::new());
}

#[test]
fn stack_with_another_api_or_distribution_has_nothing_of_the_read_side() {
    let with_read_api = Deployment::with_read_api(&[("IdentityPool", "true"), ("FirstGroup", "Developer")]);
    let own_api = Deployment::with(&[("FirstGroup", "Developer")]);
    let added: BTreeSet<&str> = with_read_api.resources().difference(&own_api.resources()).copied().collect();
    for resource in [
        "ReadApiFunction",
        "HttpApi",
        "HttpApiAuthorizer",
        "PageBucket",
        "PageResponseHeadersPolicy",
        "ReadApiErrorsAlarm",
        "DistributionMetrics",
        "CognitoIdentityPool",
        "FirstGroupRole",
        "ManagedLoginClient",
        "UserPoolDomain",
    ] {
        assert!(added.contains(resource), "{resource} is not in {added:?}");
    }
    let existing =
        Deployment::with(&[("ApiOriginDomainName", ""), ("ExistingDistributionId", "E2EXAMPLE1ABCD")]);
    for deployment in [&own_api, &existing] {
        assert_eq!(deployment.refusals(), Vec::<String>::new());
        assert_eq!(deployment.resources().intersection(&added).count(), 0);
    }
    assert_eq!(existing.properties("Distribution"), None);
    let config = distribution(&own_api);
    assert_eq!(config["Origins"].as_array().unwrap().len(), 1);
    assert_eq!(config["Origins"][0]["DomainName"], "api.example.com");
    assert_eq!(config["DefaultCacheBehavior"]["TargetOriginId"], "api");
    assert_eq!((&config["CacheBehaviors"], &config["DefaultRootObject"]), (&Value::Null, &Value::Null));
}

#[test]
fn contradictory_settings_of_the_read_api_are_refused() {
    let own_api = ("ApiOriginDomainName", "api.example.com");
    let needs_read_api = "ExistingUserPoolClientIds, ExistingUserPoolLoginUrl, AdminGroups, NextOriginSecret and \
         IdentityPool are settings of the read API. Leave ApiOriginDomainName and ExistingDistributionId empty.";
    for (values, refusal) in [
        (
            &[own_api, ("ExistingDistributionId", "E2EXAMPLE1ABCD")][..],
            "Give ApiOriginDomainName or ExistingDistributionId, not both.",
        ),
        (
            &[("InvalidationTarget", "path")],
            "The read API needs InvalidationTarget tag. For path, set ApiOriginDomainName or \
             ExistingDistributionId.",
        ),
        (&[("ApiOriginPath", "/prod")], "ApiOriginPath needs ApiOriginDomainName."),
        (
            &EXISTING_POOL[..1],
            "The read API and its page need ExistingUserPoolClientIds and ExistingUserPoolLoginUrl with \
             ExistingUserPoolId.",
        ),
        (
            &EXISTING_POOL[..2],
            "The read API and its page need ExistingUserPoolClientIds and ExistingUserPoolLoginUrl with \
             ExistingUserPoolId.",
        ),
        (
            &EXISTING_POOL[1..],
            "ExistingUserPoolClientIds and ExistingUserPoolLoginUrl need ExistingUserPoolId.",
        ),
        (
            &[("OAuthScopes", "openid,email")],
            "The page of the read API needs the OAuthScopes openid, email and profile.",
        ),
        (&[("NextOriginSecret", NEXT_SECRET)], "NextOriginSecret needs OriginSecret."),
        (
            &[EXISTING_POOL[0], EXISTING_POOL[1], EXISTING_POOL[2], ("IdentityPool", "true")],
            "IdentityPool needs a new pool. Leave ExistingUserPoolId empty.",
        ),
        (&[own_api, ("AdminGroups", "Support")], needs_read_api),
        (&[own_api, ("IdentityPool", "true")], needs_read_api),
        (&[own_api, ("OriginSecret", SECRET), ("NextOriginSecret", NEXT_SECRET)], needs_read_api),
        (
            &[("ManagedLoginCertificateArn", "arn:aws:acm:us-east-1:123456789012:certificate/0")],
            "ManagedLoginCertificateArn needs ManagedLoginDomain.",
        ),
    ] {
        assert_eq!(Deployment::with_read_api(values).refusals(), [refusal], "{values:?}");
    }
}

#[test]
fn combinations_that_work_with_the_read_api_are_not_refused() {
    for values in [
        &EXISTING_POOL[..],
        &[("LogoutUrls", "https://www.example.com/")],
        &[("CallbackUrls", "https://www.example.com/callback")],
        &[("ManagedLoginDomain", "example-shop")],
        &[("IdentityProviders", "COGNITO,ExampleCorp"), ("FirstMappedAttribute", "custom:groups")],
        &[("EmailVerification", "link")],
        &[("OriginSecret", SECRET), ("NextOriginSecret", NEXT_SECRET)],
        &[("UserPoolTier", "LITE"), ("PreTokenGenerationVersion", "V1_0")],
        &[("IdentityPool", "true"), ("FirstGroup", "Developer"), ("AdminGroups", "Support")],
    ] {
        assert_eq!(Deployment::with_read_api(values).refusals(), Vec::<String>::new(), "{values:?}");
    }
}

/// A prefix must not contain a name of AWS, and has no capitals. The stack of the tests has some.
#[test]
fn login_url_is_the_same_for_the_function_the_page_and_the_operator() {
    for (values, login) in [
        (&[][..], DEFAULT_LOGIN),
        (
            &[("ManagedLoginDomain", "example-shop")],
            "https://example-shop.auth.${AWS::Region}.amazoncognito.com",
        ),
        (
            &[
                ("ManagedLoginDomain", "login.example.com"),
                ("ManagedLoginCertificateArn", "arn:aws:acm:us-east-1:123456789012:certificate/0"),
            ],
            "https://login.example.com",
        ),
        (&EXISTING_POOL, "https://login.example.com"),
    ] {
        let deployment = Deployment::with_read_api(values);
        assert_eq!(variable(&deployment, "LOGIN_URL"), login);
        let policy = deployment.properties("PageResponseHeadersPolicy").unwrap();
        let policy = &policy["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"]["ContentSecurityPolicy"];
        assert_eq!(
            policy["ContentSecurityPolicy"],
            format!(
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' \
                 {login}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
                 require-trusted-types-for 'script'"
            )
        );
        if values != EXISTING_POOL {
            assert_eq!(deployment.output("ManagedLoginUrl"), Some(json!(login)));
            let domain = deployment.properties("UserPoolDomain").unwrap()["Domain"].clone();
            let host = login.strip_prefix("https://").unwrap();
            let prefix = host.split_once(".auth.").map_or(host, |(prefix, _)| prefix);
            assert_eq!(domain, prefix);
        }
    }
    let prefix = Deployment::with_read_api(&[]).properties("UserPoolDomain").unwrap()["Domain"].clone();
    let prefix = prefix.as_str().unwrap();
    assert!(prefix.len() <= 63 && ["aws", "amazon", "cognito"].iter().all(|name| !prefix.contains(name)));
    assert!(prefix.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{prefix}");
}

#[test]
fn managed_login_returns_to_the_page_and_to_the_pages_of_other_apps() {
    let other = "https://www.example.com/callback,http://localhost:3000/";
    let certificate = "arn:aws:acm:us-east-1:123456789012:certificate/0";
    let alias = [("AliasDomainName", "shop.example.com"), ("CertificateArn", certificate)];
    for (values, page) in
        [(&[][..], "https://${Distribution.DomainName}/"), (&alias, "https://shop.example.com/")]
    {
        let urls = |more: &[(&str, &str)]| {
            let deployment = Deployment::with_read_api(&[values, more].concat());
            let client = deployment.properties("ManagedLoginClient").unwrap();
            assert_eq!(deployment.output("PageUrl"), Some(json!(page)));
            (client["CallbackURLs"].clone(), client["LogoutURLs"].clone())
        };
        assert_eq!(urls(&[]), (json!([page]), json!([page])));
        let (callbacks, logouts) =
            urls(&[("CallbackUrls", other), ("LogoutUrls", "https://www.example.com/")]);
        assert_eq!(callbacks, json!([page, "https://www.example.com/callback", "http://localhost:3000/"]));
        assert_eq!(logouts, json!([page, "https://www.example.com/"]));
    }
}

#[test]
fn api_behaves_behind_the_page_as_another_api_does() {
    let config = distribution(&Deployment::with_read_api(&[]));
    let [behavior] = &config["CacheBehaviors"].as_array().unwrap()[..] else { panic!("one behavior") };
    let mut expected = distribution(&Deployment::with(&[]))["DefaultCacheBehavior"].clone();
    expected["PathPattern"] = json!("/api/*");
    assert_eq!(*behavior, expected);
    assert_eq!(config["Origins"][0]["DomainName"], "${HttpApi}.execute-api.${AWS::Region}.amazonaws.com");
    let policy = Deployment::with_read_api(&[]).properties("ResponseHeadersPolicy").unwrap();
    let removed = &policy["ResponseHeadersPolicyConfig"]["RemoveHeadersConfig"]["Items"];
    assert_eq!(*removed, json!([{"Header": "Cache-Tag"}]));
}

#[test]
fn page_comes_from_a_bucket_that_only_the_distribution_can_read() {
    let deployment = Deployment::with_read_api(&[]);
    let config = distribution(&deployment);
    assert_eq!(config["DefaultRootObject"], "index.html");
    let origin = &config["Origins"][1];
    assert_eq!(origin["DomainName"], "${PageBucket.RegionalDomainName}");
    assert_eq!(origin["OriginAccessControlId"], "${PageAccessControl}");
    let bucket = deployment.properties("PageBucket").unwrap();
    let blocked = bucket["PublicAccessBlockConfiguration"].as_object().unwrap();
    assert!(blocked.len() == 4 && blocked.values().all(|setting| *setting == json!(true)), "{blocked:?}");
    let policy = deployment.properties("PageBucketPolicy").unwrap();
    let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap().iter();
    let allowed: Vec<&Value> = statements.filter(|statement| statement["Effect"] == "Allow").collect();
    let [allowed] = allowed[..] else { panic!("one statement allows access: {allowed:?}") };
    assert_eq!(allowed["Action"], "s3:GetObject");
    assert_eq!(allowed["Principal"], json!({"Service": "cloudfront.amazonaws.com"}));
    let arn = "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/${Distribution}";
    assert_eq!(allowed["Condition"], json!({"StringEquals": {"AWS:SourceArn": arn}}));
}

/// After an upload, no viewer gets the old file, and a file that was missing is there.
#[test]
fn upload_shows_at_once_and_a_missing_file_is_not_a_cached_error() {
    let deployment = Deployment::with_read_api(&[]);
    let config = distribution(&deployment);
    let behavior = &config["DefaultCacheBehavior"];
    assert_eq!(behavior["CachePolicyId"], "${PageCachePolicy}");
    assert_eq!(behavior["ResponseHeadersPolicyId"], "${PageResponseHeadersPolicy}");
    assert_eq!(behavior["AllowedMethods"], json!(["GET", "HEAD"]));
    let cache = deployment.properties("PageCachePolicy").unwrap()["CachePolicyConfig"].clone();
    assert_eq!((&cache["MinTTL"], &cache["DefaultTTL"]), (&json!(0), &json!(0)));
    let headers = deployment.properties("PageResponseHeadersPolicy").unwrap();
    let headers = &headers["ResponseHeadersPolicyConfig"];
    let cache_control = json!([{"Header": "Cache-Control", "Value": "no-cache", "Override": true}]);
    assert_eq!(headers["CustomHeadersConfig"]["Items"], cache_control);
    let errors: BTreeMap<u64, u64> = config["CustomErrorResponses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["ErrorCode"].as_u64().unwrap(), error["ErrorCachingMinTTL"].as_u64().unwrap()))
        .collect();
    assert_eq!((errors[&403], errors[&404], errors[&503]), (0, 0, 0));
    // No error becomes the page: an answer of the API with 403 or 404 would be HTML then.
    assert!(!config["CustomErrorResponses"].to_string().contains("ResponsePagePath"));
}

#[test]
fn page_has_security_headers() {
    let headers = Deployment::with_read_api(&[]).properties("PageResponseHeadersPolicy").unwrap();
    let headers = &headers["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"];
    assert_eq!(headers["FrameOptions"], json!({"FrameOption": "DENY", "Override": true}));
    assert_eq!(headers["ContentTypeOptions"], json!({"Override": true}));
    assert_eq!(headers["ReferrerPolicy"], json!({"ReferrerPolicy": "no-referrer", "Override": true}));
    assert_eq!(headers["StrictTransportSecurity"]["AccessControlMaxAgeSec"], 31_536_000);
}

#[test]
fn every_route_but_the_configuration_of_the_page_needs_a_token() {
    let deployment = Deployment::with_read_api(&[]);
    let template = Template::read();
    let mut routes = BTreeMap::new();
    for (name, _) in template.of_type("AWS::ApiGatewayV2::Route") {
        let route = deployment.properties(name).unwrap();
        assert_eq!(route["Target"], "integrations/${HttpApiIntegration}", "{name}");
        let authorizer = match route["AuthorizationType"].as_str().unwrap() {
            "JWT" => route["AuthorizerId"].as_str().unwrap().to_owned(),
            other => other.to_owned(),
        };
        routes.insert(route["RouteKey"].as_str().unwrap().to_owned(), authorizer);
    }
    let expected = [
        ("GET /api/config", "NONE"),
        ("HEAD /api/config", "NONE"),
        ("GET /api/{proxy+}", "${HttpApiAuthorizer}"),
        ("HEAD /api/{proxy+}", "${HttpApiAuthorizer}"),
        ("POST /api/notifications/{id}/read", "${HttpApiAuthorizer}"),
    ];
    assert_eq!(routes, expected.map(|(key, authorizer)| (key.to_owned(), authorizer.to_owned())).into());
    let integration = deployment.properties("HttpApiIntegration").unwrap();
    assert_eq!(integration["IntegrationUri"], "${ReadApiFunction.Arn}");
    assert_eq!(integration["PayloadFormatVersion"], "2.0");
}

#[test]
fn api_gateway_and_the_function_accept_the_same_clients_and_issuer() {
    for (values, pool, clients) in [
        (&[][..], "${UserPool}", ["${ManagedLoginClient}", "${UserPoolClient}"]),
        (&EXISTING_POOL, "eu-central-1_EXAMPLE12", ["1example23456789", "2example23456789"]),
    ] {
        let deployment = Deployment::with_read_api(values);
        let jwt = deployment.properties("HttpApiAuthorizer").unwrap()["JwtConfiguration"].clone();
        let issuer = format!("https://cognito-idp.${{AWS::Region}}.amazonaws.com/{pool}");
        assert_eq!(jwt, json!({"Issuer": issuer, "Audience": clients}));
        assert_eq!(variable(&deployment, "ISSUER_URL"), issuer);
        // The page signs in with the first one.
        assert_eq!(variable(&deployment, "CLIENT_IDS"), clients.join(","));
    }
}

/// The variables of API Gateway that the access log may have. A path, an address or a claim could be
/// personal data.
const LOGGED: [&str; 9] = [
    "requestId",
    "requestTime",
    "routeKey",
    "status",
    "responseLatency",
    "integrationLatency",
    "integrationErrorMessage",
    "authorizer.error",
    "error.responseType",
];

#[test]
fn access_log_is_json_without_personal_data() {
    let deployment = Deployment::with_read_api(&[("LogRetentionDays", "7")]);
    let stage = deployment.properties("HttpApiStage").unwrap();
    let format = stage["AccessLogSettings"]["Format"].as_str().unwrap();
    let fields: BTreeMap<String, String> = serde_json::from_str(format).unwrap();
    let variables: BTreeSet<&str> =
        fields.values().map(|value| value.strip_prefix("$context.").unwrap()).collect();
    assert_eq!(variables, LOGGED.into());
    assert_eq!(fields["status"], "$context.status", "a metric filter counts this field");
    assert_eq!(stage["AccessLogSettings"]["DestinationArn"], "${HttpApiLogGroup.Arn}");
    assert_eq!(deployment.properties("HttpApiLogGroup").unwrap()["RetentionInDays"], "7");
}

#[test]
fn requests_are_throttled_as_the_parameters_say() {
    for (values, rate, burst) in [
        (&[][..], "50", "50"),
        (&[("ApiThrottlingRateLimit", "7"), ("ApiThrottlingBurstLimit", "9")], "7", "9"),
    ] {
        let stage = Deployment::with_read_api(values).properties("HttpApiStage").unwrap();
        let expected = json!({"ThrottlingRateLimit": rate, "ThrottlingBurstLimit": burst});
        assert_eq!(stage["DefaultRouteSettings"], expected);
    }
}

/// The function accepts the next secret before CloudFront sends it. CloudFormation changes the
/// distribution before the function.
#[test]
fn read_api_accepts_the_current_and_the_next_secret_of_the_distribution() {
    let secrets = |values: &[(&str, &str)]| {
        let deployment = Deployment::with_read_api(values);
        let sent = distribution(&deployment)["Origins"][0]["OriginCustomHeaders"][0]["HeaderValue"].clone();
        (sent, variable(&deployment, "ORIGIN_SECRETS"))
    };
    assert_eq!(secrets(&[]), (Value::Null, json!("")));
    let none = secrets(&[("OriginSecret", "none"), ("NextOriginSecret", "none")]);
    assert_eq!(none, (Value::Null, json!("")), "`sam deploy --guided` accepts no empty value");
    assert_eq!(
        secrets(&[("OriginSecret", SECRET), ("NextOriginSecret", "none")]),
        (json!(SECRET), json!(SECRET))
    );
    assert_eq!(secrets(&[("OriginSecret", SECRET)]), (json!(SECRET), json!(SECRET)));
    let both = secrets(&[("OriginSecret", SECRET), ("NextOriginSecret", NEXT_SECRET)]);
    assert_eq!(both, (json!(SECRET), json!(format!("{SECRET},{NEXT_SECRET}"))));
    let template = Template::read();
    assert_eq!(template.parameters()["NextOriginSecret"]["NoEcho"], true);
    assert_eq!(template.section("Resources")["ReadApiFunction"]["DependsOn"], "Distribution");
}

#[test]
fn identity_pool_gives_credentials_only_to_signed_in_users_with_a_role() {
    assert_eq!(Deployment::with_read_api(&[]).properties("CognitoIdentityPool"), None);
    let deployment = Deployment::with_read_api(&[("IdentityPool", "true")]);
    let pool = deployment.properties("CognitoIdentityPool").unwrap();
    assert_eq!(pool["AllowUnauthenticatedIdentities"], false);
    assert_eq!(pool["AllowClassicFlow"], false);
    let providers = pool["CognitoIdentityProviders"].as_array().unwrap();
    assert!(providers.iter().all(|provider| provider["ServerSideTokenCheck"] == true));
    let clients: Vec<&Value> = providers.iter().map(|provider| &provider["ClientId"]).collect();
    assert_eq!(clients, ["${ManagedLoginClient}", "${UserPoolClient}"]);
    let roles = deployment.properties("CognitoIdentityPoolRoles").unwrap();
    // A role for all users would be the one of users whose groups have none.
    assert_eq!(roles["Roles"], Value::Null);
    let mappings = roles["RoleMappings"].as_object().unwrap();
    assert_eq!(mappings.len(), clients.len());
    for (name, mapping) in mappings {
        assert_eq!(
            (&mapping["Type"], &mapping["AmbiguousRoleResolution"]),
            (&json!("Token"), &json!("Deny")),
            "{name}"
        );
    }
}

#[test]
fn group_without_a_role_of_its_own_gets_one_that_may_only_read_the_own_pages() {
    let own_role = "arn:aws:iam::123456789012:role/developer";
    for name in ["First", "Second", "Third"] {
        let (group, role_arn) = (format!("{name}Group"), format!("{name}GroupRoleArn"));
        let (role, resource) = (format!("{name}GroupRole"), format!("{name}UserPoolGroup"));
        let deploy = |more: &[(&str, &str)]| {
            Deployment::with_read_api(
                &[&[("IdentityPool", "true"), (group.as_str(), "Developer")], more].concat(),
            )
        };
        let deployment = deploy(&[]);
        let arn = json!(format!("${{{role}.Arn}}"));
        assert_eq!(deployment.properties(&resource).unwrap()["RoleArn"], arn);
        assert_eq!(deployment.output(&role_arn), Some(arn));
        let properties = deployment.properties(&role).unwrap();
        let expected = ["dashboard", "orders", "profile"].map(|page| {
            format!(
                "arn:${{AWS::Partition}}:execute-api:${{AWS::Region}}:${{AWS::AccountId}}:${{HttpApi}}/$default/GET/api/{page}"
            )
        });
        assert_eq!(
            properties["Policies"][0]["PolicyDocument"]["Statement"],
            json!([{"Sid": "ReadOwnPages", "Effect": "Allow", "Action": "execute-api:Invoke", "Resource": expected}])
        );
        let trust = &properties["AssumeRolePolicyDocument"]["Statement"];
        assert_eq!(
            *trust,
            json!([{
                "Effect": "Allow",
                "Principal": {"Federated": "cognito-identity.amazonaws.com"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {"cognito-identity.amazonaws.com:aud": "${CognitoIdentityPool}"},
                    "ForAnyValue:StringEquals": {"cognito-identity.amazonaws.com:amr": "authenticated"},
                },
            }])
        );
        let with_own_role = deploy(&[(role_arn.as_str(), own_role)]);
        assert_eq!(with_own_role.properties(&resource).unwrap()["RoleArn"], own_role);
        assert_eq!(with_own_role.properties(&role), None);
    }
}

#[test]
fn dashboard_is_json_with_widgets_of_the_read_api_only_if_it_exists() {
    let titles = |deployment: &Deployment| -> Vec<String> {
        let body = deployment.properties("Dashboard").unwrap()["DashboardBody"].clone();
        let body: Value = serde_json::from_str(body.as_str().unwrap()).unwrap();
        let widgets = body["widgets"].as_array().unwrap().iter();
        widgets.map(|widget| widget["properties"]["title"].as_str().unwrap().to_owned()).collect()
    };
    let (without, with) = (titles(&Deployment::with(&[])), titles(&Deployment::with_read_api(&[])));
    assert_eq!(with[..without.len()], without);
    assert_eq!(
        with[without.len()..],
        [
            "Requests to CloudFront and to the read API",
            "CloudFront: hit ratio (%), page and API",
            "Read API: errors and throttles",
            "Read API: latency (ms)",
        ]
    );
}
