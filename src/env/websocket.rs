//! Messages over an open connection, as WebSockets frame them (RFC 6455): what goes through API servers in both
//! directions. Binary data, pings and the end; no texts as such, no extensions.
//!
//! The handshake's one computation is here, its HTTP is not.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::random::{Random as _, SystemRandom};

/// What RFC 6455 adds to a key before it is hashed.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The longest message that is taken.
const MOST: usize = 16 << 20;

const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A key for a handshake: 16 random bytes.
pub fn key() -> String {
    let mut bytes = [0; 16];
    SystemRandom.fill(&mut bytes);
    STANDARD.encode(bytes)
}

/// What a server answers to a key, as `Sec-WebSocket-Accept`.
pub fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{MAGIC}")))
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// Data.
    Data(Vec<u8>),
    /// A ping, to be answered with its bytes.
    Ping(Vec<u8>),
    /// Nothing comes any more.
    Closed,
}

/// Reads messages.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    bytes: Vec<u8>,
    /// The message so far, of which not all frames are here.
    begun: Option<Vec<u8>>,
}

/// A frame at the beginning of what was read.
struct Frame {
    last: bool,
    code: u8,
    payload: Vec<u8>,
    length: usize,
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no WebSocket frame: {what}"))
}

fn frame(bytes: &[u8]) -> io::Result<Option<Frame>> {
    let (Some(&first), Some(&second)) = (bytes.first(), bytes.get(1)) else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(malformed("an extension that was not asked for"));
    }
    let wide = |at: usize, count: usize| {
        let digits = bytes.get(at..at + count)?;
        Some(digits.iter().fold(0_u64, |sum, digit| sum << 8 | u64::from(*digit)))
    };
    let (length, mut at) = match second & 0x7f {
        126 => (wide(2, 2), 4),
        127 => (wide(2, 8), 10),
        short => (Some(u64::from(short)), 2),
    };
    let Some(length) = length else { return Ok(None) };
    let length = usize::try_from(length).ok().filter(|length| *length <= MOST).ok_or_else(|| malformed("too long"))?;
    let mask = if second & 0x80 == 0 {
        None
    } else {
        let Some(mask) = bytes.get(at..at + 4) else { return Ok(None) };
        at += 4;
        Some(mask)
    };
    let Some(payload) = bytes.get(at..at + length) else { return Ok(None) };
    let mut payload = payload.to_vec();
    if let Some(mask) = mask {
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
    }
    Ok(Some(Frame { last: first & 0x80 != 0, code: first & 0x0f, payload, length: at + length }))
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Of a connection after its handshake.
    pub fn new(source: R) -> Self {
        Reader { source, bytes: Vec::new(), begun: None }
    }

    /// The next message. Nothing is lost when the wait for it is given up.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no message.
    pub async fn next(&mut self) -> io::Result<Message> {
        loop {
            while let Some(frame) = frame(&self.bytes)? {
                self.bytes.drain(..frame.length);
                match frame.code {
                    CLOSE => return Ok(Message::Closed),
                    PING => return Ok(Message::Ping(frame.payload)),
                    PONG => {}
                    code if code <= BINARY && (code == CONTINUATION) == self.begun.is_some() => {
                        let mut message = self.begun.take().unwrap_or_default();
                        message.extend(frame.payload);
                        if message.len() > MOST {
                            return Err(malformed("a message that is too long"));
                        }
                        if frame.last {
                            return Ok(Message::Data(message));
                        }
                        self.begun = Some(message);
                    }
                    _ => return Err(malformed("frames out of order")),
                }
            }
            if self.source.read_buf(&mut self.bytes).await? == 0 {
                return Ok(Message::Closed);
            }
        }
    }
}

/// Writes messages.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    masks: bool,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Of the side that has asked for the connection, which masks what it writes.
    pub fn client(sink: W) -> Self {
        Writer { sink, masks: true }
    }

    /// Of the side that was asked.
    pub fn server(sink: W) -> Self {
        Writer { sink, masks: false }
    }

    /// Data.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn data(&mut self, payload: &[u8]) -> io::Result<()> {
        self.frame(BINARY, payload).await
    }

    /// The answer to a ping.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn pong(&mut self, payload: &[u8]) -> io::Result<()> {
        self.frame(PONG, payload).await
    }

    /// Nothing comes any more.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn close(&mut self) -> io::Result<()> {
        self.frame(CLOSE, &1000_u16.to_be_bytes()).await?;
        self.sink.shutdown().await
    }

    async fn frame(&mut self, code: u8, payload: &[u8]) -> io::Result<()> {
        let mut bytes = vec![0x80 | code];
        let masked = if self.masks { 0x80 } else { 0 };
        let length = payload.len();
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..=125), _) => bytes.push(masked | short),
            (_, Ok(medium)) => {
                bytes.push(masked | 126);
                bytes.extend(medium.to_be_bytes());
            }
            _ => {
                bytes.push(masked | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if self.masks {
            let mut mask = [0; 4];
            SystemRandom.fill(&mut mask);
            bytes.extend(mask);
            bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            bytes.extend(payload);
        }
        self.sink.write_all(&bytes).await?;
        self.sink.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_is_that_of_the_standard() {
        // RFC 6455, 1.3.
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(STANDARD.decode(key()).expect("base64").len(), 16);
    }

    #[tokio::test]
    async fn messages_of_all_lengths_arrive_in_both_directions() {
        for masks in [true, false] {
            for length in [0, 1, 125, 126, 65_535, 65_536, 200_000] {
                let (near, far) = tokio::io::duplex(1000);
                let data = (0..length).map(|at| u8::try_from(at % 251).expect("small")).collect::<Vec<_>>();
                let sent = data.clone();
                let writing = tokio::spawn(async move {
                    let mut writer = Writer { sink: near, masks };
                    writer.data(&sent).await.expect("sent");
                    writer.close().await.expect("closed");
                });
                let mut reader = Reader::new(far);
                assert_eq!(reader.next().await.expect("data"), Message::Data(data), "{length}");
                assert_eq!(reader.next().await.expect("end"), Message::Closed);
                writing.await.expect("written");
            }
        }
    }

    #[tokio::test]
    async fn messages_come_in_pieces_with_pings_between() {
        // RFC 6455, 5.7: "Hel", a ping, "lo".
        let mut reader =
            Reader::new(&b"\x02\x03Hel\x89\x05Hello\x80\x02lo\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"[..]);
        assert_eq!(reader.next().await.expect("ping"), Message::Ping(b"Hello".to_vec()));
        assert_eq!(reader.next().await.expect("data"), Message::Data(b"Hello".to_vec()));
        assert_eq!(reader.next().await.expect("masked"), Message::Data(b"Hello".to_vec()));
        assert_eq!(reader.next().await.expect("end"), Message::Closed);
        for bad in [&b"\xc2\x00"[..], b"\x00\x01a", b"\x02\x01a\x02\x01b", b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert!(Reader::new(bad).next().await.is_err(), "{bad:?}");
        }
    }
}
