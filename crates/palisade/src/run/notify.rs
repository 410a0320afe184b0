//! What a service manager is told (sd_notify(3)), and what it wants to be told regularly.

use std::env;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, send};
use nix::time::{ClockId, clock_gettime};

/// How long a manager is waited for that has not read what it was told.
const PATIENCE: Duration = Duration::from_secs(1);

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// The one that the environment names.
    pub fn of_environment() -> Self {
        let socket = env::var("NOTIFY_SOCKET").ok();
        let watchdog = env::var("WATCHDOG_USEC").ok();
        let pid = env::var("WATCHDOG_PID").ok();
        let ours = pid.is_none_or(|pid| pid == std::process::id().to_string());
        Manager::new(socket.as_deref(), watchdog.as_deref().filter(|_| ours))
    }

    fn new(socket: Option<&str>, watchdog: Option<&str>) -> Self {
        let socket = socket.filter(|name| !name.is_empty()).and_then(|name| {
            let connected = connect(name);
            if let Err(error) = &connected {
                tracing::warn!(%error, socket = name, "the service manager is not told anything");
            }
            connected.ok()
        });
        let microseconds = watchdog.and_then(|text| text.parse().ok());
        Manager {
            watchdog: microseconds
                .map(Duration::from_micros)
                .filter(|w| !w.is_zero()),
            socket,
        }
    }

    /// How often it wants to hear that all is well, at least: half of what it waits for.
    pub fn watchdog(&self) -> Option<Duration> {
        self.socket.as_ref()?;
        self.watchdog.map(|after| after / 2)
    }

    /// Packets are judged.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// All is well.
    pub fn alive(&self) {
        self.mention("WATCHDOG=1");
    }

    /// Rules are read again; [`ready`](Self::ready) says that this is over.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        let now = now.unwrap_or_default().as_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    /// It ends.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// A line for people.
    pub fn status(&self, line: &str) {
        self.mention(&format!("STATUS={}", line.replace('\n', " ")));
    }

    /// What it has to know. A manager that does not listen is waited for, for [`PATIENCE`].
    fn tell(&self, text: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(text.as_bytes());
        }
    }

    /// What is said again soon: a manager that does not listen is not waited for.
    fn mention(&self, text: &str) {
        if let Some(socket) = &self.socket {
            let _ = send(socket.as_raw_fd(), text.as_bytes(), MsgFlags::MSG_DONTWAIT);
        }
    }
}

/// A path, or a name in the abstract namespace after `@`.
fn connect(name: &str) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    match name.strip_prefix('@') {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(name)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        let manager = Manager::new(path.to_str(), Some("10000000"));
        assert_eq!(manager.watchdog(), Some(Duration::from_secs(5)));
        manager.ready();
        manager.status("two\nlines");
        manager.reloading();
        let next = || {
            let mut text = [0; 256];
            let length = heard.recv(&mut text).unwrap();
            String::from_utf8(text[..length].to_vec()).unwrap()
        };
        assert_eq!(next(), "READY=1");
        assert_eq!(next(), "STATUS=two lines");
        let reloading = next();
        let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(since.unwrap().parse::<u64>().unwrap() > 0);
    }

    #[test]
    fn a_name_without_a_path_is_understood() {
        let name = format!("palisade-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let heard = UnixDatagram::bind_addr(&address).unwrap();
        let manager = Manager::new(Some(&format!("@{name}")), None);
        assert_eq!(manager.watchdog(), None);
        manager.stopping();
        let mut text = [0; 32];
        let length = heard.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"STOPPING=1");
    }

    #[test]
    fn a_manager_that_does_not_listen_holds_up_nothing_but_what_it_must_know() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        let manager = Manager::new(path.to_str(), None);
        // More than its queue takes.
        for _ in 0..2000 {
            manager.alive();
        }
        let mut text = [0; 32];
        let told = std::thread::spawn(move || manager.stopping());
        loop {
            let length = heard.recv(&mut text).unwrap();
            if &text[..length] == b"STOPPING=1" {
                break;
            }
        }
        told.join().unwrap();
    }

    #[test]
    fn without_a_manager_nothing_is_wanted() {
        let manager = Manager::new(None, Some("10000000"));
        assert_eq!(manager.watchdog(), None);
        manager.ready();
    }
}
