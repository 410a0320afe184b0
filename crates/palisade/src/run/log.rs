//! What `palisade run` says of itself: events of `tracing`, written by a thread of their own.
//!
//! Nobody who says something waits: what does not fit into the queue is counted, and told when there is room again.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use clap::ValueEnum;
use palisade_live::spool::{Outlet, Spool, Taken, spool};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt};

/// Messages that wait to be written, at most.
const WAITING: usize = 1024;

/// How long the end waits for a reader of the log that does not read.
const PATIENCE: Duration = Duration::from_secs(2);

/// The journal's socket (systemd.journal native protocol).
pub const JOURNAL: &str = "/run/systemd/journal/socket";

/// How messages look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// The journal's fields where standard error is the journal, else text.
    Auto,
    /// Text, a line each.
    Human,
    /// An object a line.
    Json,
    /// The journal's fields.
    Journal,
}

/// Which messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What ends the service.
    Error,
    /// And what is not as it should be.
    Warn,
    /// And what it does.
    Info,
    /// And details.
    Debug,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
        }
    }
}

/// A message with its fields.
#[derive(Clone, Debug)]
struct Message {
    time: SystemTime,
    level: Level,
    target: &'static str,
    text: String,
    fields: Map<String, Value>,
}

/// Where messages go on: what others need to write theirs too.
#[derive(Debug)]
pub struct Log {
    spool: Spool<Message>,
    outlet: Option<(Outlet<Message>, Sink)>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Takes all messages of the process from now on; they wait until [`start`](Self::start).
    ///
    /// # Errors
    /// The journal is asked for and is not there, or messages go elsewhere already.
    pub fn new(format: LogFormat, level: LogLevel) -> Result<Self> {
        let sink = Sink::of(format)?;
        let (spool, outlet) = spool(WAITING);
        let layer = Taker(spool.clone()).with_filter(LevelFilter::from(level));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::set_global_default(subscriber)?;
        std::panic::set_hook(Box::new(|info| {
            // Who catches it says what became of it; this says where.
            let place = info.location().map(ToString::to_string);
            let words = palisade_live::worker::words(info.payload());
            tracing::error!(place = place.unwrap_or_default(), "panic: {words}");
        }));
        Ok(Log {
            spool,
            outlet: Some((outlet, sink)),
            thread: None,
        })
    }

    /// Writes from now on, in a thread of its own.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(&mut self) -> io::Result<()> {
        if let Some((outlet, mut sink)) = self.outlet.take() {
            let thread = std::thread::Builder::new().name("log".to_owned());
            self.thread = Some(thread.spawn(move || write_all(&outlet, &mut sink))?);
        }
        Ok(())
    }

    /// What becomes of messages.
    pub fn messages(&self) -> Messages {
        Messages(Some(self.spool.clone()))
    }
}

/// What became of messages.
#[derive(Clone, Debug, Default)]
pub struct Messages(Option<Spool<Message>>);

impl Messages {
    /// Those that were not written because nobody read the log.
    pub fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, Spool::dropped)
    }
}

impl Drop for Log {
    /// Writes what waits. A reader who does not read is not waited for for long.
    fn drop(&mut self) {
        if let Some((outlet, sink)) = &mut self.outlet {
            for message in outlet.rest() {
                sink.write(&message);
            }
        }
        let Some(thread) = self.thread.take() else {
            return;
        };
        let (spool, (done, written)) = (self.spool.clone(), std::sync::mpsc::channel());
        let end = move || {
            spool.end();
            // Whoever waits may have lost patience.
            let _ = done.send(thread.join());
        };
        if std::thread::Builder::new().spawn(end).is_ok() {
            let _ = written.recv_timeout(PATIENCE);
        }
    }
}

/// The writing thread.
fn write_all(outlet: &Outlet<Message>, sink: &mut Sink) {
    let mut told = 0;
    loop {
        match outlet.take(Duration::from_secs(1)) {
            Taken::One(message) => sink.write(&message),
            Taken::Nothing => {}
            Taken::End => return,
        }
        let dropped = outlet.dropped();
        if dropped > told {
            let mut fields = Map::new();
            fields.insert("messages".to_owned(), (dropped - told).into());
            sink.write(&Message {
                time: SystemTime::now(),
                level: Level::WARN,
                target: module_path!(),
                text: "messages were dropped: the log was not read fast enough".to_owned(),
                fields,
            });
            told = dropped;
        }
    }
}

/// Takes events into the queue.
struct Taker(Spool<Message>);

impl<S: Subscriber> Layer<S> for Taker {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        let mut message = Message {
            time: SystemTime::now(),
            level: *event.metadata().level(),
            target: event.metadata().target(),
            text: String::new(),
            fields: Map::new(),
        };
        event.record(&mut message);
        self.0.put(message);
    }
}

impl Message {
    fn field(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.text = format!("{value:?}");
        } else {
            self.field(field, format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.field(field, value);
    }
}

/// Where messages are written to.
#[derive(Debug)]
enum Sink {
    Text { color: bool },
    Json,
    Journal(UnixDatagram),
}

impl Sink {
    fn of(format: LogFormat) -> Result<Self> {
        Ok(match format {
            LogFormat::Auto if is_journal() => Sink::journal()?,
            LogFormat::Auto | LogFormat::Human => Sink::Text {
                color: io::stderr().is_terminal(),
            },
            LogFormat::Json => Sink::Json,
            LogFormat::Journal => Sink::journal()?,
        })
    }

    fn journal() -> Result<Self> {
        let socket = UnixDatagram::unbound()?;
        let connected = socket.connect(JOURNAL);
        connected.with_context(|| format!("the journal's socket {JOURNAL}"))?;
        Ok(Sink::Journal(socket))
    }

    /// A log that cannot be written has nobody to be told.
    fn write(&mut self, message: &Message) {
        let _ = match self {
            Sink::Text { color } => io::stderr().write_all(message.line(*color).as_bytes()),
            Sink::Json => io::stderr().write_all(message.json().as_bytes()),
            Sink::Journal(socket) => socket.send(&message.journal()).map(|_| ()),
        };
    }
}

/// Whether standard error is the journal (`$JOURNAL_STREAM`, systemd.exec(5)).
pub fn is_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else {
        return false;
    };
    let stderr = io::stderr();
    nix::sys::stat::fstat(stderr.as_fd())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

impl Message {
    /// `palisade: warning: text name=value`, with a new line.
    fn line(&self, color: bool) -> String {
        let (word, style) = match self.level {
            Level::ERROR => ("error: ", "\x1b[1;31m"),
            Level::WARN => ("warning: ", "\x1b[1;33m"),
            Level::INFO => ("", ""),
            _ => ("debug: ", "\x1b[2m"),
        };
        let mut line = if color && !word.is_empty() {
            format!("palisade: {style}{word}\x1b[0m")
        } else {
            format!("palisade: {word}")
        };
        push_plain(&mut line, &self.text);
        for (name, value) in &self.fields {
            let _ = write!(line, " {name}=");
            match value.as_str() {
                Some(text) if !text.is_empty() && !text.contains(' ') => {
                    push_plain(&mut line, text);
                }
                _ => line.push_str(&value.to_string()),
            }
        }
        line.push('\n');
        line
    }

    /// An object with a new line.
    fn json(&self) -> String {
        let since = self.time.duration_since(SystemTime::UNIX_EPOCH);
        let mut object = Map::new();
        object.insert(
            "time".to_owned(),
            since.unwrap_or_default().as_secs_f64().into(),
        );
        let level = self.level.to_string().to_lowercase();
        object.insert("level".to_owned(), level.into());
        object.insert("target".to_owned(), self.target.into());
        object.insert("message".to_owned(), self.text.as_str().into());
        object.insert("fields".to_owned(), Value::Object(self.fields.clone()));
        format!("{}\n", Value::Object(object))
    }

    /// A datagram of the journal's native protocol.
    fn journal(&self) -> Vec<u8> {
        let mut datagram = Vec::new();
        let priority = match self.level {
            Level::ERROR => "3",
            Level::WARN => "4",
            Level::INFO => "6",
            _ => "7",
        };
        let mut field = |name: &str, value: &str| journal_field(&mut datagram, name, value);
        field("PRIORITY", priority);
        field("SYSLOG_IDENTIFIER", "palisade");
        field("TARGET", self.target);
        field("MESSAGE", &self.text);
        for (name, value) in &self.fields {
            let plain = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            field(&format!("PALISADE_{}", name.to_uppercase()), &plain);
        }
        datagram
    }
}

/// A field of the journal's native protocol.
pub fn journal_field(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

/// Text of strangers (names of files, words of rules) writes no second line and no terminal's commands.
pub fn push_plain(line: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        let mut fields = Map::new();
        fields.insert("path".to_owned(), "a\nb".into());
        fields.insert("rules".to_owned(), 7.into());
        Message {
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1500),
            level: Level::WARN,
            target: "palisade::run",
            text: "not read\x1b[2J".to_owned(),
            fields,
        }
    }

    #[test]
    fn a_message_in_each_format() {
        let message = message();
        assert_eq!(
            message.line(false),
            "palisade: warning: not read\\u{1b}[2J path=a\\nb rules=7\n"
        );
        let json: Value = serde_json::from_str(&message.json()).unwrap();
        assert_eq!(json["time"], 1.5);
        assert_eq!(json["level"], "warn");
        assert_eq!(json["fields"]["path"], "a\nb");
        let journal = String::from_utf8(message.journal()).unwrap();
        assert_eq!(
            journal,
            "PRIORITY=4\nSYSLOG_IDENTIFIER=palisade\nTARGET=palisade::run\nMESSAGE=not read\x1b[2J\n\
             PALISADE_PATH\n\x03\0\0\0\0\0\0\0a\nb\nPALISADE_RULES=7\n"
        );
    }
}
