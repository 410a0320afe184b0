//! What is refused, and that packets are judged meanwhile.

use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::unistd::{ForkResult, execv};
use palisade_engine::{Engine, Setup, Verdict};
use palisade_wire::build;

use super::*;
use crate::backend::memory::{self, Feed, Sent};
use crate::{Gate, Workers};

const LONG: Duration = Duration::from_secs(20);

fn passes(feed: &Feed) {
    let ip = build::Ip::new(
        "192.0.2.1".parse().unwrap(),
        "198.51.100.1".parse().unwrap(),
    );
    let bytes = build::udp(&ip, 1000, 53, b"?");
    let packet = Sent {
        bytes,
        ..Sent::default()
    };
    feed.send(packet).unwrap();
    assert_eq!(feed.receive(LONG).unwrap().verdict, Verdict::Accept);
}

#[test]
fn programs_cannot_be_started_while_packets_are_judged() {
    let directory = tempfile::tempdir().unwrap();
    let limited = std::thread::spawn(move || {
        limit(Whom::Thread).unwrap();
        // Made by a limited thread, as all are.
        let gate = Arc::new(Gate::new(Engine::new(Setup::default()).unwrap()));
        let (feed, backend) = memory::pair();
        let workers = Workers::start(&gate, vec![Box::new(backend)], |_| ()).unwrap();
        passes(&feed);

        let refused = Command::new("/bin/true").spawn().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        assert_eq!(execv(c"/bin/true", &[c"true"]), Err(Errno::EPERM));
        // SAFETY: the fork is refused; were it not, the child would end here at once.
        match unsafe { nix::unistd::fork() } {
            Err(errno) => assert_eq!(errno, Errno::EPERM),
            // SAFETY: nothing of the child's is looked after.
            Ok(ForkResult::Child) => unsafe { libc::_exit(0) },
            Ok(ForkResult::Parent { .. }) => panic!("a process was made"),
        }
        let bluetooth = socket(
            AddressFamily::Bluetooth,
            SockType::Raw,
            SockFlag::empty(),
            None,
        );
        assert_eq!(bluetooth.unwrap_err(), Errno::EPERM);
        let zero = std::ptr::null_mut();
        let executable = libc::PROT_READ | libc::PROT_EXEC;
        // SAFETY: a mapping of its own that nobody uses.
        let mapped = unsafe {
            let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(zero, 4096, executable, anonymous, -1, 0)
        };
        assert_eq!(mapped, libc::MAP_FAILED);
        assert_eq!(Errno::last(), Errno::EPERM);
        passes(&feed);

        // What the service itself does.
        let path = directory.path().join("new");
        std::fs::write(&path, "state").unwrap();
        std::fs::rename(&path, directory.path().join("state")).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        std::fs::remove_file(directory.path().join("state")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err());
        UdpSocket::bind("[::]:0").unwrap();
        UnixStream::pair().unwrap();
        let large = vec![1_u8; 1 << 24];
        assert_eq!(large.iter().map(|b| u64::from(*b)).sum::<u64>(), 1 << 24);
        passes(&feed);

        gate.stop();
        assert!(workers.join().iter().all(|(_, ended)| ended.is_ok()));
    });
    limited.join().unwrap();
}
