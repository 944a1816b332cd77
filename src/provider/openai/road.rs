//! The way to a server: from a URL to an open connection, through a proxy where there is one. No TLS, no HTTP.

use http::Uri;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::resource::error::{ErrorClass, ProviderError};

/// Where a request goes.
pub(super) struct Goal {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    pub path: String,
}

/// Takes a base URL apart; `/v1` at its end is what every path begins with anyway.
pub(super) fn goal(url: &str) -> Result<Goal, ProviderError> {
    let invalid = || {
        ProviderError::new(ErrorClass::Invalid, format!("{url} is not a URL of a model"))
            .hint("give it with its scheme: https://203.0.113.10/namespace/name")
    };
    let uri = url.trim_end_matches('/').parse::<Uri>().map_err(|_| invalid())?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(invalid()),
    };
    let host = uri.host().ok_or_else(invalid)?.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let path = uri.path().trim_end_matches('/').trim_end_matches("/v1").to_owned();
    Ok(Goal { tls, host, port, path })
}

/// A host as it stands before a port.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// A connection to the goal.
pub(super) async fn connect(goal: &Goal, proxy: Option<&Uri>) -> Result<TcpStream, ProviderError> {
    let (host, port) = match proxy {
        Some(proxy) => (proxy.host().unwrap_or_default(), proxy.port_u16().unwrap_or(80)),
        None => (goal.host.as_str(), goal.port),
    };
    let unreachable = |error: std::io::Error| {
        let text = format!("cannot connect to {host}:{port}: {error}");
        ProviderError::new(ErrorClass::Unavailable, text)
            .hint("see whether the address is the gateway's, and whether its load balancer is there")
    };
    let mut stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    if proxy.is_some() {
        tunnel(&mut stream, goal).await?;
    }
    Ok(stream)
}

/// Asks the proxy for a way to the goal.
async fn tunnel<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, goal: &Goal) -> Result<(), ProviderError> {
    let unavailable = |text: String| ProviderError::new(ErrorClass::Unavailable, text);
    let authority = format!("{}:{}", bracketed(&goal.host), goal.port);
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let failed = |error: std::io::Error| unavailable(format!("the proxy broke off: {error}"));
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // Byte by byte: what follows the head belongs to the tunnel.
        match stream.read_u8().await {
            Ok(byte) if head.len() < 8192 => head.push(byte),
            Ok(_) => return Err(unavailable("the proxy's answer has no end".to_owned())),
            Err(error) => return Err(failed(error)),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status.starts_with('2') {
        return Ok(());
    }
    Err(unavailable(format!("nothing answers at {authority} (the proxy says {status})"))
        .hint("see whether the address is the gateway's, and whether its load balancer is there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_host_port_and_path() {
        let there = goal("https://203.0.113.9/llm/qwen/").expect("goal");
        assert_eq!(
            (there.tls, there.host.as_str(), there.port, there.path.as_str()),
            (true, "203.0.113.9", 443, "/llm/qwen")
        );
        let there = goal("http://[::1]:8000/v1").expect("goal");
        assert_eq!((there.tls, there.host.as_str(), there.port, there.path.as_str()), (false, "::1", 8000, ""));
        for url in ["", "ftp://x", "203.0.113.9/llm", "https://"] {
            assert_eq!(goal(url).err().map(|error| error.class), Some(ErrorClass::Invalid), "{url}");
        }
    }

    #[test]
    fn a_proxy_that_refuses_is_named() {
        let run = |answer: &str| {
            let answer = answer.as_bytes().to_vec();
            futures_util::future::FutureExt::now_or_never(async move {
                let (mut near, mut far) = tokio::io::duplex(4096);
                far.write_all(&answer).await.expect("answer");
                let goal = goal("https://203.0.113.9/").expect("goal");
                tunnel(&mut near, &goal).await
            })
            .expect("the answer is there")
        };
        assert_eq!(run("HTTP/1.1 200 OK\r\n\r\n"), Ok(()));
        let refused = run("HTTP/1.1 502 Bad Gateway\r\nA: b\r\n\r\n").expect_err("refused");
        assert!(refused.message.contains("203.0.113.9:443"), "{}", refused.message);
    }
}
