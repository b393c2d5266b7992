//! A deployed stack in which people sign up and sign in: the triggers and workers of this repository on an
//! AWS account in memory, a user pool that invokes them, and the model of CloudFront.
//!
//! A minute of the account takes three seconds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::result::ConnectorError;
use bytes::Bytes;
use jiff::fmt::rfc2822::DateTimePrinter;
use sandbox::aws::account::ISSUER_URL;
use sandbox::aws::user_pools::NewUser;
use sandbox::aws::{Answer, AwsBackend, SandboxAccount};
use sandbox::functions::invoke_trigger;
use sandbox::http_api::HttpApi;
use sandbox::journey::format::{Variables, variables_of};
use sandbox::mapped_workers::MappedWorkers;
use sandbox::site::Site;
use sandbox::site::page::Page;
use sandbox::tokens::TokenKey;
use sandbox::tokens::claims::{Issue, access_token, id_token};
use serde_json::{Value, json};
use shared::function_id::FunctionId;
use tests::stack_account::StackAccount;
use triggers::TriggerEvent;
use winterbaume_core::{MockRequest, MockResponse};

use super::srp_server::{Challenge, SALT};

/// The user pool of the stack.
pub const POOL: &str = "eu-central-1_EXAMPLE12";

/// What goes wrong, besides variables.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Triggers that the user pool does not call.
    pub detached: BTreeSet<FunctionId>,
    /// No worker runs.
    pub workers_stand_still: bool,
    /// The answer to each sign-up is an error, although the user exists.
    pub loses_sign_up: bool,
    /// Another person signs up with the address just before the run does.
    pub is_overtaken: bool,
    /// The answer to each CreateUserPoolClient is an error, although the client exists.
    pub loses_client: bool,
    /// Cognito refuses this call of InitiateAuth, counted from 1.
    pub refused_sign_in: usize,
    /// The process that gets SIGINT, and the operation during which it gets it.
    pub interruption: Option<(&'static str, Arc<Mutex<Option<u32>>>)>,
}

/// A user of the pool.
#[derive(Clone, Debug)]
struct User {
    sub: String,
    email: String,
    password: String,
    is_confirmed: bool,
}

/// Clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    stack: StackAccount,
    sandbox: Arc<SandboxAccount>,
    site: Site,
    client_id: String,
    variables: Variables,
    faults: Faults,
    users: Mutex<Vec<User>>,
    challenges: Mutex<HashMap<String, (User, Challenge)>>,
    sign_ins: Mutex<usize>,
    /// Names of app clients by id.
    clients: Mutex<BTreeMap<String, String>>,
}

impl fmt::Debug for World {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("World")
    }
}

/// The answer of Cognito, or its code and sentence.
type Result<T> = std::result::Result<T, (&'static str, String)>;

impl World {
    /// `variables` are those of the functions, by resource name.
    pub async fn start(
        stack: StackAccount,
        sandbox: Arc<SandboxAccount>,
        mut variables: Variables,
        faults: Faults,
    ) -> Self {
        let client_id = stack.physical_id("UserPoolClient");
        for function in FunctionId::ALL {
            let own = variables.entry(function.resource_name().to_owned()).or_default();
            own.insert("USER_POOL_ID".to_owned(), POOL.to_owned());
            own.insert("CLIENT_IDS".to_owned(), client_id.clone());
        }
        let issuer = ISSUER_URL.to_owned();
        let api = HttpApi { key: TokenKey::random().unwrap(), issuer, client_id: client_id.clone() };
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../web");
        let own = variables_of(&variables, FunctionId::ReadApi);
        let site = Site::new(api, own, Page::in_folder(page.into()), |_| ()).unwrap();
        stack.set_output("DistributionId", sandbox.distribution_id());
        // A pool without users.
        sandbox.backend().user_pools().put_users(POOL, &[]).await;
        let mut workers = MappedWorkers::start(&sandbox, &variables, 1).unwrap();
        let world = Self(Arc::new(Inner {
            stack,
            sandbox,
            site,
            client_id,
            variables,
            faults,
            users: Mutex::default(),
            challenges: Mutex::default(),
            sign_ins: Mutex::default(),
            clients: Mutex::default(),
        }));
        // A thread, because the future of the workers is not Send. It ends with the world.
        let inner = Arc::downgrade(&world.0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || {
            runtime.block_on(async {
                while let Some(inner) = inner.upgrade() {
                    inner.sandbox.time.advance(1);
                    if !inner.faults.workers_stand_still {
                        workers.run_due(&inner.sandbox).await.unwrap();
                        for items in workers.new_invalidations(&inner.sandbox) {
                            inner.site.invalidate(&items);
                        }
                    }
                    drop(inner);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        });
        world
    }

    /// Names of the app clients that a run created and did not delete.
    pub fn clients(&self) -> Vec<String> {
        self.0.clients.lock().unwrap().values().cloned().collect()
    }

    /// The subs of all accounts in the user pool.
    pub async fn accounts(&self) -> Vec<String> {
        self.0.sandbox.backend().user_pools().enabled().await.into_keys().collect()
    }

    fn find(&self, name: &str) -> Result<User> {
        let users = self.0.users.lock().unwrap();
        let user = users.iter().find(|user| user.email == name || user.sub == name).cloned();
        user.ok_or(("NotAuthorizedException", "Incorrect username or password.".to_owned()))
    }

    /// Invokes a trigger as Cognito does.
    async fn trigger(&self, function: FunctionId, name: &str, event: Value) -> Result<Value> {
        if self.0.faults.detached.contains(&function) {
            return Ok(event);
        }
        let own = variables_of(&self.0.variables, function);
        let sent = TriggerEvent::from_json(&event.to_string()).unwrap();
        let answer = invoke_trigger(&self.0.sandbox, function, &own, sent).await.unwrap();
        match answer {
            Ok(answer) => Ok(serde_json::to_value(answer).unwrap()),
            Err(error) => {
                Err(("UserLambdaValidationException", format!("{name} failed with error {}.", error.message)))
            }
        }
    }

    fn event(&self, source: &str, user: &User) -> Value {
        let status = if user.is_confirmed { "CONFIRMED" } else { "UNCONFIRMED" };
        json!({
            "version": "1", "triggerSource": source, "region": "eu-central-1", "userPoolId": POOL,
            "userName": user.sub,
            "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": self.0.client_id},
            "request": {"userAttributes": {
                "sub": user.sub, "email": user.email, "email_verified": "false", "cognito:user_status": status,
            }},
            "response": {},
        })
    }

    async fn store(&self, user: &User) {
        let attributes =
            BTreeMap::from([("sub", user.sub.as_str()), ("email", &user.email), ("email_verified", "false")]);
        let status = if user.is_confirmed { "CONFIRMED" } else { "UNCONFIRMED" };
        let new = NewUser { username: &user.sub, status, attributes };
        self.0.sandbox.backend().user_pools().put_users(POOL, &[new]).await;
    }

    async fn sign_up(&self, input: &Value) -> Result<Value> {
        let text = |name: &str| input[name].as_str().unwrap().to_owned();
        let user = User {
            sub: sandbox::tokens::random_uuid().unwrap(),
            email: text("Username"),
            password: text("Password"),
            is_confirmed: false,
        };
        if self.0.faults.is_overtaken {
            let other = User { sub: sandbox::tokens::random_uuid().unwrap(), ..user.clone() };
            self.store(&other).await;
            self.0.users.lock().unwrap().push(other);
        }
        if self.find(&user.email).is_ok() {
            return Err(("UsernameExistsException", "User already exists".to_owned()));
        }
        let mut event = self.event("PreSignUp_SignUp", &user);
        event["request"]["userAttributes"] = json!({"email": user.email});
        event["response"] =
            json!({"autoConfirmUser": false, "autoVerifyEmail": false, "autoVerifyPhone": false});
        self.trigger(FunctionId::PreSignUp, "PreSignUp", event).await?;
        self.store(&user).await;
        let sub = user.sub.clone();
        self.0.users.lock().unwrap().push(user);
        if self.0.faults.loses_sign_up {
            return Err(("InternalErrorException", "The answer is lost.".to_owned()));
        }
        Ok(json!({"UserSub": sub, "UserConfirmed": false}))
    }

    /// Cognito invokes pre-sign-up for such a user too, whose rules allow everyone by default.
    async fn create_user(&self, input: &Value) -> Result<Value> {
        let user = User {
            sub: sandbox::tokens::random_uuid().unwrap(),
            email: input["Username"].as_str().unwrap().to_owned(),
            password: input["TemporaryPassword"].as_str().unwrap().to_owned(),
            is_confirmed: false,
        };
        self.store(&user).await;
        let attributes = [("sub", &user.sub), ("email", &user.email)];
        let attributes = attributes.map(|(name, value)| json!({"Name": name, "Value": value}));
        let created = json!({
            "Username": user.sub, "UserStatus": "FORCE_CHANGE_PASSWORD", "Enabled": true, "Attributes": attributes,
        });
        self.0.users.lock().unwrap().push(user);
        Ok(json!({"User": created}))
    }

    async fn set_password(&self, input: &Value) -> Result<Value> {
        let mut user = self.find(input["Username"].as_str().unwrap())?;
        assert_eq!(input["Permanent"], true);
        user.is_confirmed = true;
        user.password = input["Password"].as_str().unwrap().to_owned();
        self.store(&user).await;
        self.0.users.lock().unwrap().retain(|other| other.sub != user.sub);
        self.0.users.lock().unwrap().push(user);
        Ok(json!({}))
    }

    async fn confirm(&self, input: &Value) -> Result<Value> {
        let mut user = self.find(input["Username"].as_str().unwrap())?;
        user.is_confirmed = true;
        self.store(&user).await;
        for stored in self.0.users.lock().unwrap().iter_mut().filter(|stored| stored.sub == user.sub) {
            stored.is_confirmed = true;
        }
        let event = self.event("PostConfirmation_ConfirmSignUp", &user);
        self.trigger(FunctionId::PostConfirmation, "PostConfirmation", event).await?;
        Ok(json!({}))
    }

    async fn initiate_auth(&self, input: &Value) -> Result<Value> {
        let count = {
            let mut count = self.0.sign_ins.lock().unwrap();
            *count += 1;
            *count
        };
        if count == self.0.faults.refused_sign_in {
            return Err(("NotAuthorizedException", "Incorrect username or password.".to_owned()));
        }
        let parameter = |name: &str| input["AuthParameters"][name].as_str().unwrap_or_default();
        if input["AuthFlow"] == "REFRESH_TOKEN_AUTH" {
            let sub = parameter("REFRESH_TOKEN").strip_prefix("refresh-").unwrap();
            let result = self.tokens(&self.find(sub)?, "TokenGeneration_RefreshTokens").await?;
            return Ok(json!({"AuthenticationResult": result, "ChallengeParameters": {}}));
        }
        let user = self.find(parameter("USERNAME"))?;
        let identity = format!("EXAMPLE12{}", user.sub);
        let challenge = Challenge::new(parameter("SRP_A"), &identity, &user.password);
        let block = aws_smithy_types::base64::encode(format!("block {count}"));
        let parameters = json!({
            "USER_ID_FOR_SRP": user.sub, "USERNAME": user.sub, "SALT": SALT, "SRP_B": challenge.public(),
            "SECRET_BLOCK": block,
        });
        self.0.challenges.lock().unwrap().insert(block, (user, challenge));
        Ok(json!({"ChallengeName": "PASSWORD_VERIFIER", "ChallengeParameters": parameters}))
    }

    async fn respond(&self, input: &Value) -> Result<Value> {
        let response = |name: &str| input["ChallengeResponses"][name].as_str().unwrap();
        let block = response("PASSWORD_CLAIM_SECRET_BLOCK");
        let (user, challenge) = self.0.challenges.lock().unwrap().remove(block).unwrap();
        let mut event = self.event("PreAuthentication_Authentication", &user);
        event["request"]["validationData"] = Value::Null;
        event["request"]["userNotFound"] = json!(false);
        self.trigger(FunctionId::PreAuthentication, "PreAuthentication", event).await?;
        let secret = aws_smithy_types::base64::decode(block).unwrap();
        let message = [b"EXAMPLE12", user.sub.as_bytes(), &secret, response("TIMESTAMP").as_bytes()].concat();
        if challenge.signature(&message) != response("PASSWORD_CLAIM_SIGNATURE") || !user.is_confirmed {
            return Err(("NotAuthorizedException", "Incorrect username or password.".to_owned()));
        }
        let mut result = self.tokens(&user, "TokenGeneration_Authentication").await?;
        result["RefreshToken"] = format!("refresh-{}", user.sub).into();
        Ok(json!({"AuthenticationResult": result, "ChallengeParameters": {}}))
    }

    async fn tokens(&self, user: &User, source: &str) -> Result<Value> {
        let mut event = self.event(source, user);
        event["version"] = "2".into();
        event["request"]["groupConfiguration"] =
            json!({"groupsToOverride": [], "iamRolesToOverride": [], "preferredRole": null});
        event["request"]["scopes"] = json!(["aws.cognito.signin.user.admin"]);
        event["response"] = json!({"claimsAndScopeOverrideDetails": null});
        let answer = self.trigger(FunctionId::PreTokenGeneration, "PreTokenGeneration", event).await?;
        let (now, api) = (self.0.sandbox.time.now(), &self.0.site.api);
        let id = sandbox::tokens::random_uuid().unwrap();
        let issue = Issue {
            issuer: &api.issuer,
            signed_in_at: now,
            now,
            validity_seconds: 3_600,
            id: &id,
            nonce: None,
        };
        Ok(json!({
            "AccessToken": api.key.sign(&access_token(&answer, &issue)),
            "IdToken": api.key.sign(&id_token(&answer, &issue)),
            "TokenType": "Bearer", "ExpiresIn": 3_600,
        }))
    }

    fn create_client(&self, input: &Value) -> Result<Value> {
        let id = sandbox::tokens::random_uuid().unwrap();
        let name = input["ClientName"].as_str().unwrap();
        self.0.clients.lock().unwrap().insert(id.clone(), name.to_owned());
        if self.0.faults.loses_client {
            return Err(("InternalErrorException", "The answer is lost.".to_owned()));
        }
        let mut client = input.clone();
        client["ClientId"] = id.into();
        Ok(json!({"UserPoolClient": client}))
    }

    /// The app clients that a run created, or `None` if those of the stack are all.
    fn list_clients(&self) -> Option<Result<Value>> {
        let clients = self.0.clients.lock().unwrap();
        let client = |(id, name)| json!({"ClientId": id, "ClientName": name, "UserPoolId": POOL});
        let listed: Vec<Value> = clients.iter().map(client).collect();
        (!listed.is_empty()).then(|| Ok(json!({"UserPoolClients": listed})))
    }

    async fn cognito(&self, operation: &str, input: &Value) -> Option<Result<Value>> {
        Some(match operation {
            "SignUp" => self.sign_up(input).await,
            "AdminConfirmSignUp" => self.confirm(input).await,
            "AdminCreateUser" => self.create_user(input).await,
            "AdminSetUserPassword" => self.set_password(input).await,
            "InitiateAuth" => self.initiate_auth(input).await,
            "RespondToAuthChallenge" => self.respond(input).await,
            "CreateUserPoolClient" => self.create_client(input),
            "ListUserPoolClients" => return self.list_clients(),
            "DeleteUserPoolClient" => {
                self.0.clients.lock().unwrap().remove(input["ClientId"].as_str().unwrap());
                Ok(json!({}))
            }
            _ => return None,
        })
    }

    /// Sends SIGINT during the first call of the operation.
    async fn interrupt(&self, operation: &str) {
        let Some((during, process)) = &self.0.faults.interruption else { return };
        if *during == operation
            && let Some(process) = process.lock().unwrap().take()
        {
            let arguments = ["-s", "INT", &process.to_string()].map(str::to_owned);
            assert!(std::process::Command::new("kill").args(arguments).status().unwrap().success());
        }
    }
}

impl AwsBackend for World {
    async fn answer(&self, request: MockRequest) -> std::result::Result<Answer, ConnectorError> {
        let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = target.and_then(|target| target.rsplit_once('.')).map(|(_, operation)| operation);
        let operation = operation.unwrap_or_default().to_owned();
        self.interrupt(&operation).await;
        let mut input: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if let Some(result) = self.cognito(&operation, &input).await {
            let response = match result {
                Ok(answer) => MockResponse::json(200, answer.to_string()),
                Err((code, message)) => {
                    let status = if code == "InternalErrorException" { 500 } else { 400 };
                    MockResponse::json(status, json!({"__type": code, "message": message}).to_string())
                }
            };
            return Ok(Answer { response, is_cut_off: false });
        }
        if operation == "SendMessage" {
            // The workers receive from the queues of the sandbox account.
            let name = input["QueueUrl"].as_str().unwrap().rsplit('/').next().unwrap();
            let name = name.strip_prefix("cognito-user-events-").unwrap();
            let queues = self.0.sandbox.queues();
            let queue = queues.iter().find(|queue| queue.name == name).unwrap();
            input["QueueUrl"] = queue.url.as_str().into();
            let request = MockRequest { body: input.to_string().into(), ..request };
            return self.0.sandbox.backend().answer(request).await;
        }
        self.0.stack.answer(request).await
    }
}

/// What a viewer sees of the same world.
#[derive(Clone, Debug)]
pub struct Viewer(pub World);

impl AwsBackend for Viewer {
    async fn answer(&self, request: MockRequest) -> std::result::Result<Answer, ConnectorError> {
        let path = request.uri.find("://").map_or(request.uri.as_str(), |start| {
            let rest = &request.uri[start + 3..];
            rest.find('/').map_or("/", |slash| &rest[slash..])
        });
        let mut asked = http::Request::builder().method(request.method.as_str()).uri(path);
        *asked.headers_mut().unwrap() = request.headers.clone();
        let asked = asked.body(Bytes::new()).unwrap();
        let answer = self.0.0.site.request(&self.0.0.sandbox, asked).await.unwrap();
        let (mut parts, body) = answer.into_parts();
        // Otherwise the server on loopback sends the machine's time.
        let now = self.0.0.sandbox.time.now();
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&now).unwrap();
        parts.headers.insert("date", date.parse().unwrap());
        let response = MockResponse { status: parts.status.as_u16(), headers: parts.headers, body };
        Ok(Answer { response, is_cut_off: false })
    }
}
