//! A page of figures for whoever collects them (Prometheus): one page over HTTP/1.1, and nothing else.
//!
//! # Bounds
//! One client at a time, [`PATIENCE`] for all of its request and for all of the answer, [`REQUEST`] bytes of request. A
//! client is answered once and its connection closed.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How long a client may take to ask, and again to read.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of a request, at most.
pub const REQUEST: usize = 8192;

/// Where the page is.
const PATH: &str = "/metrics";

/// A place that figures are asked at.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Takes the address.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).map(Listener)
    }

    /// The address taken, with its port.
    ///
    /// # Errors
    /// The kernel's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers from now on, by a thread that ends with the process. `page` is asked once for each answer.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(self, page: impl Fn() -> String + Send + 'static) -> io::Result<()> {
        let thread = std::thread::Builder::new().name("metrics".to_owned());
        thread.spawn(move || {
            loop {
                match self.0.accept() {
                    // What becomes of an answer is the client's business.
                    Ok((client, _)) => drop(answer(client, &page, PATIENCE)),
                    Err(error) => {
                        tracing::debug!(%error, "a client of the metrics was lost");
                        // Without descriptors the next one would be lost at once.
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
            }
        })?;
        Ok(())
    }
}

/// Answers one client.
fn answer(mut client: TcpStream, page: &impl Fn() -> String, patience: Duration) -> io::Result<()> {
    let request = read(&mut client, patience)?;
    let (status, allow, body) = match asked(&request) {
        Asked::Page => ("200 OK", "", page()),
        Asked::Elsewhere => ("404 Not Found", "", format!("the page is {PATH}\n")),
        Asked::Otherwise => (
            "405 Method Not Allowed",
            "Allow: GET, HEAD\r\n",
            "only GET and HEAD\n".to_owned(),
        ),
        Asked::Nothing => ("400 Bad Request", "", "no request of HTTP/1\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\n{allow}Connection: close\r\n\r\n",
        body.len()
    );
    let mut bytes = head.into_bytes();
    if !request.starts_with(b"HEAD ") {
        bytes.extend_from_slice(body.as_bytes());
    }
    write(&mut client, &bytes, patience)
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// The page.
    Page,
    /// Another page.
    Elsewhere,
    /// Something else than to read.
    Otherwise,
    /// It is no request.
    Nothing,
}

fn asked(request: &[u8]) -> Asked {
    let line = request.split(|b| *b == b'\r' || *b == b'\n').next();
    let line = line.and_then(|line| std::str::from_utf8(line).ok());
    let mut words = line.unwrap_or_default().split(' ');
    let (method, target) = (words.next(), words.next());
    let ours = words.next().is_some_and(|v| v.starts_with("HTTP/1."));
    match (method, target) {
        (Some(method), Some(target)) if ours && words.next().is_none() => {
            let path = target.split('?').next().unwrap_or_default();
            match method {
                "GET" | "HEAD" if path == PATH => Asked::Page,
                "GET" | "HEAD" => Asked::Elsewhere,
                _ => Asked::Otherwise,
            }
        }
        _ => Asked::Nothing,
    }
}

/// A request up to its empty line.
fn read(client: &mut TcpStream, patience: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + patience;
    let mut request = Vec::new();
    let mut some = [0; 1024];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        client.set_read_timeout(Some(left(deadline)?))?;
        let length = client.read(&mut some)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        request.extend_from_slice(&some[..length]);
        if request.len() > REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(request)
}

/// All bytes, if they are taken in time.
fn write(client: &mut TcpStream, mut bytes: &[u8], patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    while !bytes.is_empty() {
        client.set_write_timeout(Some(left(deadline)?))?;
        let length = client.write(bytes)?;
        bytes = &bytes[length..];
    }
    Ok(())
}

/// What is left until then.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client that sends this gets.
    fn got(sent: &[u8], patience: Duration) -> String {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = TcpStream::connect(listener.address().unwrap()).unwrap();
        client.write_all(sent).unwrap();
        let (server, _) = listener.0.accept().unwrap();
        let _ = answer(server, &|| "figures 1\n".to_owned(), patience);
        let mut text = String::new();
        // A client that was cut off may see a reset.
        let _ = client.read_to_string(&mut text);
        text
    }

    #[test]
    fn one_page_and_nothing_else() {
        // What is sent, how the answer begins, whether it has the page.
        let cases: [(&[u8], &str, bool); 8] = [
            (
                b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
                "HTTP/1.1 200 OK\r\n",
                true,
            ),
            (
                b"GET /metrics?a=b HTTP/1.0\r\n\r\n",
                "HTTP/1.1 200 OK\r\n",
                true,
            ),
            (
                b"HEAD /metrics HTTP/1.1\r\n\r\n",
                "HTTP/1.1 200 OK\r\n",
                false,
            ),
            (b"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 ", false),
            (b"POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 ", false),
            (b"GET /metrics\r\n\r\n", "HTTP/1.1 400 ", false),
            (b"\xff\xfe\r\n\r\n", "HTTP/1.1 400 ", false),
            (b"GET /metrics HTTP/1.1 x\r\n\r\n", "HTTP/1.1 400 ", false),
        ];
        for (sent, begins, page) in cases {
            let text = got(sent, PATIENCE);
            assert!(text.starts_with(begins), "{text}");
            assert_eq!(text.ends_with("\r\n\r\nfigures 1\n"), page, "{text}");
        }
    }

    #[test]
    fn who_asks_for_too_long_or_too_much_gets_nothing() {
        assert_eq!(got(b"GET /metrics HT", Duration::from_millis(20)), "");
        let large = [b"GET /metrics HTTP/1.1\r\nX: ".as_slice(), &[b'x'; REQUEST]].concat();
        assert_eq!(got(&large, PATIENCE), "");
    }

    #[test]
    fn a_page_is_served_to_one_after_another() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address().unwrap();
        listener.start(|| "figures 1\n".to_owned()).unwrap();
        for _ in 0..3 {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
            let mut text = String::new();
            client.read_to_string(&mut text).unwrap();
            assert!(text.ends_with("figures 1\n"), "{text}");
        }
    }
}
