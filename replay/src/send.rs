//! Sending a file that `replay save` wrote, perhaps edited in between. All of it is checked before anything is sent, and a
//! checkpoint beside it tells what was sent, so that it can be cut off anywhere and run again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::Client;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shared::events::{Event, unique_id};
use shared::queues::{MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, Message, Queue};
use shared::telemetry::chain;
use shared::time::Clock;

use crate::inspect::event_type;
use crate::messages::{NOT_AN_EVENT, QueuedMessage};
use crate::queues::{QueueDescription, with_advice};
use crate::save::MAX_LINE_BYTES;
use crate::stop::{Pacer, Stop};

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
    /// Of the whole file, in hexadecimal.
    sha256: String,
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
    let mut checked = Checked::default();
    let mut hash = Sha256::new();
    let now = clock.now();
    for_each_line(path, |number, line| {
        hash.update(line);
        match message(line, rules) {
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
                let name = json.get("type").and_then(|name| name.as_str()).map_or(NOT_AN_EVENT, event_type);
                *checked.by_type.entry(name.to_owned()).or_default() += 1;
                checked.messages += 1;
            }
            Err(reason) => checked.invalid.push((number, reason)),
        }
        Ok(())
    })?;
    checked.sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
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

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path)?;
    // It is read twice.
    if !file.metadata()?.is_file() {
        bail!("is no file");
    }
    Ok(BufReader::new(file))
}

fn for_each_line(path: &Path, mut work: impl FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
    let mut lines = Lines { reader: open(path)?, number: 0 };
    while let Some((number, line)) = lines.next()? {
        work(number, &line)?;
    }
    Ok(())
}

/// The lines of a file, from 1 on, with their ends.
struct Lines {
    reader: BufReader<File>,
    number: usize,
}

impl Lines {
    fn next(&mut self) -> Result<Option<(usize, Vec<u8>)>> {
        let mut line = Vec::new();
        let read = self.reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        self.number += 1;
        if read as u64 == MAX_LINE_BYTES {
            bail!("line {}: more than 16 MiB: is it a file of replay save?", self.number);
        }
        Ok((read > 0).then_some((self.number, line)))
    }
}

/// What was sent of a file to a queue, in a file beside it. Written line by line: what is begun before it is sent, what was
/// accepted after it.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    header: Header,
    /// By line.
    states: Vec<State>,
    file: Option<File>,
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
    /// Of the file's contents: lines are counted, so it must not have changed.
    sha256: String,
    queue: String,
    /// For deduplication ids: the same after an interruption.
    run: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Entry {
    Begun(Vec<usize>),
    Accepted(Vec<usize>),
    /// For certain: they are as new.
    Refused(Vec<usize>),
}

impl Checkpoint {
    /// The checkpoint of a file; of none yet, one that is written when the first message is sent. Refuses one of another
    /// file, or for another queue.
    pub fn open(path: &Path, checked: &Checked, queue: &QueueDescription, clock: &Clock) -> Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".checkpoint");
        let path = PathBuf::from(name);
        let header =
            Header { sha256: checked.sha256.clone(), queue: queue.arn.clone(), run: unique_id(clock.now()) };
        let mut checkpoint = Self { path, header, states: Vec::new(), file: None };
        if checkpoint.path.exists() {
            let name = checkpoint.path.display().to_string();
            checkpoint.read().with_context(|| name)?;
        }
        Ok(checkpoint)
    }

    fn read(&mut self) -> Result<()> {
        const NONE: &str = "is no checkpoint of replay send; remove it, or give the file another name";
        let mut whole = 0;
        let mut lines = open(&self.path)?;
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            if !line.ends_with('\n') {
                // Cut off: it is not known whether that was done.
                break;
            }
            if whole == 0 {
                let header: Header = serde_json::from_str(&line).ok().context(NONE)?;
                if header.sha256 != self.header.sha256 {
                    bail!(
                        "the file has changed since some of its lines were sent; remove the checkpoint to send the \
                         whole file"
                    );
                }
                if header.queue != self.header.queue {
                    bail!(
                        "the file was sent to {}; remove the checkpoint to send it to another queue",
                        header.queue
                    );
                }
                self.header = header;
            } else {
                match serde_json::from_str(&line).ok().context(NONE)? {
                    Entry::Begun(lines) => self.set(&lines, State::InDoubt),
                    Entry::Accepted(lines) => self.set(&lines, State::Accepted),
                    Entry::Refused(lines) => self.set(&lines, State::New),
                }
            }
            whole += line.len() as u64;
            line.clear();
        }
        let file = OpenOptions::new().append(true).open(&self.path)?;
        file.set_len(whole)?;
        self.file = (whole > 0).then_some(file);
        Ok(())
    }

    fn set(&mut self, lines: &[usize], state: State) {
        for line in lines {
            if *line >= self.states.len() {
                self.states.resize(line + 1, State::New);
            }
            if let Some(known) = self.states.get_mut(*line) {
                *known = state;
            }
        }
    }

    fn count(&self, state: State) -> usize {
        self.states.iter().filter(|known| **known == state).count()
    }

    /// Messages that SQS accepted before.
    pub fn accepted(&self) -> usize {
        self.count(State::Accepted)
    }

    /// Messages of which it is not known: they are sent again.
    pub fn in_doubt(&self) -> usize {
        self.count(State::InDoubt)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn is_accepted(&self, line: usize) -> bool {
        self.states.get(line) == Some(&State::Accepted)
    }

    fn write(&mut self, entry: &Entry) -> Result<()> {
        let result = self.try_write(entry);
        result.with_context(|| self.path.display().to_string())
    }

    fn try_write(&mut self, entry: &Entry) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&self.path)?;
                file.write_all(format!("{}\n", serde_json::to_string(&self.header)?).as_bytes())?;
                self.file.insert(file)
            }
        };
        file.write_all(format!("{}\n", serde_json::to_string(entry)?).as_bytes())?;
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

/// Sends what was not sent yet.
pub async fn send(
    (sqs, queue): (&Client, &QueueDescription),
    path: &Path,
    checkpoint: Checkpoint,
    rate: Option<u32>,
    stop: &Stop,
    progress: &dyn Fn(usize),
) -> Delivery {
    let batches = match open(path) {
        Ok(reader) => Batches {
            lines: Lines { reader, number: 0 },
            next: None,
            most: match (queue.is_fifo, rate) {
                (true, _) => 1,
                (false, Some(rate)) => {
                    usize::try_from(rate).unwrap_or(usize::MAX).clamp(1, MAX_BATCH_ENTRIES)
                }
                (false, None) => MAX_BATCH_ENTRIES,
            },
            is_fifo: queue.is_fifo,
        },
        Err(error) => return Delivery { error: Some(error), ..Delivery::default() },
    };
    let run = Run {
        target: Queue::new(sqs.clone(), &queue.url),
        is_fifo: queue.is_fifo,
        pacer: Pacer::new(rate),
        checkpoint: checkpoint.into(),
        outcome: RefCell::default(),
    };
    let is_over = || stop.is_asked() || run.outcome.borrow().error.is_some();
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
    /// Did not fit any more.
    next: Option<(usize, Message)>,
    most: usize,
    is_fifo: bool,
}

impl Batches {
    fn next(&mut self, checkpoint: &Checkpoint) -> Result<Option<Vec<(usize, Message)>>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < self.most {
            let Some((line, message)) = self.next_message(checkpoint)? else { break };
            bytes += message.bytes();
            if !batch.is_empty() && bytes > MAX_BATCH_BYTES {
                self.next = Some((line, message));
                break;
            }
            batch.push((line, message));
        }
        Ok((!batch.is_empty()).then_some(batch))
    }

    fn next_message(&mut self, checkpoint: &Checkpoint) -> Result<Option<(usize, Message)>> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        while let Some((number, line)) = self.lines.next()? {
            if checkpoint.is_accepted(number) {
                continue;
            }
            let read = QueuedMessage::from_line(&line).map_err(anyhow::Error::msg);
            if let Some(message) = read.with_context(|| format!("line {number}"))? {
                let deduplication_id = self.is_fifo.then(|| format!("{}-{number}", checkpoint.header.run));
                return Ok(Some((number, message.to_send(deduplication_id)?)));
            }
        }
        Ok(None)
    }
}

struct Run {
    target: Queue,
    is_fifo: bool,
    pacer: Pacer,
    checkpoint: RefCell<Checkpoint>,
    outcome: RefCell<Delivery>,
}

impl Run {
    /// Sends one batch, by the numbers of its lines.
    async fn send(&self, batch: Vec<(usize, Message)>) -> Result<()> {
        let lines: Vec<usize> = batch.iter().map(|(line, _)| *line).collect();
        // Where this cannot be written, nothing is sent.
        self.checkpoint.borrow_mut().write(&Entry::Begun(lines.clone()))?;
        let sent = match self.target.try_send(batch).await {
            Ok(sent) => sent,
            Err(error) => {
                if error.is_refused() {
                    // SQS has answered, and taken nothing.
                    self.checkpoint.borrow_mut().write(&Entry::Refused(lines))?;
                } else {
                    self.outcome.borrow_mut().in_doubt += lines.len();
                }
                bail!("{}", with_advice(&chain(&error)));
            }
        };
        let mut outcome = self.outcome.borrow_mut();
        outcome.sent += sent.accepted.len();
        for code in sent.refused.values() {
            *outcome.refused.entry(code.clone()).or_default() += 1;
        }
        let refused: Vec<usize> = sent.refused.into_keys().collect();
        let mut checkpoint = self.checkpoint.borrow_mut();
        checkpoint.write(&Entry::Accepted(sent.accepted))?;
        if !refused.is_empty() {
            checkpoint.write(&Entry::Refused(refused))?;
            if self.is_fifo {
                bail!("SQS refused a message, and what follows must not overtake it");
            }
        }
        Ok(())
    }
}
