//! The socket's place in the file system.
//!
//! A lock beside the socket says whether who made it lives; the kernel lets go of it when the process dies, however it
//! dies. So a file that a dead process left is taken over, and a living process is never pushed aside.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown,
};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

/// Where it is unless somebody says otherwise.
pub const DEFAULT_PATH: &str = "/run/palisade/control.sock";

/// Why there is no socket.
#[derive(Debug, Error)]
pub enum BindError {
    /// A living process answers there.
    #[error(
        "a running palisade answers at {}; stop it (palisade stop), or take another place for this one (--control PATH)",
        .0.display()
    )]
    Living(PathBuf),
    /// Something that is no socket is there.
    #[error("{} is no socket, and is not touched; another place can be told with --control PATH", .0.display())]
    Taken(PathBuf),
    /// Others than root could put a socket of theirs in its place.
    #[error("others may write to the directory {}; control sockets are made in directories that only root and we may change", .0.display())]
    Exposed(PathBuf),
    /// The system.
    #[error("cannot make the control socket {}: {error}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// A socket that listens. Its files are removed with it.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    _lock: Flock<File>,
}

impl Socket {
    /// Makes a socket at a path; members of `group` may connect too.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(path: &Path, group: Option<u32>) -> Result<Self, BindError> {
        let failed = |error| BindError::Io {
            path: path.to_path_buf(),
            error,
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        make_folder(folder, group).map_err(failed)?;
        let about = std::fs::metadata(folder).map_err(failed)?;
        let own = nix::unistd::geteuid().as_raw();
        let sticky = about.mode() & 0o1000 != 0;
        if about.mode() & 0o002 != 0 && !sticky || ![0, own].contains(&about.uid()) {
            return Err(BindError::Exposed(folder.to_path_buf()));
        }
        let mut beside = path.as_os_str().to_os_string();
        beside.push(".lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&beside)
            .map_err(failed)?;
        let lock = match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, nix::Error::EWOULDBLOCK)) => {
                return Err(BindError::Living(path.to_path_buf()));
            }
            Err((_, error)) => return Err(failed(error.into())),
        };
        match std::fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() => {
                std::fs::remove_file(path).map_err(failed)?;
            }
            Ok(_) => return Err(BindError::Taken(path.to_path_buf())),
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Whoever connects before this is asked who they are all the same.
        let mode = if group.is_some() { 0o660 } else { 0o600 };
        std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
        if let Some(group) = group {
            chown(path, None, Some(group)).map_err(failed)?;
        }
        Ok(Socket {
            listener,
            path: path.to_path_buf(),
            _lock: lock,
        })
    }

    /// Who connects.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The lock's file stays: removed, two that start at once could each hold one of the same name.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes the directory if it is not there: everybody may look into it, or the group only.
fn make_folder(folder: &Path, group: Option<u32>) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mode = if group.is_some() { 0o750 } else { 0o755 };
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder)?;
    std::fs::set_permissions(folder, Permissions::from_mode(mode))?;
    match group {
        Some(group) => chown(folder, None, Some(group)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_ones_socket_is_taken_over_and_a_living_ones_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run/control.sock");
        let first = Socket::bind(&path, None).expect("a socket");
        let mode = |p: &Path| std::fs::metadata(p).expect("it is there").mode() & 0o777;
        assert_eq!(
            (mode(&path), mode(path.parent().expect("a folder"))),
            (0o600, 0o755)
        );
        assert!(matches!(
            Socket::bind(&path, None),
            Err(BindError::Living(_))
        ));
        // As after kill -9: the lock is gone, the file is not.
        let Socket { listener, .. } = &first;
        drop(listener.try_clone());
        drop(first);
        let left = UnixListener::bind(&path).expect("a file that is left");
        drop(left);
        assert!(path.exists());
        let second = Socket::bind(&path, None).expect("taken over");
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_is_not_touched_and_an_open_directory_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes");
        std::fs::write(&path, "mine").expect("a file");
        assert!(matches!(
            Socket::bind(&path, None),
            Err(BindError::Taken(_))
        ));
        assert_eq!(std::fs::read(&path).expect("still there"), b"mine");
        let open = folder.path().join("open");
        std::fs::create_dir(&open).expect("a folder");
        std::fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("a mode");
        let refused = Socket::bind(&open.join("control.sock"), None);
        assert!(matches!(refused, Err(BindError::Exposed(_))));
    }
}
