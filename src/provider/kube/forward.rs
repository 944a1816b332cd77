//! Port-forwarding: a connection to a port of a pod as messages on two channels, as kubelets speak over WebSockets.
//!
//! Channel 0 carries the connection's bytes, channel 1 what went wrong; on each, the first message is the port. How the
//! WebSocket comes about is the client's business, what is said over it the caller's.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

use crate::env::websocket::{Message, Reader, Writer};

/// The subprotocol.
pub(super) const PROTOCOL: &str = "v4.channel.k8s.io";

const DATA: u8 = 0;
const ERROR: u8 = 1;
/// Bytes on the way in each direction.
const BUFFER: usize = 64 << 10;

/// The near end of a forwarded connection.
pub(super) struct Forwarded {
    stream: DuplexStream,
    /// What the far end has complained of.
    complaint: Arc<Mutex<Option<String>>>,
}

/// The connection that messages over `upgraded` carry.
pub(super) fn carried(upgraded: Upgraded) -> Forwarded {
    let (near, far) = tokio::io::duplex(BUFFER);
    let complaint = Arc::new(Mutex::new(None));
    let said = complaint.clone();
    tokio::spawn(async move {
        if let Err(error) = carry(TokioIo::new(upgraded), far, &said).await {
            said.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.to_string());
        }
    });
    Forwarded { stream: near, complaint }
}

async fn carry<S>(upgraded: S, far: DuplexStream, said: &Mutex<Option<String>>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (source, sink) = tokio::io::split(upgraded);
    let (mut reader, mut writer) = (Reader::new(source), Writer::client(sink));
    let (mut from, mut to) = tokio::io::split(far);
    let (ping, mut pings) = mpsc::channel::<Vec<u8>>(8);
    let inwards = async {
        let mut begun = [false; 2];
        loop {
            let message = match reader.next().await? {
                Message::Data(message) => message,
                Message::Ping(bytes) => {
                    ping.send(bytes).await.ok();
                    continue;
                }
                Message::Closed => break,
            };
            let Some((&channel, bytes)) = message.split_first() else { continue };
            let Some(begun) = begun.get_mut(usize::from(channel)) else { continue };
            if !std::mem::replace(begun, true) {
                // The port.
                continue;
            }
            if channel == DATA {
                to.write_all(bytes).await?;
            } else if channel == ERROR && !bytes.is_empty() {
                let text = String::from_utf8_lossy(bytes).trim().to_owned();
                *said.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                break;
            }
        }
        to.shutdown().await
    };
    let outwards = async {
        let mut bytes = vec![DATA; 16 << 10];
        loop {
            tokio::select! {
                read = from.read(&mut bytes[1..]) => match read? {
                    0 => return writer.close().await,
                    count => writer.data(&bytes[..=count]).await?,
                },
                Some(ping) = pings.recv() => writer.pong(&ping).await?,
            }
        }
    };
    // Over as soon as one side is: HTTP ends its connections by itself.
    tokio::select! {
        over = inwards => over,
        over = outwards => over,
    }
}

impl Forwarded {
    /// The end of the stream, or why it came.
    fn ended(&self) -> io::Result<()> {
        match self.complaint.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(text) => Err(io::Error::new(io::ErrorKind::ConnectionRefused, text)),
            None => Ok(()),
        }
    }
}

impl AsyncRead for Forwarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() == before && buffer.remaining() > 0 => {
                Poll::Ready(self.ended())
            }
            other => other,
        }
    }
}

impl AsyncWrite for Forwarded {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.ended().err().unwrap_or(error))),
            other => other,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kubelet says, in pieces, and what comes out of it.
    async fn heard(messages: &[&[u8]]) -> (Vec<u8>, Option<String>) {
        let (near, far) = tokio::io::duplex(BUFFER);
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        let mut kubelet = Writer::server(theirs);
        for message in messages {
            kubelet.data(message).await.expect("said");
        }
        kubelet.close().await.expect("closed");
        let said = Mutex::new(None);
        let mut near = near;
        carry(ours, far, &said).await.expect("carried");
        let mut bytes = Vec::new();
        near.read_to_end(&mut bytes).await.expect("read");
        (bytes, said.into_inner().expect("whole"))
    }

    #[tokio::test]
    async fn bytes_arrive_without_ports_and_complaints_apart() {
        let data = heard(&[b"\x00\xbb\x01", b"\x01\xbb\x01", b"\x00HTTP/1.1 ", b"\x00200 OK"]).await;
        assert_eq!(data, (b"HTTP/1.1 200 OK".to_vec(), None));
        let refused = heard(&[b"\x00\xbb\x01", b"\x01\xbb\x01", b"\x01connection refused\n", b"\x00late"]).await;
        assert_eq!(refused, (Vec::new(), Some("connection refused".to_owned())));
    }

    #[tokio::test]
    async fn what_is_written_goes_out_on_the_first_channel() {
        let (mut near, far) = tokio::io::duplex(BUFFER);
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        let carrying = tokio::spawn(async move { carry(ours, far, &Mutex::new(None)).await });
        near.write_all(b"GET /").await.expect("written");
        let mut kubelet = Reader::new(theirs);
        assert_eq!(kubelet.next().await.expect("data"), Message::Data(b"\x00GET /".to_vec()));
        drop(near);
        assert_eq!(kubelet.next().await.expect("end"), Message::Closed);
        carrying.await.expect("ended").expect("in good order");
    }
}
