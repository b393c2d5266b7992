//! Credentials as the AWS CLI finds them: every kind of profile, against STS on loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::support::{Queues, command, run};

/// An STS that gives credentials to everyone, and records the actions.
struct Sts {
    address: SocketAddr,
    actions: Arc<Mutex<Vec<String>>>,
}

impl Sts {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let actions = Arc::new(Mutex::new(Vec::new()));
        let record = actions.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let record = record.clone();
                std::thread::spawn(move || answer(stream.unwrap(), &record));
            }
        });
        Self { address, actions }
    }

    /// The actions since the last call of this function.
    fn take_actions(&self) -> Vec<String> {
        std::mem::take(&mut *self.actions.lock().unwrap())
    }
}

fn answer(mut stream: TcpStream, actions: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    let action = loop {
        let count = stream.read(&mut buffer).unwrap();
        if count == 0 {
            return;
        }
        request.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        let action = body.split('&').find_map(|field| field.strip_prefix("Action="));
        break action.unwrap().to_owned();
    };
    actions.lock().unwrap().push(action.clone());
    let body = format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
         <AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>EXAMPLE</SecretAccessKey>\
         <SessionToken>EXAMPLE</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>\
         <AssumedRoleUser><AssumedRoleId>AROA:x</AssumedRoleId>\
         <Arn>arn:aws:sts::123456789012:assumed-role/ops/x</Arn></AssumedRoleUser></{action}Result></{action}Response>"
    );
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
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
";

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_profile_is_used_however_it_is_named() {
    let (queues, sts) = (Queues::start().await, Sts::start());
    let home = tempfile::tempdir().unwrap();
    let path = home.path().to_str().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    std::fs::write(home.path().join(".aws/config"), CONFIG.replace("HOME", path)).unwrap();
    std::fs::write(home.path().join("token"), "EXAMPLE").unwrap();
    let credentials = r#"{"Version": 1, "AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "EXAMPLE"}"#;
    std::fs::write(home.path().join("credentials.sh"), format!("echo '{credentials}'\n")).unwrap();
    for (profile, actions) in [
        ("keys", &[][..]),
        ("role", &["AssumeRole"]),
        ("chain", &["AssumeRole", "AssumeRole"]),
        ("environment", &["AssumeRole"]),
        ("web", &["AssumeRoleWithWebIdentity"]),
        ("process", &[]),
    ] {
        for name in ["--profile", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"] {
            let arguments = ["inspect", "user-events-dlq", "--profile", profile];
            let is_option = name == "--profile";
            let mut command = command(&queues.endpoint, &arguments[..if is_option { 4 } else { 2 }]);
            command.env("HOME", home.path()).env("AWS_ENDPOINT_URL_STS", format!("http://{}", sts.address));
            if !is_option {
                command.env(name, profile);
                // Keys in the environment take precedence over a variable with a profile.
                if profile != "environment" {
                    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
                }
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
        let mut command = command(&queues.endpoint, &[&["inspect", "user-events-dlq"], arguments].concat());
        if let Some(region) = variable {
            command.env("AWS_REGION", region);
        }
        let ran = run(command).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (2, expected));
    }
}
