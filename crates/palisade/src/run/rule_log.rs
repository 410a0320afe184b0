//! What rules log (LOG, NFLOG), written where the command line says, by a thread of its own.
//!
//! # Life cycle
//! [`RuleLog::open`] opens files while the process still may; [`RuleLog::start`] writes until it is dropped. Whoever judges
//! packets hands events over by the [`Drain`] and never waits.
//!
//! # Failure
//! What cannot be written (a full disk, a reader that is gone) is counted and told at most every [`TELL`], as is what the
//! rate suppressed; packets are judged all the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use palisade_capture::pcap::NgWriter;
use palisade_engine::{LogEvent, LogTarget};
use palisade_live::Gate;
use palisade_live::drain::Drain;
use palisade_live::spool::{Outlet, Taken};
use palisade_wire::{Timestamp, link::LinkType};

use super::bounded::BoundedFile;
use super::log::{JOURNAL, is_journal, journal_field, push_plain};

/// Events that wait to be written, at most.
const WAITING: usize = 4096;

/// How often it is told what was not written.
const TELL: Duration = Duration::from_secs(10);

/// Where lines of LOG go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTo {
    /// The journal where standard error is it, else standard error.
    Auto,
    /// Standard error.
    Stderr,
    /// The journal.
    Journal,
    /// The kernel's own log, where its LOG writes.
    Kmsg,
    /// A file.
    File(PathBuf),
}

impl std::str::FromStr for LogTo {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "auto" => LogTo::Auto,
            "stderr" => LogTo::Stderr,
            "journal" => LogTo::Journal,
            "kmsg" => LogTo::Kmsg,
            path => LogTo::File(path.into()),
        })
    }
}

/// What became of events.
#[derive(Clone, Debug)]
pub struct Counts {
    drain: Arc<Drain<LogEvent>>,
    written: Arc<Written>,
}

impl Counts {
    /// By a word for each end: how many came to it.
    pub fn by_end(&self) -> [(&'static str, u64); 4] {
        [
            ("written", self.written.written.load(Relaxed)),
            ("suppressed", self.drain.suppressed()),
            ("dropped", self.drain.dropped()),
            ("failed", self.written.failed.load(Relaxed)),
        ]
    }
}

/// What became of events that came to be written.
#[derive(Debug, Default)]
struct Written {
    written: AtomicU64,
    failed: AtomicU64,
}

/// The outlets, and the thread that fills them.
#[derive(Debug)]
pub struct RuleLog {
    drain: Arc<Drain<LogEvent>>,
    written: Arc<Written>,
    again: Arc<AtomicBool>,
    outlets: Option<(Outlet<LogEvent>, Outlets)>,
    thread: Option<JoinHandle<()>>,
}

impl RuleLog {
    /// Opens what is asked for: lines of LOG, packets of NFLOG, how large files grow, and events a second.
    ///
    /// # Errors
    /// A file cannot be opened, or the journal is not there.
    pub fn open(lines: &LogTo, packets: Option<&Path>, bound: u64, rate: u32) -> Result<Self> {
        let (drain, outlet) = Drain::new(rate, WAITING);
        let packets = packets.map(|path| Packets::open(path, bound));
        let outlets = Outlets {
            lines: Lines::open(lines, bound)?,
            packets: packets.transpose()?,
        };
        Ok(RuleLog {
            drain: Arc::new(drain),
            written: Arc::default(),
            again: Arc::default(),
            outlets: Some((outlet, outlets)),
            thread: None,
        })
    }

    /// Where events are handed over.
    pub fn drain(&self) -> &Arc<Drain<LogEvent>> {
        &self.drain
    }

    /// What becomes of them.
    pub fn counts(&self) -> Counts {
        Counts {
            drain: Arc::clone(&self.drain),
            written: Arc::clone(&self.written),
        }
    }

    /// Files are opened again that somebody has moved.
    pub fn open_again(&self) {
        self.again.store(true, Relaxed);
    }

    /// Writes from now on; lines of LOG go to who reads them over the control socket too.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(&mut self, gate: &Arc<Gate>) -> io::Result<()> {
        let Some((outlet, outlets)) = self.outlets.take() else {
            return Ok(());
        };
        let writer = Writer {
            drain: Arc::clone(&self.drain),
            written: Arc::clone(&self.written),
            again: Arc::clone(&self.again),
            gate: Arc::clone(gate),
            outlet,
            outlets,
            told: [0; 3],
            tell: Instant::now() + TELL,
            error: None,
        };
        let thread = std::thread::Builder::new().name("rule-log".to_owned());
        self.thread = Some(thread.spawn(move || writer.write())?);
        Ok(())
    }
}

impl Drop for RuleLog {
    /// Writes what waits; a reader who does not read is left with the rest of it.
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        let (drain, (done, written)) = (Arc::clone(&self.drain), std::sync::mpsc::channel());
        let end = move || {
            drain.end();
            // Whoever waits may have lost patience.
            let _ = done.send(thread.join());
        };
        if std::thread::Builder::new().spawn(end).is_ok() {
            let _ = written.recv_timeout(Duration::from_secs(2));
        }
    }
}

/// The thread.
struct Writer {
    drain: Arc<Drain<LogEvent>>,
    written: Arc<Written>,
    again: Arc<AtomicBool>,
    gate: Arc<Gate>,
    outlet: Outlet<LogEvent>,
    outlets: Outlets,
    /// Suppressed, dropped and failed, as told.
    told: [u64; 3],
    tell: Instant,
    error: Option<io::Error>,
}

impl Writer {
    fn write(mut self) {
        loop {
            let wait = self.tell.saturating_duration_since(Instant::now());
            match self.outlet.take(wait) {
                Taken::One(event) => {
                    if let LogTarget::Log { .. } = &event.target {
                        self.gate.feed().put(text(&event).trim_end_matches('\n'));
                    }
                    let outcome = match self.outlets.write(&event) {
                        Ok(()) => &self.written.written,
                        Err(error) => {
                            self.error = Some(error);
                            &self.written.failed
                        }
                    };
                    outcome.fetch_add(1, Relaxed);
                }
                Taken::Nothing => {}
                Taken::End => {
                    self.tell();
                    return;
                }
            }
            if self.again.swap(false, Relaxed)
                && let Err(error) = self.outlets.open_again()
            {
                tracing::error!(%error, "a log cannot be opened again; the old file is written on");
            }
            if Instant::now() >= self.tell {
                self.tell();
                self.tell = Instant::now() + TELL;
            }
        }
    }

    /// What was not written since this was told last.
    fn tell(&mut self) {
        let now = [
            self.drain.suppressed(),
            self.drain.dropped(),
            self.written.failed.load(Relaxed),
        ];
        let [suppressed, dropped, failed] = [0, 1, 2].map(|at| now[at] - self.told[at]);
        self.told = now;
        if suppressed > 0 {
            tracing::warn!(suppressed, "rules logged more than --log-rate allows");
        }
        if dropped > 0 {
            tracing::warn!(dropped, "rules logged more than could be written in time");
        }
        if failed > 0 {
            let error = self.error.take().map(|error| error.to_string());
            let error = error.unwrap_or_default();
            tracing::error!(failed, error, "what rules logged could not be written");
        }
    }
}

/// Where events go.
#[derive(Debug)]
struct Outlets {
    lines: Lines,
    packets: Option<Packets>,
}

impl Outlets {
    fn write(&mut self, event: &LogEvent) -> io::Result<()> {
        match (&event.target, &mut self.packets) {
            (LogTarget::Log { level, .. }, _) => self.lines.write(event, *level),
            (LogTarget::Nflog { .. }, Some(packets)) => packets.write(event),
            // As in the kernel, when no program listens to the group.
            (LogTarget::Nflog { .. }, None) => Ok(()),
        }
    }

    fn open_again(&mut self) -> io::Result<()> {
        if let Lines::File(file) = &mut self.lines
            && file.was_moved()
        {
            file.open_again()?;
        }
        if let Some(packets) = &mut self.packets
            && packets.file().was_moved()
        {
            packets.open_again()?;
        }
        Ok(())
    }
}

/// Lines of LOG.
#[derive(Debug)]
enum Lines {
    Stderr,
    Journal(UnixDatagram),
    Kmsg(File),
    File(BoundedFile),
}

impl Lines {
    fn open(to: &LogTo, bound: u64) -> Result<Self> {
        Ok(match to {
            LogTo::Auto if is_journal() => Lines::open(&LogTo::Journal, bound)?,
            LogTo::Auto | LogTo::Stderr => Lines::Stderr,
            LogTo::Journal => {
                let socket = UnixDatagram::unbound()?;
                let connected = socket.connect(JOURNAL);
                connected.with_context(|| format!("--log-to journal: {JOURNAL}"))?;
                Lines::Journal(socket)
            }
            LogTo::Kmsg => {
                let file = OpenOptions::new().write(true).open("/dev/kmsg");
                Lines::Kmsg(file.context("--log-to kmsg: /dev/kmsg")?)
            }
            LogTo::File(path) => {
                let file = BoundedFile::open(path, bound);
                Lines::File(file.with_context(|| format!("--log-to {}", path.display()))?)
            }
        })
    }

    fn write(&mut self, event: &LogEvent, level: u8) -> io::Result<()> {
        match self {
            Lines::Stderr => io::stderr().write_all(text(event).as_bytes()),
            Lines::File(file) => {
                let text = text(event);
                if file.is_full_for(text.len()) {
                    file.set_aside()?;
                }
                file.write_whole(text.as_bytes())
            }
            Lines::Kmsg(file) => {
                // The kernel escapes what is not printable itself.
                let line = format!("<{level}>{}\n", event.line());
                // A record is written by one call.
                file.write(line.as_bytes()).map(|_| ())
            }
            Lines::Journal(socket) => {
                let mut datagram = Vec::new();
                journal_field(&mut datagram, "PRIORITY", &level.to_string());
                journal_field(&mut datagram, "SYSLOG_IDENTIFIER", "palisade");
                journal_field(&mut datagram, "MESSAGE", &event.line());
                journal_field(&mut datagram, "PALISADE_PREFIX", &event.prefix);
                journal_field(&mut datagram, "PALISADE_INTERFACE", interface(event));
                socket.send(&datagram).map(|_| ())
            }
        }
    }
}

/// The line with the time before it: `2026-11-21T17:04:56.123456Z palisade: IN=eth0 …`.
fn text(event: &LogEvent) -> String {
    let mut text = format!("{} palisade: ", moment(event.wall));
    push_plain(&mut text, &event.line());
    text.push('\n');
    text
}

/// The interface that it came in by or, of a packet made here, leaves by.
fn interface(event: &LogEvent) -> &str {
    let interface = event.in_interface.as_ref().or(event.out_interface.as_ref());
    interface.map_or("", String::as_str)
}

/// A moment in UTC (RFC 3339), with microseconds.
fn moment(time: Timestamp) -> String {
    let seconds = time.0 / 1_000_000_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // The civil calendar in years that begin in March, so that the leap day is a year's last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let microsecond = time.0 / 1000 % 1_000_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{microsecond:06}Z")
}

/// Packets of NFLOG, as a capture.
#[derive(Debug)]
struct Packets {
    writer: NgWriter<Appended>,
    path: PathBuf,
    bound: u64,
}

/// A file that takes all of a block or nothing.
#[derive(Debug)]
struct Appended(BoundedFile);

impl Write for Appended {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_whole(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that a frame's blocks need beyond its data and comment, at most: with an interface's.
const BLOCKS: usize = 160;

impl Packets {
    fn open(path: &Path, bound: u64) -> Result<Self> {
        let file = BoundedFile::open(path, bound);
        let file = file.with_context(|| format!("--nflog-to {}", path.display()))?;
        if file.length() > 0 && palisade_capture::pcap::open(path).is_err() {
            let path = path.display();
            bail!("--nflog-to {path}: there is something else in it; another name, or remove it");
        }
        // A section more in a capture that is there.
        let writer = NgWriter::new(Appended(file), LinkType::Raw)?;
        Ok(Packets {
            writer,
            path: path.to_owned(),
            bound,
        })
    }

    /// The file.
    fn file(&mut self) -> &mut BoundedFile {
        &mut self.writer.output_mut().0
    }

    fn open_again(&mut self) -> io::Result<()> {
        let file = BoundedFile::open(&self.path, self.bound)?;
        self.writer = NgWriter::new(Appended(file), LinkType::Raw)?;
        Ok(())
    }

    fn write(&mut self, event: &LogEvent) -> io::Result<()> {
        let interface = interface(event);
        let room = event.bytes.len() + event.prefix.len() + interface.len() + BLOCKS;
        if self.file().is_full_for(room) {
            self.file().set_aside()?;
            self.open_again()?;
        }
        self.writer.write(
            event.wall,
            interface,
            &event.bytes,
            event.length,
            &event.prefix,
        )
    }
}

#[cfg(test)]
mod tests;
