//! Options of kernel modules (`nf_conntrack_sip.sip_direct_media`). They are the machine's and not a
//! namespace's, so a script that sets one runs while no other script does, and sets it back.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use nix::fcntl::{Flock, FlockArg};
use palisade_capture::script::Script;

/// The file that is locked: by many scripts together, or by one that sets an option.
const LOCK: &str = "palisade-module-options.lock";

/// Options set for a script, until dropped.
pub struct Options {
    /// Values before, to be set again.
    before: Vec<(PathBuf, String)>,
    /// Held until the options are set back.
    _lock: Flock<File>,
}

impl Options {
    /// Waits until the script may run, and sets its options.
    ///
    /// # Errors
    ///
    /// When an option is unknown or refused.
    pub fn set(script: &Script) -> Result<Options> {
        let place = std::env::temp_dir().join(LOCK);
        let file = File::create(&place).with_context(|| place.display().to_string())?;
        let wanted: Vec<_> = script
            .sysctls
            .iter()
            .filter_map(|s| Some((path(&s.name)?, &s.value)))
            .collect();
        let kind = if wanted.is_empty() {
            FlockArg::LockShared
        } else {
            FlockArg::LockExclusive
        };
        let lock = Flock::lock(file, kind).map_err(|(_, e)| anyhow!("{}: {e}", place.display()))?;
        let mut options = Options {
            before: Vec::new(),
            _lock: lock,
        };
        for (path, value) in wanted {
            let shown = || path.display().to_string();
            let before = std::fs::read_to_string(&path).with_context(shown)?;
            std::fs::write(&path, value).with_context(shown)?;
            options.before.push((path, before));
        }
        Ok(options)
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        for (path, value) in self.before.iter().rev() {
            // Nobody is left who could be told.
            let _ = std::fs::write(path, value);
        }
    }
}

/// Where the kernel has an option of this name, if it is one.
pub fn path(name: &str) -> Option<PathBuf> {
    let (module, option) = name.split_once('.')?;
    (module.starts_with("nf_") && !option.contains(['.', '/'])).then(|| {
        Path::new("/sys/module")
            .join(module)
            .join("parameters")
            .join(option)
    })
}
