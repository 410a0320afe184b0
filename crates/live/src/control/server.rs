//! Who connects, one thread each, and few of them.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::access::{Access, Peer, Rights};
use super::frame::{self, FrameError, MAX_QUESTION, MAX_REQUEST, PIECE};
use super::message::{Answer, Ended, Findings, Leave, Opening, Request, VERSION};
use super::service::Control;
use super::socket::Socket;

/// What clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Clients at a time; one more is sent away.
    pub clients: usize,
    /// Of these, those that may only ask: root always finds room.
    pub asking: usize,
    /// For a request, from the connection on.
    pub request: Duration,
    /// For each frame of an answer.
    pub answer: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            clients: 16,
            asking: 8,
            request: Duration::from_secs(5),
            answer: Duration::from_secs(5),
        }
    }
}

/// Findings in a frame.
const FINDINGS: usize = 8;

/// How long is waited for a client before it is looked whether the gate stops, in milliseconds.
const WAIT: u8 = 200;

/// Serves a socket until the gate stops.
#[derive(Debug)]
pub struct Server {
    accepting: JoinHandle<()>,
    present: Arc<Present>,
}

/// Clients that are there.
#[derive(Debug, Default)]
struct Present {
    all: AtomicUsize,
    asking: AtomicUsize,
}

/// A client's place, given back when it goes, in whatever way.
struct Place {
    present: Arc<Present>,
    asks: bool,
}

impl Place {
    fn take(present: &Arc<Present>, bounds: &Bounds, rights: Rights) -> Option<Place> {
        let asks = rights == Rights::Ask;
        // Only the accepting thread adds.
        if present.all.load(Ordering::Acquire) >= bounds.clients
            || asks && present.asking.load(Ordering::Acquire) >= bounds.asking
        {
            return None;
        }
        present.all.fetch_add(1, Ordering::AcqRel);
        present
            .asking
            .fetch_add(usize::from(asks), Ordering::AcqRel);
        Some(Place {
            present: Arc::clone(present),
            asks,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.present.all.fetch_sub(1, Ordering::AcqRel);
        self.present
            .asking
            .fetch_sub(usize::from(self.asks), Ordering::AcqRel);
    }
}

impl Server {
    /// Begins to serve.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn start(
        socket: Socket,
        control: Arc<Control>,
        access: Access,
        bounds: Bounds,
    ) -> io::Result<Self> {
        socket.listener().set_nonblocking(true)?;
        let present = Arc::new(Present::default());
        let counted = Arc::clone(&present);
        let accepting = std::thread::Builder::new()
            .name("control".into())
            .spawn(move || accept(&socket, &control, access, bounds, &counted))?;
        Ok(Server { accepting, present })
    }

    /// Clients that are there.
    pub fn clients(&self) -> usize {
        self.present.all.load(Ordering::Acquire)
    }

    /// Waits until the gate has stopped and the socket is gone.
    pub fn finish(self) {
        // Had it panicked, nobody could have asked any more: nothing else depends on it.
        let _ = self.accepting.join();
    }
}

fn accept(
    socket: &Socket,
    control: &Arc<Control>,
    access: Access,
    bounds: Bounds,
    present: &Arc<Present>,
) {
    while !control.gate().stopping() {
        let mut ready = [PollFd::new(socket.listener().as_fd(), PollFlags::POLLIN)];
        if !matches!(poll(&mut ready, PollTimeout::from(WAIT)), Ok(1..)) {
            continue;
        }
        let stream = match socket.listener().accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    tracing::warn!(%error, "a control client could not be taken in");
                    // Out of files or memory: others give them back in time.
                    std::thread::sleep(Duration::from_millis(50));
                }
                continue;
            }
        };
        let peer = match Peer::of(&stream) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::warn!(%error, "a control client whose user is not known was sent away");
                continue;
            }
        };
        let Some(rights) = access.of(&peer) else {
            tracing::warn!(
                pid = peer.pid,
                user = peer.user,
                "a control client who may nothing was sent away"
            );
            continue;
        };
        let Some(place) = Place::take(present, &bounds, rights) else {
            tracing::warn!(
                pid = peer.pid,
                user = peer.user,
                "too many control clients; one was sent away"
            );
            continue;
        };
        let control = Arc::clone(control);
        let begun = std::thread::Builder::new()
            .name("control-client".into())
            .spawn(move || {
                let after = serve(&control, &stream, &peer, rights, &bounds);
                // Whoever sees us hang up finds the place free.
                drop(place);
                match after {
                    After::Nothing => {}
                    After::Stop(leave) => {
                        control.stop(leave);
                        // The client sees the process end by its connection's end.
                        std::mem::forget(stream);
                    }
                }
            });
        if let Err(error) = begun {
            tracing::warn!(%error, "no thread for a control client");
        }
    }
}

/// One conversation, and what is to be done after it.
pub(crate) fn serve(
    control: &Arc<Control>,
    stream: &UnixStream,
    peer: &Peer,
    rights: Rights,
    bounds: &Bounds,
) -> After {
    let replies = Replies {
        stream,
        within: bounds.answer,
    };
    let ended = match stream.set_nonblocking(false) {
        Ok(()) => converse(control, &replies, rights, bounds),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(after) => {
            if let After::Stop(_) = after {
                tracing::info!(pid = peer.pid, user = peer.user, "told to stop");
            }
            after
        }
        Err(error) => {
            tracing::info!(
                pid = peer.pid,
                user = peer.user,
                %error,
                "a control client was given up"
            );
            After::Nothing
        }
    }
}

/// What is left to do when a client has its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Nothing,
    Stop(Leave),
}

fn converse(
    control: &Arc<Control>,
    replies: &Replies<'_>,
    rights: Rights,
    bounds: &Bounds,
) -> Result<After, FrameError> {
    let most = match rights {
        Rights::Ask => MAX_QUESTION,
        Rights::Change => MAX_REQUEST,
    };
    let until = Some(Instant::now() + bounds.request);
    let opening: Opening = frame::read(replies.stream, most, until)?;
    let refuse = |why: &str, ended| {
        replies.said(why)?;
        replies.send(&Answer::Done(ended))?;
        Ok(After::Nothing)
    };
    if opening.version != VERSION {
        let why = format!(
            "version {} of the control protocol is not spoken here, version {VERSION} is; palisade and what asks it \
             are to be of one release",
            opening.version
        );
        return refuse(&why, Ended::BadInput);
    }
    let request: Request = match serde_json::from_value(opening.request) {
        Ok(request) => request,
        Err(error) => return refuse(&format!("no request: {error}"), Ended::BadInput),
    };
    let (ended, after) = control.answer(request, rights, replies)?;
    replies.send(&Answer::Done(ended))?;
    Ok(after)
}

/// Where answers go. Nothing is sent while the gate's lock is held.
pub(crate) struct Replies<'a> {
    stream: &'a UnixStream,
    within: Duration,
}

impl Replies<'_> {
    pub(crate) fn send(&self, answer: &Answer) -> Result<(), FrameError> {
        frame::write(self.stream, answer, self.within)
    }

    /// A sentence for people.
    pub(crate) fn said(&self, text: impl Into<String>) -> Result<(), FrameError> {
        self.send(&Answer::Said(text.into()))
    }

    /// Findings, in as many frames as they need.
    pub(crate) fn findings(&self, mut findings: Findings) -> Result<(), FrameError> {
        let found = std::mem::take(&mut findings.found);
        for part in found.chunks(FINDINGS) {
            self.send(&Answer::Findings(Findings {
                found: part.to_vec(),
                ..findings.clone()
            }))?;
        }
        Ok(())
    }

    /// Whether the client is still there; what it sends meanwhile is passed over.
    pub(crate) fn gone(&self) -> bool {
        let mut ready = [PollFd::new(self.stream.as_fd(), PollFlags::POLLHUP)];
        matches!(poll(&mut ready, PollTimeout::ZERO), Ok(1..))
    }

    /// A text, in pieces.
    pub(crate) fn text(&self, text: &str) -> Result<(), FrameError> {
        let mut rest = text;
        while !rest.is_empty() {
            let cut = (0..=PIECE.min(rest.len()))
                .rev()
                .find(|at| rest.is_char_boundary(*at))
                .unwrap_or(rest.len());
            let (piece, after) = rest.split_at(cut);
            self.send(&Answer::Text(piece.to_string()))?;
            rest = after;
        }
        Ok(())
    }
}
