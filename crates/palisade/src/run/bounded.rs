//! A file that does not grow beyond a bound: what is full is set aside under another name, and begun anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file, and the one that was set aside: `PATH.1`. Both together hold twice the bound at most.
#[derive(Debug)]
pub struct BoundedFile {
    path: PathBuf,
    bound: u64,
    file: File,
    length: u64,
}

impl BoundedFile {
    /// Opens it, to write at its end.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path, bound: u64) -> io::Result<Self> {
        let file = append(path)?;
        let length = file.metadata()?.len();
        Ok(BoundedFile {
            path: path.to_owned(),
            bound,
            file,
            length,
        })
    }

    /// Bytes in it.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether so many bytes more would be too many.
    pub fn is_full_for(&self, bytes: usize) -> bool {
        self.length > 0 && self.length.saturating_add(bytes as u64) > self.bound
    }

    /// Sets it aside, where an older one is lost, and begins an empty one.
    ///
    /// # Errors
    /// A name cannot be changed, or no new file be made; the old one is written on then.
    pub fn set_aside(&mut self) -> io::Result<()> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".1");
        fs::rename(&self.path, aside)?;
        self.file = append(&self.path)?;
        self.length = 0;
        Ok(())
    }

    /// Whether the name stands for another file now, or for none: somebody else set it aside (logrotate).
    pub fn was_moved(&self) -> bool {
        let (here, there) = (self.file.metadata(), fs::metadata(&self.path));
        match (here, there) {
            (Ok(here), Ok(there)) => (here.dev(), here.ino()) != (there.dev(), there.ino()),
            _ => true,
        }
    }

    /// Opens what the name stands for now.
    ///
    /// # Errors
    /// It cannot be opened; the old one is written on then.
    pub fn open_again(&mut self) -> io::Result<()> {
        *self = BoundedFile::open(&self.path, self.bound)?;
        Ok(())
    }

    /// Writes all of it or, of a full disk, nothing.
    ///
    /// # Errors
    /// The kernel's.
    pub fn write_whole(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // No half of it stays. A pipe or device cannot be shortened, and needs not be.
                let _ = self.file.set_len(self.length);
                Err(error)
            }
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_set_aside_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut file = BoundedFile::open(&path, 10).unwrap();
        for line in ["aaaa\n", "bbbb\n", "cccc\n", "dddd\n", "eeee\n"] {
            if file.is_full_for(line.len()) {
                file.set_aside().unwrap();
            }
            file.write_whole(line.as_bytes()).unwrap();
        }
        let read = |name| fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(
            (read("log").as_str(), read("log.1").as_str()),
            ("eeee\n", "cccc\ndddd\n")
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
        let file = BoundedFile::open(&path, 10).unwrap();
        assert_eq!(file.length(), 5);
    }

    #[test]
    fn a_file_that_somebody_moved_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut file = BoundedFile::open(&path, 1000).unwrap();
        assert!(!file.was_moved());
        fs::rename(&path, directory.path().join("elsewhere")).unwrap();
        assert!(file.was_moved());
        file.open_again().unwrap();
        file.write_whole(b"new\n").unwrap();
        assert!(!file.was_moved());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
    }

    #[test]
    fn a_full_disk_is_an_error_and_not_a_panic() {
        let mut file = BoundedFile::open(Path::new("/dev/full"), 1 << 20).unwrap();
        let error = file.write_whole(b"line\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
