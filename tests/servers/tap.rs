//! A proxy between outgate and its next hop that keeps what outgate writes.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

pub struct Tap {
    pub port: u16,
    written: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Tap {
    pub fn before(hop: u16) -> Self {
        Self::between(0, hop)
    }

    pub fn between(port: u16, hop: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let tap = Self { port: listener.local_addr().unwrap().port(), written: Arc::default() };
        let written = tap.written.clone();
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", hop)) else { continue };
                let place = {
                    let mut written = written.lock().unwrap();
                    written.push(Vec::new());
                    written.len() - 1
                };
                let written = written.clone();
                let keep = move |bytes: &[u8]| written.lock().unwrap()[place].extend_from_slice(bytes);
                copy(client.try_clone().unwrap(), server.try_clone().unwrap(), keep);
                copy(server, client, |_| ());
            }
        });
        tap
    }

    /// What was written on each connection.
    pub fn written(&self) -> Vec<Vec<u8>> {
        self.written.lock().unwrap().clone()
    }

    /// All of it as text.
    pub fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.written().concat()).into_owned()
    }

    /// Bare CR, bare LF and NUL in all that was written.
    pub fn strays(&self) -> usize {
        self.written().iter().map(|bytes| strays(bytes)).sum()
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, keep: impl Fn(&[u8]) + Send + 'static) {
    let _ = to.set_nodelay(true);
    thread::spawn(move || {
        let mut chunk = vec![0; 65536];
        while let Ok(count @ 1..) = from.read(&mut chunk) {
            keep(&chunk[..count]);
            if to.write_all(&chunk[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

fn strays(bytes: &[u8]) -> usize {
    let stray = |at: usize| match bytes[at] {
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || bytes[at - 1] != b'\r',
        byte => byte == 0,
    };
    (0..bytes.len()).filter(|at| stray(*at)).count()
}

#[test]
fn strays_are_counted() {
    assert_eq!(strays(b"a\r\nb\r\n"), 0);
    assert_eq!(strays(b"\na\rb\0\r\r\nc\n\r"), 6);
}
