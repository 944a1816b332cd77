//! SPDY/3.1 as kubectl speaks it for port-forwarding, alone or within a WebSocket: streams that carry headers and bytes.
//!
//! Frames in, frames out, and no connection. Only what a server of forwarded ports needs: priorities, settings and flow
//! control are read and passed over, as in the library that kubectl uses.

use flate2::{Decompress, FlushDecompress, Status};

/// Words that the headers of every stream may refer to: the table of SPDY/3, each with its length before it.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges \
    age allow authorization cache-control connection content-base content-encoding content-language content-length \
    content-location content-md5 content-range content-type date etag expect expires from host if-match \
    if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma \
    proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie \
    keep-alive origin";
/// What follows them.
const TEXT: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 \
    Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not \
    Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov \
    Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, \
    GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,\
    publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/// The longest frame that is taken.
const MOST: usize = 4 << 20;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const FIN: u8 = 1;

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in WORDS.split_whitespace() {
        let word = word.replace('_', " ");
        bytes.extend(u32::try_from(word.len()).unwrap_or_default().to_be_bytes());
        bytes.extend(word.as_bytes());
    }
    bytes.extend(TEXT.as_bytes());
    bytes
}

/// What the other side says.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A stream begins.
    Begun {
        /// Its number.
        stream: u32,
        /// Its headers.
        headers: Vec<(String, String)>,
    },
    /// Bytes of a stream.
    Data {
        /// Which.
        stream: u32,
        /// They.
        bytes: Vec<u8>,
        /// Whether no more come.
        ends: bool,
    },
    /// A stream is given up.
    Reset(u32),
    /// Wants to be answered with the same number.
    Ping(u32),
    /// Nothing more comes at all.
    Leaving,
}

/// The server's side of a connection.
pub struct Session {
    bytes: Vec<u8>,
    inflate: Decompress,
    /// Whether headers have come, and gone, of which the first begin with those of zlib.
    read: bool,
    wrote: bool,
}

impl Default for Session {
    fn default() -> Self {
        Session { bytes: Vec::new(), inflate: Decompress::new(false), read: false, wrote: false }
    }
}

/// The connection cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("no SPDY: {0}")]
pub struct Malformed(&'static str);

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(u32::from_be_bytes)
}

fn control(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = 0x8003_u16.to_be_bytes().to_vec();
    frame.extend(kind.to_be_bytes());
    frame.extend(u32::try_from(body.len()).unwrap_or_default().to_be_bytes());
    frame.extend(body);
    frame
}

/// A frame with bytes of a stream.
pub fn data(stream: u32, bytes: &[u8], ends: bool) -> Vec<u8> {
    let mut frame = (stream & 0x7fff_ffff).to_be_bytes().to_vec();
    let length = u32::try_from(bytes.len()).unwrap_or_default() & 0x00ff_ffff;
    frame.extend((length | u32::from(if ends { FIN } else { 0 }) << 24).to_be_bytes());
    frame.extend(bytes);
    frame
}

/// The answer to a ping.
pub fn pong(id: u32) -> Vec<u8> {
    control(PING, &id.to_be_bytes())
}

impl Session {
    /// Takes what came, and says what it means.
    ///
    /// # Errors
    /// When it means nothing.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<Vec<Incoming>, Malformed> {
        self.bytes.extend(bytes);
        let mut heard = Vec::new();
        while let (Some(first), Some(second)) = (number(&self.bytes, 0), number(&self.bytes, 4)) {
            let (flags, length) = (second.to_be_bytes()[0], (second & 0x00ff_ffff) as usize);
            if length > MOST {
                return Err(Malformed("a frame that is too long"));
            }
            if self.bytes.len() < 8 + length {
                break;
            }
            let body = self.bytes[8..8 + length].to_vec();
            self.bytes.drain(..8 + length);
            if first & 0x8000_0000 == 0 {
                heard.push(Incoming::Data { stream: first, bytes: body, ends: flags & FIN != 0 });
                continue;
            }
            let kind = first.to_be_bytes();
            let id = number(&body, 0).unwrap_or_default() & 0x7fff_ffff;
            match u16::from_be_bytes([kind[2], kind[3]]) {
                SYN_STREAM => {
                    let block = body.get(10..).ok_or(Malformed("a stream without a beginning"))?;
                    let headers = self.headers(block)?;
                    heard.push(Incoming::Begun { stream: id, headers });
                    if flags & FIN != 0 {
                        heard.push(Incoming::Data { stream: id, bytes: Vec::new(), ends: true });
                    }
                }
                RST_STREAM => heard.push(Incoming::Reset(id)),
                PING => heard.push(Incoming::Ping(number(&body, 0).unwrap_or_default())),
                GOAWAY => heard.push(Incoming::Leaving),
                _ => {}
            }
        }
        Ok(heard)
    }

    /// Says that a stream is there.
    pub fn reply(&mut self, stream: u32) -> Vec<u8> {
        let mut body = (stream & 0x7fff_ffff).to_be_bytes().to_vec();
        if !self.wrote {
            // A header of zlib that refers to no dictionary.
            body.extend([0x78, 0x01]);
            self.wrote = true;
        }
        // No headers, as they are: a stored block of four bytes that are zero, and the empty one that lets readers have it.
        body.extend([0x00, 0x04, 0x00, 0xfb, 0xff, 0, 0, 0, 0]);
        body.extend([0x00, 0x00, 0x00, 0xff, 0xff]);
        control(SYN_REPLY, &body)
    }

    fn headers(&mut self, block: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
        let mut block = block;
        if !self.read {
            self.read = true;
            let refers = block.get(1).is_some_and(|flags| flags & 0x20 != 0);
            block = block.get(if refers { 6 } else { 2 }..).ok_or(Malformed("headers without a beginning"))?;
            if refers {
                // As a block that is stored before all others, the dictionary is where later ones look for it.
                let words = dictionary();
                let length = u16::try_from(words.len()).unwrap_or_default();
                let mut stored = vec![0];
                stored.extend(length.to_le_bytes());
                stored.extend((!length).to_le_bytes());
                stored.extend(words);
                self.inflated(&stored)?;
            }
        }
        let bytes = self.inflated(block)?;
        let short = || Malformed("headers that end too early");
        let count = number(&bytes, 0).ok_or_else(short)?;
        let mut at = 4;
        let mut text = || {
            let length = number(&bytes, at).ok_or_else(short)? as usize;
            let found = bytes.get(at + 4..).and_then(|rest| rest.get(..length)).ok_or_else(short)?;
            at += 4 + length;
            Ok::<_, Malformed>(String::from_utf8_lossy(found).into_owned())
        };
        (0..count).map(|_| Ok((text()?.to_lowercase(), text()?))).collect()
    }

    fn inflated(&mut self, block: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut all = Vec::new();
        let mut rest = block;
        loop {
            let mut out = Vec::with_capacity(4 << 10);
            let before = self.inflate.total_in();
            let status = self.inflate.decompress_vec(rest, &mut out, FlushDecompress::Sync);
            let status = status.map_err(|_| Malformed("headers that are not compressed as they should be"))?;
            let taken = usize::try_from(self.inflate.total_in() - before).unwrap_or(rest.len());
            rest = &rest[taken..];
            let made = out.len();
            all.extend(out);
            if all.len() > MOST {
                return Err(Malformed("headers that are too long"));
            }
            if status == Status::StreamEnd || (rest.is_empty() && made < 4 << 10) || (taken == 0 && made == 0) {
                return Ok(all);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_that_of_the_standard() {
        let words = dictionary();
        let (mut low, mut high) = (1_u32, 0_u32);
        for byte in &words {
            low = (low + u32::from(*byte)) % 65_521;
            high = (high + low) % 65_521;
        }
        // The Adler-32 by which every SPDY/3 stream names it.
        assert_eq!((words.len(), high << 16 | low), (1423, 0xe3c6_a7c2));
    }

    /// What zlib makes of a stream's headers with the dictionary, in one flushed block and then another that refers to
    /// the first.
    const FIRST: &str = "78bbe3c6a7c2";

    fn stored(text: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = u32::try_from(text.len()).expect("few").to_be_bytes().to_vec();
        for word in text.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend(u32::try_from(word.len()).expect("short").to_be_bytes());
            bytes.extend(word.as_bytes());
        }
        let length = u16::try_from(bytes.len()).expect("short");
        let mut block = vec![0];
        block.extend(length.to_le_bytes());
        block.extend((!length).to_le_bytes());
        block.extend(bytes);
        block
    }

    fn begun(stream: u32, block: &[u8]) -> Vec<u8> {
        let mut body = stream.to_be_bytes().to_vec();
        body.extend([0; 6]);
        body.extend(block);
        control(SYN_STREAM, &body)
    }

    #[test]
    fn streams_begin_with_headers_and_end() {
        let mut session = Session::default();
        let zlib = (0..6).map(|at| u8::from_str_radix(&FIRST[2 * at..2 * at + 2], 16).expect("hex"));
        let first = zlib.chain(stored(&[("Streamtype", "error"), ("Port", "443")])).collect::<Vec<_>>();
        let mut bytes = begun(1, &first);
        bytes.extend(begun(3, &stored(&[("streamtype", "data")])));
        bytes.extend(data(3, b"GET /", false));
        bytes.extend(data(3, b"", true));
        bytes.extend(pong(7));
        bytes.extend(control(RST_STREAM, &[0, 0, 0, 3, 0, 0, 0, 5]));
        bytes.extend(control(GOAWAY, &[0; 8]));
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            Incoming::Begun { stream: 1, headers: vec![header("streamtype", "error"), header("port", "443")] },
            Incoming::Begun { stream: 3, headers: vec![header("streamtype", "data")] },
            Incoming::Data { stream: 3, bytes: b"GET /".to_vec(), ends: false },
            Incoming::Data { stream: 3, bytes: Vec::new(), ends: true },
            Incoming::Ping(7),
            Incoming::Reset(3),
            Incoming::Leaving,
        ];
        // As it comes: byte by byte.
        let heard = bytes.iter().flat_map(|byte| session.hear(&[*byte]).expect("frames")).collect::<Vec<_>>();
        assert_eq!(heard, expected);
    }

    #[test]
    fn headers_may_refer_to_the_dictionary_and_to_those_before() {
        // Python: c = zlib.compressobj(9, zdict=DICTIONARY); c.compress(..) + c.flush(zlib.Z_SYNC_FLUSH), twice.
        let blocks = [BLOCK_ONE, BLOCK_TWO].map(|hex| {
            (0..hex.len() / 2)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex"))
                .collect::<Vec<_>>()
        });
        let mut session = Session::default();
        for (stream, kind, block) in [(1, "error", &blocks[0]), (3, "data", &blocks[1])] {
            let heard = session.hear(&begun(stream, block)).expect("a stream");
            let [Incoming::Begun { headers, .. }] = &heard[..] else { panic!("{heard:?}") };
            let find = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
            assert_eq!(
                (find("streamtype"), find("port"), find("content-type")),
                (Some(kind), Some("443"), Some("200 OK"))
            );
        }
        assert!(session.hear(&begun(5, b"\xff\xff\xff")).is_err());
    }

    #[test]
    fn replies_name_their_stream() {
        let mut session = Session::default();
        let first = session.reply(1);
        assert_eq!(first[..12], [0x80, 3, 0, 2, 0, 0, 0, 20, 0, 0, 0, 1]);
        assert_eq!(session.reply(3).len() + 2, first.len());
    }

    const BLOCK_ONE: &str = "78f9e3c6a7c202256f50ca0a2e294a4dcc851625aca9a0808614cb45e062d9c4c4184b918348cf9c4590f8cd04a57b460300\
        000000ffff";
    const BLOCK_TWO: &str = "c26a2aa8804aa4c05000000000ffff";
}
