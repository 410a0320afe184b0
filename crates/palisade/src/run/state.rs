//! The file of `--state`: connections over a restart.
//!
//! # Life cycle
//! Read once before packets come, and written every `--state-every` and at the end. A new file takes the place of the old one
//! when all of it is on the disk, so that there is a good one at any moment.
//!
//! # Trust
//! The file is for nobody else to read or write (mode 0600): who can change it can have connections of their own known. One that
//! others may write, or that is damaged, is refused as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use thiserror::Error;

/// What the file begins with: name and version of the envelope.
const MAGIC: [u8; 8] = *b"PALSTAT1";

/// Magic, length and checksum.
const HEADER: usize = 20;

/// Bytes of a file that is read, at most: 16 million connections.
const LARGEST: u64 = 4 << 30;

/// Why a file is not taken.
#[derive(Debug, Error)]
pub enum StateError {
    /// The kernel's.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Others can change it.
    #[error("others may write it (mode {mode:o}, owner {owner}): chmod 600 it, or remove it")]
    Open {
        /// Its mode.
        mode: u32,
        /// Whose it is.
        owner: u32,
    },
    /// It is no such file, or damaged.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

/// The file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// What became of snapshots.
    pub counts: Counts,
}

/// What became of snapshots.
#[derive(Debug, Default)]
pub struct Counts {
    /// They are on the disk.
    pub written: AtomicU64,
    /// They are not.
    pub failed: AtomicU64,
    /// When the last one was written, in seconds since the Unix epoch.
    pub last: AtomicU64,
    /// Bytes of the last one.
    pub bytes: AtomicU64,
}

impl Store {
    /// A file that may be there.
    pub fn new(path: &Path) -> Self {
        Store {
            path: path.to_owned(),
            counts: Counts::default(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was written last; `None` where there is no file.
    ///
    /// # Errors
    /// [`StateError`]: the file is not to be used.
    pub fn read(&self) -> Result<Option<Vec<u8>>, StateError> {
        let file = OpenOptions::new()
            .read(true)
            // A name that leads elsewhere, or to a pipe that nobody writes, is not ours.
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(&self.path);
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(StateError::Damaged("it is no file"));
        }
        let (mode, owner) = (metadata.permissions().mode() & 0o7777, metadata.uid());
        let ours = owner == 0 || owner == nix::unistd::geteuid().as_raw();
        if mode & 0o022 != 0 || !ours {
            return Err(StateError::Open { mode, owner });
        }
        if metadata.len() > LARGEST {
            return Err(StateError::Damaged("it is larger than any state"));
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes)?;
        opened(bytes).map(Some)
    }

    /// Has these bytes read the next time.
    ///
    /// # Errors
    /// They are not on the disk; what was there is there still.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let written = self.replace(bytes);
        match &written {
            Ok(()) => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                self.counts
                    .last
                    .store(now.unwrap_or_default().as_secs(), Relaxed);
                self.counts.bytes.store(bytes.len() as u64, Relaxed);
                self.counts.written.fetch_add(1, Relaxed)
            }
            Err(_) => self.counts.failed.fetch_add(1, Relaxed),
        };
        written
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        // One that was left behind is not written into: its owner and mode are not known.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let done = options.open(&beside).and_then(|mut file| {
            file.write_all(&MAGIC)?;
            file.write_all(&(bytes.len() as u64).to_le_bytes())?;
            file.write_all(&checksum(bytes).to_le_bytes())?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, &self.path)
        });
        if done.is_err() {
            // Its room may be what the next one needs.
            let _ = fs::remove_file(&beside);
            return done;
        }
        let directory = self.path.parent().filter(|d| !d.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// What is in an envelope.
fn opened(mut bytes: Vec<u8>) -> Result<Vec<u8>, StateError> {
    let header = bytes.first_chunk::<HEADER>();
    let header = header.ok_or(StateError::Damaged("it is too short"))?;
    if header[..8] != MAGIC {
        return Err(StateError::Damaged("it does not begin as a state does"));
    }
    let (length, sum) = header[8..].split_at(8);
    let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
    let sum = u32::from_le_bytes(sum.try_into().unwrap_or_default());
    if (bytes.len() - HEADER) as u64 != length {
        return Err(StateError::Damaged("it has another length than it says"));
    }
    bytes.drain(..HEADER);
    if checksum(&bytes) != sum {
        return Err(StateError::Damaged("its checksum is another one"));
    }
    Ok(bytes)
}

/// CRC-32 as in gzip.
fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_others_cannot() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(&directory.path().join("state"));
        assert!(store.read().unwrap().is_none());
        for bytes in [&b"first"[..], b"", b"third and last"] {
            store.write(bytes).unwrap();
            assert_eq!(store.read().unwrap().unwrap(), bytes);
        }
        let mode = fs::metadata(store.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_eq!(store.counts.written.load(Relaxed), 3);
        fs::set_permissions(store.path(), fs::Permissions::from_mode(0o620)).unwrap();
        assert!(matches!(
            store.read(),
            Err(StateError::Open { mode: 0o620, .. })
        ));
    }

    #[test]
    fn no_changed_byte_and_no_missing_one_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(&directory.path().join("state"));
        store.write(b"connections").unwrap();
        let good = fs::read(store.path()).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(store.path(), &bad).unwrap();
            assert!(matches!(store.read(), Err(StateError::Damaged(_))), "{at}");
            fs::write(store.path(), &good[..at]).unwrap();
            assert!(matches!(store.read(), Err(StateError::Damaged(_))), "{at}");
        }
        fs::write(store.path(), &good).unwrap();
        assert!(store.read().unwrap().is_some());
    }

    #[test]
    fn one_that_cannot_be_written_leaves_the_last() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(&directory.path().join("state"));
        store.write(b"good").unwrap();
        // A directory where the new file should be.
        fs::create_dir_all(directory.path().join("state.new/x")).unwrap();
        assert!(store.write(b"better").is_err());
        assert_eq!(store.read().unwrap().unwrap(), b"good");
        assert_eq!(store.counts.failed.load(Relaxed), 1);
        let elsewhere = Store::new(Path::new("/dev/full"));
        assert!(matches!(elsewhere.read(), Err(StateError::Damaged(_))));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let real = Store::new(&directory.path().join("real"));
        real.write(b"x").unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(real.path(), &link).unwrap();
        assert!(matches!(Store::new(&link).read(), Err(StateError::Io(_))));
    }
}
