//! The file of `--state`: connections over a restart.
//!
//! # Life cycle
//! Read once before packets come, and written every `--state-every` and at the end. A new file takes the place of the old one
//! when all of it is on the disk, so that there is a good one at any moment.
//!
//! # Locking
//! One snapshot at a time is made and written, so that an older one never takes a newer one's place. The gate's lock is held
//! while it is made, not while it is written.
//!
//! # Trust
//! The file is for nobody else to read or write (mode 0600): who can change it can have connections of their own known. One that
//! others may write, or that is damaged, is refused as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use palisade_engine::conntrack::snapshot::{Restored, SnapshotError};
use palisade_live::Gate;
use thiserror::Error;

use super::service::Service;

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
    /// It is not one of ours.
    #[error("{0}")]
    Foreign(&'static str),
    /// What is in it cannot be taken over.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// The file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    turn: Mutex<()>,
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
            turn: Mutex::default(),
            counts: Counts::default(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes over what was saved last; `None` where there is no file. Packets may have gone by since: TCP connections are
    /// taken to be out of step.
    ///
    /// # Errors
    /// [`StateError`]; the gate's table is as it was.
    pub fn restore(&self, gate: &Gate) -> Result<Option<Restored>, StateError> {
        let Some(bytes) = self.read()? else {
            return Ok(None);
        };
        let restored = gate.with(|engine, now| {
            let table = engine.conntrack_mut();
            let restored = table.restore(&bytes, now)?;
            table.out_of_step();
            Ok::<_, StateError>(restored)
        });
        restored.map(Some)
    }

    /// Saves the gate's connections.
    ///
    /// # Errors
    /// They are not on the disk; what was there is there still.
    pub fn save(&self, gate: &Gate) -> io::Result<()> {
        let turn = self.turn.lock();
        let _turn = turn.unwrap_or_else(PoisonError::into_inner);
        let bytes = gate.with(|engine, now| engine.conntrack().snapshot(now));
        self.write(&bytes)
    }

    /// What was written last; `None` where there is no file.
    ///
    /// # Errors
    /// [`StateError`]: the file is not to be used.
    fn read(&self) -> Result<Option<Vec<u8>>, StateError> {
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
            return Err(StateError::Foreign("it is no file"));
        }
        let (mode, owner) = (metadata.permissions().mode() & 0o7777, metadata.uid());
        let ours = owner == 0 || owner == nix::unistd::geteuid().as_raw();
        if mode & 0o022 != 0 || !ours {
            return Err(StateError::Open { mode, owner });
        }
        if metadata.len() > LARGEST {
            return Err(StateError::Foreign("it is larger than any state"));
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Has these bytes read the next time.
    ///
    /// # Errors
    /// They are not on the disk; what was there is there still.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
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

/// Saves the gate's connections every `every` from now on, by a thread that ends with the gate.
///
/// # Errors
/// There is no thread to be had.
pub fn keep_saving(service: &Arc<Service>, every: Duration) -> io::Result<()> {
    if every.is_zero() || service.state.is_none() {
        return Ok(());
    }
    let service = Arc::clone(service);
    let thread = std::thread::Builder::new().name("state".to_owned());
    thread.spawn(move || {
        loop {
            // Nobody waits for its end.
            std::thread::sleep(every);
            if service.gate.stopping() {
                return;
            }
            service.save();
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use palisade_engine::{Engine, Setup};
    use palisade_live::backend::Batch;
    use palisade_wire::build;

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

    fn gate() -> Gate {
        Gate::new(Engine::new(Setup::default()).unwrap())
    }

    #[test]
    fn connections_are_taken_over_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(&directory.path().join("state"));
        let before = gate();
        let ip = build::Ip::new(
            "192.0.2.1".parse().unwrap(),
            "198.51.100.1".parse().unwrap(),
        );
        let mut batch = Batch::new();
        for port in 1..=3 {
            let frame = batch.add().unwrap();
            frame.bytes.extend(build::udp(&ip, port, 53, b"?"));
        }
        before.judge(&mut batch);
        store.save(&before).unwrap();
        let after = gate();
        let restored = store.restore(&after).unwrap().unwrap();
        assert_eq!((restored.connections, restored.expectations), (3, 0));
        assert_eq!(after.with(|engine, _| engine.conntrack().len()), 3);
        let good = fs::read(store.path()).unwrap();
        for bad in [&good[..good.len() - 1], b"a letter", b""] {
            fs::write(store.path(), bad).unwrap();
            let after = gate();
            let error = store.restore(&after).unwrap_err();
            assert!(matches!(error, StateError::Snapshot(_)), "{error}");
            assert_eq!(after.with(|engine, _| engine.conntrack().len()), 0);
        }
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
        assert!(matches!(elsewhere.read(), Err(StateError::Foreign(_))));
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
