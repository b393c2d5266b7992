//! Sending a file that `replay save` wrote, perhaps edited in between. All of it is checked before anything is sent, and a
//! checkpoint beside it tells what was sent, so that it can be cut off anywhere and run again.

pub mod command;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::Client;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::events::{Event, unique_id};
use shared::queues::{MAX_BATCH_BYTES, Message, Queue};
use shared::telemetry::chain;
use shared::time::Clock;

use crate::error::InvalidInput;
use crate::queue::redact as mask;
use crate::queue::message::{NOT_AN_EVENT, QueuedMessage};
use crate::queue::description::{QueueDescription, with_advice};
use crate::queue::redrive::send_patiently;
use crate::queue::save::{Lines, lock};
use crate::interrupt::StopSignal;
use crate::rate::{RateLimiter, entries_at};

/// Batches under way at once. A FIFO queue gets one message at a time, so that a refused one is not overtaken.
const LANES: usize = 8;

/// What stands in a file.
#[derive(Debug, Default)]
pub struct Checked {
    /// Messages.
    pub messages: usize,
    /// By event type.
    pub by_type: BTreeMap<String, usize>,
    /// Lines that cannot be sent, and why.
    pub invalid: Vec<(usize, String)>,
    /// Of each message.
    keys: Vec<Key>,
    /// The file that was checked: the same is sent.
    file: Option<File>,
}

/// What may be in a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Whether bodies may be anything. Otherwise they are events that user-stats takes now: as events/schema/event.json
    /// says, and not older than 30 days.
    pub any_body: bool,
    /// Whether the queue is a FIFO queue, which wants a group for each message.
    pub is_fifo: bool,
}

/// Reads a whole file, and sends nothing.
pub fn check(path: &Path, rules: Rules, clock: &Clock) -> Result<Checked> {
    let file = File::open(path)?;
    // It is read twice.
    if !file.metadata()?.is_file() {
        return InvalidInput::err("is no file");
    }
    let mut checked = Checked::default();
    let mut keys = Keys::default();
    let now = clock.now();
    let mut lines = Lines::new(file.try_clone()?);
    while let Some((number, line)) = lines.next()? {
        match message(&line, rules) {
            Ok(None) => {}
            Ok(Some(message)) => {
                let event = if rules.any_body { None } else { Some(Event::parse(&message.body)) };
                let refused = match &event {
                    Some(Ok(event)) => event.check_time(now).err().map(|error| error.to_string()),
                    Some(Err(error)) => Some(error.to_string()),
                    None => None,
                };
                if let Some(reason) = refused {
                    checked.invalid.push((number, format!("body: {reason}")));
                }
                let json = message.json();
                let name = json.get("type").and_then(|name| name.as_str()).map_or(NOT_AN_EVENT, mask::word);
                *checked.by_type.entry(name.to_owned()).or_default() += 1;
                checked.messages += 1;
                checked.keys.push(keys.of(&message));
            }
            Err(reason) => checked.invalid.push((number, reason)),
        }
    }
    checked.file = Some(file);
    Ok(checked)
}

/// The message of a line, where it can be sent.
fn message(line: &[u8], rules: Rules) -> Result<Option<QueuedMessage>, String> {
    let Some(message) = QueuedMessage::from_line(line)? else { return Ok(None) };
    message.to_send(None).map_err(|reason| reason.to_string())?;
    if rules.is_fifo && message.group_id().is_none() {
        return Err("attributes.MessageGroupId: a FIFO queue wants one".to_owned());
    }
    Ok(Some(message))
}

/// Tells a message from all others of its file by what it says: one that was edited is another one, one that was only
/// written anew, by jq or an editor, is not. Of the SHA-256.
type Key = u128;

/// Gives keys to the messages of a file, in their order: the same one twice has two.
#[derive(Default)]
struct Keys(HashMap<Key, u32>);

impl Keys {
    fn of(&mut self, message: &QueuedMessage) -> Key {
        let body =
            serde_json::from_str::<Value>(&message.body).unwrap_or_else(|_| message.body.clone().into());
        let QueuedMessage { message_id, attributes, message_attributes, .. } = message;
        let text = json!([message_id, attributes, message_attributes, body]).to_string();
        let times = self.0.entry(key(&text, 0)).or_default();
        *times += 1;
        key(&text, *times)
    }
}

fn key(text: &str, times: u32) -> Key {
    let hash = Sha256::new().chain_update(times.to_le_bytes()).chain_update(text).finalize();
    hash.iter().take(16).fold(0, |key, byte| key << 8 | Key::from(*byte))
}

/// What was sent to a queue of the lines of a file, in a file beside it. Written as it happens: what is begun before it is
/// sent, what was accepted after it. (Not waited for until it is on the disk: where the machine itself fails, the last of it
/// may be missing.)
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    header: Header,
    states: HashMap<Key, State>,
    /// Open where something is sent.
    file: Option<File>,
    is_new: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    New,
    /// It was cut off before SQS's answer was written down.
    InDoubt,
    Accepted,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    queue: String,
    /// For deduplication ids: the same after an interruption.
    run: String,
}

/// Keys in hexadecimal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Entry {
    Begun(Vec<String>),
    Accepted(Vec<String>),
    /// For certain: they are as new.
    Refused(Vec<String>),
}

impl Checkpoint {
    /// The checkpoint of a file; an empty one where there is none. Where something `is_sent`, nobody else may use it
    /// meanwhile. Refuses one for another queue.
    pub fn open(path: &Path, queue: &QueueDescription, is_sent: bool, clock: &Clock) -> Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".checkpoint");
        let path = PathBuf::from(name);
        let header = Header { queue: queue.arn.clone(), run: unique_id(clock.now()) };
        let mut checkpoint = Self { path, header, states: HashMap::new(), file: None, is_new: true };
        let name = checkpoint.path.display().to_string();
        checkpoint.read(is_sent).with_context(|| name)?;
        Ok(checkpoint)
    }

    fn read(&mut self, is_sent: bool) -> Result<()> {
        const NONE: &str = "is no checkpoint of replay send; remove it, or give the file another name";
        let mut options = OpenOptions::new();
        let opened = options.read(true).append(is_sent).create(is_sent).open(&self.path);
        let file = match opened {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        if !file.metadata()?.is_file() {
            return InvalidInput::err(NONE);
        }
        if is_sent {
            lock(&file)?;
        }
        let mut whole = 0;
        let mut lines = Lines::new(file.try_clone()?);
        while let Some((number, line)) = lines.next()? {
            let is_whole = line.ends_with(b"\n");
            if number == 1 {
                let header = serde_json::from_slice::<Header>(&line).ok().filter(|_| is_whole);
                let Some(header) = header else { return InvalidInput::err(NONE) };
                if header.queue != self.header.queue {
                    return InvalidInput::err(format!(
                        "lines of the file were sent to {}; remove the checkpoint to send them to another queue too",
                        header.queue
                    ));
                }
                self.header = header;
                self.is_new = false;
            } else if is_whole {
                match serde_json::from_slice(&line) {
                    Ok(Entry::Begun(keys)) => self.set(&keys, State::InDoubt),
                    Ok(Entry::Accepted(keys)) => self.set(&keys, State::Accepted),
                    Ok(Entry::Refused(keys)) => self.set(&keys, State::New),
                    Err(_) => return InvalidInput::err(NONE),
                }
            } else {
                // Cut off: it is not known whether that was done.
                break;
            }
            whole += line.len() as u64;
        }
        if is_sent {
            file.set_len(whole)?;
            self.file = Some(file);
        }
        Ok(())
    }

    fn set(&mut self, keys: &[String], state: State) {
        let keys = keys.iter().filter_map(|key| Key::from_str_radix(key, 16).ok());
        self.states.extend(keys.map(|key| (key, state)));
    }

    fn count(&self, checked: &Checked, state: State) -> usize {
        checked.keys.iter().filter(|key| self.states.get(key) == Some(&state)).count()
    }

    /// Messages of a file that SQS accepted before.
    pub fn accepted(&self, checked: &Checked) -> usize {
        self.count(checked, State::Accepted)
    }

    /// Messages of which it is not known: they are sent again.
    pub fn in_doubt(&self, checked: &Checked) -> usize {
        self.count(checked, State::InDoubt)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, entry: impl FnOnce(Vec<String>) -> Entry, keys: &[Key]) -> Result<()> {
        let keys = keys.iter().map(|key| format!("{key:032x}")).collect();
        self.try_write(&entry(keys)).with_context(|| self.path.display().to_string())
    }

    fn try_write(&mut self, entry: &Entry) -> Result<()> {
        let mut lines = String::new();
        if self.is_new {
            lines += &format!("{}\n", serde_json::to_string(&self.header)?);
        }
        lines += &format!("{}\n", serde_json::to_string(entry)?);
        let mut file = self.file.as_ref().context("is not open")?;
        file.write_all(lines.as_bytes())?;
        self.is_new = false;
        Ok(())
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Messages that SQS accepted in this run.
    pub sent: usize,
    /// Messages of which SQS did not say whether it accepted them.
    pub in_doubt: usize,
    /// Messages that SQS refused, by its word for it.
    pub refused: BTreeMap<String, usize>,
    /// What ended it before its time.
    pub error: Option<anyhow::Error>,
}

/// Sends what was not sent yet, at most `max` messages.
pub async fn send(
    (sqs, queue): (&Client, &QueueDescription),
    (checked, checkpoint): (Checked, Checkpoint),
    (max, rate): (Option<usize>, Option<u32>),
    stop: &StopSignal,
    progress: &dyn Fn(usize),
) -> Delivery {
    let batches = match Batches::new(checked, queue.is_fifo, max, rate) {
        Ok(batches) => batches,
        Err(error) => return Delivery { error: Some(error), ..Delivery::default() },
    };
    let run = Run {
        target: Queue::new(sqs.clone(), &queue.url).without_retries(),
        is_fifo: queue.is_fifo,
        pacer: RateLimiter::new(rate),
        checkpoint: checkpoint.into(),
        outcome: RefCell::default(),
    };
    let is_over = || stop.is_requested() || run.outcome.borrow().error.is_some();
    let lanes = if queue.is_fifo { 1 } else { LANES };
    stream::unfold(batches, async |mut batches| {
        if is_over() {
            return None;
        }
        match batches.next(&run.checkpoint.borrow()) {
            Ok(Some(batch)) => Some((batch, batches)),
            Ok(None) => None,
            Err(error) => {
                run.outcome.borrow_mut().error.get_or_insert(error);
                None
            }
        }
    })
    .for_each_concurrent(lanes, async |batch| {
        if !is_over() && run.pacer.turn(batch.len(), stop).await && !is_over() {
            if let Err(error) = run.send(batch).await {
                run.outcome.borrow_mut().error.get_or_insert(error);
            }
            progress(run.outcome.borrow().sent);
        }
    })
    .await;
    run.outcome.into_inner()
}

/// Cuts the lines of a file that were not sent yet into batches that SQS takes.
struct Batches {
    lines: Lines,
    keys: Keys,
    /// Did not fit any more.
    next: Option<(Key, Message)>,
    most: usize,
    left: usize,
    is_fifo: bool,
}

impl Batches {
    fn new(checked: Checked, is_fifo: bool, max: Option<usize>, rate: Option<u32>) -> Result<Self> {
        let mut file = checked.file.context("the file is not open")?;
        file.seek(SeekFrom::Start(0))?;
        let most = if is_fifo { 1 } else { entries_at(rate) };
        let left = max.unwrap_or(usize::MAX);
        Ok(Self { lines: Lines::new(file), keys: Keys::default(), next: None, most, left, is_fifo })
    }

    fn next(&mut self, checkpoint: &Checkpoint) -> Result<Option<Vec<(Key, Message)>>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < self.most.min(self.left) {
            let Some((key, message)) = self.next_message(checkpoint)? else { break };
            bytes += message.bytes();
            if !batch.is_empty() && bytes > MAX_BATCH_BYTES {
                self.next = Some((key, message));
                break;
            }
            batch.push((key, message));
        }
        self.left -= batch.len();
        Ok((!batch.is_empty()).then_some(batch))
    }

    fn next_message(&mut self, checkpoint: &Checkpoint) -> Result<Option<(Key, Message)>> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        while let Some((number, line)) = self.lines.next()? {
            let read = QueuedMessage::from_line(&line).map_err(anyhow::Error::msg);
            let Some(message) = read.with_context(|| format!("line {number}"))? else { continue };
            let key = self.keys.of(&message);
            if checkpoint.states.get(&key) == Some(&State::Accepted) {
                continue;
            }
            let deduplication_id = self.is_fifo.then(|| format!("{}-{key:032x}", checkpoint.header.run));
            return Ok(Some((key, message.to_send(deduplication_id)?)));
        }
        Ok(None)
    }
}

struct Run {
    target: Queue,
    is_fifo: bool,
    pacer: RateLimiter,
    checkpoint: RefCell<Checkpoint>,
    outcome: RefCell<Delivery>,
}

impl Run {
    /// Sends one batch.
    async fn send(&self, batch: Vec<(Key, Message)>) -> Result<()> {
        let (keys, messages): (Vec<Key>, Vec<Message>) = batch.into_iter().unzip();
        // Where this cannot be written, nothing is sent.
        self.checkpoint.borrow_mut().write(Entry::Begun, &keys)?;
        let sent = match send_patiently(&self.target, messages.into_iter().enumerate().collect()).await {
            Ok(sent) => sent,
            Err(error) => {
                if error.is_refused() {
                    // SQS has answered, and taken nothing.
                    self.checkpoint.borrow_mut().write(Entry::Refused, &keys)?;
                } else {
                    self.outcome.borrow_mut().in_doubt += keys.len();
                }
                bail!("{}", with_advice(&chain(&error)));
            }
        };
        let of = |indexes: &mut dyn Iterator<Item = &usize>| -> Vec<Key> {
            indexes.filter_map(|index| keys.get(*index).copied()).collect()
        };
        let (accepted, refused) = (of(&mut sent.accepted.iter()), of(&mut sent.refused.keys()));
        let mut outcome = self.outcome.borrow_mut();
        outcome.sent += accepted.len();
        // SQS said nothing of some of them.
        outcome.in_doubt += keys.len().saturating_sub(accepted.len() + refused.len());
        for code in sent.refused.values() {
            *outcome.refused.entry(code.clone()).or_default() += 1;
        }
        let mut checkpoint = self.checkpoint.borrow_mut();
        checkpoint.write(Entry::Accepted, &accepted)?;
        if !refused.is_empty() {
            checkpoint.write(Entry::Refused, &refused)?;
            if self.is_fifo {
                bail!("SQS refused a message, and what follows must not overtake it");
            }
        }
        Ok(())
    }
}
