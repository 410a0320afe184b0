//! The other end of the socket.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::frame::{self, FrameError, MAX_ANSWER};
use super::message::{Answer, Ended, Opening, Request};

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no palisade is running here: nothing answers at {} ({error})", path.display())]
    NotRunning {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The socket's file is not for this user.
    #[error("{} is not for this user: root may ask, and the group of palisade run --control-group", .0.display())]
    NotAllowed(PathBuf),
    /// It hung up before it said anything.
    #[error(
        "the palisade at {} hung up without a word: it answers root and the group of --control-group, and not \
         too many at a time; its log says why",
        .0.display()
    )]
    HungUp(PathBuf),
    /// The conversation broke.
    #[error("the conversation with the palisade at {} broke: {error}", path.display())]
    Broken {
        /// Where.
        path: PathBuf,
        /// How.
        error: FrameError,
    },
}

/// How long a request may take to be taken.
const SENDING: Duration = Duration::from_secs(10);

/// A request and its answers.
#[derive(Debug)]
pub struct Asked {
    stream: UnixStream,
    path: PathBuf,
    heard: bool,
}

/// Asks the palisade at a path.
///
/// # Errors
/// [`AskError`].
pub fn ask(path: &Path, request: &Request) -> Result<Asked, AskError> {
    let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => AskError::NotAllowed(path.to_path_buf()),
        _ => AskError::NotRunning {
            path: path.to_path_buf(),
            error,
        },
    })?;
    let mut asked = Asked {
        stream,
        path: path.to_path_buf(),
        heard: false,
    };
    let opening = Opening::new(request).map_err(|e| asked.broken(e.into()))?;
    match frame::write(&asked.stream, &opening, SENDING) {
        // A refusal may be on its way all the same.
        Ok(()) | Err(FrameError::Gone) => Ok(asked),
        Err(error) => Err(asked.broken(error)),
    }
}

impl Asked {
    fn broken(&mut self, error: FrameError) -> AskError {
        let path = self.path.clone();
        match error {
            FrameError::Gone if !self.heard => AskError::HungUp(path),
            error => AskError::Broken { path, error },
        }
    }

    /// The next part of the answer, whenever it comes.
    ///
    /// # Errors
    /// [`AskError::HungUp`] before the first part, [`AskError::Broken`] later.
    pub fn part(&mut self) -> Result<Answer, AskError> {
        match frame::read(&self.stream, MAX_ANSWER, None) {
            Ok(answer) => {
                self.heard = true;
                Ok(answer)
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    /// All parts up to the last, each handed over as it comes.
    ///
    /// # Errors
    /// As [`part`](Self::part), and what `take` returns.
    pub fn each<E: From<AskError>>(
        &mut self,
        mut take: impl FnMut(Answer) -> Result<(), E>,
    ) -> Result<Ended, E> {
        loop {
            match self.part()? {
                Answer::Done(ended) => return Ok(ended),
                answer => take(answer)?,
            }
        }
    }

    /// The connection, for who ends the conversation from outside.
    ///
    /// # Errors
    /// The system's.
    pub fn line(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// Waits until the other side has hung up; whether it did within a time.
    pub fn wait_for_end(&self, within: Duration) -> bool {
        let until = std::time::Instant::now() + within;
        let more = frame::read::<Answer>(&self.stream, MAX_ANSWER, Some(until));
        matches!(more, Err(FrameError::Gone))
    }
}
