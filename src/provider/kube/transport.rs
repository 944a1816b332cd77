//! The connections that requests to an API server travel on.
//!
//! The `kube` crate knows logins, certificates and proxies; its own stack leaves Nagle's algorithm on, and then the
//! first request of each new TLS connection waits 40 ms for an acknowledgement that the server delays (RFC 1122,
//! 4.2.3.2). Nothing here looks at what is sent.

use std::time::Duration;

use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt};
use tower::buffer::BufferLayer;
use tower::{BoxError, ServiceExt};

/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(15);

/// Requests that may wait for a connection, as in the crate's own client.
const WAITING: usize = 1024;

/// A client for what `config` describes. Runs exec plugins: not for the thread that everything runs on.
///
/// # Errors
/// Certificates and keys that cannot be read, a login that cannot be had.
pub(super) fn client(mut config: kube::Config) -> Result<kube::Client, kube::Error> {
    // The engine retries, with the class of the error in hand; a silent retry would repeat a write.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    // Left to itself the crate runs a plugin three times: for a token, for a certificate, and for when that expires.
    // Most give a token, which needs one run, and another whenever it expires.
    let login = config.auth_layer()?;
    let plugin = if login.is_some() { config.auth_info.exec.take() } else { None };
    // Proxies, and plugins that give certificates, which expire, are the crate's.
    if config.proxy_url.is_some() || config.auth_info.exec.is_some() {
        let crates = ClientBuilder::try_from(config)?;
        return Ok(match login.filter(|_| plugin.is_some()) {
            // The login asks for a service that can be shared.
            Some(login) => crates.with_layer(&BufferLayer::new(WAITING)).with_layer(&login).build(),
            None => crates.build(),
        });
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    let http = Http::builder(TokioExecutor::new())
        .build::<_, Body>(config.rustls_https_connector_with_connector(connector)?)
        .map_err(BoxError::from);
    let headers = config.extra_headers_layer()?;
    let place = config.base_uri_layer();
    let space = config.default_namespace;
    let plain = ClientBuilder::new(http, space).with_layer(&headers);
    Ok(match login {
        Some(login) => plain.with_layer(&login).with_layer(&place).build(),
        None => plain.with_layer(&place).build(),
    })
}
