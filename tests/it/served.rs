//! `stackwright sim serve` as a process of its own, for tests of other programs against it. No test itself.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A served simulator, killed when dropped.
pub struct Served {
    process: Child,
    /// Where it listens.
    pub url: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Serves a world at a loopback address and waits until it answers.
pub fn serve(world: &Path, address: &str) -> Served {
    let mut process = Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(["sim", "serve", "--speed", "120", "--addr", address, "--world"])
        .arg(world)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let (stdout, stderr) = (process.stdout.take().expect("stdout"), process.stderr.take().expect("stderr"));
    let (send, receive) = std::sync::mpsc::channel();
    for stream in [Box::new(stdout) as Box<dyn std::io::Read + Send>, Box::new(stderr)] {
        let send = send.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                send.send(line).ok();
            }
        });
    }
    drop(send);
    let url = receive.iter().find_map(|line| {
        let at = line.find("http://127.0.0.1:")?;
        Some(line[at..].chars().take_while(|c| !c.is_whitespace() && *c != ',').collect::<String>())
    });
    Served { process, url: url.expect("the simulator says where it is") }
}
