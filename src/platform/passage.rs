//! Ways to servers that lead through a cluster's API server, where no address leads to them: port-forwarding.
//!
//! What such a way is, and who needs one; how it is opened is the provider's business.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Objects;
use crate::resource::error::ProviderError;
use crate::value::Value;

/// Bytes in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A way to a port of a pod.
#[derive(Clone)]
pub struct Passage {
    /// Who opens it.
    pub objects: Arc<dyn Objects>,
    /// What describes the cluster, where that is not the one of a kubeconfig.
    pub connection: Option<Value>,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// Its port.
    pub port: u16,
}

impl Passage {
    /// A connection to the pod. One try.
    ///
    /// # Errors
    /// When the API server or the pod does not let it.
    pub async fn open(&self) -> Result<Box<dyn Duplex>, ProviderError> {
        self.objects.forward(self.connection.as_ref(), &self.namespace, &self.pod, self.port).await
    }
}

impl PartialEq for Passage {
    fn eq(&self, other: &Self) -> bool {
        let place = |passage: &Passage| (passage.namespace.clone(), passage.pod.clone(), passage.port);
        place(self) == place(other) && self.connection == other.connection
    }
}

impl Eq for Passage {}

impl fmt::Debug for Passage {
    /// Without the connection, which may hold a login.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passage({self})")
    }
}

impl fmt::Display for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.namespace, self.pod, self.port)
    }
}

/// Whether a host of a URL leads somewhere from everywhere: no address within a network (RFC 1918, 4193, 6598, link-local)
/// and no name that only a cluster resolves. Addresses of this machine count: they are meant as they are.
pub fn is_public(host: &str) -> bool {
    let shared = |address: Ipv4Addr| address.octets()[0] == 100 && (64..128).contains(&address.octets()[1]);
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            !(address.is_private() || address.is_link_local() || address.is_unspecified() || shared(address))
        }
        Ok(IpAddr::V6(address)) => {
            !(address.is_unique_local() || address.is_unicast_link_local() || address.is_unspecified())
        }
        Err(_) => !(host.ends_with(".svc") || host.ends_with(".cluster.local")),
    }
}

#[cfg(test)]
mod tests {
    use super::is_public;

    #[test]
    fn addresses_within_networks_are_not_public() {
        for host in ["203.0.113.10", "8.8.8.8", "127.0.0.1", "172.32.0.1", "2001:db8::1", "[::1]", "llm.example.com"] {
            assert!(is_public(host), "{host}");
        }
        for host in ["10.164.0.9", "172.16.0.1", "192.168.1.4", "169.254.1.1", "100.64.0.1", "[fd00::1]", "fe80::1"] {
            assert!(!is_public(host), "{host}");
        }
        for host in ["gateway-istio.ns.svc", "gateway-istio.ns.svc.cluster.local"] {
            assert!(!is_public(host), "{host}");
        }
    }
}
