//! Messages on the socket: a length and so many bytes.
//!
//! ```text
//! +----------------+------------------------+
//! | length, 4 bytes| JSON, `length` bytes   |
//! | big endian     | UTF-8                  |
//! +----------------+------------------------+
//! ```
//!
//! A length beyond the bound of the side that reads ends the conversation before a byte of it is read; memory grows with
//! the bytes that come, not with what was announced. A message must be there whole by a time, however slowly its bytes come.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Bytes of an answer's frame, at most: longer texts go in several.
pub const MAX_ANSWER: usize = 1 << 20;

/// Bytes of a request, at most, of who may change rules: a ruleset has to fit.
pub const MAX_REQUEST: usize = 32 << 20;

/// Bytes of a request, at most, of who may only ask.
pub const MAX_QUESTION: usize = 64 << 10;

/// Text of an answer that goes into one frame, in bytes.
pub const PIECE: usize = 64 << 10;

/// Memory that is taken before the bytes for it are there.
const AHEAD: usize = 64 << 10;

/// Why a conversation ends.
#[derive(Debug, Error)]
pub enum FrameError {
    /// Announced longer than it may be.
    #[error("a message of {length} bytes, where {most} are the most")]
    TooLong {
        /// Announced.
        length: usize,
        /// Bound.
        most: usize,
    },
    /// Not there whole in time.
    #[error("a message was not there whole in time")]
    Late,
    /// The other side went away, before a message or within.
    #[error("the other side went away")]
    Gone,
    /// No message of the protocol.
    #[error("no message of the protocol: {0}")]
    Garbage(#[from] serde_json::Error),
    /// The socket.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock};
        match error.kind() {
            WouldBlock | TimedOut => FrameError::Late,
            UnexpectedEof | BrokenPipe | ConnectionReset => FrameError::Gone,
            _ => FrameError::Io(error),
        }
    }
}

/// What is left until a time; [`FrameError::Late`] when nothing is.
fn left(until: Instant) -> Result<Duration, FrameError> {
    let left = until.saturating_duration_since(Instant::now());
    // Zero would mean to wait for ever.
    if left.is_zero() {
        return Err(FrameError::Late);
    }
    Ok(left)
}

/// Reads into all of `part`, by a time.
fn fill(stream: &UnixStream, part: &mut [u8], until: Option<Instant>) -> Result<(), FrameError> {
    let mut at = 0;
    while at < part.len() {
        stream.set_read_timeout(until.map(left).transpose()?)?;
        match (&*stream).read(&mut part[at..]) {
            Ok(0) => return Err(FrameError::Gone),
            Ok(n) => at += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Reads a message of at most `most` bytes, whole by `until`; without it, whenever it comes.
///
/// # Errors
/// [`FrameError`]; nothing more can be read afterwards.
pub fn read<T: DeserializeOwned>(
    stream: &UnixStream,
    most: usize,
    until: Option<Instant>,
) -> Result<T, FrameError> {
    let mut head = [0; 4];
    fill(stream, &mut head, until)?;
    let length = u32::from_be_bytes(head) as usize;
    if length > most {
        return Err(FrameError::TooLong { length, most });
    }
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let at = bytes.len();
        bytes.resize(length.min(at + AHEAD), 0);
        fill(stream, &mut bytes[at..], until)?;
    }
    Ok(serde_json::from_slice(&bytes)?)
}

/// Writes a message, whole within `within`.
///
/// # Errors
/// [`FrameError`]; nothing more can be written afterwards.
pub fn write<T: Serialize>(
    stream: &UnixStream,
    message: &T,
    within: Duration,
) -> Result<(), FrameError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - 4;
    let Some(head) = u32::try_from(length).ok().filter(|_| length <= MAX_REQUEST) else {
        return Err(FrameError::TooLong {
            length,
            most: MAX_REQUEST,
        });
    };
    bytes[..4].copy_from_slice(&head.to_be_bytes());
    let until = Instant::now() + within;
    let mut at = 0;
    while at < bytes.len() {
        stream.set_write_timeout(Some(left(until)?))?;
        match (&*stream).write(&bytes[at..]) {
            Ok(0) => return Err(FrameError::Gone),
            Ok(n) => at += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::control::message::Opening;

    const SOON: Duration = Duration::from_millis(40);

    fn pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().expect("a pair of sockets")
    }

    fn soon() -> Option<Instant> {
        Some(Instant::now() + SOON)
    }

    #[test]
    fn a_message_comes_as_it_went() {
        let (a, b) = pair();
        let sent = serde_json::json!({"text": "x".repeat(100_000), "n": 7});
        std::thread::scope(|scope| {
            scope.spawn(|| write(&a, &sent, Duration::from_secs(5)).expect("it goes"));
            let until = Some(Instant::now() + Duration::from_secs(5));
            let got: Value = read(&b, MAX_ANSWER, until).expect("it comes");
            assert_eq!(got, sent);
        });
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_before_a_byte_of_it_comes() {
        for length in [MAX_QUESTION as u32 + 1, u32::MAX] {
            let (mut a, b) = pair();
            a.write_all(&length.to_be_bytes()).expect("it goes");
            let got = read::<Value>(&b, MAX_QUESTION, soon());
            assert!(matches!(got, Err(FrameError::TooLong { .. })), "{got:?}");
        }
    }

    #[test]
    fn who_dribbles_is_late_though_bytes_keep_coming() {
        let (mut a, b) = pair();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                a.write_all(&1000u32.to_be_bytes()).expect("it goes");
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = a.write_all(b" ");
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let started = Instant::now();
            let got = read::<Value>(&b, MAX_QUESTION, soon());
            assert!(matches!(got, Err(FrameError::Late)), "{got:?}");
            assert!(started.elapsed() < SOON * 20);
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    #[test]
    fn who_does_not_read_is_given_up() {
        let (a, _b) = pair();
        let text = "x".repeat(1 << 19);
        let mut last = Ok(());
        for _ in 0..20 {
            last = write(&a, &text, SOON);
            if last.is_err() {
                break;
            }
        }
        assert!(matches!(last, Err(FrameError::Late)), "{last:?}");
    }

    #[test]
    fn half_a_message_is_none() {
        let (mut a, b) = pair();
        a.write_all(&[0, 0, 0, 9, b'{']).expect("it goes");
        drop(a);
        let got = read::<Value>(&b, MAX_QUESTION, soon());
        assert!(matches!(got, Err(FrameError::Gone)), "{got:?}");
    }

    proptest! {
        /// Whatever bytes come: an error or a request, in bounded time and memory, never a panic.
        #[test]
        fn any_bytes_are_a_request_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200), framed: bool) {
            let (mut a, b) = pair();
            if framed {
                a.write_all(&(bytes.len() as u32).to_be_bytes()).expect("it goes");
            }
            a.write_all(&bytes).expect("it goes");
            drop(a);
            if let Ok(opening) = read::<Opening>(&b, MAX_QUESTION, soon()) {
                let text = serde_json::to_string(&opening).expect("it can be written");
                prop_assert!(text.contains("version"));
            }
        }

        /// A request that was written and then spoilt in one byte.
        #[test]
        fn a_spoilt_request_is_a_request_or_an_error(at in 0usize..60, byte: u8) {
            let mut text = br#"{"version":1,"request":{"stop":{"leave":"closed"}}}"#.to_vec();
            let at = at % text.len();
            text[at] = byte;
            let (mut a, b) = pair();
            a.write_all(&(text.len() as u32).to_be_bytes()).expect("it goes");
            a.write_all(&text).expect("it goes");
            drop(a);
            let got = read::<Opening>(&b, MAX_QUESTION, soon());
            prop_assert!(matches!(got, Ok(_) | Err(FrameError::Garbage(_))), "{:?}", got);
        }
    }
}
