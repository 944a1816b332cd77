//! The names that GKE and its controllers give to what they make, and what of a cluster can be read off them.
//!
//! Pure. Formats: `a` and a Service's uid (classic load balancer), `k8s-…--UID` (Ingress, first naming scheme),
//! `k8s2-…-HASH-…` (second scheme, load balancers by subsetting), `k8s1-HASH-…` (network endpoint groups),
//! `gkegw1-…` (Gateways), `gke-CLUSTER-HASH-…` (the cluster's own), `pvc-UID` (volumes).

use sha2::{Digest, Sha256};

/// The hash that names of the second scheme carry: ingress-gce takes it of the uid of the namespace `kube-system`.
pub fn content_hash(system_uid: &str) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let digest = Sha256::digest(system_uid.as_bytes());
    digest[..8].iter().map(|byte| char::from(DIGITS[usize::from(byte % 36)])).collect()
}

/// The label `goog-gke-cluster-id-base32` of a cluster id (64 hexadecimal digits): base 32 of its bytes in lower case,
/// without padding.
pub fn id_label(id: &str) -> Option<String> {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bytes = (0..id.len()).step_by(2).map(|at| u8::from_str_radix(id.get(at..at + 2)?, 16).ok());
    let bytes = bytes.collect::<Option<Vec<_>>>().filter(|bytes| !bytes.is_empty())?;
    let (mut held, mut bits, mut text) = (0_u32, 0, String::new());
    for byte in bytes {
        held = held << 8 | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(DIGITS[(held >> bits & 31) as usize]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(DIGITS[(held << (5 - bits) & 31) as usize]));
    }
    Some(text)
}

/// The name of the load balancer that a Service of this uid has: `a` and the uid without dashes, 32 characters.
pub fn balancer(service_uid: &str) -> String {
    let mut name = format!("a{}", service_uid.replace('-', ""));
    name.truncate(32);
    name
}

/// The load balancer that a name is of, if it is of a classic one: its own, or one of its firewalls'.
pub fn balancer_in(name: &str) -> Option<&str> {
    let inner = name.strip_prefix("k8s-fw-").unwrap_or(name);
    let inner = match inner.strip_prefix("k8s-") {
        Some(rest) => rest.strip_suffix("-http-hc")?,
        None => inner,
    };
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    (inner.len() == 32 && inner.starts_with('a') && inner[1..].chars().all(hex)).then_some(inner)
}

/// Which cluster's a name of the second scheme is, if it is one: the hash is the first or the second word, after the
/// kind of thing or the protocol.
pub fn second_scheme(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("k8s2-")?;
    let mut words = rest.split('-');
    let first = words.next()?;
    if matches!(first, "fr" | "fs" | "tp" | "ts" | "um" | "rm" | "cr" | "tcp" | "udp" | "l3" | "be" | "ig") {
        words.next()
    } else {
        Some(first)
    }
}

/// The first eight characters of a cluster's ingress uid in the name of a network endpoint group.
pub fn endpoint_group(name: &str) -> Option<&str> {
    name.strip_prefix("k8s1-")?.split('-').next()
}

/// The ingress uid at the end of a name of the first scheme.
pub fn first_scheme(name: &str) -> Option<&str> {
    let (start, uid) = name.rsplit_once("--")?;
    (start.starts_with("k8s-") && !uid.is_empty()).then_some(uid)
}

/// Whose nodes a health check or its firewall is for: `k8s-UID-node`, `k8s-UID-node-http-hc`, `k8s-UID-node-hc`.
pub fn node_health(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("k8s-")?;
    let rest = rest.strip_suffix("-http-hc").or_else(|| rest.strip_suffix("-hc")).unwrap_or(rest);
    rest.strip_suffix("-node").filter(|uid| !uid.is_empty())
}

/// Whether GKE itself made something of this name for the cluster: `gke-NAME-HASH-…`, the name possibly cut.
pub fn is_of_cluster(name: &str, cluster: &str, short: &str) -> bool {
    let Some(rest) = name.strip_prefix("gke-") else { return false };
    let Some(at) = rest.find(&format!("-{short}-")) else { return false };
    at > 0 && cluster.starts_with(&rest[..at])
}

/// Whether a controller of some cluster has given this name.
pub fn is_made(name: &str) -> bool {
    ["k8s-", "k8s1-", "k8s2-", "gkegw1-", "gkemcg1-", "gke-", "pvc-"].iter().any(|start| name.starts_with(start))
        || balancer_in(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_base_32_of_the_id() {
        // RFC 4648, section 10, in hexadecimal and lower case.
        for (bytes, text) in [("66", "my"), ("666f", "mzxq"), ("666f6f", "mzxw6"), ("666f6f626172", "mzxw6ytboi")] {
            assert_eq!(id_label(bytes).as_deref(), Some(text));
        }
        assert_eq!(id_label(&"0f".repeat(32)).map(|label| label.len()), Some(52), "as real disks have it");
        assert_eq!((id_label("xyz"), id_label(""), id_label("abc")), (None, None, None));
    }

    #[test]
    fn hashes_are_of_the_namespace() {
        let hash = content_hash("6c1f2e0a-4d2b-4c3e-9a55-0f1e2d3c4b5a");
        assert!(hash.len() == 8 && hash.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
        assert_ne!(hash, content_hash("6c1f2e0a-4d2b-4c3e-9a55-0f1e2d3c4b5b"));
    }

    #[test]
    fn names_tell_whose_they_are() {
        let balancer = balancer("6c1f2e0a-4d2b-4c3e-9a55-0f1e2d3c4b5a");
        assert_eq!(balancer, "a6c1f2e0a4d2b4c3e9a550f1e2d3c4b5");
        for name in [balancer.clone(), format!("k8s-fw-{balancer}"), format!("k8s-{balancer}-http-hc")] {
            assert_eq!(balancer_in(&name), Some(balancer.as_str()));
        }
        assert_eq!((balancer_in("address-of-mine"), balancer_in("k8s-fw-web")), (None, None));
        assert_eq!(second_scheme("k8s2-tcp-abcd1234-default-web-xyz98765"), Some("abcd1234"));
        assert_eq!(second_scheme("k8s2-abcd1234-default-web-xyz98765"), Some("abcd1234"));
        assert_eq!(second_scheme("k8s2-um-abcd1234-default-web-xyz98765"), Some("abcd1234"));
        assert_eq!(second_scheme("k8s-um-default-web--abcd1234"), None);
        assert_eq!(first_scheme("k8s-um-default-web--0123456789abcdef"), Some("0123456789abcdef"));
        assert_eq!(first_scheme("k8s-ig--0123456789abcdef"), Some("0123456789abcdef"));
        assert_eq!(first_scheme("my--address"), None);
        assert_eq!(endpoint_group("k8s1-01234567-default-web-80-89abcdef"), Some("01234567"));
        for name in ["k8s-0123456789abcdef-node", "k8s-0123456789abcdef-node-http-hc", "k8s-0123456789abcdef-node-hc"] {
            assert_eq!(node_health(name), Some("0123456789abcdef"));
        }
        assert!(is_of_cluster("gke-qwen-1a2b3c4d-all", "qwen", "1a2b3c4d"));
        assert!(is_of_cluster("gke-a-very-long-1a2b3c4d-vms", "a-very-long-name", "1a2b3c4d"), "cut");
        for other in ["gke-qwen-9a2b3c4d-all", "gke-qwen-t4-1a2b3c4d-all", "gke--1a2b3c4d-all", "k8s-1a2b3c4d-x"] {
            assert!(!is_of_cluster(other, "qwen", "1a2b3c4d"), "{other}");
        }
    }
}
