//! Credentials as the AWS CLI finds them: every kind of profile, against STS and AWS Sign-In on loopback.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use budgets::certificates::Authority;
use budgets::server::Server;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use rcgen::KeyPair;
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::support::{CommandRun, Queues, command, run};

/// An STS and a sign-in service. They give credentials to everyone, except by the role `denied`, and
/// record the calls.
struct Sts {
    server: Server,
    calls: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
}

impl Sts {
    async fn start(tls: Option<TlsAcceptor>) -> Self {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let record = calls.clone();
        let server = budgets::server::serve(tls, move |request| {
            let record = record.clone();
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let fields: BTreeMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
                let (status, answer) = match fields.get("Action") {
                    None => (200, sign_in_answer(&path)),
                    Some(_) if fields.get("RoleArn").is_some_and(|role| role.ends_with("/denied")) => {
                        (403, DENIED.to_owned())
                    }
                    Some(action) => (200, sts_answer(action)),
                };
                let action = fields.get("Action").cloned().unwrap_or(path);
                record
                    .lock()
                    .unwrap()
                    .push([fields, [("Action".to_owned(), action)].into()].into_iter().flatten().collect());
                Response::builder().status(status).body(Full::new(Bytes::from(answer))).unwrap()
            }
        });
        Self { server: server.await, calls }
    }

    /// The calls since the last time that this was called.
    fn take_calls(&self) -> Vec<BTreeMap<String, String>> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn take_actions(&self) -> Vec<String> {
        self.take_calls().into_iter().map(|mut call| call.remove("Action").unwrap()).collect()
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.server.address)
    }
}

const DENIED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: \
    arn:aws:iam::123456789012:user/ben is not authorized to perform: sts:AssumeRole on resource: \
    arn:aws:iam::123456789012:role/denied</Message></Error></ErrorResponse>";

fn sts_answer(action: &str) -> String {
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
         <AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>EXAMPLE</SecretAccessKey>\
         <SessionToken>EXAMPLE</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>\
         <AssumedRoleUser><AssumedRoleId>AROA:x</AssumedRoleId>\
         <Arn>arn:aws:sts::123456789012:assumed-role/ops/x</Arn></AssumedRoleUser></{action}Result></{action}Response>"
    )
}

fn sign_in_answer(path: &str) -> String {
    assert_eq!(path, "/v1/token");
    let keys = json!({"accessKeyId": "ASIAEXAMPLE", "secretAccessKey": "EXAMPLE", "sessionToken": "EXAMPLE"});
    json!({"accessToken": keys, "tokenType": "aws_sigv4", "expiresIn": 900, "refreshToken": "EXAMPLE"})
        .to_string()
}

const CONFIG: &str = "
[profile keys]
aws_access_key_id = AKIAEXAMPLE
aws_secret_access_key = EXAMPLE

[profile role]
role_arn = arn:aws:iam::123456789012:role/ops
source_profile = keys
region = eu-central-1

[profile chain]
role_arn = arn:aws:iam::123456789012:role/admin
source_profile = role

[profile environment]
role_arn = arn:aws:iam::123456789012:role/ops
credential_source = Environment

[profile web]
role_arn = arn:aws:iam::123456789012:role/ops
web_identity_token_file = HOME/token

[profile process]
credential_process = /bin/sh HOME/credentials.sh

[profile \"with space\"]
aws_access_key_id = AKIAEXAMPLE
aws_secret_access_key = EXAMPLE

[profile 'quoted']
role_arn = arn:aws:iam::123456789012:role/ops
source_profile = with space

[profile login]
login_session = arn:aws:iam::123456789012:user/ben

[profile login-expired]
login_session = arn:aws:iam::123456789012:user/zoe

[profile denied]
role_arn = arn:aws:iam::123456789012:role/denied
source_profile = keys

[profile mfa]
role_arn = arn:aws:iam::123456789012:role/mfa
source_profile = keys
mfa_serial = arn:aws:iam::123456789012:mfa/ben
external_id = shop
duration_seconds = 900

[profile above-mfa]
role_arn = arn:aws:iam::123456789012:role/admin
source_profile = mfa

[profile self-mfa]
aws_access_key_id = AKIAEXAMPLE
aws_secret_access_key = EXAMPLE
role_arn = arn:aws:iam::123456789012:role/mfa
source_profile = self-mfa
mfa_serial = arn:aws:iam::123456789012:mfa/ben

[profile sso]
sso_session = company
sso_account_id = 123456789012
sso_role_name = ops

[sso-session company]
sso_start_url = https://sso.example.com/start
sso_region = eu-central-1

[profile login-never]
login_session = arn:aws:iam::123456789012:user/never

[profile failing-process]
credential_process = /bin/sh -c 'echo no session >&2; exit 3'

[profile empty]
region = eu-central-1

[profile loop]
role_arn = arn:aws:iam::123456789012:role/ops
source_profile = loop2

[profile loop2]
role_arn = arn:aws:iam::123456789012:role/ops
source_profile = loop
";

/// A home folder with the profiles of [`CONFIG`].
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let path = home.path();
    std::fs::create_dir(path.join(".aws")).unwrap();
    std::fs::write(path.join(".aws/config"), CONFIG.replace("HOME", path.to_str().unwrap())).unwrap();
    std::fs::write(path.join("token"), "EXAMPLE").unwrap();
    let credentials = r#"{"Version": 1, "AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "EXAMPLE"}"#;
    std::fs::write(path.join("credentials.sh"), format!("echo '{credentials}'\n")).unwrap();
    write_login_session(path, "ben", "2999-01-01T00:00:00Z");
    write_login_session(path, "zoe", "2026-01-01T00:00:00Z");
    home
}

/// The session that `aws login` writes.
fn write_login_session(home: &Path, user: &str, expires_at: &str) {
    let folder = home.join(".aws/login/cache");
    std::fs::create_dir_all(&folder).unwrap();
    let name = Sha256::digest(format!("arn:aws:iam::123456789012:user/{user}"));
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let keys = json!({
        "accessKeyId": "ASIAEXAMPLE", "secretAccessKey": "EXAMPLE", "sessionToken": "EXAMPLE",
        "accountId": "123456789012", "expiresAt": expires_at,
    });
    let session = json!({
        "accessToken": keys, "tokenType": "aws_sigv4", "refreshToken": "EXAMPLE",
        "clientId": "arn:aws:signin:::devtools/same-device", "dpopKey": ec_private_key(),
    });
    std::fs::write(folder.join(format!("{name}.json")), session.to_string()).unwrap();
}

/// A new key in the format of RFC 5915, which is a part of PKCS #8.
fn ec_private_key() -> String {
    let pkcs8 = KeyPair::generate().unwrap().serialize_der();
    let version = pkcs8.windows(5).position(|bytes| bytes == [2, 1, 1, 4, 32]).unwrap();
    let length = usize::from(pkcs8[version - 1]);
    let base64 = aws_smithy_types::base64::encode(&pkcs8[version - 2..version + length]);
    let lines: Vec<&str> =
        (0..base64.len()).step_by(64).map(|at| &base64[at..(at + 64).min(base64.len())]).collect();
    format!("-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----\n", lines.join("\n"))
}

/// `replay` with a home folder, and without keys in the environment.
fn command_at_home(home: &TempDir, endpoint: &str, sts: &str, arguments: &[&str]) -> Command {
    let mut command = command(endpoint, arguments);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env("HOME", home.path());
    command.env("AWS_ENDPOINT_URL_STS", sts).env("AWS_ENDPOINT_URL_SIGNIN", sts);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_profile_is_used_however_it_is_named() {
    let (queues, sts, home) = (Queues::start().await, Sts::start(None).await, home());
    for (profile, actions) in [
        ("keys", &[][..]),
        ("role", &["AssumeRole"]),
        ("chain", &["AssumeRole", "AssumeRole"]),
        ("environment", &["AssumeRole"]),
        ("web", &["AssumeRoleWithWebIdentity"]),
        ("process", &[]),
        ("with space", &[]),
        ("quoted", &["AssumeRole"]),
        ("login", &[]),
    ] {
        for name in ["--profile", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"] {
            let arguments = ["inspect", "user-events-dead-letters", "--profile", profile];
            let is_option = name == "--profile";
            let arguments = &arguments[..if is_option { 4 } else { 2 }];
            let mut command = command_at_home(&home, &queues.endpoint, &sts.url("http"), arguments);
            // Keys in the environment take precedence over a variable with a profile.
            if is_option || profile == "environment" {
                command.env("AWS_ACCESS_KEY_ID", "EXAMPLE").env("AWS_SECRET_ACCESS_KEY", "EXAMPLE");
            }
            if !is_option {
                command.env(name, profile);
            }
            let ran = run(command).await;
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{profile} by {name}: {ran:?}");
            let found = sts.take_actions();
            // The SDK takes the keys of the environment before the profile, as the AWS CLI does.
            let expected: &[&str] = if !is_option && profile == "environment" { &[] } else { actions };
            assert_eq!(found, expected, "{profile} by {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_login_session_is_renewed() {
    let (queues, sts, home) = (Queues::start().await, Sts::start(None).await, home());
    let arguments = ["inspect", "user-events-dead-letters", "--profile", "login-expired"];
    for actions in [&["/v1/token"][..], &[]] {
        let ran = run(command_at_home(&home, &queues.endpoint, &sts.url("http"), &arguments)).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        assert_eq!(sts.take_actions(), actions, "the new session is saved");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_cannot_be_loaded_are_one_line_that_starts_with_what_to_do() {
    let (queues, sts, home) = (Queues::start().await, Sts::start(None).await, home());
    let mut lines = Vec::new();
    for profile in ["sso", "login-never", "failing-process", "empty", "denied", "loop"] {
        let arguments = ["inspect", "user-events-dead-letters", "--profile", profile];
        let ran = run(command_at_home(&home, &queues.endpoint, &sts.url("http"), &arguments)).await;
        assert!(ran.code == 1 && ran.stdout.is_empty() && ran.stderr.lines().count() == 1, "{ran:?}");
        assert!(ran.stderr.chars().count() <= 400, "{ran:?}");
        lines.push(format!("{profile}: {}", ran.stderr.replace(home.path().to_str().unwrap(), "HOME")));
    }
    insta::assert_snapshot!("credentials_that_cannot_be_loaded", lines.concat());
    assert_eq!(queues.sqs.messages_in("user-events-dead-letters").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn own_certificate_authorities_are_trusted_for_every_call() {
    let folder = tempfile::tempdir().unwrap();
    let Authority { acceptor, trusted } = Authority::create(folder.path()).unwrap();
    let (sqs, home) = (tests::sqs::Sqs::new(shared::time::Clock::system()), home());
    sqs.create("user-events-dead-letters", None);
    let endpoint = format!("https://{}", tests::lambda::serve_aws_over(Some(acceptor.clone()), sqs).await);
    let sts = Sts::start(Some(acceptor)).await;
    let bundle = trusted.authority.to_str().unwrap();
    let ran_with = async |variable: Option<&str>, profile: &str| -> CommandRun {
        let arguments = ["inspect", "user-events-dead-letters", "--profile", profile];
        let mut command = command_at_home(&home, &endpoint, &sts.url("https"), &arguments);
        command.envs(variable.map(|path| ("AWS_CA_BUNDLE", path)));
        run(command).await
    };
    for profile in ["role", "web", "login-expired"] {
        let ran = ran_with(Some(bundle), profile).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{profile}");
        assert_eq!(sts.take_calls().len(), 1, "{profile}");
    }
    for profile in ["keys", "role"] {
        let ran = ran_with(None, profile).await;
        assert!(
            ran.code == 1 && ran.stderr.contains("set AWS_CA_BUNDLE, or ca_bundle in the profile"),
            "{ran:?}"
        );
    }
    let config = home.path().join(".aws/config");
    let with_setting =
        std::fs::read_to_string(&config).unwrap() + "\n[profile role]\nca_bundle = " + bundle + "\n";
    std::fs::write(&config, with_setting).unwrap();
    let ran = ran_with(None, "role").await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));

    let (missing, empty) = (folder.path().join("missing.pem"), folder.path().join("empty.pem"));
    std::fs::write(&empty, "").unwrap();
    for (path, problem) in
        [(&missing, "No such file or directory"), (&empty, "the file has no certificate in PEM")]
    {
        let path = path.to_str().unwrap();
        let ran = ran_with(Some(path), "role").await;
        let expected = format!("replay: AWS_CA_BUNDLE: {path}: {problem}");
        assert!(
            ran.code == 2 && ran.stderr.starts_with(&expected) && ran.stderr.lines().count() == 1,
            "{ran:?}"
        );
        assert!(ran.stderr.ends_with(". Correct or unset it\n"), "{ran:?}");
    }
}

/// `setsid` and `script` of Linux take a terminal away and give one.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn role_with_mfa_serial_asks_for_a_code_on_a_terminal() {
    use std::io::Write;
    use std::process::Stdio;

    let (queues, sts, home) = (Queues::start().await, Sts::start(None).await, home());
    let wrapped = |program: &[&str], arguments: &str| {
        let replay = command_at_home(&home, &queues.endpoint, &sts.url("http"), &[]);
        let line = format!("{} {arguments} </dev/null", replay.get_program().to_str().unwrap());
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).env_clear().env("PATH", "/usr/bin:/bin");
        command.envs(replay.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.arg(line);
        command
    };
    let without_terminal =
        run(wrapped(&["setsid", "--wait", "sh", "-c"], "inspect user-events-dead-letters --profile mfa"))
            .await;
    assert_eq!(without_terminal.code, 1);
    assert_eq!(
        without_terminal.stderr,
        "replay: profile mfa: mfa_serial needs a code, and there is no terminal to ask on. Run replay in a terminal, or \
         set the variables that `aws configure export-credentials --profile mfa --format env` prints\n"
    );
    assert_eq!(sts.take_calls().len(), 0);

    let on_terminal = async |arguments: &str, code: &'static str| {
        let mut command = wrapped(&["script", "-qec"], arguments);
        command.arg("/dev/null").stdin(Stdio::piped()).stdout(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            // `script` ends when its input ends.
            let mut input = child.stdin.take().unwrap();
            writeln!(input, "{code}").unwrap();
            let output = child.wait_with_output().unwrap();
            drop(input);
            output
        });
        let output = output.await.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for (profile, roles) in [("mfa", &["mfa"][..]), ("self-mfa", &["mfa"]), ("above-mfa", &["mfa", "admin"])]
    {
        let (code, shown) =
            on_terminal(&format!("inspect user-events-dead-letters --profile {profile}"), "123456").await;
        assert!(code == Some(0), "{shown}");
        assert_eq!(shown.matches("Code of arn:aws:iam::123456789012:mfa/ben: ").count(), 1, "{shown}");
        let calls = sts.take_calls();
        let assumed: Vec<&str> =
            calls.iter().map(|call| call["RoleArn"].rsplit('/').next().unwrap()).collect();
        assert_eq!(assumed, roles, "{profile}");
        assert_eq!(calls[0]["TokenCode"], "123456");
        assert_eq!(calls[0]["SerialNumber"], "arn:aws:iam::123456789012:mfa/ben");
        if profile == "mfa" {
            let settings = (calls[0]["ExternalId"].as_str(), calls[0]["DurationSeconds"].as_str());
            assert_eq!(settings, ("shop", "900"));
        }
    }
    let (code, shown) = on_terminal("inspect user-events-dead-letters --profile mfa", "12345").await;
    assert!(
        code == Some(1) && shown.contains("replay: profile mfa: the code of an MFA device has six digits"),
        "{shown}"
    );
    assert_eq!(sts.take_calls().len(), 0);

    // STS accepts a code once, and this command opens two accounts.
    let redrive =
        "redrive --from user-events-dead-letters --to user-events --to-region eu-central-1 --profile mfa";
    let (_, shown) = on_terminal(redrive, "123456").await;
    assert_eq!(shown.matches("Code of ").count(), 1, "{shown}");
    assert_eq!(sts.take_actions(), ["AssumeRole"], "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_region_is_one_line_that_names_its_place() {
    let queues = Queues::start().await;
    for (arguments, variable, expected) in [
        (
            &["--region", "us east"][..],
            None,
            "replay: --region: \"us east\" is not a region name such as eu-central-1\n",
        ),
        (
            &[],
            Some("EU-CENTRAL-1"),
            "replay: AWS_REGION: \"EU-CENTRAL-1\" is not a region name such as eu-central-1\n",
        ),
    ] {
        let mut command =
            command(&queues.endpoint, &[&["inspect", "user-events-dead-letters"], arguments].concat());
        if let Some(region) = variable {
            command.env("AWS_REGION", region);
        }
        let ran = run(command).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (2, expected));
    }
}
